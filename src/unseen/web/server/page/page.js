// Pictures, each encoded once; labels, sent at each change; results.

import { ask, askForKey, copied, hasKey, note, Problem, say, tabs, unsay } from "./ask.js";
import { make, ui } from "./elements.js";
import * as list from "./list.js";
import * as table from "./table.js";
import { CUSTOM, fromLink, keep, link, question, restore, settings, split, wrongTemplate } from "./words.js";

const AT_ONCE = 2; // pictures on their way to the server
const TYPING = 300; // ms from a letter of a prompt, which changes every vector, to the question
const SLOW = 400; // ms without an answer, after which the page says that it waits for one
const ADDRESS = /^https?:\/\/\S+$/i;
const IDEAS = {
  Animals: "cat, dog, bird, horse, fish, insect",
  Places: "beach, forest, mountain, city, kitchen, office",
  Kinds: "photograph, drawing, screenshot, document, map",
  "Two sets": "animal: cat, dog, bird\nplace: indoors, outdoors",
};

const pictures = [];
let selected = null;
let info = null;

// Pictures: waiting → sent → ready or failed; a video is playing, or failed

let sending = 0;
let resting = false; // the server is away, and the user knows it

const isFilm = (file) => Boolean(file?.type.startsWith("video/"));

// `load` gives the bytes of a picture that is not here yet.
const picture = (file, name, load) => ({
  file,
  name: name || "picture",
  load,
  url: file ? URL.createObjectURL(file) : "",
  film: isFilm(file),
  state: isFilm(file) ? "playing" : "waiting",
  embedding: null,
  answered: 0,
  result: null,
  error: "",
});

const addAll = (added) => {
  if (!added.length) return;
  if (ui.classify.hidden) ui.viewClassify.click();
  pictures.push(...added);
  for (const one of added) ui.table.append(table.row(one, { select, remove }));
  select(added[0]);
  pump();
};

const add = (files) => addAll([...files].map((file) => picture(file, file.name)));

const addLater = (name, load) => addAll([picture(null, name, load)]);

// A picture elsewhere: the policy of this page lets nothing be loaded from there, so the server
// fetches it, under its own rules.
const addAddress = (address) => {
  if (!info?.urls) {
    return note("This server fetches no pictures from the web: save the picture, then choose it.");
  }
  const { pathname, host } = new URL(address);
  addLater(pathname.split("/").pop() || host, (signal) =>
    ask("/v1/preview", { body: { image: address }, as: "blob", signal }));
};

const remove = (picture) => {
  const at = pictures.indexOf(picture);
  const focused = picture.row.contains(document.activeElement);
  pictures.splice(at, 1);
  picture.row.remove();
  picture.leaving?.abort();
  URL.revokeObjectURL(picture.url);
  if (picture === selected) select(pictures[at] || pictures[at - 1] || null);
  if (focused && selected) selected.row.querySelector("button").focus();
  table.draw();
};

