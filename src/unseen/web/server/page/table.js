// All pictures, where there are several: a table that sorts, and files of it.

import { framed, roving } from "./ask.js";
import { make, ui } from "./elements.js";
import { labelOf, NONE, percent, verdict } from "./list.js";

let pictures = [];
let by = ""; // the column; "": as they were chosen
let down = false;

export const wordsOf = ({ state, result }) =>
  state === "failed" ? ["not read"] : result ? verdict(result) : ["…"];

export const row = (picture, { select, remove }) => {
  const item = (picture.row = make("tr"));
  const button = make("button", "tile");
  framed(button, "–").src = picture.url;
  const name = make("span", "", picture.name);
  name.dir = "auto";
  button.append(name);
  button.onkeydown = (event) => {
    if (event.key === "Delete" || event.key === "Backspace") remove(picture);
  };
  item.onclick = () => select(picture);
  item.picture = picture;
  const first = make("td");
  first.append(button);
  item.append(first, make("td", "caption"), make("td", "number"));
  item.children[1].dir = "auto";
  return item;
};

export const drawRow = (picture, selected) => {
  const [first, label, score] = picture.row.children;
  const [word, probability] = wordsOf(picture);
  picture.row.className = picture.state;
  first.firstChild.setAttribute("aria-current", picture === selected);
  first.firstChild.title = picture.error ? `${picture.name}: ${picture.error}` : picture.name;
  label.textContent = word;
  score.textContent = probability === undefined ? "" : percent(probability);
  if (by) later();
};

const KEYS = {
  name: ({ name }) => name,
  label: (picture) => wordsOf(picture)[0],
  score: (picture) => wordsOf(picture)[1] ?? -1,
};

const sort = () => {
  waiting = 0;
  const all = [...pictures];
  const key = KEYS[by];
  const collator = new Intl.Collator(undefined, { numeric: true });
  const compare = (a, b) => (typeof a === "number" ? a - b : collator.compare(a, b));
  if (key) all.sort((a, b) => (down ? -1 : 1) * compare(key(a), key(b)));
  const focused = document.activeElement;
  all.forEach(({ row: item }, i) => {
    const there = ui.table.children[i];
    if (there !== item) ui.table.insertBefore(item, there || null);
  });
  if (ui.table.contains(focused)) focused.focus();
  for (const button of ui.many.querySelectorAll("th button")) {
    const way = down ? "descending" : "ascending";
    button.parentElement.ariaSort = button.dataset.by === by ? way : "none";
  }
};

let waiting = 0;
const later = () => (waiting ||= requestAnimationFrame(sort)); // many answers, one sort

export const draw = () => {
  ui.many.hidden = pictures.length < 2;
  ui.count.textContent = `${pictures.length} pictures`;
  if (by) later();
};

// Files

const save = (name, type, text) => {
  const url = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(make("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

const json = () =>
  JSON.stringify(
    pictures.map(({ name, error, result }) =>
      error ? { source: name, error } : { ...result, source: name },
    ),
    null,
    1,
  );

// A cell that a spreadsheet does not take for a formula, quoted where CSV wants it.
const cell = (value) => {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

const csv = () => {
  const scores = pictures.map(
    ({ result }) => new Map(result?.ranking.map((one) => [labelOf(one) ?? NONE, one.score])),
  );
  const labels = [...new Set(scores.flatMap((one) => [...one.keys()]))];
  const lines = pictures.map((picture, i) => {
    const [word, score] = picture.error ? [] : wordsOf(picture);
    const all = labels.map((label) => scores[i].get(label));
    return [picture.name, word, score, picture.error, ...all];
  });
  lines.unshift(["picture", "label", "score", "error", ...labels]);
  return lines.map((line) => `${line.map(cell).join(",")}\r\n`).join("");
};

export const start = (all, select) => {
  pictures = all;
  ui.json.onclick = () => save("unseen.json", "application/json", json());
  ui.csv.onclick = () => save("unseen.csv", "text/csv", csv());
  ui.many.querySelector("thead").onclick = ({ target }) => {
    const column = target.dataset.by;
    if (!column) return;
    down = by === column ? !down : column === "score";
    by = column;
    sort();
  };
  return roving(ui.table, ".tile", (button) => select(button.closest("tr").picture));
};
