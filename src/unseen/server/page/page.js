// Pictures, each encoded once; labels, asked for again at each change; and what comes back.

import {
  ask, askForKey, byId, calm, copyText, counted, make, note, Problem, roving, say, tabs, unsay,
} from "./ask.js";
import {
  Chips, CUSTOM, fromLink, keep, link, question, restore, settings, snippet, split, tooMany,
  wrongTemplate,
} from "./words.js";

const AT_ONCE = 2; // pictures on their way to the server
const SOON = 60; // ms from a change of labels to the question
const TYPING = 300; // the same for a prompt, where each letter changes every vector
const IDEAS = {
  Animals: "cat, dog, bird, horse, fish, insect",
  Places: "beach, forest, mountain, city, kitchen, office",
  Kinds: "photograph, drawing, screenshot, document, map",
};

const pictures = [];
let selected = null;
let info = null;
let language = "python";

// Pictures: waiting → sent → ready or failed

let sending = 0;
let resting = false; // the server is away, and somebody was told

const add = (files) => {
  const added = [...files].map((file) => ({
    file,
    name: file.name || "picture",
    url: URL.createObjectURL(file),
    state: "waiting",
    embedding: null,
    answered: 0,
    result: null,
    error: "",
  }));
  if (!added.length) return;
  pictures.push(...added);
  for (const picture of added) byId("strip").append(tile(picture));
  select(added[0]);
  pump();
};

const remove = (picture) => {
  const at = pictures.indexOf(picture);
  const focused = picture.tile.contains(document.activeElement);
  pictures.splice(at, 1);
  picture.tile.remove();
  picture.leaving?.abort();
  URL.revokeObjectURL(picture.url);
  if (picture === selected) select(pictures[at] || pictures[at - 1] || null);
  if (focused && selected) selected.tile.firstChild.focus();
};

const pump = () => {
  while (!resting && info && sending < AT_ONCE) {
    const next = pictures.find((picture) => picture.state === "waiting");
    if (!next) return;
    sending++;
    next.state = "sent";
    showTile(next);
    encode(next).finally(() => {
      sending--;
      if (pictures.includes(next)) showPicture(next);
      pump();
    });
  }
};

const encode = async (picture) => {
  const fail = (text) => {
    picture.state = "failed";
    picture.error = text;
  };
  try {
    const refused = await tooLarge(picture);
    if (refused) return fail(refused);
    const form = new FormData();
    form.append("image", picture.file, picture.name);
    form.append("encoding", "base64");
    picture.leaving = new AbortController();
    const body = await ask("/v1/embed", { body: form, signal: picture.leaving.signal });
    const [row] = body.images;
    if (row.error) return fail(row.error);
    picture.embedding = row.b64;
    picture.state = "ready";
    picture.answered = 0;
    met(body.model);
    answer();
  } catch (error) {
    if (error.name === "AbortError") return; // it was removed
    if (!(error instanceof Problem)) throw error;
    if (!error.passing) return fail(error.message);
    picture.state = "waiting";
    rest(error);
  }
};

// Why a picture need not be sent: the server would not take it, or it cannot be read here.
const tooLarge = async (picture) => {
  const { file } = picture;
  const { body_bytes: bytes, pixels } = info.limits;
  const mega = (many) => (many / 1e6).toLocaleString("en", { maximumFractionDigits: 1 });
  if (bytes && file.size + 2000 > bytes) {
    return `It has ${mega(file.size)} MB, and this server takes ${mega(bytes)} MB. Make it smaller first.`;
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return "It cannot be opened here: it may be a folder, or a file that has gone.";
  }
  const image = new Image();
  const loaded = new Promise((resolve) => (image.onload = image.onerror = resolve));
  image.src = picture.url;
  await loaded; // a kind of picture that only the server can read has no size here
  const size = image.naturalWidth * image.naturalHeight;
  if (pixels && size > pixels) {
    return `It has ${mega(size)} megapixels, and this server takes ${mega(pixels)}. Make it smaller first.`;
  }
  return "";
};

