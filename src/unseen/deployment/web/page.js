import { load } from "./unseen.js";

const SHOWN = 5; // labels of a picture
const $ = (id) => document.getElementById(id);
const status = $("status");
let loading;

function element(tag, text = "", className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

function say(text, wrong = false) {
  status.textContent = text;
  status.className = wrong ? "wrong" : "";
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** The classifier, which is loaded with the first picture. */
function classifier() {
  loading ??= load("./", {
    onProgress: (done, total) => {
      $("progress").hidden = false;
      $("progress").value = done / total;
      say(`Loading the model: ${megabytes(done)} of ${megabytes(total)}`);
    },
  })
    .catch((error) => {
      loading = undefined; // another try loads again
      throw error;
    })
    .finally(() => { $("progress").hidden = true; });
  return loading;
}

/** What the picture shows, in a few words. */
const first = (answers) => (answers.unknown ? "none of these" : answers[0].label);

function bars(list, answers) {
  list.replaceChildren(
    ...(answers.unknown ? [element("li", first(answers))] : []),
    ...answers.slice(0, SHOWN).map(({ label, probability }) => {
      const row = element("li", "", "bar");
      row.style.setProperty("--share", probability);
      row.append(element("span", label), element("span", `${(100 * probability).toFixed(1)} %`));
      return row;
    }),
  );
}

function card(picture, name) {
  const item = element("li", "", "card");
  item.tabIndex = -1;
  const list = element("ol");
  item.append(picture, list);
  if (name) item.append(element("p", name, "name small muted"));
  $("results").prepend(item);
  settle();
  return list;
}

/** One tab stop for all cards. */
function settle() {
  const cards = [...$("results").children];
  if (cards.length && !cards.some((item) => item.tabIndex === 0)) cards[0].tabIndex = 0;
}

let waiting = 0; // pictures

async function show(files) {
  waiting += files.length;
  const cards = files.map((file) => {
    const image = element("img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
    return [file, image, card(image, file.name)];
  });
  for (const [file, image, list] of cards) {
    try {
      const c = await classifier();
      $("size").hidden = true; // it is loaded
      say(waiting > 1 ? `Looking … ${waiting} pictures to go` : "Looking …");
      const answers = await c.classify(file);
      bars(list, answers);
      image.alt = first(answers);
      say(`${file.name || "picture"}: ${first(answers)}`);
    } catch (error) {
      image.className = "broken";
      list.replaceChildren(element("li", error.message, "wrong"));
      say(error.message, true);
    }
    waiting -= 1;
  }
}

async function watch(button) {
  if (button.stop) return button.stop();
  const video = element("video");
  video.muted = video.playsInline = true;
  let list;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
    list = card(video, "camera");
    button.setAttribute("aria-pressed", "true");
    let on = true;
    button.stop = () => {
      on = false;
      for (const track of video.srcObject.getTracks()) track.stop();
      video.closest("li").remove();
      settle();
      button.setAttribute("aria-pressed", "false");
      button.stop = undefined;
    };
    const c = await classifier();
    say("Looking …");
    while (on) {
      bars(list, await c.classify(video));
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`, true);
    button.stop?.();
  }
}

// Arrows, Home and End go between the cards, Delete takes one away.
function onKey(event) {
  const cards = [...$("results").children];
  const here = cards.indexOf(event.target);
  if (here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  const steps = { ArrowLeft: here - 1, ArrowUp: here - 1, ArrowRight: here + 1, ArrowDown: here + 1, Home: 0, End: cards.length - 1 };
  const removed = ["Delete", "Backspace"].includes(event.key);
  if (!removed && !cards[steps[event.key]]) return;
  event.preventDefault();
  const next = removed ? cards[here + 1] ?? cards[here - 1] : cards[steps[event.key]];
  if (removed && event.target.querySelector("video")) $("camera").click();
  else if (removed) event.target.remove();
  else event.target.tabIndex = -1;
  if (next) next.tabIndex = 0;
  (next ?? $("choose")).focus();
}

const pictures = (data) => [...(data?.files ?? [])].filter((file) => file.type.startsWith("image/"));

$("choose").onclick = () => $("files").click();
$("files").onchange = (event) => { show([...event.target.files]); event.target.value = ""; };
$("camera").onclick = (event) => watch(event.currentTarget);
$("results").addEventListener("keydown", onKey);
addEventListener("paste", (event) => show(pictures(event.clipboardData)));
addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  show(pictures(event.dataTransfer));
});

const facts = await (await fetch("classifier.json")).json();
$("size").textContent = `The first picture loads the model: ${megabytes(facts.model.bytes + facts.runtime.bytes)}, once.`;
$("card").textContent = [
  `${facts.labels.length} labels`,
  facts.model.name,
  `licence ${facts.licence.name ?? "not known"}`,
].join(" · ");
$("accuracy").textContent = facts.accuracy;
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
