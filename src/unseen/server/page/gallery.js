// The pictures of the index: all of them, those that words find, those that are like one.

import { ask, byId, counted, make, note, Problem, roving, say, unsay } from "./ask.js";

const STEP = 60;

let keys = false;
let total = 0;
let state = { kind: "all", many: STEP };
let turn = 0; // what is asked for now; older answers are dropped

const lastPart = (path) => path.split(/[/\\]/).filter(Boolean).pop() || path;

const load = async () => {
  const mine = ++turn;
  const { kind, words, id, many } = state;
  try {
    let hits;
    let more;
    if (kind === "all") {
      const body = await ask(`/v1/pictures?offset=${state.offset || 0}&limit=${STEP}`);
      if (mine !== turn) return;
      total = body.total;
      hits = [...(state.hits || []), ...body.pictures];
      more = hits.length < total && body.pictures.length > 0;
      state.hits = hits;
    } else {
      const path = kind === "words" ? "/v1/search" : "/v1/similar";
      const body = await ask(path, { body: kind === "words" ? { texts: [words], top: many } : { id, top: many } });
      if (mine !== turn) return;
      hits = body.hits;
      more = hits.length === many && many < total;
    }
    unsay("gallery");
    show(hits, more);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine !== turn) return;
    unsay("server");
    const again = error.passing ? ["Try again", load] : undefined;
    say("gallery", error.message, again);
  }
};

const go = (next) => {
  state = { many: STEP, ...next };
  byId("more").hidden = true;
  return load();
};

const show = (hits, more) => {
  const { kind, words, name } = state;
  const all = kind === "all";
  byId("found").textContent =
    all ? counted(total, "picture")
    : hits.length === 0 ? "Nothing was found."
    : kind === "words" ? `Nearest to “${words}”`
    : `Like ${name}`;
  byId("all").hidden = all;
  byId("more").hidden = !more;
  const list = byId("tiles");
  const there = new Map([...list.children].map((item) => [item.id.slice(4), item]));
  list.replaceChildren(...hits.map((hit) => tile(hit, there.get(String(hit.id)))));
  settle();
};

const tile = (hit, before) => {
  const item = before || make("li");
  const name = lastPart(hit.path);
  if (!before) {
    item.id = `hit-${hit.id}`;
    const button = make("button", "tile");
    button.type = "button";
    const frame = make("span", "frame");
    const image = make("img");
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    frame.append(image);
    button.append(frame, make("span", "name", name), make("span", "facts muted small"), make("span", "like", "More like this"));
    button.children[1].dir = "auto";
    button.onclick = () => {
      scrollTo({ top: 0 });
      go({ kind: "similar", id: hit.id, name }).then(() => byId("tiles").querySelector("button")?.focus({ preventScroll: true }));
    };
    item.append(button);
    picture(image, hit.id);
  }
  const button = item.firstChild;
  const copies = hit.copies?.length ? counted(hit.copies.length, "copy").replace("copys", "copies") : "";
  const near = typeof hit.cosine === "number" ? hit.cosine.toFixed(3) : "";
  button.children[2].textContent = [near, copies].filter(Boolean).join(" · ") || " ";
  button.title = [hit.path, near && `cosine ${near}`, hit.width && `${hit.width} × ${hit.height}`, hit.taken]
    .filter(Boolean)
    .join("\n");
  button.setAttribute("aria-label", `${name}${near ? `, cosine ${near}` : ""}. More like this`);
  return item;
};

// A thumbnail. An <img> sends no key, so with keys it is fetched, when it comes near.
const picture = (image, id) => {
  const path = `/v1/pictures/${encodeURIComponent(id)}/thumbnail`;
  const fail = () => image.replaceWith(make("span", "muted small", "no thumbnail"));
  image.onerror = fail;
  image.onload = () => {
    image.classList.add("there");
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  };
  if (!keys) {
    image.src = path;
    return;
  }
  image.fetchNow = () =>
    ask(path, { as: "blob" }).then((blob) => (image.src = URL.createObjectURL(blob)), fail);
  near.observe(image);
};

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      target.fetchNow();
    }
  },
  { rootMargin: "300px" },
);

const settle = roving(byId("tiles"), ".tile");

export const start = (info) => {
  keys = info.keys;
  total = info.index.pictures;
  byId("search").onsubmit = (event) => {
    event.preventDefault();
    const words = byId("query").value.trim();
    go(words ? { kind: "words", words } : { kind: "all" });
  };
  byId("query").onsearch = () => byId("query").value || go({ kind: "all" });
  byId("all").onclick = () => {
    byId("query").value = "";
    go({ kind: "all" });
    byId("query").focus();
  };
  byId("more").onclick = () => {
    if (state.kind === "all") state.offset = state.hits.length;
    else state.many += STEP;
    load();
  };
  let opened = false;
  return {
    open() {
      if (!opened) go({ kind: "all" });
      opened = true;
    },
  };
};
