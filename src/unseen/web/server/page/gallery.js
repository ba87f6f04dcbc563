// The pictures of the index: all of them, those that words find, those that are like one.

import { ask, framed, hasKey, Problem, roving, say, unsay } from "./ask.js";
import { make, ui } from "./elements.js";

const STEP = 60;

let total = 0;
let view = null; // what is looked at: all pictures, those for `words`, or those like `id`

const lastPart = (path) => path.split(/[/\\]/).filter(Boolean).pop() || path;

// The next pictures of a view. An answer that comes when there is another view is dropped.
const load = async () => {
  const mine = view;
  const { words, id, shown } = mine;
  const top = shown + STEP;
  ui.more.hidden = true;
  try {
    let hits;
    if (words) ({ hits } = await ask("/v1/search", { body: { texts: [words], top } }));
    else if (id !== undefined) ({ hits } = await ask("/v1/similar", { body: { id, top } }));
    else {
      const body = await ask(`/v1/pictures?offset=${shown}&limit=${STEP}`);
      ({ total } = body);
      hits = [...Array(shown), ...body.pictures];
    }
    if (mine !== view) return;
    unsay("gallery");
    show(hits);
    ui.more.hidden = hits.length < top || top >= total;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine !== view) return;
    say("gallery", error.message, error.passing ? ["Try again", load] : undefined);
  }
};

const go = (next) => {
  view = { shown: 0, ...next };
  return load();
};

const show = (hits) => {
  const { words, id, name, shown } = view;
  const all = !words && id === undefined;
  ui.results.textContent =
    all ? `${total.toLocaleString("en")} ${total === 1 ? "picture" : "pictures"}`
    : hits.length === 0 ? "Nothing was found."
    : words ? `Nearest to “${words}”`
    : `Like ${name}`;
  ui.all.hidden = all;
  if (shown === 0) ui.tiles.replaceChildren();
  ui.tiles.append(...hits.slice(shown).map(tile));
  view.shown = hits.length;
  settle();
};

const tile = ({ id, path, copies, cosine, width, height, taken }) => {
  const item = make("li");
  const name = lastPart(path);
  const near = typeof cosine === "number" ? cosine.toFixed(3) : "";
  const others = copies?.length ? `${copies.length + 1} copies` : "";
  const button = make("button", "tile");
  const image = framed(button, "no thumbnail");
  image.loading = "lazy";
  const named = make("span", "", name);
  named.dir = "auto";
  const facts = make("span", "muted small", [near, others].filter(Boolean).join(" · "));
  button.append(named, facts, make("span", "like", "More like this"));
  button.title = [path, near && `cosine ${near}`, width && `${width} × ${height}`, taken]
    .filter(Boolean)
    .join("\n");
  button.onclick = async () => {
    await go({ id, name });
    scrollTo({ top: 0 });
    ui.tiles.querySelector("button")?.focus({ preventScroll: true });
  };
  item.append(button);
  loadThumbnail(image, `/v1/pictures/${encodeURIComponent(id)}/thumbnail`);
  return item;
};

// An <img> sends no key, so where there is one the picture is fetched.
const loadThumbnail = async (image, path) => {
  if (!hasKey()) {
    image.src = path;
    return;
  }
  try {
    image.src = URL.createObjectURL(await ask(path, { as: "blob" }));
    image.onload = () => URL.revokeObjectURL(image.src);
  } catch {
    image.onerror();
  }
};

const settle = roving(ui.tiles, ".tile");

export const start = (info) => {
  total = info.index.pictures;
  ui.search.onsubmit = (event) => {
    event.preventDefault();
    go({ words: ui.query.value.trim() });
  };
  ui.query.onsearch = () => ui.query.value || go();
  ui.all.onclick = () => {
    ui.query.value = "";
    go();
    ui.query.focus();
  };
  ui.more.onclick = load;
  return { open: () => view || go() };
};