// The server is away or wants a key: nothing is lost, and a button goes on.
const rest = (problem) => {
  resting = true;
  const label = problem.status === 401 ? "Enter the key" : "Try again";
  const text = problem.status ? problem.message : "The server cannot be reached. Nothing is lost.";
  say("server", text, [label, () => goOn(problem.status === 401)]);
};

const goOn = async (key = false) => {
  unsay("server");
  try {
    if (key) await askForKey();
    await learn();
    resting = false;
    pump();
    answer();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    rest(error);
  }
};

// Another model has other vectors: what was encoded for the old one is encoded again.
let model = null;

const met = (id) => {
  if (model !== null && model !== id) begin();
  model = id;
};

const begin = () => {
  for (const picture of pictures) {
    if (picture.state !== "ready") continue;
    Object.assign(picture, { state: "waiting", embedding: null });
    showPicture(picture);
  }
  learn().catch(() => {});
};

const learn = async () => {
  const before = info?.model.fingerprint;
  info = await ask("/info");
  if (before !== undefined && before !== info.model.fingerprint) {
    model = null;
    begin();
  }
  showInfo();
  pump();
};

// The question: one for all pictures; its answers are dropped when there is a newer question

let asked = 1;
let asking = null;
let timer;

const changed = (wait = SOON) => {
  if (tooMany(info?.limits.labels)) chips.show();
  keep();
  showWords();
  asked++;
  asking?.abort();
  asking = null;
  clearTimeout(timer);
  timer = setTimeout(answer, typeof wait === "number" ? wait : SOON);
};

const answer = async () => {
  if (asking || resting || !info || !settings.labels.length || wrongTemplate()) return;
  const mine = asked;
  const todo = pictures.filter((picture) => picture.embedding && picture.answered !== mine);
  if (!todo.length) return;
  todo.sort((a, b) => (b === selected) - (a === selected));
  const some = todo.slice(0, info.limits.images || 64);
  const control = (asking = new AbortController());
  try {
    const images = some.map(({ embedding }) => ({ embedding }));
    const body = await ask("/v1/classify", {
      body: { ...question(), images },
      signal: control.signal,
    });
    if (mine !== asked) return;
    unsay("question");
    if (model !== null && body.model !== model) {
      model = null;
      return begin();
    }
    byId("warnings").textContent = (body.warnings || []).join(" ");
    body.predictions.forEach((prediction, i) => {
      const picture = some[i];
      picture.answered = mine;
      if (prediction.error) return doubt(picture, prediction.error);
      picture.result = prediction;
      showPicture(picture);
    });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (mine !== asked) return;
    if (error.passing) return rest(error);
    for (const picture of pictures) picture.answered = mine;
    if ([409, 422].includes(error.status) && (await otherModel())) return;
    say("question", error.message);
  } finally {
    if (asking === control) {
      asking = null;
      if (!resting) queueMicrotask(answer);
    }
  }
};

// Is the server another one than the vectors were made by? Then they are made again.
const otherModel = async () => {
  const before = info.model.fingerprint;
  try {
    await learn();
  } catch {
    return false;
  }
  return before !== info.model.fingerprint;
};

const doubt = async (picture, text) => {
  if (await otherModel()) return;
  Object.assign(picture, { state: "failed", embedding: null, error: text });
  showPicture(picture);
};

// Showing: the chosen picture, the strip, the bars

const percent = (score) =>
  score === null ? "–"
  : score > 0 && score < 0.0005 ? "<0.1 %"
  : score < 1 && score > 0.9995 ? ">99.9 %"
  : `${(100 * score).toFixed(1)} %`;

const NONE = "none of these";
const wordOf = (label) =>
  label === "unknown" && !settings.labels.includes(label) ? NONE : label;

