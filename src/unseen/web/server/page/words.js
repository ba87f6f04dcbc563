// Labels and options: chips, storage, the shared link, code to copy.

import { roving, storedItem } from "./ask.js";
import { make, ui } from "./elements.js";

const STORED = "unseen-words";
const START = ["cat", "dog", "bird", "flower", "food", "building"];
const BACKGROUND = "something else";
const TEMPLATE = "a photo of a {}.";
export const CUSTOM = "{}"; // the value of the select for a prompt of one's own

// A link is untrusted input: few and short.
const MOST_LABELS = 500;
const MOST_BACKGROUND = 20;
const LONGEST = 200;
const LONGEST_TEMPLATE = 300;

export const settings = {
  labels: START,
  multi: false,
  unknown: false,
  background: [BACKGROUND],
  template: "", // "": the model's own; the name of a set; or CUSTOM
  custom: TEMPLATE,
};

// "cat, dog\nbird" → three labels, each once. Spaces are as the server sees them.
export const split = (text, most = MOST_LABELS) => {
  const words = String(text).split(/[,\n\r\t]+/);
  const clean = words.map((word) => word.split(/\s+/u).filter(Boolean).join(" ").slice(0, LONGEST));
  return [...new Set(clean.filter(Boolean))].slice(0, most);
};

const texts = (list, most) =>
  Array.isArray(list) ? split(list.filter((one) => typeof one === "string").join(","), most) : [];

// Reads valid values from `data`; others become the default.
const adopt = (data) => {
  settings.labels = texts(data.labels);
  settings.multi = data.multi === true;
  settings.unknown = data.unknown === true;
  const background = texts(data.background, MOST_BACKGROUND);
  settings.background = background.length ? background : [BACKGROUND];
  const text = (value) => (typeof value === "string" ? value.slice(0, LONGEST_TEMPLATE) : "");
  settings.template = text(data.template);
  settings.custom = text(data.custom) || TEMPLATE;
};

export const keep = () => storedItem("localStorage", STORED, JSON.stringify(settings));

export const restore = () => {
  if (fromLink()) return;
  try {
    const stored = JSON.parse(storedItem("localStorage", STORED));
    if (stored) adopt(stored);
  } catch {
    // not what we wrote: begin anew
  }
};

export const link = () => {
  const words = new URLSearchParams();
  for (const label of settings.labels) words.append("l", label);
  const template = settings.template === CUSTOM ? settings.custom : settings.template;
  if (template) words.append("t", template);
  if (settings.multi) words.append("m", "1");
  if (settings.unknown) for (const one of settings.background) words.append("u", one);
  return `${location.origin}${location.pathname}#${words}`;
};

// The labels of a link that was opened, and whether there were any.
export const fromLink = () => {
  const words = new URLSearchParams(location.hash.slice(1, 100_000));
  if (!words.has("l")) return false;
  const template = words.get("t") || "";
  const own = template.includes("{}");
  adopt({
    labels: words.getAll("l").slice(0, MOST_LABELS),
    multi: words.get("m") === "1",
    unknown: words.has("u"),
    background: words.getAll("u").slice(0, MOST_BACKGROUND),
    template: own ? CUSTOM : template,
    custom: own ? template : "",
  });
  history.replaceState(null, "", location.pathname + location.search);
  keep();
  return true;
};

// What is wrong with the custom prompt, or "".
export const wrongTemplate = () =>
  settings.template === CUSTOM && !settings.custom.includes("{}")
    ? "It needs {} where the label goes, as in “a photo of a {}.”"
    : "";

// The labels and options as /v1/classify takes them.
export const question = () => {
  const request = { labels: settings.labels };
  if (settings.template) {
    request.template = settings.template === CUSTOM ? settings.custom : settings.template;
  }
  if (settings.unknown) request.background = settings.background;
  if (settings.multi) request.multi_label = true;
  return request;
};

// Chips

export class Chips {
  constructor(changed) {
    this.list = ui.chipList;
    this.input = ui.label;
    this.changed = changed;
    this.settle = roving(this.list, ".name");
    this.input.addEventListener("keydown", (event) => this.typed(event));
    this.input.addEventListener("input", (event) => {
      // Also where a keyboard on glass sends no key for a comma.
      if (!event.isComposing && /[,\n]/.test(this.input.value)) this.commit();
    });
    this.input.addEventListener("blur", () => this.commit());
    this.input.addEventListener("paste", (event) => {
      const text = event.clipboardData.getData("text/plain");
      if (!/[,\n\r\t]/.test(text)) return;
      event.preventDefault(); // an input would make spaces of the lines
      this.add(`${this.input.value}${text}`);
      this.input.value = "";
    });
    this.list.addEventListener("keydown", (event) => this.onChip(event));
    this.list.addEventListener("click", (event) => {
      const cross = event.target.closest(".cross");
      if (cross) this.remove(cross.parentElement.label, 0);
    });
    ui.chips.addEventListener("click", (event) => {
      if (event.target.id === "chips" || event.target === this.list) this.input.focus();
    });
    this.show();
  }

  commit() {
    this.add(this.input.value);
    this.input.value = "";
  }

  add(text) {
    const added = split(text);
    const fresh = added.filter((label) => !settings.labels.includes(label));
    if (fresh.length) this.set([...settings.labels, ...fresh]);
    for (const chip of this.list.children) {
      // Where the duplicate is.
      chip.classList.toggle("again", added.includes(chip.label) && !fresh.includes(chip.label));
    }
    const box = ui.chips;
    if (fresh.length) box.scrollTop = box.scrollHeight;
  }

