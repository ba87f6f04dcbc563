// Pictures, each encoded once; labels, sent at each change; results.

import {
  ask, askForKey, calm, copyText, framed, hasKey, note, Problem, roving, say, tabs, unsay,
} from "./ask.js";
import { make, ui } from "./elements.js";
import {
  Chips, CUSTOM, fromLink, keep, link, question, restore, settings, snippet, split,
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
let resting = false; // the server is away, and the user knows it

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
  for (const picture of added) ui.strip.append(tile(picture));
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
    if (body.model !== info.model.id) await learn();
    Object.assign(picture, { embedding: row.embedding, state: "ready", answered: 0 });
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
  const { body_bytes: body, image_bytes: bytes = body, pixels } = info.limits;
  const mega = (many) => (many / 1e6).toLocaleString("en", { maximumFractionDigits: 1 });
  const tell = (has, most, what) =>
    `It has ${mega(has)} ${what}, and this server takes ${mega(most)}. Make it smaller first.`;
  const most = Math.min(bytes, body - 2000); // a form adds a little
  if (file.size > most) return tell(file.size, most, "MB");
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
  return size > pixels ? tell(size, pixels, "megapixels") : "";
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

// Reads /info. If the model has changed, the pictures are encoded again.
const learn = async () => {
  const before = info?.model.fingerprint;
  info = await ask("/info");
  showInfo();
  if (info.keys && !hasKey()) await askForKey();
  const other = before !== undefined && before !== info.model.fingerprint;
  for (const picture of pictures) {
    if (!other || !picture.embedding) continue;
    Object.assign(picture, { state: "waiting", embedding: null });
    showPicture(picture);
  }
  pump();
  return other;
};

// The question: one for all pictures; answers to an older one are dropped

let revision = 1;
let asking = null;
let timer;

const changed = (wait = SOON) => {
  keep();
  showWords();
  revision++;
  asking?.abort();
  asking = null;
  clearTimeout(timer);
  timer = setTimeout(answer, wait);
  if (!settings.labels.length) for (const picture of pictures) picture.result = null;
  for (const picture of pictures) showTile(picture);
  if (!selected?.result) showBars();
};

const answer = async () => {
  if (asking || resting || !info || !settings.labels.length || wrongTemplate()) return;
  const number = revision;
  const todo = pictures.filter((picture) => picture.embedding && picture.answered !== number);
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
    if (number !== revision) return;
    unsay("question");
    const bad = body.predictions.some((prediction) => prediction.error);
    if ((bad || body.model !== info.model.id) && (await learn())) return;
    ui.warnings.textContent = (body.warnings || []).join(" ");
    body.predictions.forEach((prediction, i) => {
      const picture = some[i];
      picture.answered = number;
      if (prediction.error) Object.assign(picture, { state: "failed", error: prediction.error });
      else picture.result = prediction;
      showPicture(picture);
    });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (number !== revision) return;
    if (error.passing) return rest(error);
    for (const picture of pictures) picture.answered = number;
    if (await learn().catch(() => false)) return; // the vectors were another model's
    say("question", error.message);
  } finally {
    if (asking === control) {
      asking = null;
      if (!resting) queueMicrotask(answer);
    }
  }
};

// Showing: the chosen picture, the strip, the bars

const percent = (score) =>
  score === null ? "–"
  : score > 0 && score < 0.0005 ? "<0.1 %"
  : score < 1 && score > 0.9995 ? ">99.9 %"
  : `${(100 * score).toFixed(1)} %`;

const NONE = "none of these";
const wordOf = (label) => (label === "unknown" && settings.unknown ? NONE : label);

const best = ({ result, state }) => {
  if (state === "failed") return "not read";
  if (!result) return "…";
  if (result.label === null) return result.unknown ? NONE : "none";
  return result.label;
};

