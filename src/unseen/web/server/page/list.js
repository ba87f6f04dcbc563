// The labels, each once: its name, how well it fits, and the row in which a new one is typed.

import { calm, roving } from "./ask.js";
import { make, ui } from "./elements.js";
import { labelsIn, nameAndLabel, sets, settings } from "./words.js";

export const NONE = "none of these";
const HALF = 0.5; // what a label needs where several may fit
const MOVE = { duration: 320, easing: "cubic-bezier(.2, .8, .2, 1)" };
const MOVING = 24; // rows from the top: each costs half a millisecond
const LONGEST_LABEL = 200;

export const percent = (score) =>
  score > 0 && score < 0.0005 ? "<0.1 %"
  : score < 1 && score > 0.9995 ? ">99.9 %"
  : `${(100 * score).toFixed(1)} %`;

// The label of a ranking's row; null for what is none of the labels.
export const labelOf = ({ label }) => (label === "unknown" && settings.unknown ? null : label);

const fits = (result, label, score) =>
  settings.multi ? !result.unknown && score >= HALF
  : labelOf(result.ranking[0] ?? {}) === label && (label === null || !result.unknown);

// What a picture is, in a word, and how sure that is.
export const verdict = (result) => {
  if (result.facets) return [Object.values(result.facets).map((one) => verdict(one)[0]).join(" · ")];
  const top = result.ranking.find((one) => fits(result, labelOf(one), one.score));
  if (!top) return [NONE, undefined];
  return [labelOf(top) ?? NONE, top.score];
};

// What a set has of a result; of the one set, "", the result itself.
export const answerOf = (result, set) =>
  !result?.facets ? result : Object.hasOwn(result.facets, set) ? result.facets[set] : null;

const rows = new Map(); // by label; "none of these" by a line break and its set
let result = null; // that is drawn
let drawing = false; // elements are being moved: what loses the focus now has it back soon
let changed = () => {};

const row = (label) => {
  const item = make("li", "bar");
  const name = make("button", "name");
  name.append(make("span", "word"), make("span", "cosine muted small"), make("span", "number"));
  name.firstChild.dir = "auto";
  name.children[1].setAttribute("aria-hidden", true);
  item.label = label;
  item.append(make("span", "fill"), name);
  if (label === null) {
    item.classList.add("none");
    return item;
  }
  const cross = make("button", "cross", "×");
  cross.tabIndex = -1;
  cross.setAttribute("aria-label", `Remove ${label}`);
  item.append(cross);
  return item;
};

const drawRow = (item, text, scored, best) => {
  const [fill, name] = item.children;
  const [word, near, number] = name.children;
  word.textContent = text;
  const detail = typeof scored?.cosine === "number" ? `cosine ${scored.cosine.toFixed(3)}` : "";
  number.textContent = scored ? percent(scored.score) : "";
  near.textContent = detail;
  name.title = detail ? `${word.textContent}: ${detail}` : word.textContent;
  fill.style.transform = `scaleX(${scored?.score || 0})`;
  item.classList.toggle("best", best);
  item.classList.toggle("open", !scored);
};

// The name of a set, if it has one, and its labels, with what is known of them.
const block = (set, words) => {
  const answer = answerOf(result, set);
  const ranking = new Map(answer?.ranking?.map((one) => [labelOf(one), one]));
  const scored = (label) => ranking.get(label && words.get(label));
  const labels = [...words.keys()];
  if (ranking.has(null)) labels.push(null);
  const score = (label) => scored(label)?.score ?? -1;
  if (!settings.own) labels.sort((a, b) => score(b) - score(a));
  const items = labels.map((label) => {
    const key = label ?? `\n${set}`;
    const item = rows.get(key) || row(label);
    item.key = key;
    rows.set(key, item);
    const one = scored(label);
    const best = Boolean(one) && fits(answer, labelOf(one), one.score);
    drawRow(item, words.get(label) ?? NONE, one, best);
    return item;
  });
  const below = settings.multi && answer && !answer.unknown
    ? labels.filter((label) => scored(label)?.score < HALF).length : 0;
  if (below) {
    const note = make("li", "muted small left", `${below} left out: under 50 %`);
    items.splice(settings.own ? items.length : items.length - below, 0, note);
  }
  if (!set) return items;
  const head = make("li", "set");
  head.append(make("h3", "muted small", set));
  head.firstChild.dir = "auto";
  return [head, ...items];
};

// Shows the labels with what is known of them: a result, or null.
export const draw = (newest = result) => {
  result = newest;
  const list = ui.bars;
  const places = new Map(calm.matches ? [] : [...rows].map(([, item]) => [item, item.offsetTop]));
  const wanted = [...sets()].flatMap(([set, words]) => block(set, words));
  const items = wanted.filter((item) => item.key);
  const focused = document.activeElement;
  drawing = true;
  for (const child of [...list.children]) {
    if (child === ui.adding || wanted.includes(child)) continue;
    child.remove();
    rows.delete(child.key);
  }
  wanted.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i]);
  });
  if (list.contains(focused) && document.activeElement !== focused) focused.focus();
  drawing = false;
  settle();
  ui.clear.hidden = ui.sorted.hidden = !settings.labels.length;
  ui.sorted.setAttribute("aria-pressed", !settings.own);
  if (calm.matches) return;
  const seen = items.slice(0, MOVING);
  const moves = seen.map((item) => places.get(item) - item.offsetTop); // read all, then write
  seen.forEach((item, i) => {
    if (Number.isNaN(moves[i])) item.animate({ opacity: [0, 1] }, 200); // it is new
    else if (moves[i]) item.animate({ transform: [`translateY(${moves[i]}px)`, "none"] }, MOVE);
  });
};