const best = ({ result, state }) => {
  if (state === "failed") return "not read";
  if (!result) return "…";
  const first = result.ranking[0];
  if (result.label === null) return result.unknown ? NONE : "none";
  return wordOf(first?.label ?? result.label);
};

const select = (picture) => {
  selected = picture;
  for (const one of pictures) showTile(one);
  if (picture) {
    settleStrip(picture.tile.firstChild);
    picture.tile.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  const stage = byId("stage");
  stage.classList.toggle("empty", !picture);
  byId("invitation").hidden = Boolean(picture);
  byId("remove").hidden = !picture;
  byId("remove-all").hidden = pictures.length < 2;
  byId("shown-name").hidden = !picture;
  byId("shown-name").textContent = picture?.name ?? "";
  const shown = byId("shown");
  shown.hidden = true;
  shown.alt = picture?.name ?? "";
  if (picture) shown.src = picture.url;
  else shown.removeAttribute("src");
  showSelected();
};

const showPicture = (picture) => {
  showTile(picture);
  if (picture === selected) showSelected();
};

const showSelected = () => {
  const failed = selected?.state === "failed";
  byId("trouble").hidden = !failed;
  byId("trouble-text").textContent = failed ? selected.error : "";
  byId("looking").hidden = !selected || !["waiting", "sent"].includes(selected.state);
  showBars();
  showCode();
};

const tile = (picture) => {
  const item = (picture.tile = make("li"));
  const button = make("button", "tile");
  button.type = "button";
  const frame = make("span", "frame");
  const image = make("img");
  image.alt = "";
  image.decoding = "async";
  image.onerror = () => image.replaceWith(make("span", "muted small", "no preview"));
  image.src = picture.url;
  frame.append(image);
  button.append(frame, make("span", "caption"));
  button.onclick = () => select(picture);
  button.onkeydown = (event) => {
    if (event.key === "Delete" || event.key === "Backspace") remove(picture);
  };
  item.append(button);
  item.picture = picture;
  return item;
};

const showTile = (picture) => {
  const button = picture.tile.firstChild;
  const word = best(picture);
  const score = picture.state === "ready" ? picture.result?.ranking[0]?.score : undefined;
  button.setAttribute("aria-current", String(picture === selected));
  button.className = `tile ${picture.state}`;
  button.lastChild.textContent = word;
  button.title =
    picture.state === "failed" ? `${picture.name}: ${picture.error}`
    : score === undefined ? picture.name
    : `${picture.name}: ${word}, ${percent(score)}`;
  button.setAttribute("aria-label", button.title);
};

const settleStrip = roving(byId("strip"), ".tile", (button) => select(button.parentElement.picture));

// Rows by label, kept while the label stays, so that they can move.
const rows = new Map();

const row = () => {
  const item = make("li", "bar");
  item.tabIndex = -1;
  item.append(
    make("span", "fill"),
    make("span", "word"),
    make("span", "cosine muted small"),
    make("span", "number"),
  );
  item.children[1].dir = "auto";
  return item;
};

const showBars = () => {
  const list = byId("bars");
  const result = selected?.state === "failed" ? null : selected?.result;
  const ranking =
    result?.ranking ?? settings.labels.map((label) => ({ label, score: null, cosine: null }));
  const places = new Map([...rows].map(([name, item]) => [name, item.getBoundingClientRect().top]));
  const focused = document.activeElement;
  const wanted = ranking.map(({ label, score, cosine }, place) => {
    const item = rows.get(label) || row();
    rows.set(label, item);
    const [fill, word, near, number] = item.children;
    word.textContent = wordOf(label);
    number.textContent = percent(score);
    const told = typeof cosine === "number" ? `cosine ${cosine.toFixed(3)}` : "";
    near.textContent = told;
    item.title = told ? `${wordOf(label)}: ${told}` : wordOf(label);
    fill.style.transform = `scaleX(${score || 0})`;
    const yes = settings.multi ? score >= 0.5 : place === 0 && score !== null;
    item.classList.toggle("best", yes);
    item.classList.toggle("none", wordOf(label) === NONE);
    item.classList.toggle("open", score === null);
    return item;
  });
  const kept = new Set(wanted);
  for (const [label, item] of rows) {
    if (kept.has(item)) continue;
    item.remove();
    rows.delete(label);
  }
  wanted.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] || null);
  });
  list.classList.toggle("sure", Boolean(result));
  settleBars();
  if (kept.has(focused) && document.activeElement !== focused) focused.focus();
  byId("verdict").textContent = result ? `${best(selected)}, ${percent(ranking[0]?.score ?? null)}` : "";
  if (calm.matches) return;
  for (const [label, item] of rows) {
    const before = places.get(label);
    if (before === undefined) {
      item.animate({ opacity: [0, 1] }, 200);
      continue;
    }
    const by = before - item.getBoundingClientRect().top;
    if (Math.abs(by) < 1) continue;
    item.animate({ transform: [`translateY(${by}px)`, "none"] }, { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" });
  }
};

const settleBars = roving(byId("bars"), ".bar");

// Options

const showWords = () => {
  for (const [id, on] of [["multi", settings.multi], ["unknown", settings.unknown]]) {
    byId(id).setAttribute("aria-pressed", String(on));
  }
  byId("background-part").hidden = !settings.unknown;
  byId("custom-part").hidden = settings.template !== CUSTOM;
  const wrong = wrongTemplate();
  byId("custom-wrong").textContent = wrong;
  byId("custom").setAttribute("aria-invalid", String(wrong !== ""));
  byId("template").value = settings.template;
  byId("ideas").hidden = settings.labels.length > 0;
  showCode();
};

// What was remembered or came with a link, into the fields.
const fill = () => {
  byId("background").value = settings.background.join(", ");
  byId("custom").value = settings.custom;
  chips.show();
  changed();
  showBars();
};

const showInfo = () => {
  const { model: m, templates = [], version } = info;
  const options = [["", "Prompt: the model’s own"]];
  options.push(...templates.map((name) => [name, `Prompt: the set ${name}`]), [CUSTOM, "Prompt: your own"]);
  byId("template").replaceChildren(
    ...options.map(([value, text]) => Object.assign(make("option", "", text), { value })),
  );
  byId("template").title = m.template ? `The model’s own: ${m.template}` : "";
  if (!options.some(([value]) => value === settings.template)) settings.template = "";
  const facts = [m.id, m.family, `${m.dimension} dimensions`, `unseen ${version}`];
  byId("model").textContent = facts.filter(Boolean).join(" · ");
  byId("views").hidden = !info.index;
  if (info.index && !gallery) {
    gallery = import("./gallery.js").then((module) => module.start(info));
  }
  showWords();
};

let gallery = null;

const showCode = () => {
  if (!info || byId("code").hidden) return;
  byId("snippet").textContent = settings.labels.length
    ? snippet(language, { name: selected?.name ?? "cat.jpg", model: info.model, keys: info.keys })
    : "Add a label first.";
};

const copied = async (button, text) => {
  const before = (button.dataset.says ||= button.textContent);
  const done = await copyText(text);
  button.textContent = done ? "Copied" : before;
  clearTimeout(button.waiting);
  button.waiting = setTimeout(() => (button.textContent = before), 1500);
  return done;
};

// The camera: on only while its dialog is open

let stream = null;

const openCamera = async () => {
  const video = byId("video");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    return note("The camera could not be used: it is not allowed, or another program has it.");
  }
  byId("shoot").disabled = true;
  video.srcObject = stream;
  video.onloadeddata = () => (byId("shoot").disabled = false);
  byId("camera-dialog").showModal();
  video.play().catch(() => {});
};