const select = (picture) => {
  selected = picture;
  for (const one of pictures) showTile(one);
  if (picture) {
    settleStrip(picture.tile.firstChild);
    picture.tile.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  ui.stage.classList.toggle("empty", !picture);
  ui.invitation.hidden = Boolean(picture);
  ui.about.hidden = !picture;
  ui.removeAll.hidden = pictures.length < 2;
  ui.shownName.textContent = picture?.name ?? "";
  ui.shown.hidden = true; // until it has loaded
  ui.shown.alt = picture?.name ?? "";
  if (picture) ui.shown.src = picture.url;
  else ui.shown.removeAttribute("src");
  showSelected();
};

const showPicture = (picture) => {
  showTile(picture);
  if (picture === selected) showSelected();
};

const showSelected = () => {
  const failed = selected?.state === "failed";
  ui.trouble.hidden = !failed;
  ui.troubleText.textContent = failed ? selected.error : "";
  ui.looking.hidden = !selected || !["waiting", "sent"].includes(selected.state);
  showBars();
  showCode();
};

const tile = (picture) => {
  const item = (picture.tile = make("li"));
  const button = make("button", "tile");
  const image = framed(button, "no preview");
  image.src = picture.url;
  button.append(make("span", "caption"));
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
  button.setAttribute("aria-current", picture === selected);
  button.className = `tile ${picture.state}`;
  button.lastChild.textContent = word;
  button.title =
    picture.state === "failed" ? `${picture.name}: ${picture.error}`
    : score === undefined ? picture.name
    : `${picture.name}: ${word}, ${percent(score)}`;
};

const settleStrip = roving(ui.strip, ".tile", (button) => select(button.parentElement.picture));

const MOVE = { duration: 320, easing: "cubic-bezier(.2, .8, .2, 1)" };

// Rows by label, so that they can move.
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
  const list = ui.bars;
  const result = selected?.state === "failed" ? null : selected?.result;
  const ranking =
    result?.ranking ?? settings.labels.map((label) => ({ label, score: null, cosine: null }));
  const places = new Map([...rows].map(([name, item]) => [name, item.getBoundingClientRect().top]));
  const focused = document.activeElement;
  const items = ranking.map(({ label, score, cosine }, place) => {
    const item = rows.get(label) || row();
    rows.set(label, item);
    const [fill, word, near, number] = item.children;
    word.textContent = wordOf(label);
    number.textContent = percent(score);
    const detail = typeof cosine === "number" ? `cosine ${cosine.toFixed(3)}` : "";
    near.textContent = detail;
    item.title = detail ? `${wordOf(label)}: ${detail}` : wordOf(label);
    fill.style.transform = `scaleX(${score || 0})`;
    const yes = settings.multi ? score >= 0.5 : place === 0 && score !== null;
    item.classList.toggle("best", yes);
    item.classList.toggle("none", wordOf(label) === NONE);
    item.classList.toggle("open", score === null);
    return item;
  });
  const now = new Set(items);
  for (const [label, item] of rows) {
    if (now.has(item)) continue;
    item.remove();
    rows.delete(label);
  }
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] || null);
  });
  settleBars();
  if (now.has(focused) && document.activeElement !== focused) focused.focus();
  ui.verdict.textContent = result ? `${best(selected)}, ${percent(ranking[0]?.score ?? null)}` : "";
  if (calm.matches) return;
  for (const [label, item] of rows) {
    const by = places.get(label) - item.getBoundingClientRect().top;
    if (Number.isNaN(by)) item.animate({ opacity: [0, 1] }, 200); // it is new
    else if (by) item.animate({ transform: [`translateY(${by}px)`, "none"] }, MOVE);
  }
};

const settleBars = roving(ui.bars, ".bar");

// Options

const showWords = () => {
  for (const id of ["multi", "unknown"]) ui[id].setAttribute("aria-pressed", settings[id]);
  ui.backgroundPart.hidden = !settings.unknown;
  ui.customPart.hidden = settings.template !== CUSTOM;
  const wrong = wrongTemplate();
  ui.customWrong.textContent = wrong;
  ui.custom.setAttribute("aria-invalid", wrong !== "");
  ui.template.value = settings.template;
  ui.ideas.hidden = settings.labels.length > 0;
  showCode();
};

// Stored or linked settings, into the fields.
const fill = () => {
  ui.background.value = settings.background.join(", ");
  ui.custom.value = settings.custom;
  chips.show();
  changed();
  showBars();
};

const showInfo = () => {
  const { model: m, templates = [], version } = info;
  const options = [["", "Prompt: model’s own"]];
  options.push(...templates.map((name) => [name, `Prompt: ${name}`]), [CUSTOM, "Prompt: your own"]);
  ui.template.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  ui.template.title = m.template ? `The model’s own: ${m.template}` : "";
  if (!options.some(([value]) => value === settings.template)) settings.template = "";
  const facts = new Set([m.id, m.family, `${m.dimension} dimensions`, `unseen ${version}`]);
  ui.model.textContent = [...facts].join(" · ");
  ui.views.hidden = !info.index;
  if (info.index && !gallery) {
    gallery = import("./gallery.js").then((module) => module.start(info));
  }
  showWords();
};

