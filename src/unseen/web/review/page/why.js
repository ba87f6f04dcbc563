// What the model looked at: while it is on, the label that is pointed at, or has the focus, has its
// map on the picture. The maps of all labels come at once; how true one is, is asked for where it stays.

import { Failure, get } from "./ask.js";
import { make, ui } from "./elements.js";
import { draw, floats } from "./map.js";

const LOOKED_AT = 300; // ms that a label is looked at, until the server is asked how true its map is
const SLOW = 400;
const TRIES = 20; // a large model takes minutes to compile, once, and an answer at most half of one

const canvas = make("canvas");
canvas.id = "map";
canvas.setAttribute("role", "img");
canvas.hidden = true;
const says = make("p", "muted");
says.id = "why-says";
says.setAttribute("role", "status");

let on = false;
let picture = null;
let answer = null;
let label = null; // that is shown
let timer;
const answers = new WeakMap(); // picture → answer

const tell = (...parts) => says.replaceChildren(...parts);

const lookedAt = () => {
  const bar = ui.bars.querySelector(".bar:hover") ?? document.activeElement.closest?.("#bars .bar");
  return bar?.querySelector(".word").textContent ?? picture.proposed ?? answer.explanation.label;
};

const clear = () => {
  clearTimeout(timer);
  canvas.hidden = true;
  ui.stage.classList.remove("explained");
  tell();
};

const show = () => {
  clearTimeout(timer);
  if (!on || !answer) return;
  const { explanation, maps, trust } = answer;
  label = lookedAt();
  const at = maps ? maps.labels.indexOf(label) : -1;
  canvas.hidden = at < 0;
  ui.stage.classList.toggle("explained", at >= 0);
  if (at < 0) return tell(maps ? `The model does not know “${label}”.` : explanation.sentence);
  const { rows, columns, values } = maps;
  const { boxes, size } = explanation;
  const cells = boxes.length * rows * columns;
  const grid = { rows, columns, boxes, size };
  const words = `Most speaks for ${label} at the ${draw(canvas, values.subarray(at * cells, (at + 1) * cells), grid)}.`;
  canvas.setAttribute("aria-label", `Map of ${picture.name}. ${words}`);
  const key = make("span", "key");
  key.append(make("i"), "for", make("i", "against"), "against");
  tell(words, " ", trust.get(label) ?? "", key);
  if (!trust.has(label)) timer = setTimeout(() => check(picture, label), LOOKED_AT);
};

// The sentence and the notes; without a map the sentence has them.
const saysOf = ({ sentence, notes, method }) => (method === "none" ? sentence : [sentence, ...notes].join(" "));

const check = async (mine, one) => {
  try {
    const { explanation } = await get(`why/${mine.id}`, { for: one });
    answers.get(mine).trust.set(one, saysOf(explanation));
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    return;
  }
  if (mine === picture && one === label) show();
};

const load = async (mine, tries = TRIES) => {
  const late = setTimeout(
    () => mine === picture && tell("Looking again, place by place… The first time loads the model."), SLOW);
  try {
    const body = await get(`why/${mine.id}`);
    if (body.maps) body.maps.values = floats(body.maps.data);
    body.trust = new Map([[body.explanation.label, saysOf(body.explanation)]]);
    answers.set(mine, body);
    if (mine !== picture) return;
    answer = body;
    show();
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (!on || mine !== picture) return;
    if (failure.passing && tries > 1) setTimeout(load, 1000, mine, tries - 1);
    else tell(failure.message);
  } finally {
    clearTimeout(late);
  }
};

// Another picture is shown.
export const look = (shown) => {
  picture = shown;
  answer = answers.get(shown) ?? null;
  clear();
  if (!on || !shown) return;
  if (answer) show();
  else load(shown);
};

export const toggle = (shown) => {
  on = !on;
  ui.why.setAttribute("aria-pressed", String(on));
  look(shown);
};

export const start = () => {
  ui.shown.after(canvas);
  ui.says.after(says);
  for (const event of ["pointerover", "pointerout", "focusin", "focusout"]) {
    ui.bars.addEventListener(event, () => {
      if (on && answer) queueMicrotask(() => lookedAt() !== label && show());
    });
  }
};
