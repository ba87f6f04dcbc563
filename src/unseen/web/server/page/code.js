// What is on the screen as code to copy, and what else the server answers.

import { ask, copied, note, Problem, say, tabs } from "./ask.js";
import { make, ui } from "./elements.js";
import { question } from "./words.js";

// As Bourne shells read it: nothing is special between single quotes.
const shell = (text) =>
  /^[\w@%+=:./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// A JSON string is a Python string, save for lone surrogates.
const python = (value) => {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    const items = Object.entries(value).map(([name, one]) => `${python(name)}: ${python(one)}`);
    return `{${items.join(", ")}}`;
  }
  return value === true ? "True" : JSON.stringify(value);
};

// The model, unless it is the default.
const chosen = ({ id, revision, precision }) => {
  const options = id === "builtin" ? [] : [["model", id]];
  if (id !== "builtin" && revision) options.push(["revision", revision]);
  if (precision && precision !== "fp32") options.push(["precision", precision]);
  return options;
};

// A request as the fields of a form: name → value, or values.
const fields = ({ labels, facets, background, template, unknown, multi_label: multi }) => {
  // What begins like JSON would be read as JSON, and a single label is cut at commas.
  const list = (words) => (words.some((one) => /^[[{"]/.test(one)) ? JSON.stringify(words) : words);
  const form = facets ? { facets: JSON.stringify(facets) } : { labels: list(labels) };
  if (background) form.background = list(background);
  if (template) form.template = template;
  if (unknown) form.unknown = unknown;
  if (multi) form.multi_label = "true";
  return form;
};

const pairs = (form) =>
  Object.entries(form).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));

// Labels as the command line takes them, and the command before that, if any.
const labelArgument = (labels, name) => {
  const joined = labels.join(",");
  if (!/\.(txt|csv|json|ya?ml|safetensors)$/i.test(joined)) return [joined, ""];
  // It would be taken for the name of a file: so one is made.
  return [name, `printf %s ${shell(JSON.stringify(labels))} > ${name}\n`];
};

// Several label sets. A template and a background are of each set's labels.
const pythonOfSets = (file, loaded, { facets, template, background, ...options }) => {
  const own = Object.entries({ template, background }).filter(([, value]) => value);
  const words = own.map(([name, value]) => `, ${name}=${python(value)}`).join("");
  const sets = Object.entries(facets).map(([name, labels]) => {
    const compiled = words ? `clf.compile(${python(labels)}${words})` : python(labels);
    return `    ${python(name)}: ${compiled},\n`;
  });
  const rest = Object.entries(options).map(([name, value]) => `, ${name}=${python(value)}`);
  return (
    `import unseen\n\nclf = unseen.load(${loaded.join(", ")})\nsets = {\n${sets.join("")}}\n` +
    `(prediction,) = clf.classify_facets(${python(file)}, sets${rest.join("")})\n` +
    "for name, answer in prediction.facets.items():\n    for scored in answer.ranking:\n" +
    '        print(f"{scored.score:.3f}  {name}: {scored.label}")\n'
  );
};

const LANGUAGES = {
  Python({ file, model, request }) {
    const loaded = chosen(model).map(([name, value]) => `${name}=${python(value)}`);
    if (request.facets) return pythonOfSets(file, loaded, request);
    const { labels, ...options } = request;
    const lines = Object.entries(options).map(([name, value]) => `    ${name}=${python(value)},\n`);
    return (
      `import unseen\n\nclf = unseen.load(${loaded.join(", ")})\n` +
      `prediction = clf.classify(\n    ${python(file)},\n    ${python(labels)},\n` +
      `${lines.join("")})\n` +
      'for scored in prediction.ranking:\n    print(f"{scored.score:.3f}  {scored.label}")\n'
    );
  },

  requests({ file, request, keys, url }) {
    const data = Object.entries(fields(request)).map(
      ([name, value]) => `            ${python(name)}: ${python(value)},\n`,
    );
    const key = 'headers={"Authorization": f"Bearer {os.environ[\'UNSEEN_KEY\']}"},\n        ';
    return (
      `${keys ? "import os\n\n" : ""}import requests\n\nwith open(${python(file)}, "rb") as file:\n` +
      `    answer = requests.post(\n        ${python(url)},\n        files={"image": file},\n` +
      `        data={\n${data.join("")}        },\n        ${keys ? key : ""}timeout=60,\n    )\n` +
      "answer.raise_for_status()\n(prediction,) = answer.json()[\"predictions\"]\n" +
      (request.facets
        ? 'for name, facet in prediction["facets"].items():\n    for scored in facet["ranking"]:\n' +
          `        print(f"{scored['score']:.3f}  {name}: {scored['label']}")\n`
        : 'for scored in prediction["ranking"]:\n' +
          `    print(f"{scored['score']:.3f}  {scored['label']}")\n`)
    );
  },

  JavaScript({ file, request, keys, url }) {
    const lines = pairs(fields(request)).map(
      ([name, value]) => `form.append("${name}", ${JSON.stringify(value)});\n`,
    );
    const key = "  headers: { Authorization: `Bearer ${process.env.UNSEEN_KEY}` },\n";
    const name = JSON.stringify(file);
    return (
      'import { openAsBlob } from "node:fs"; // in a browser: the file of an <input>\n\n' +
      `const form = new FormData();\nform.append("image", await openAsBlob(${name}), ${name});\n` +
      `${lines.join("")}const answer = await fetch(${JSON.stringify(url)}, {\n  method: "POST",\n` +
      `${keys ? key : ""}  body: form,\n});\n` +
      "if (!answer.ok) throw new Error(await answer.text());\n" +
      (request.facets
        ? "const [{ facets }] = (await answer.json()).predictions;\n" +
          "for (const [name, { ranking }] of Object.entries(facets)) {\n  for (const { score, label } " +
          "of ranking) console.log(`${score.toFixed(3)}  ${name}: ${label}`);\n}\n"
        : "const [{ ranking }] = (await answer.json()).predictions;\n" +
          "for (const { score, label } of ranking) console.log(`${score.toFixed(3)}  ${label}`);\n")
    );
  },

  curl({ file, request, keys, url }) {
    const lines = [`curl ${shell(url)}`];
    if (keys) lines.push('-H "Authorization: Bearer $UNSEEN_KEY"');
    lines.push(`-F ${shell(`image=@${file}`)}`);
    // Not -F, which reads a file where a value begins with @ or <.
    lines.push(
      ...pairs(fields(request)).map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`),
    );
    return lines.join(" \\\n  ") + "\n";
  },

  CLI({ file, model, request }) {
    const { labels, facets, background = [], template, unknown, multi_label: multi } = request;
    const sets = facets ? Object.entries(facets) : [["", labels]];
    const parts = ["unseen classify", shell(file)];
    let before = "";
    sets.forEach(([name, words], i) => {
      const [text, made] = labelArgument(words, `labels${i || ""}.json`);
      before += made;
      // One set needs no name there.
      parts.push(`--labels=${shell(sets.length > 1 ? `${name}=${text}` : text)}`);
    });
    parts.push(...chosen(model).map(([name, value]) => `--${name}=${shell(value)}`));
    if (template) parts.push(`--template=${shell(template)}`);
    if (unknown) parts.push("--unknown=auto");
    parts.push(...background.map((one) => `--unknown=${shell(one)}`));
    if (multi) parts.push("--multi");
    return `${before}${parts.join(" ")}\n`;
  },
};

let language = "Python";
let facts = null;
let listed = false;

// `file`: the name of the chosen picture; one that a shell could read otherwise is replaced.
const show = () => {
  const { info, file } = facts();
  const request = question(info.evidence);
  const url = `${location.origin}/v1/classify`;
  const plain = /^\w[\w.-]*\.\w+$/.test(file) ? file : "cat.jpg";
  ui.snippet.textContent = request.facets || request.labels.length
    ? LANGUAGES[language]({ file: plain, model: info.model, keys: info.keys, request, url })
    : "Add a label first.";
  ui.codeAbout.textContent =
    "Python and CLI run the model on your machine (pip install unseen); the others ask this server" +
    (info.keys ? ", with your key in $UNSEEN_KEY." : ".");
};

// The routes by their kind, from the document that describes them.
const list = ({ paths }) => {
  const kinds = new Map([["unseen", []]]);
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { summary, tags: [kind] = ["more"] }] of Object.entries(methods)) {
      if (kind === "page") continue;
      if (!kinds.has(kind)) kinds.set(kind, []);
      kinds.get(kind).push([method.toUpperCase(), path, summary]);
    }
  }
  for (const [kind, routes] of kinds) {
    const part = make("details");
    part.open = kind === "unseen";
    const table = make("table");
    for (const [method, path, summary] of routes) {
      const line = table.insertRow();
      const address = make("code", "", path);
      line.append(make("td", "muted", method), make("td"), make("td", "", summary));
      line.children[1].append(address);
    }
    part.append(make("summary", "", `${kind} (${routes.length})`), table);
    ui.routes.append(part);
  }
};

export const open = async () => {
  show();
  if (listed) return;
  listed = true;
  try {
    list(await ask("/openapi.json"));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    listed = false;
    say("api", error.message);
  }
};

export const start = (newest) => {
  facts = newest; // what there is to say: a function
  for (const name of Object.keys(LANGUAGES)) {
    const tab = make("button", "", name);
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "snippet");
    tab.setAttribute("aria-selected", name === language);
    ui.languages.append(tab);
  }
  tabs(ui.languages, (tab) => {
    language = tab.textContent;
    show();
  });
  ui.copy.onclick = async () => {
    if (await copied(ui.copy, ui.snippet.textContent)) return;
    getSelection().selectAllChildren(ui.snippet);
    note("The code is selected: copy it with Ctrl C.");
  };
};