const closeCamera = () => {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  byId("video").srcObject = null;
};

const shoot = () => {
  const video = byId("video");
  const canvas = make("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  byId("camera-dialog").close();
  const name = `camera-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.jpg`;
  canvas.toBlob((blob) => blob && add([new File([blob], name, { type: blob.type })]), "image/jpeg", 0.92);
};

const showCamera = async () => {
  let there = false;
  try {
    const devices = await navigator.mediaDevices.enumerateDevices();
    there = devices.some((device) => device.kind === "videoinput");
  } catch {
    // no such thing here, or not over http
  }
  byId("camera").hidden = !there;
};

// Everything a person does

const chips = new Chips(changed);

byId("choose").onclick = () => byId("files").click();
byId("stage").onclick = () => selected || byId("files").click();
byId("files").onchange = () => {
  add(byId("files").files);
  byId("files").value = ""; // the same file may be chosen again
};
byId("remove").onclick = () => {
  if (selected) remove(selected);
  if (!selected) byId("choose").focus();
};
byId("remove-all").onclick = () => {
  while (pictures.length) remove(pictures[pictures.length - 1]);
  byId("choose").focus();
};
byId("shown").onload = () => (byId("shown").hidden = !selected || selected.state === "failed");
byId("clear").onclick = () => {
  chips.set([]);
  byId("label").focus();
};
for (const [name, words] of Object.entries(IDEAS)) {
  const button = make("button", "action", name);
  button.type = "button";
  button.title = words;
  button.onclick = () => {
    chips.add(words);
    byId("label").focus();
  };
  byId("ideas").append(button);
}

for (const id of ["multi", "unknown"]) {
  byId(id).onclick = () => {
    settings[id] = !settings[id];
    changed();
  };
}
byId("background").oninput = () => {
  const words = split(byId("background").value, 20);
  if (words.length) settings.background = words;
  changed(TYPING);
};
byId("background").onblur = () => (byId("background").value = settings.background.join(", "));
byId("template").onchange = () => {
  settings.template = byId("template").value;
  changed();
};
byId("custom").oninput = () => {
  settings.custom = byId("custom").value;
  changed(TYPING);
};

byId("share").onclick = async () => {
  if (!(await copied(byId("share"), link()))) say("note", link());
};
byId("code-open").onclick = () => {
  const open = byId("code").hidden;
  byId("code").hidden = !open;
  byId("code-open").setAttribute("aria-expanded", String(open));
  showCode();
};
tabs(byId("languages"), (tab) => {
  language = tab.dataset.language;
  showCode();
});
byId("copy").onclick = async () => {
  const code = byId("snippet");
  if (await copied(byId("copy"), code.textContent)) return;
  getSelection().selectAllChildren(code);
  note("The code is selected: copy it with Ctrl C.");
};
tabs(byId("views"), (tab) => {
  const classify = tab.id === "view-classify";
  byId("classify").hidden = !classify;
  byId("gallery").hidden = classify;
  if (!classify) gallery?.then((module) => module.open());
});

byId("camera").onclick = openCamera;
byId("shoot").onclick = shoot;
byId("camera-close").onclick = () => byId("camera-dialog").close();
byId("camera-dialog").onclose = closeCamera;

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (!files.length) return;
  event.preventDefault();
  add(files);
});
let inside = 0; // dragenter and dragleave come for each element on the way
const dragged = (by) => {
  inside = by === null ? 0 : Math.max(0, inside + by);
  byId("stage").classList.toggle("over", inside > 0);
};
addEventListener("dragenter", () => dragged(1));
addEventListener("dragleave", () => dragged(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragged(null);
  const { files } = event.dataTransfer;
  if (!files.length) return note("Only files can be dropped here: save the picture first.");
  if (byId("classify").hidden) byId("view-classify").click();
  add(files);
});
addEventListener("hashchange", () => fromLink() && fill());
addEventListener("online", () => resting && goOn());
navigator.mediaDevices?.addEventListener?.("devicechange", showCamera);

restore();
fill();
showCamera();
learn().catch((error) => rest(error));