// Changes

export const set = (labels) => {
  settings.labels = labels;
  draw();
  changed();
};

const nameOf = (label) => rows.get(label)?.querySelector(".name");

export const add = (text) => {
  const added = labelsIn(text);
  const fresh = added.filter((label) => !settings.labels.includes(label));
  if (fresh.length) set([...settings.labels, ...fresh]);
  for (const [label, item] of rows) {
    // Where the duplicate is.
    item.classList.toggle("again", added.includes(label) && !fresh.includes(label));
  }
};

const commit = () => {
  const text = ui.label.value;
  ui.label.value = "";
  if (text.trim()) add(text);
  return text;
};

// The labels from top to bottom.
const order = () =>
  [...ui.bars.children].map((item) => item.label).filter((label) => typeof label === "string");

// `next`: the row to focus then, relative to the removed one.
const remove = (label, next) => {
  const labels = order();
  const at = labels.indexOf(label);
  labels.splice(at, 1);
  set(settings.labels.filter((one) => one !== label));
  (nameOf(labels[Math.max(0, at + next)]) || ui.label).focus();
};

const move = (label, by) => {
  const labels = order();
  const at = labels.indexOf(label);
  if (!labels[at + by]) return;
  labels.splice(at, 1);
  labels.splice(at + by, 0, label);
  settings.own = true;
  set(labels);
};

const edit = (item) => {
  const { label } = item;
  if (label === null || item.classList.contains("editing")) return;
  const [, name] = item.children;
  const field = make("input", "edit");
  field.value = label;
  field.maxLength = LONGEST_LABEL;
  field.setAttribute("aria-label", `Label ${label}`);
  const steps = [["↑", "up", -1], ["↓", "down", 1]].map(([text, way, by]) => {
    const button = make("button", "cross", text);
    button.setAttribute("aria-label", `Move ${label} ${way}`);
    button.onclick = () => {
      move(label, by);
      button.focus();
    };
    return button;
  });
  const close = (keep, next = name) => {
    if (drawing || !item.classList.contains("editing")) return;
    item.classList.remove("editing");
    name.hidden = false;
    const labels = labelsIn(field.value);
    for (const element of [field, ...steps]) element.remove();
    item.removeEventListener("focusout", leave);
    const others = (one) => one === label || !settings.labels.includes(one);
    const renamed = labels.filter(others);
    if (keep && renamed.join() !== label) {
      set(settings.labels.flatMap((one) => (one === label ? renamed : [one])));
      next &&= nameOf(renamed[0]) || ui.label;
    }
    next?.focus();
  };
  const leave = (event) => item.contains(event.relatedTarget) || close(true, null);
  item.classList.add("editing");
  name.hidden = true;
  name.after(field, ...steps);
  item.onkeydown = (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") close(false);
    else if (event.key === "Enter" && event.target === field) close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  field.select();
  field.focus();
  item.addEventListener("focusout", leave);
};

const settle = roving(ui.bars, ".name");

const onRowKey = (event) => {
  const name = event.target.closest(".name");
  if (!name || event.ctrlKey || event.metaKey) return;
  const item = name.parentElement;
  const { label } = item;
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (event.altKey) {
    if (!by || label === null) return;
    move(label, by);
    name.focus();
  } else if (by === 1 && (label === order().pop() || item.nextSibling === ui.adding)) {
    ui.label.focus();
  } else if (event.key === "Delete" && label !== null) remove(label, 0);
  else if (event.key === "Backspace" && label !== null) remove(label, -1);
  else if (event.key.length === 1 && event.key !== " ") return ui.label.focus();
  else return;
  event.preventDefault();
};

const onInputKey = (event) => {
  if (event.isComposing) return;
  const { value } = ui.label;
  if (event.key === "Enter") commit();
  else if (event.key === "Escape") ui.label.value = "";
  else if (event.key === "ArrowUp" || (event.key === "Backspace" && !value)) {
    nameOf(order().pop())?.focus();
  } else return;
  event.preventDefault();
};

export const start = (onChange) => {
  changed = onChange;
  const { bars: list, label: input } = ui;
  input.onkeydown = onInputKey;
  input.oninput = (event) => {
    // Also where a keyboard on glass sends no key for a comma.
    if (event.isComposing || !/[,\n]/.test(input.value)) return;
    const [set] = nameAndLabel(labelsIn(commit()).pop());
    if (set) input.value = `${set}: `; // what follows the comma is of that set too
  };
  input.onblur = () => drawing || commit();
  input.onpaste = (event) => {
    const text = event.clipboardData.getData("text/plain");
    if (!/[,\n\r\t]/.test(text)) return;
    event.preventDefault(); // an input would make spaces of the lines
    add(`${input.value}${text}`);
    input.value = "";
  };
  list.addEventListener("keydown", onRowKey);
  list.addEventListener("click", (event) => {
    const item = event.target.closest(".bar");
    if (event.target.matches(".cross:last-child")) remove(item.label, 0);
    else if (event.target.closest(".name")) edit(item);
  });
  ui.clear.onclick = () => {
    set([]);
    ui.label.focus();
  };
  ui.sorted.onclick = () => {
    settings.own = !settings.own;
    draw();
    changed();
  };
};
