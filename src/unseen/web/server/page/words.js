// Labels and options: what they are, where they are kept, and the link that shares them.

import { storedItem } from "./ask.js";

const STORED = "unseen-words";
const START = ["cat", "dog", "bird", "flower", "food", "building"];
const BACKGROUND = "something else";
const TEMPLATE = "a photo of a {}.";
const REST = "label"; // the set of labels without a name, beside others
export const CUSTOM = "{}"; // the value of the select for a prompt of one's own

// A link is untrusted input: few and short.
const MOST_LABELS = 500;
const MOST_BACKGROUND = 20;
const LONGEST = 200;
const LONGEST_TEMPLATE = 300;

export const settings = {
  labels: START,
  multi: false,
  own: false, // the labels stand in the order of `labels`, not the best first
  unknown: false,
  background: [],
  template: "", // "": the model's own; the name of a set; or CUSTOM
  custom: TEMPLATE,
};

const clean = (word) => word.split(/\s+/u).filter(Boolean).join(" ").slice(0, LONGEST);
const unique = (words, most) => [...new Set(words.filter(Boolean))].slice(0, most);

// "cat, dog\nbird" → three labels, each once. Spaces are as the server sees them.
export const split = (text, most = MOST_LABELS) =>
  unique(String(text).split(/[,\n\r\t]+/).map(clean), most);

// "colour: red" → the name of its set, and the label there; of others the name is "".
export const nameAndLabel = (label) =>
  /^(?:.*: )?([^:]+): (.*)$/.exec(label)?.slice(1) ?? ["", label];

// As `split`; a name goes before all labels of its line: "colour: red, blue" has two of one set.
export const labelsIn = (text) => {
  const ofLine = (line) => {
    let set = "";
    return line.split(/[,\t]/).map((word) => {
      const [name, label] = nameAndLabel(clean(word).replace(/:$/, ": "));
      set = name || set;
      return label && set ? `${set}: ${label}` : label;
    });
  };
  return unique(text.split(/[\n\r]/).flatMap(ofLine), MOST_LABELS);
};

// The labels of each set → their words there: of one, "", where no two labels have a name in common.
export const sets = () => {
  const names = settings.labels.map((label) => nameAndLabel(label)[0]);
  const isSet = (name) => name && names.indexOf(name) < names.lastIndexOf(name);
  const rest = names.some(isSet) ? REST : "";
  const all = new Map();
  settings.labels.forEach((label, i) => {
    const [set, word] = isSet(names[i]) ? nameAndLabel(label) : [rest, label];
    if (!all.has(set)) all.set(set, new Map());
    all.get(set).set(label, word);
  });
  return all;
};

const texts = (list, most) =>
  Array.isArray(list) ? split(list.filter((one) => typeof one === "string").join(), most) : [];

// Reads valid values from `data`; others become the default.
const adopt = (data) => {
  settings.labels = texts(data.labels);
  settings.multi = data.multi === true;
  settings.own = data.own === true;
  settings.unknown = data.unknown === true;
  settings.background = texts(data.background, MOST_BACKGROUND);
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
  if (settings.unknown) words.append("u", "");
  if (settings.unknown) for (const one of settings.background) words.append("u", one);
  return `${location.origin}/#${words}`;
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
    own: settings.own,
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

// The labels and options as /v1/classify takes them. `evidence`: whether the server can say that too
// little speaks for any label; one that cannot needs a word for what else there may be.
export const question = (evidence) => {
  const all = [...sets()].map(([set, words]) => [set, [...words.values()]]);
  const several = all[0]?.[0]; // then each has a name
  const request = several ? { facets: Object.fromEntries(all) } : { labels: settings.labels };
  if (settings.template) {
    request.template = settings.template === CUSTOM ? settings.custom : settings.template;
  }
  if (settings.unknown) {
    if (evidence) request.unknown = "auto";
    else request.background = [BACKGROUND];
    if (settings.background.length) request.background = settings.background;
  }
  if (settings.multi) request.multi_label = true;
  return request;
};