  set(labels) {
    settings.labels = labels;
    this.show();
    this.changed();
  }

  // `next`: the chip to focus then, relative to the removed one.
  remove(label, next) {
    const at = settings.labels.indexOf(label);
    this.set(settings.labels.filter((one) => one !== label));
    const chip = this.list.children[Math.max(0, at + next)];
    (chip?.querySelector(".name") || this.input).focus();
  }

  edit(label) {
    this.commit();
    this.set(settings.labels.filter((one) => one !== label));
    this.input.value = label;
    this.input.focus();
    this.input.select();
  }

  typed(event) {
    if (event.isComposing) return;
    const { value, selectionStart, selectionEnd } = this.input;
    const atStart = selectionStart === 0 && selectionEnd === 0;
    const last = this.list.lastElementChild;
    if (event.key === "Enter") {
      event.preventDefault();
      this.commit();
    } else if (event.key === "Escape") {
      this.input.value = "";
    } else if (event.key === "Backspace" && !value && last) {
      event.preventDefault();
      this.set(settings.labels.slice(0, -1));
    } else if (event.key === "ArrowLeft" && atStart && last) {
      event.preventDefault();
      last.querySelector(".name").focus();
    }
  }

  onChip(event) {
    const name = event.target.closest(".name");
    if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
    const { label } = name.parentElement;
    if (event.key === "Delete") this.remove(label, 0);
    else if (event.key === "Backspace") this.remove(label, -1);
    else if (event.key === "Enter") this.edit(label);
    else if (event.key === "ArrowRight" && !name.parentElement.nextSibling) this.input.focus();
    else if (event.key.length === 1 && event.key !== " ") return this.input.focus();
    else return;
    event.preventDefault();
  }

  show() {
    const chips = new Map([...this.list.children].map((chip) => [chip.label, chip]));
    this.list.replaceChildren(
      ...settings.labels.map((label) => chips.get(label) || this.chip(label)),
    );
    this.settle();
    ui.clear.hidden = settings.labels.length === 0;
  }

  chip(label) {
    const chip = make("li", "chip");
    chip.label = label;
    const name = make("button", "name", label);
    name.title = label;
    name.dir = "auto";
    const cross = make("button", "cross", "×");
    cross.tabIndex = -1;
    cross.setAttribute("aria-label", `Remove ${label}`);
    chip.append(name, cross);
    return chip;
  }
}

// Code for what is on the page

// As Bourne shells read it: nothing is special between single quotes.
const shell = (text) =>
  /^[\w@%+=:./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// A JSON string is a Python string, save for lone surrogates.
const python = (value) => {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  return value === true ? "True" : JSON.stringify(value);
};

// The model, unless it is the default.
const chosen = ({ id, revision, precision }) => {
  const options = id === "builtin" ? [] : [["model", id]];
  if (id !== "builtin" && revision) options.push(["revision", revision]);
  if (precision && precision !== "fp32") options.push(["precision", precision]);
  return options;
};

const LANGUAGES = {
  python({ file, model, request }) {
    const loaded = chosen(model).map(([name, value]) => `${name}=${python(value)}`);
    const { labels, ...options } = request;
    const lines = Object.entries(options).map(([name, value]) => `    ${name}=${python(value)},\n`);
    return (
      `import unseen\n\nclf = unseen.load(${loaded.join(", ")})\n` +
      `prediction = clf.classify(\n    ${python(file)},\n    ${python(labels)},\n` +
      `${lines.join("")})\n` +
      "for scored in prediction.ranking:\n    print(f\"{scored.score:.3f}  {scored.label}\")\n"
    );
  },

  curl({ file, request, keys }) {
    const { labels, background = [], template, multi_label: multi } = request;
    // What begins like JSON would be read as JSON.
    const plain = labels.every((label) => !/^[[{"]/.test(label));
    const fields = (plain ? labels : [JSON.stringify(labels)]).map((one) => ["labels", one]);
    fields.push(...background.map((one) => ["background", one]));
    if (template) fields.push(["template", template]);
    if (multi) fields.push(["multi_label", "true"]);
    const lines = [`curl ${shell(`${location.origin}/v1/classify`)}`];
    if (keys) lines.push('-H "Authorization: Bearer $UNSEEN_KEY"');
    lines.push(`-F ${shell(`image=@${file}`)}`);
    // Not -F, which reads a file where a value begins with @ or <.
    lines.push(...fields.map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`));
    return lines.join(" \\\n  ") + "\n";
  },

  cli({ file, model, request }) {
    const { labels, background = [], template, multi_label: multi } = request;
    const joined = labels.join(",");
    let before = "";
    let given = joined;
    if (/\.(txt|csv|json|ya?ml|safetensors)$/i.test(joined)) {
      // It would be taken for the name of a file: so one is made.
      before = `printf %s ${shell(JSON.stringify(labels))} > labels.json\n`;
      given = "labels.json";
    }
    const parts = ["unseen classify", shell(file), `--labels=${shell(given)}`];
    parts.push(...chosen(model).map(([name, value]) => `--${name}=${shell(value)}`));
    if (template) parts.push(`--template=${shell(template)}`);
    parts.push(...background.map((one) => `--unknown=${shell(one)}`));
    if (multi) parts.push("--multi");
    return `${before}${parts.join(" ")}\n`;
  },
};

// `file`: the name of the chosen picture; one that a shell could read otherwise is replaced.
export const snippet = (language, { file, model, keys }) => {
  const plain = /^\w[\w.-]*\.\w+$/.test(file) ? file : "cat.jpg";
  return LANGUAGES[language]({ file: plain, model, keys, request: question() });
};
