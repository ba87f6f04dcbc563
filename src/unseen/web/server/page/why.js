// Why a picture has its labels. While it is on, the label that is pointed at, or has the focus, has
// its map on the picture: the grids of all labels come at once, and a map is drawn of them here.

import { ask, Problem } from "./ask.js";
import { make, ui } from "./elements.js";
import { draw, floats } from "./map.js";
import { question } from "./words.js";

const LOOKED_AT = 300; // ms that a label is looked at, until the server is asked how true its map is
const SLOW = 400;

let on = false;
let picture = null;
let info = null;
let answer = null; // of this picture and these labels
let known = ""; // the question that it answers
let pinned = null; // the label that was chosen
let label = null; // that is shown
let asking = null;
let timer;
const answers = new WeakMap(); // picture → question → answer

const canvas = make("canvas");
canvas.id = "map";
canvas.setAttribute("role", "img");
canvas.hidden = true;
const says = make("p", "muted");
says.id = "why-says";
says.setAttribute("role", "status");

const tell = (...parts) => says.replaceChildren(...parts);

const key = () => {
  const span = make("span", "key");
  span.append(make("i"), "for", make("i", "against"), "against");
  return span;
};

// The label that the eye is on: under the pointer, else with the focus, else the chosen one.
const lookedAt = () => {
  const item = ui.bars.querySelector(".bar:hover") ?? document.activeElement.closest?.("#bars .bar");
  return item?.label ?? pinned ?? answer?.explanation.label;
};

const show = (next = lookedAt()) => {
  clearTimeout(timer);
  if (!on || !answer) return;
  const { explanation, maps } = answer;
  const at = maps ? maps.labels.indexOf(next) : -1;
  label = next;
  canvas.hidden = at < 0;
  ui.stage.classList.toggle("explained", at >= 0);
  if (at < 0) return tell(maps ? "There is no map of this." : explanation.sentence);
  const { rows, columns, values } = maps;
  const { boxes, size } = explanation;
  const cells = boxes.length * rows * columns;
  const drawn = { rows, columns, boxes, size };
  const where = draw(canvas, values.subarray(at * cells, (at + 1) * cells), drawn);
  const words = `Most speaks for ${next} at the ${where}.`;
  canvas.setAttribute("aria-label", `Map of ${picture.name}. ${words}`);
  const trust = answer.trust.get(next);
  tell(words, " ", trust ?? "", key());
  if (!trust) timer = setTimeout(() => check(next), LOOKED_AT);
};

// The sentence and the notes; without a map the sentence has them.
const saysOf = ({ sentence, notes, method }) => (method === "none" ? sentence : [sentence, ...notes].join(" "));

// How far to believe the map of another label: two more looks at the picture, by the server.
const check = async (one) => {
  const mine = answer;
  try {
    const body = await request({ for: one, more: "[]" });
    mine.trust.set(one, saysOf(body.explanation));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    mine.trust.set(one, error.message);
  }
  if (mine === answer && one === label) show(one);
};

const request = (fields) => {
  const form = new FormData();
  const all = { ...question(info.evidence), map: "none", ...fields };
  for (const [name, value] of Object.entries(all)) {
    form.append(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  form.append("image", picture.file, picture.name);
  asking?.abort();
  asking = new AbortController();
  return ask("/v1/explain", { body: form, signal: asking.signal });
};

const load = async () => {
  const mine = picture;
  const asked = known;
  const late = setTimeout(
    () => tell("Looking again, place by place… The first time takes some seconds longer."), SLOW);
  try {
    const body = await request({ all_labels: true, more: "[]" });
    if (body.maps) body.maps.values = floats(body.maps.data);
    body.trust = new Map([[body.explanation.label, saysOf(body.explanation)]]);
    if (!answers.has(mine)) answers.set(mine, new Map());
    answers.get(mine).set(asked, body);
    if (mine !== picture || asked !== known) return;
    answer = body;
    show();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    tell(error.message);
  } finally {
    clearTimeout(late);
  }
};

const clear = () => {
  canvas.hidden = true;
  ui.stage.classList.remove("explained");
  tell();
};

// The page has another picture, or another answer.
export const look = (selected, facts) => {
  info = facts;
  const asked = selected?.result ? JSON.stringify(question(info.evidence)) : "";
  if (selected !== picture) pinned = null;
  if (selected === picture && asked === known) return show();
  picture = selected;
  known = asked;
  answer = answers.get(picture ?? says)?.get(asked) ?? null;
  if (!on) return;
  asking?.abort();
  clearTimeout(timer);
  clear();
  if (answer) show();
  else if (asked && picture.file) load();
};

export const toggle = (selected, facts) => {
  on = !on;
  ui.why.setAttribute("aria-pressed", on);
  known = "";
  if (on) look(selected, facts);
  else {
    asking?.abort();
    clearTimeout(timer);
    clear();
  }
};

const style = make("link");
style.rel = "stylesheet";
style.href = "/page/map.css";
document.head.append(style);
ui.shown.after(canvas);
ui.why.parentElement.after(says);
for (const event of ["pointerover", "pointerout", "focusin", "focusout"]) {
  ui.bars.addEventListener(event, () => {
    if (on) queueMicrotask(() => lookedAt() !== label && show());
  });
}
// A label is chosen then, and not changed: so that a finger can look at one.
ui.bars.addEventListener("click", (event) => {
  const name = on && event.target.closest(".name");
  if (!name) return;
  event.stopPropagation();
  pinned = name.parentElement.label;
  show(pinned);
}, true);