let gallery = null;

const showCode = () => {
  if (!info || ui.code.hidden) return;
  ui.snippet.textContent = settings.labels.length
    ? snippet(language, { ...info, file: selected?.name })
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
  const video = ui.video;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    return note("The camera could not be used: it is not allowed, or another program has it.");
  }
  ui.shoot.disabled = true;
  video.srcObject = stream;
  video.onloadeddata = () => (ui.shoot.disabled = false);
  ui.cameraDialog.showModal();
  video.play().catch(() => {});
};

const closeCamera = () => {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  ui.video.srcObject = null;
};

const shoot = () => {
  const { video } = ui;
  const canvas = make("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  ui.cameraDialog.close();
  const name = `camera-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.jpg`;
  canvas.toBlob((blob) => add([new File([blob], name)]), "image/jpeg", 0.92);
};

const showCamera = async () => {
  // There are no mediaDevices where the page came over plain http from another machine.
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  ui.camera.hidden = !devices.some((device) => device.kind === "videoinput");
};

// Everything a person does

const chips = new Chips(changed);

ui.choose.onclick = () => ui.files.click();
ui.stage.onclick = () => selected || ui.files.click();
ui.files.onchange = () => {
  add(ui.files.files);
  ui.files.value = ""; // the same file may be chosen again
};
ui.remove.onclick = () => {
  if (selected) remove(selected);
  if (!selected) ui.choose.focus();
};
ui.removeAll.onclick = () => {
  while (pictures.length) remove(pictures[pictures.length - 1]);
  ui.choose.focus();
};
ui.shown.onload = () => (ui.shown.hidden = !selected || selected.state === "failed");
ui.clear.onclick = () => {
  chips.set([]);
  ui.label.focus();
};
for (const [name, words] of Object.entries(IDEAS)) {
  const button = make("button", "action", name);
  button.title = words;
  button.onclick = () => {
    chips.add(words);
    ui.label.focus();
  };
  ui.ideas.append(button);
}

for (const id of ["multi", "unknown"]) {
  ui[id].onclick = () => {
    settings[id] = !settings[id];
    changed();
  };
}
ui.background.oninput = () => {
  const words = split(ui.background.value, 20);
  if (words.length) settings.background = words;
  changed(TYPING);
};
ui.background.onblur = () => (ui.background.value = settings.background.join(", "));
ui.template.onchange = () => {
  settings.template = ui.template.value;
  changed();
};
ui.custom.oninput = () => {
  settings.custom = ui.custom.value;
  changed(TYPING);
};

ui.share.onclick = async () => {
  if (!(await copied(ui.share, link()))) say("note", link());
};
ui.codeOpen.onclick = () => {
  const open = ui.code.hidden;
  ui.code.hidden = !open;
  ui.codeOpen.setAttribute("aria-expanded", open);
  showCode();
};
tabs(ui.languages, (tab) => {
  language = tab.dataset.language;
  showCode();
});
ui.copy.onclick = async () => {
  if (await copied(ui.copy, ui.snippet.textContent)) return;
  getSelection().selectAllChildren(ui.snippet);
  note("The code is selected: copy it with Ctrl C.");
};
tabs(ui.views, (tab) => {
  const classify = tab.id === "viewClassify";
  ui.classify.hidden = !classify;
  ui.gallery.hidden = classify;
  if (!classify) gallery?.then((module) => module.open());
});

ui.camera.onclick = openCamera;
ui.shoot.onclick = shoot;
ui.cameraClose.onclick = () => ui.cameraDialog.close();
ui.cameraDialog.onclose = closeCamera;

addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (!files.length) return;
  event.preventDefault();
  add(files);
});
const dragged = (over) => ui.stage.classList.toggle("over", over);
addEventListener("dragover", (event) => {
  event.preventDefault();
  dragged(true);
});
addEventListener("dragleave", (event) => event.relatedTarget || dragged(false));
addEventListener("drop", (event) => {
  event.preventDefault();
  dragged(false);
  const { files } = event.dataTransfer;
  if (!files.length) return note("Only files can be dropped here: save the picture first.");
  if (ui.classify.hidden) ui.viewClassify.click();
  add(files);
});
addEventListener("hashchange", () => fromLink() && fill());
addEventListener("online", () => resting && goOn());
navigator.mediaDevices?.addEventListener?.("devicechange", showCamera);

restore();
fill();
showCamera();
learn().catch((error) => rest(error));
