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

function bars(list, answers) {
  list.replaceChildren(
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
  const list = element("ol");
  item.append(picture, list);
  if (name) item.append(element("p", name, "name small muted"));
  $("results").prepend(item);
  return list;
}

async function show(files) {
  for (const file of files) {
    const image = element("img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
    const list = card(image, file.name);
    try {
      const c = await classifier();
      $("size").hidden = true; // it is loaded
      say("Looking …");
      const answers = await c.classify(file);
      bars(list, answers);
      image.alt = answers[0].label;
      say(`${file.name || "picture"}: ${answers[0].label}`);
    } catch (error) {
      list.replaceChildren(element("li", error.message, "wrong"));
      say(error.message, true);
    }
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

const pictures = (data) => [...(data?.files ?? [])].filter((file) => file.type.startsWith("image/"));

$("choose").onclick = () => $("files").click();
$("files").onchange = (event) => { show([...event.target.files]); event.target.value = ""; };
$("camera").onclick = (event) => watch(event.currentTarget);
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
$("card").textContent = `${facts.labels.length} labels · ${facts.model.name} · licence ${facts.licence.name ?? "not known"}`;
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
