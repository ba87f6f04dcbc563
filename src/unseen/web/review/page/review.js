// The page: what is shown, what a key does, and what becomes of a decision.

import { counted, copyable, get, lastPart, pictureUrl, post, say, tell } from "./ask.js";
import { Chooser } from "./choose.js";
import { Deck } from "./deck.js";
import { make, ui } from "./elements.js";
import { Grid } from "./grid.js";
import { Outbox, status as askStatus } from "./outbox.js";
import * as why from "./why.js";

const SLOW = 400; // milliseconds after which the page says that it waits
const CLOSER = 2.5; // times, where a picture has no more pixels than are shown

const deck = new Deck();
const done = []; // what can be taken back: lists of {picture, before}
const news = "BroadcastChannel" in window ? new BroadcastChannel("unseen-review") : null;
let labels = [];
let known; // the last status of the server
let outbox;
let view = "one";
let seen = false; // whether the present picture is on the screen
let waiters = [];

// What was decided, as the server has it.
const decided = (picture) =>
  picture.verdict ? { verdict: picture.verdict, label: picture.chosen } : null;

const named = ({ verdict, label }) =>
  ({ label: `“${label}”`, none: "none of these", skip: "skipped" })[verdict];

// What accepting means: the model may propose that none of the labels fits.
const proposal = (picture) => {
  if (picture.proposed !== null) return { verdict: "label", label: picture.proposed };
  return picture.pile === "none" ? { verdict: "none", label: null } : null;
};

// Decisions

const decide = (verdict, label = null) => {
  const picture = deck.current;
  if (view !== "one" || !picture) return;
  if (!seen) return say("The picture is still loading.");
  record([picture], verdict, label);
  const what = named({ verdict, label });
  next(`${what[0].toUpperCase()}${what.slice(1)}.`);
};

const record = (pictures, verdict, label) => {
  const entry = pictures.map((picture) => ({ picture, before: decided(picture) }));
  done.push(entry);
  for (const { picture } of entry) {
    Object.assign(picture, { verdict, chosen: label, saved: false });
    deck.drop(picture.id);
  }
  outbox.add(
    ...entry.map(({ picture, before }) => ({ kind: "decide", id: picture.id, verdict, label, before })),
  );
};

const accept = () => {
  const proposed = deck.current && proposal(deck.current);
  if (proposed) decide(proposed.verdict, proposed.label);
  else if (deck.current) tell("Nothing is proposed for this picture: choose a label, none or skip.");
};

const chooseAny = (name, isNew) => {
  if (isNew) {
    labels.push(name);
    outbox.add({ kind: "label", name });
  }
  decide("label", name);
};

const undo = async () => {
  const entry = done.pop();
  if (!entry) {
    if (outbox.operations.length) return;
    try {
      const { status, picture } = await post("undo", { id: null });
      showStatus(status);
      if (picture) show(deck.visit(Object.assign(deck.find(picture.id) || picture, picture)), "Undone.");
    } catch (failure) {
      tell(failure.message);
    }
    return;
  }
  for (const { picture, before } of [...entry].reverse()) {
    const matches = (one) => one.kind === "decide" && one.id === picture.id;
    const was = { verdict: picture.verdict, chosen: picture.chosen };
    if (!outbox.withdraw(matches)) outbox.add({ kind: "undo", id: picture.id, was });
    Object.assign(picture, { verdict: before?.verdict || null, chosen: before?.label || null });
  }
  if (view === "grid") {
    await settled();
    grid.open(grid.label);
    return say(`Undone: ${counted(entry.length, "picture")}.`);
  }
  show(deck.visit(entry[0].picture), "Undone.");
};

// What became of it

