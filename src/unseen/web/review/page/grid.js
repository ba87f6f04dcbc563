// The sure pictures of one label, as many as fit the window: those that are wrong are marked, one
// key accepts the others. What could not be seen is not accepted.

import { counted, get, lastPart, pictureUrl, say } from "./ask.js";
import { make, ui } from "./elements.js";

const GAP = 10; // pixels between tiles, as the style has it
const LEAST = 2; // rows, where a window is very low
const MOST = 60; // pictures
const SIDES = ["17rem", "12.5rem", "9.5rem", "6.75rem"]; // of tiles, the last for phones alone
const NARROW = 600; // pixels, of a phone

export class Grid {
  // `accept(pictures, label)` and `wrong(pictures)` take them; `fail(failure)` says what went wrong;
  // `isOpen(id)`: whether nothing was decided here that the server may not know.
  constructor(on) {
    this.on = on;
    this.set = [];
    this.off = new Map(); // id → picture, marked as wrong on pages before
    ui.gridAccept.addEventListener("click", () => this.accept());
    ui.gridLabel.addEventListener("change", () => this.open(ui.gridLabel.value));
    ui.tiles.addEventListener("click", (event) => {
      const tile = event.target.closest("button");
      if (tile) this.toggle(tile);
    });
    ui.tiles.addEventListener("focusin", (event) => this.settle(event.target.closest("button")));
  }

  // Shows a label, or the one with the most sure pictures.
  async open(label) {
    try {
      const { labels } = await get("labels", { pile: "sure" });
      const marked = (name) => [...this.off.values()].filter((p) => p.proposed === name).length;
      const some = labels
        .map(({ name, open: sure }) => ({ name, sure: sure - marked(name) }))
        .filter((one) => one.sure > 0)
        .sort((a, b) => b.sure - a.sure);
      const here = some.find((one) => one.name === label) || some[0];
      ui.gridLabel.replaceChildren(
        ...some.map(({ name, sure }) => {
          const chosen = name === here?.name;
          return new Option(`${name} (${sure.toLocaleString("en")})`, name, chosen, chosen);
        }),
      );
      ui.gridLabel.disabled = !here;
      this.label = here?.name;
      await this.draw(here?.sure || 0);
    } catch (failure) {
      this.on.fail(failure);
    }
  }

  async draw(total) {
    const room = this.room(total);
    let fresh = [];
    if (this.label !== undefined) {
      const count = Math.min(100, room + this.off.size);
      const page = await get("pile", { label: this.label, pile: "sure", count });
      fresh = page.pictures.filter((p) => !this.off.has(p.id) && this.on.isOpen(p.id));
    }
    this.set = fresh.slice(0, room);
    ui.tiles.replaceChildren(...this.set.map((picture) => this.tile(picture)));
    this.settle();
    this.count(total);
    ui.tiles.querySelector("button")?.focus({ preventScroll: true });
    if (!this.set.length) ui.gridCount.textContent = "No sure picture is left to review.";
    say(ui.gridCount.textContent);
  }

  // How many tiles can be seen without scrolling; they are large where there are few.
  room(total) {
    const sides = innerWidth < NARROW ? SIDES.slice(-1) : SIDES.slice(0, -1);
    let room;
    for (const side of sides) {
      ui.tiles.style.setProperty("--side", side);
      room = this.fitting();
      if (room >= total) break;
    }
    return room;
  }

  fitting() {
    const style = getComputedStyle(ui.tiles);
    const columns = style.gridTemplateColumns.split(" ").length;
    const side = (ui.tiles.clientWidth + GAP) / columns;
    const high = innerHeight - ui.tiles.getBoundingClientRect().top - scrollY - GAP;
    return Math.min(MOST, columns * Math.max(LEAST, Math.floor(high / side)));
  }

  tile(picture) {
    const item = make("li");
    const tile = make("button", "tile");
    const image = make("img");
    const score = picture.ranking[0].score.toFixed(2);
    image.alt = "";
    image.src = pictureUrl(picture, "small");
    image.onload = () => {
      tile.classList.add("seen");
      this.count();
    };
    image.onerror = () => {
      image.replaceWith(make("span", "muted small", "cannot be shown"));
      this.count();
    };
    tile.picture = picture;
    tile.ariaPressed = "false";
    tile.tabIndex = -1;
    tile.title = picture.name;
    tile.setAttribute("aria-label", `wrong: ${lastPart(picture.name)}, ${score}`);
    tile.append(image, make("span", "score small", score));
    item.append(tile);
    return item;
  }

  get tiles() {
    return [...ui.tiles.querySelectorAll(".tile")];
  }

  // Those that a person has seen, and not marked.
  get right() {
    return this.tiles.filter((t) => t.classList.contains("seen") && t.ariaPressed === "false");
  }

  toggle(tile) {
    tile.ariaPressed = String(tile.ariaPressed === "false");
    this.count();
  }

  settle(tile) {
    const tiles = this.tiles;
    const one = tiles.includes(tile) ? tile : tiles[0];
    for (const each of tiles) each.tabIndex = each === one ? 0 : -1;
  }

  count(total = this.total) {
    this.total = total;
    const right = this.right.length;
    ui.gridAccept.disabled = !this.set.length;
    ui.gridAccept.firstElementChild.textContent = right
      ? `Accept ${right.toLocaleString("en")} as “${this.label}”`
      : "On";
    ui.gridCount.textContent = `${this.set.length} shown, ${counted(total, "picture")} in all`;
  }

  async accept() {
    if (!this.set.length || this.busy) return;
    const waiting = this.tiles.some((t) => t.querySelector("img") && !t.classList.contains("seen"));
    if (waiting) return say("The pictures are still loading.");
    this.busy = true;
    const right = this.right.map((tile) => tile.picture);
    const wrong = this.tiles.filter((t) => !this.right.includes(t)).map((tile) => tile.picture);
    for (const picture of wrong) this.off.set(picture.id, picture);
    const { label } = this;
    if (right.length) this.on.accept(right, label);
    if (wrong.length) this.on.wrong(wrong);
    await this.on.settled();
    await this.open(label);
    this.busy = false;
  }

  key(key, event) {
    const tiles = this.tiles;
    const here = tiles.indexOf(document.activeElement);
    if (key === "Enter" || key === "a") {
      if (document.activeElement === ui.gridLabel) return false;
      if (!event.repeat) this.accept();
      return true;
    }
    if (key === "x" && here >= 0) {
      this.toggle(tiles[here]);
      return true;
    }
    const across = getComputedStyle(ui.tiles).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key];
    if (!step || !tiles.length) return false;
    tiles[Math.max(0, Math.min(tiles.length - 1, Math.max(0, here) + step))].focus();
    return true;
  }
}
