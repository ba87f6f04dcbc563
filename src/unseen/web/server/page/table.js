// All pictures, where there are several: a table that sorts, and files of it.

import { framed, roving } from "./ask.js";
import { make, ui } from "./elements.js";
import { answerOf, labelOf, NONE, percent, verdict } from "./list.js";
import { sets } from "./words.js";

let pictures = [];
let by = ""; // the column; "": as they were chosen
let down = false;
let names = []; // of the sets, where there are several: each has a column

export const wordsOf = ({ state, result }) =>
  state === "failed" ? ["not read"] : result ? verdict(result) : ["…"];

// What each column says of a picture, and how sure that is.
const answers = (picture) => {
  const { state, result } = picture;
  if (!names.length) return [wordsOf(picture)];
  if (state === "failed") return names.map((name, i) => (i ? [""] : wordsOf(picture)));
  return names.map((name) => {
    const answer = result?.facets && answerOf(result, name);
    return answer ? verdict(answer) : ["…"];
  });
};

// The cells behind the picture's.
const fit = (item) => {
  while (item.children[1]) item.lastChild.remove();
  const cells = (names.length ? names : [""]).map(() => make("td", "caption"));
  for (const cell of cells) cell.dir = "auto";
  item.append(...cells);
  if (!names.length) item.append(make("td", "number"));
};

// The columns are those of the present sets. Says whether they are others than before.
export const columns = () => {
  const all = [...sets().keys()].filter(Boolean);
  if (all.join("\n") === names.join("\n")) return false;
  names = all;
  by = "";
  const head = ui.many.querySelector("thead tr");
  while (head.children[1]) head.lastChild.remove();
  const heads = names.length ? [...names.entries()] : [["label", "Label"], ["score", "Score"]];
  for (const [column, text] of heads) {
    const button = make("button", "", text);
    button.dataset.by = column;
    head.append(make("th"));
    head.lastChild.append(button);
  }
  ui.rows.classList.toggle("sets", names.length > 0);
  ui.rows.firstElementChild.style.minWidth = names.length ? `${9 + 6 * names.length}rem` : "";
  for (const picture of pictures) fit(picture.row);
  sort();
  return true;
};

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
  item.append(first);
  fit(item);
  return item;
};

export const drawRow = (picture, selected) => {
  const [first, ...cells] = picture.row.children;
  picture.row.className = picture.state;
  first.firstChild.setAttribute("aria-current", picture === selected);
  first.firstChild.title = picture.error ? `${picture.name}: ${picture.error}` : picture.name;
  answers(picture).forEach(([word, score], i) => {
    const number = score === undefined ? "" : percent(score);
    cells[i].textContent = word;
    if (names.length) cells[i].append(make("span", "muted small", number));
    else cells[1].textContent = number;
  });
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
  const key = KEYS[by] ?? (by && ((picture) => (answers(picture)[by] ?? [""])[0]));
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
  const scoresOf = ([set, { ranking = [] }]) =>
    ranking.map((one) => [`${set && `${set}: `}${labelOf(one) ?? NONE}`, one.score]);
  const scores = pictures.map(
    ({ result }) => new Map(Object.entries(result?.facets ?? { "": result ?? {} }).flatMap(scoresOf)),
  );
  const heads = names.length ? names.flatMap((name) => [name, `${name}.score`]) : ["label", "score"];
  const labels = [...new Set(scores.flatMap((one) => [...one.keys()]))];
  const lines = pictures.map((picture, i) => {
    const pairs = picture.error ? [] : answers(picture);
    const cells = heads.map((_, column) => pairs[column >> 1]?.[column % 2]);
    const all = labels.map((label) => scores[i].get(label));
    return [picture.name, ...cells, picture.error, ...all];
  });
  lines.unshift(["picture", ...heads, "error", ...labels]);
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