const onResult = (operation, result) => {
  const picture = deck.find(operation.id);
  if (result.saved) {
    if (picture) picture.saved = true;
    if (operation.kind === "decide") news?.postMessage({ id: operation.id });
    if (picture && picture === deck.current) drawDecided(picture);
    return;
  }
  if (operation.kind === "undo") {
    if (picture) Object.assign(picture, operation.was);
    if (picture && picture === deck.current) draw();
    return tell(`Not undone: ${result.problem.detail}`);
  }
  if (operation.kind === "label") {
    labels = labels.filter((name) => name !== operation.name);
    return tell(`“${operation.name}” was not added: ${result.problem.detail}`);
  }
  for (const entry of done) {
    const at = entry.findIndex((one) => one.picture.id === operation.id);
    if (at >= 0) entry.splice(at, 1);
  }
  if (done.length && !done.at(-1).length) done.pop();
  const name = lastPart((picture || result.picture)?.name || "a picture");
  if (result.picture) {
    if (picture) Object.assign(picture, result.picture);
    const now = decided(result.picture);
    const there = now ? `${name} is ${named(now)} in another window; that stands.` : `${name} is open again in another window.`;
    tell(there, "Look", () => visit(picture || result.picture));
  } else {
    const { before } = operation;
    if (picture) {
      Object.assign(picture, { verdict: before?.verdict || null, chosen: before?.label || null });
    }
    tell(`Not saved, ${name}: ${result.problem.detail}`, picture && "Look", () => visit(picture));
  }
  if (picture && picture === deck.current) draw();
};

const SIGNS = {
  saved: () => "All saved",
  saving: (many) => `Saving ${many}…`,
  unreachable: (many) => `${many} not saved: the server does not answer. Trying again…`,
  ended: (many) => `${many} not saved, and kept in this browser: open the address of the new run.`,
};
let slow;

const onChange = (state, many) => {
  if (state === "saved" || state === "unreachable" || state === "ended") {
    for (const resolve of waiters.splice(0)) resolve();
  }
  clearTimeout(slow);
  const draw = () => {
    ui.saved.dataset.state = state;
    const text = SIGNS[state](many.toLocaleString("en"));
    if (ui.saved.textContent !== text) ui.saved.textContent = text;
  };
  if (state === "saving") slow = setTimeout(draw, SLOW);
  else draw();
};

const settled = () =>
  outbox.state === "saving" ? new Promise((resolve) => waiters.push(resolve)) : Promise.resolve();

const showStatus = (status) => {
  const isNews = known && status.retrained?.at !== known.retrained?.at;
  known = status;
  const { piles, audit, retrained } = status;
  ui.folder.textContent = status.folder;
  ui.progress.textContent =
    `${status.reviewed.toLocaleString("en")} of ${counted(status.total, "picture")} reviewed · ` +
    ["sure", "unsure", "none", "error"]
      .filter((pile) => piles[pile])
      .map((pile) => `${piles[pile].toLocaleString("en")} ${{ none: "fit no label", error: "unreadable" }[pile] || pile}`)
      .join(" · ");
  const percent = (x) => Math.round(100 * x);
  const drawn = audit
    ? `Drawn at random from the sure ones: the model was right on ${audit.right} of ${audit.reviewed} ` +
      `(95 % interval: ${percent(audit.low)}–${percent(audit.high)} %)`
    : "";
  const learnt = retrained ? retrained.text[0].toUpperCase() + retrained.text.slice(1) : "";
  ui.trust.textContent = [learnt, drawn].filter(Boolean).join(" · ");
  if (isNews) {
    deck.forget();
    fill();
    say(learnt);
  }
  const share = status.total ? status.reviewed / status.total : 0;
  ui.meter.firstElementChild.style.transform = `scaleX(${share})`;
};

// Going on

const pending = () => outbox.operations.filter((one) => one.id).map((one) => one.id);

const next = async (message = "") => {
  if (deck.advance()) {
    show(deck.current, message);
    return fill();
  }
  waiting(true);
  await fill();
  if (deck.current || view === "grid") return; // something else is looked at meanwhile
  if (deck.advance()) return show(deck.current, message);
  if (deck.over) finish();
};

const fill = async () => {
  try {
    await deck.fill(pending());
    if (deck.current) deck.image(deck.current);
  } catch (failure) {
    waiting(false);
    if (deck.current && !failure.passing) tell(failure.message);
    if (!deck.current) trouble(failure.message, true);
  }
};

const visit = (picture) => {
  setView("one");
  show(deck.visit(picture));
};

