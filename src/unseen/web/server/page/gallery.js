// The pictures of the index: all of them, those that words find, those that are like one.

import { ask, copied, framed, hasKey, Problem, roving, say, unsay } from "./ask.js";
import { make, ui } from "./elements.js";

const STEP = 60;
const TYPING = 250; // ms from a letter to the search
const LEAST_BAR = 0.04; // of its length: the last picture has one, too

let total = 0;
let view = null; // what is looked at: all pictures, those for `words`, or those like `id`
let classify = null; // takes a picture to the other view

const lastPart = (path) => path.split(/[/\\]/).filter(Boolean).pop() || path;

// The next pictures of a view. An answer that comes when there is another view is dropped.
const load = async () => {
  const mine = view;
  const { words, id, shown, where, control: { signal } } = mine;
  const top = shown + STEP;
  const body = { top, ...(where.length && { where }) };
  ui.more.hidden = true;
  try {
    let hits;
    if (words) ({ hits } = await ask("/v1/search", { body: { texts: [words], ...body }, signal }));
    else if (id !== undefined) ({ hits } = await ask("/v1/similar", { body: { id, ...body }, signal }));
    else {
      const filters = where.map((one) => `&where=${encodeURIComponent(one)}`).join("");
      const page = await ask(`/v1/pictures?offset=${shown}&limit=${STEP}${filters}`, { signal });
      ({ total } = page);
      hits = [...Array(shown), ...page.pictures];
    }
    if (mine !== view) return;
    unsay("gallery");
    show(hits);
    ui.more.hidden = hits.length < top || top >= total;
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (mine !== view) return;
    say("gallery", error.message, error.passing ? ["Try again", load] : undefined);
  }
};

const conditions = () => ui.where.value.split(",").map((one) => one.trim()).filter(Boolean);

const go = (next) => {
  view?.control.abort();
  view = { shown: 0, where: conditions(), control: new AbortController(), ...next };
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
  if (shown === 0) {
    ui.tiles.replaceChildren();
    // A cosine means nothing to people: a bar says how near, from the first hit to the last of these.
    view.range = [hits.at(-1)?.cosine, hits[0]?.cosine];
  }
  ui.tiles.append(...hits.slice(shown).map(tile));
  view.shown = hits.length;
  settle();
};

const nearness = (cosine) => {
  const [low, high] = view.range;
  return Math.max(LEAST_BAR, high > low ? (cosine - low) / (high - low) : 1);
};

const tile = (hit) => {
  const { id, path, copies, cosine } = hit;
  const item = make("li");
  const button = make("button", "tile");
  const image = framed(button, "no thumbnail");
  image.loading = "lazy";
  const named = make("span", "", lastPart(path));
  named.dir = "auto";
  button.append(named);
  if (typeof cosine === "number") {
    const near = make("span", "near");
    near.append(make("b"));
    near.firstChild.style.width = `${100 * nearness(cosine)}%`;
    button.append(near);
  }
  if (copies?.length) button.append(make("span", "muted small", `${copies.length + 1} copies`));
  button.title = facts(hit).join("\n");
  button.hit = hit;
  button.onclick = () => look(button);
  item.append(button);
  loadPicture(image, thumbnail(id));
  return item;
};

const facts = ({ path, cosine, width, height, taken, label, metadata }) =>
  [
    path,
    typeof cosine === "number" && `cosine ${cosine.toFixed(3)}`,
    width && `${width} × ${height}`,
    taken,
    label,
    ...Object.entries(metadata ?? {}).map(([name, value]) => `${name}=${value}`),
  ].filter(Boolean);

const thumbnail = (id, large) =>
  `/v1/pictures/${encodeURIComponent(id)}/thumbnail${large ? "?large=1" : ""}`;

// An <img> sends no key, so where there is one the picture is fetched.
const loadPicture = async (image, path) => {
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

// One picture, large

let looked = null; // its tile

const beside = (by) => {
  const all = [...ui.tiles.querySelectorAll(".tile")];
  return all[all.indexOf(looked) + by];
};

const look = (button) => {
  looked = button;
  const { id, path } = button.hit;
  ui.viewerFrame.replaceChildren();
  const image = framed(ui.viewerFrame, "It cannot be read any more.");
  image.alt = path;
  loadPicture(image, thumbnail(id, true));
  ui.viewerName.textContent = lastPart(path);
  ui.viewerFacts.textContent = facts(button.hit).join(" · ");
  ui.viewerBefore.disabled = !beside(-1);
  ui.viewerNext.disabled = !beside(1);
  if (!ui.viewer.open) ui.viewer.showModal();
};

const step = (by) => beside(by) && look(beside(by));

const startViewer = () => {
  ui.viewerBefore.onclick = () => step(-1);
  ui.viewerNext.onclick = () => step(1);
  ui.viewer.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) step(by);
  };
  ui.viewer.onclick = (event) => event.target === ui.viewer && ui.viewer.close();
  ui.viewer.onclose = () => looked?.isConnected && looked.focus();
  ui.viewerClose.onclick = () => ui.viewer.close();
  ui.viewerCopy.onclick = () => copied(ui.viewerCopy, looked.hit.path);
  ui.viewerLike.onclick = async () => {
    const { id, path } = looked.hit;
    ui.viewer.close();
    ui.query.value = "";
    await go({ id, name: lastPart(path) });
    scrollTo({ top: 0 });
    ui.tiles.querySelector("button")?.focus({ preventScroll: true });
  };
  ui.viewerClassify.onclick = () => {
    const { id, path } = looked.hit;
    looked = null;
    ui.viewer.close();
    classify(lastPart(path), () => ask(thumbnail(id, true), { as: "blob" }));
  };
};

export const start = (info, onClassify) => {
  total = info.index.pictures;
  classify = onClassify;
  let timer;
  const search = () => {
    clearTimeout(timer);
    const words = ui.query.value.trim();
    const isOther = words !== (view?.words ?? "") || view?.where.join() !== conditions().join();
    if (isOther || view.id !== undefined) go(words ? { words } : {});
  };
  ui.search.onsubmit = (event) => {
    event.preventDefault();
    search();
  };
  ui.where.hidden = !info.index.filters;
  ui.where.onchange = search;
  ui.query.oninput = (event) => {
    clearTimeout(timer);
    if (!event.isComposing) timer = setTimeout(search, TYPING);
  };
  ui.all.onclick = () => {
    ui.query.value = "";
    go();
    ui.query.focus();
  };
  ui.more.onclick = load;
  startViewer();
  return { open: () => view || go() };
};