const pump = () => {
  while (!resting && info && sending < AT_ONCE) {
    const next = pictures.find((picture) => picture.state === "waiting");
    if (!next) return;
    sending++;
    next.state = "sent";
    showRow(next);
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
  const { signal } = (picture.leaving = new AbortController());
  try {
    if (!picture.file) await fetchLate(picture, signal);
    const refused = await tooLarge(picture);
    if (refused) return fail(refused);
    const form = new FormData();
    form.append("image", picture.file, picture.name);
    form.append("encoding", "base64");
    const body = await ask("/v1/embed", { body: form, signal });
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

const fetchLate = async (picture, signal) => {
  picture.file = await picture.load(signal);
  picture.url = URL.createObjectURL(picture.file);
  const image = picture.row.querySelector("img");
  if (image) image.src = picture.url;
  if (picture === selected) ui.shown.src = picture.url;
};

// Why a picture need not be sent: the server refuses it, or it cannot be read here.
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

// Reads /info; if the model has changed, pictures are encoded again.
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
let slow = false; // an answer takes its time
let timer;

// The question goes at once, but for `wait` ms where letters are typed.
const changed = (wait) => {
  keep();
  showWords();
  if (table.columns()) pictures.forEach(showRow);
  revision++;
  asking?.abort();
  asking = null;
  clearTimeout(timer);
  film?.then((module) => module.changed());
  if (wait) timer = setTimeout(answer, wait);
  else answer();
  if (settings.labels.length) return;
  for (const one of pictures) one.result = null;
  pictures.forEach(showRow);
  showSelected();
};

const answer = async () => {
  if (asking || resting || !info || !settings.labels.length || wrongTemplate()) return;
  const number = revision;
  const todo = pictures.filter((picture) => picture.embedding && picture.answered !== number);
  if (!todo.length) return;
  todo.sort((a, b) => (b === selected) - (a === selected));
  // The one that is looked at has its answer first.
  const some = todo[0] === selected ? [selected] : todo.slice(0, info.limits.images || 64);
  const control = (asking = new AbortController());
  const wait = setTimeout(() => showLooking((slow = true)), SLOW);
  try {
    const images = some.map(({ embedding }) => ({ embedding }));
    const body = await ask("/v1/classify", {
      // All labels are shown, and below the line those that do not fit.
      body: { ...question(info.evidence), ...(settings.multi && { min_score: 0 }), images },
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
    clearTimeout(wait);
    if (slow && asking === control) showLooking((slow = false));
    if (asking === control) {
      asking = null;
      if (!resting) queueMicrotask(answer);
    }
  }
};

// Showing: the chosen picture, the table of all, the list of labels

const select = (picture) => {
  selected = picture;
  pictures.forEach(showRow);
  if (picture && pictures.length > 1) {
    settleRows(picture.row.querySelector("button"));
    picture.row.scrollIntoView({ block: "nearest" });
  }
  ui.stage.classList.toggle("empty", !picture);
  ui.invitation.hidden = Boolean(picture);
  ui.remove.hidden = !picture;
  ui.shownName.textContent = picture?.name ?? "";
  ui.shown.hidden = ui.glow.hidden = true; // until it has loaded
  ui.shown.alt = picture?.name ?? "";
  if (picture?.url && !picture.film) ui.shown.src = picture.url;
  else ui.shown.removeAttribute("src");
  if (picture?.film) film ||= import("./film.js");
  const facts = { info: () => info, show: showPicture };
  film?.then((module) => module.open(selected?.film ? selected : null, facts));
  table.draw();
  showSelected();
};

const showRow = (picture) => table.drawRow(picture, selected);

const showPicture = (picture) => {
  showRow(picture);
  if (picture === selected) showSelected();
};

const showLooking = () => {
  ui.looking.hidden = !(slow || ["waiting", "sent"].includes(selected?.state));
};

const showSelected = () => {
  const failed = selected?.state === "failed";
  const result = failed ? null : selected?.result ?? null;
  ui.trouble.hidden = !failed;
  ui.troubleText.textContent = failed ? selected.error : "";
  showLooking();
  list.draw(result);
  const [word, score] = result ? list.verdict(result) : [];
  ui.winner.hidden = !result;
  ui.winner.firstChild.textContent = word;
  ui.winner.lastChild.textContent = score === undefined ? "" : list.percent(score);
  ui.verdict.textContent = result ? ui.winner.textContent : "";
  showEvidence(result);
  const plain = selected?.film || result?.facets ? null : selected; // what can be explained
  ui.why.hidden = !info?.explain || !result || !plain;
  why?.look(plain, info);
};

// Whether any label is there at all, and what else the picture resembles.
const showEvidence = (result) => {
  const { evidence, resembles = [] } = result ?? {};
  ui.evidence.hidden = !settings.unknown || typeof evidence !== "number";
  if (ui.evidence.hidden) return;
  const least = info.least_evidence;
  const enough = evidence >= least;
  const number = evidence.toFixed(1).replace("-", "−");
  ui.evidenceText.textContent =
    `${enough ? "Enough speaks for one" : "Too little speaks for any"} of these labels` +
    ` (${number}; ${least} is enough).`;
  const place = (value) => `${100 * Math.min(1, Math.max(0, value / (2 * least)))}%`;
  ui.scale.firstChild.style.width = place(evidence);
  ui.scale.lastChild.style.insetInlineStart = place(least);
  ui.scale.classList.toggle("enough", enough);
  const words = resembles.map(({ label }) => {
    const button = make("button", "action", `+ ${label}`);
    button.title = `Add the label ${label}`;
    button.onclick = () => list.add(label);
    return button;
  });
  ui.resembles.replaceChildren(make("span", "muted small", "It resembles"), ...words);
};

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
  if (!settings.unknown) ui.evidence.hidden = true;
  if (!ui.api.hidden) code?.then((module) => module.open());
};

// Stored or linked settings, into the fields.
const fill = () => {
  ui.background.value = settings.background.join(", ");
  ui.custom.value = settings.custom;
  list.draw();
  changed();
};

const showInfo = () => {
  const { model: m, templates = [], version } = info;
  const options = [["", "Prompt: model’s own"]];
  options.push(...templates.map((name) => [name, `Prompt: ${name}`]), [CUSTOM, "Prompt: your own"]);
  ui.template.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  ui.template.title = m.template ? `The model’s own: ${m.template}` : "";
  if (!options.some(([value]) => value === settings.template)) settings.template = "";
  ui.model.textContent = `Model: ${m.id} · unseen ${version}`;
  ui.model.hidden = false;
  ui.address.hidden = !info.urls;
  ui.viewGallery.hidden = !info.index;
  if (info.index && !gallery) {
    gallery = import("./gallery.js").then((module) => module.start(info, addLater));
  }
  showWords();
};

let gallery, code, why, film;

const openCode = () => {
  code ||= import("./code.js").then((module) => {
    module.start(() => ({ info, file: selected?.name }));
    return module;
  });
  return code.then((module) => info && module.open());
};

const showCamera = async () => {
  // There are no mediaDevices where the page came over plain http from another machine.
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  ui.camera.hidden = !devices.some((device) => device.kind === "videoinput");
};

// Everything a person does

const settleRows = table.start(pictures, select);
list.start(changed);

ui.choose.onclick = () => ui.files.click();
ui.stage.onclick = ({ target }) => selected || target.closest("button") || ui.files.click();
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
ui.shown.onload = () => {
  const { src } = ui.shown;
  ui.shown.hidden = ui.glow.hidden = !selected || selected.state === "failed";
  if (!ui.glow.hidden) ui.glow.src = src; // its colours, around it
};
for (const [name, words] of Object.entries(IDEAS)) {
  const button = make("button", "action", name);
  button.title = words;
  button.onclick = () => {
    list.add(words);
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
  settings.background = split(ui.background.value, 20);
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
  ui.viewApi.click();
  ui.viewApi.focus();
};
tabs(ui.views, (tab) => {
  for (const one of ui.views.children) {
    ui[one.getAttribute("aria-controls")].hidden = one !== tab;
  }
  if (tab === ui.viewGallery) gallery?.then((module) => module.open());
  if (tab === ui.viewApi) openCode();
});

ui.why.onclick = async () => (why ||= await import("./why.js")).toggle(selected?.film ? null : selected, info);
ui.camera.onclick = async () => (await import("./camera.js")).open(add);

ui.address.onclick = () => ui.addressDialog.showModal();
ui.addressClose.onclick = () => ui.addressDialog.close();
ui.addressForm.onsubmit = (event) => {
  event.preventDefault();
  ui.addressDialog.close();
  addAddress(ui.url.value.trim());
  ui.url.value = "";
};

ui.examples.onclick = ({ target }) => {
  const { src, alt } = target.closest("button")?.firstChild ?? {};
  if (src) addLater(`${alt}.avif`, (signal) => ask(src, { as: "blob", signal }));
};

// What was dropped or pasted: files, or the address of a picture in another tab.
const addFrom = (data) => {
  // Of a picture that is a link the page says where it leads, and only the markup what it is.
  const [, source = ""] = /<img[^>]* src="([^"]+)"/i.exec(data.getData("text/html")) || [];
  const address = source.replaceAll("&amp;", "&") || data.getData("text/plain").trim();
  if (data.files.length) add(data.files);
  else if (ADDRESS.test(address)) addAddress(address);
  else return false;
  return true;
};

addEventListener("paste", (event) => {
  const typing = event.target.matches?.("input") && !event.clipboardData.files.length;
  if (!typing && addFrom(event.clipboardData)) event.preventDefault();
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
  if (addFrom(event.dataTransfer)) return;
  note("Only pictures and videos can be dropped here: save it first, then choose the file.");
});
addEventListener("hashchange", () => fromLink() && fill());
addEventListener("online", () => resting && goOn());
navigator.mediaDevices?.addEventListener?.("devicechange", showCamera);

restore();
fill();
ui.words.hidden = false; // not before: nothing moves when the labels come
showCamera();
learn()
  .catch(rest)
  .finally(() => location.pathname === "/docs" && ui.viewApi.click());