const step = (by) => {
  if (deck.step(by)) {
    show(deck.current);
    return fill();
  }
  if (by > 0 && !deck.queue.length) return next();
};

const finish = async () => {
  setView("finished");
  await settled();
  try {
    showStatus(await askStatus());
  } catch {
    // the last status stands
  }
  const empty = known.total === 0;
  ui.finishedTitle.textContent = empty
    ? "There are no pictures in this labelling"
    : outbox.operations.length
      ? "All is looked at, and not all is saved"
      : "All is reviewed";
  const skipped = known.verdicts.skip;
  ui.finishedSays.textContent = empty
    ? "unseen label looks at the pictures of a folder and proposes labels."
    : `${counted(known.reviewed, "picture")}, ${skipped} of them skipped. What comes next:`;
  ui.commands.replaceChildren(...(empty ? [] : known.commands.map(command)));
  ui.finishedBack.hidden = !deck.trail.length;
  ui.finishedTitle.focus();
  say(ui.finishedTitle.textContent);
};

const command = (text) => {
  const item = make("li");
  item.append(copyable(text));
  return item;
};

// What is shown

const waiting = (is) => {
  ui.looking.hidden = !is;
};

const trouble = (text, retry) => {
  ui.trouble.hidden = false;
  ui.trouble.replaceChildren(text);
  if (retry) {
    const button = make("button", "action", "Try again");
    button.onclick = () => next();
    ui.trouble.append(" ", button);
  }
};

const show = (picture, message = "") => {
  setView("one");
  zoom(false);
  draw();
  const image = deck.image(picture);
  seen = image.complete && image.naturalWidth > 0;
  ui.trouble.hidden = true;
  ui.shown.hidden = !seen;
  waiting(false);
  ui.shown.alt = `The picture to label: ${picture.name}`;
  if (seen) ui.shown.src = image.src;
  else {
    const late = setTimeout(() => waiting(picture === deck.current), SLOW);
    image.arrived.then((fine) => {
      clearTimeout(late);
      if (picture !== deck.current) return;
      waiting(false);
      seen = true;
      ui.shown.hidden = !fine;
      if (fine) ui.shown.src = image.src;
      else unreadable(picture);
    });
  }
  if (view === "one") ui.stage.focus({ preventScroll: true });
  why.look(picture);
  const first = picture.ranking[0];
  const what = proposal(picture);
  const state = picture.verdict ? `now ${named(decided(picture))}` : "";
  const proposed = what ? `proposed ${named(what)}` : "nothing proposed";
  const score = what?.label && first ? `, ${first.score.toFixed(2)}` : "";
  say(`${message} ${lastPart(picture.name)}: ${state || proposed + score}.`.trim());
};

const unreadable = async (picture) => {
  trouble("This picture cannot be shown.");
  try {
    const response = await fetch(pictureUrl(picture, "page"));
    if (response.ok) return picture === deck.current && show(picture);
    const { detail } = await response.json();
    if (picture === deck.current) trouble(detail);
  } catch {
    if (picture === deck.current) {
      seen = false; // nobody saw it
      deck.images.delete(picture.id);
      trouble("The server does not answer.", false);
      const button = make("button", "action", "Try again");
      button.onclick = () => show(picture);
      ui.trouble.append(" ", button);
    }
  }
};

const PILES = {
  sure: "The model is sure.",
  unsure: "The model is not sure.",
  none: "The model thinks that no label fits.",
  error: "The model could not read it.",
};

const draw = () => {
  const picture = deck.current;
  ui.file.textContent = lastPart(picture.name);
  ui.file.title = picture.name;
  ui.facts.textContent = [
    picture.width ? `${picture.width} × ${picture.height}` : "",
    picture.copies ? `${counted(picture.copies, "copy").replace("copys", "copies")} more` : "",
  ]
    .filter(Boolean)
    .join(" · ");
  ui.says.textContent = PILES[picture.pile];
  ui.bars.replaceChildren(...picture.ranking.map((one, i) => bar(picture, one, i)));
  const what = proposal(picture);
  ui.accept.hidden = !what;
  ui.accept.firstElementChild.textContent = what ? `Accept ${named(what)}` : "";
  ui.back.disabled = deck.at <= 0;
  drawDecided(picture);
};

const bar = (picture, { label, score }, i) => {
  const item = make("li");
  const button = make("button", "bar");
  const fill = make("span", "fill");
  fill.style.transform = `scaleX(${Math.max(0, Math.min(1, score))})`;
  const number = make("span", "number", score.toFixed(2));
  button.append(fill, make("kbd", "", String(i + 1)), make("span", "word", label), number);
  button.classList.toggle("best", label === picture.proposed);
  button.setAttribute("aria-keyshortcuts", String(i + 1));
  button.setAttribute("aria-pressed", String(picture.verdict === "label" && picture.chosen === label));
  button.onclick = () => decide("label", label);
  item.append(button);
  return item;
};

const drawDecided = (picture) => {
  const now = decided(picture);
  ui.decided.hidden = !now;
  if (now) ui.decided.textContent = `${named(now)}${picture.saved === false ? ", not saved yet" : ""}`;
  ui.none.setAttribute("aria-pressed", String(now?.verdict === "none"));
  ui.skip.setAttribute("aria-pressed", String(now?.verdict === "skip"));
};

// Looking closer

const zoom = (on, x = 0.5, y = 0.5) => {
  const { stage, shown } = ui;
  if (on && (shown.hidden || !shown.naturalWidth)) return;
  stage.classList.toggle("closer", on);
  if (!on) {
    shown.style.width = shown.style.height = "";
    return;
  }
  const picture = deck.current;
  const ratio = shown.naturalWidth / shown.naturalHeight;
  const fitted = Math.min(stage.clientWidth, stage.clientHeight * ratio);
  const width = Math.max(picture.width || shown.naturalWidth, CLOSER * fitted);
  shown.style.width = `${width}px`;
  shown.style.height = `${width / ratio}px`;
  stage.scrollTo(width * x - stage.clientWidth / 2, (width / ratio) * y - stage.clientHeight / 2);
  if (picture.width > shown.naturalWidth) {
    const full = new Image();
    full.src = pictureUrl(picture, "full");
    full.decode().then(
      () => picture === deck.current && stage.classList.contains("closer") && (shown.src = full.src),
      () => {},
    );
  }
};

const zoomed = () => ui.stage.classList.contains("closer");

ui.shown.addEventListener("click", (event) => {
  if (zoomed()) return zoom(false);
  const box = ui.stage.getBoundingClientRect();
  const ratio = ui.shown.naturalWidth / ui.shown.naturalHeight;
  const width = Math.min(box.width, box.height * ratio);
  const share = (at, middle, size) => Math.max(0, Math.min(1, (at - middle) / size + 0.5));
  zoom(
    true,
    share(event.clientX, box.x + box.width / 2, width),
    share(event.clientY, box.y + box.height / 2, width / ratio),
  );
});

// Views

const setView = (name) => {
  view = name;
  for (const id of ["one", "grid", "finished"]) ui[id].hidden = id !== name;
  ui.hints.hidden = name !== "one";
  ui.gridToggle.setAttribute("aria-pressed", String(name === "grid"));
};

const toggleGrid = () => {
  if (view === "grid") {
    setView("one");
    return deck.current && !deck.current.verdict ? show(deck.current) : next();
  }
  setView("grid");
  settled().then(() => grid.open(grid.label || deck.current?.proposed));
};

const grid = new Grid({
  accept: (pictures, label) => {
    const same = pictures.map((p) => Object.assign(deck.find(p.id) || p, p));
    record(same, "label", label);
  },
  wrong: (pictures) => {
    deck.push(pictures);
    tell(`${counted(pictures.length, "picture")} marked as wrong`, "Look one by one", toggleGrid);
  },
  isOpen: (id) => !pending().includes(id),
  settled,
  fail: (failure) => tell(failure.message, "Try again", () => grid.open(grid.label)),
});

const chooser = new Chooser(chooseAny);
const chooseOther = () => {
  if (view === "one" && deck.current) {
    chooser.open(labels, deck.current.ranking.map((one) => one.label));
  }
};

const help = () => {
  if (known) {
    ui.helpNext.replaceChildren(
      make("p", "muted small", "When you have seen enough:"),
      ...known.commands.map(copyable),
    );
  }
  ui.help.showModal();
};

// Keys

const KEYS = {
  Enter: accept,
  " ": accept,
  a: accept,
  "/": chooseOther,
  c: chooseOther,
  n: () => decide("none"),
  s: () => decide("skip"),
  z: () => zoom(!zoomed()),
  w: () => deck.current && why.toggle(deck.current),
  Escape: () => zoom(false),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
};
const AGAIN = new Set(["ArrowLeft", "ArrowRight"]); // what a key that is held down goes on doing

// Of a keyboard whose letters or digits are others: by where the key is.
const keyOf = (event) => {
  const { key, code } = event;
  if (key.length > 1 || /^[a-z0-9/? ]$/i.test(key)) return key.length > 1 ? key : key.toLowerCase();
  const place = /^(?:Key|Digit)(.)$/.exec(code);
  return place ? place[1].toLowerCase() : key;
};

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.isComposing) return;
  const { target } = event;
  const key = keyOf(event);
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && key === "z") {
    event.preventDefault();
    return undo();
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("input, textarea")) return;
  if (target.matches("select") && (key === " " || key.startsWith("Arrow"))) return;
  const isButton = target.matches("button");
  if (isButton && key === " ") return; // the browser's own
  if (isButton && key === "Enter" && !target.matches(".tile")) return;
  if (key === "?") {
    event.preventDefault();
    return help();
  }
  if (key === "g" && !event.repeat) return toggleGrid();
  if (key === "u" && !event.repeat) return undo();
  if (view === "grid") {
    if (key === "Escape") return toggleGrid();
    if (grid.key(key, event)) event.preventDefault();
    return;
  }
  if (view === "finished") {
    if (key === "ArrowLeft") step(-1);
    return;
  }
  if (zoomed() && key.startsWith("Arrow")) {
    const far = { ArrowLeft: [-120, 0], ArrowRight: [120, 0], ArrowUp: [0, -120], ArrowDown: [0, 120] };
    ui.stage.scrollBy(...far[key]);
    return event.preventDefault();
  }
  if (/^[1-9]$/.test(key)) {
    const one = deck.current?.ranking[key - 1];
    if (one && !event.repeat) decide("label", one.label);
    return;
  }
  if (!(key in KEYS)) return;
  event.preventDefault();
  if (!event.repeat || AGAIN.has(key)) KEYS[key]();
});

ui.accept.onclick = accept;
ui.other.onclick = chooseOther;
ui.none.onclick = () => decide("none");
ui.skip.onclick = () => decide("skip");
ui.undo.onclick = undo;
ui.why.onclick = () => deck.current && why.toggle(deck.current);
ui.back.onclick = () => step(-1);
ui.forth.onclick = () => step(1);
ui.finishedBack.onclick = () => step(-1);
ui.gridToggle.onclick = toggleGrid;
ui.helpOpen.onclick = help;
// Else Enter would press the button again that had opened it.
for (const dialog of [ui.choose, ui.help]) {
  dialog.addEventListener("close", () => view === "one" && ui.stage.focus({ preventScroll: true }));
}

// Two windows: what one has saved is not asked in the other.
news?.addEventListener("message", ({ data }) => {
  deck.drop(data.id);
  if (document.hidden || deck.current?.id !== data.id) return;
  if (!deck.current.verdict) tell(`${lastPart(deck.current.name)} was decided in another window.`);
});

const start = async () => {
  why.start();
  if (location.search) history.replaceState(null, "", "/"); // the token is in a cookie now
  setView("one");
  waiting(true);
  try {
    const [status, all] = await Promise.all([askStatus(), get("labels")]);
    labels = all.labels.map((one) => one.name);
    showStatus(status);
    outbox = new Outbox(status.key, { result: onResult, status: showStatus, change: onChange });
    onChange("saved", 0);
    const left = await outbox.adopt();
    if (left) tell(`${counted(left, "decision")} of a page that was closed are being saved.`);
    await settled();
    await next();
  } catch (failure) {
    waiting(false);
    trouble(failure.message, false);
    console.error(failure);
  }
};

start();
