// The pictures: those that were shown, in order, and those that come next, fetched ahead.

import { get, pictureUrl } from "./ask.js";

const AHEAD = 8; // pictures that are known before they are needed
const READY = 4; // of these, decoded
const WITHOUT = 100; // ids of a request

export class Deck {
  constructor() {
    this.trail = [];
    this.at = -1;
    this.queue = [];
    this.over = false; // whether the server has no more than what is here
    this.images = new Map();
  }

  get current() {
    return this.trail[this.at];
  }

  // The picture of that id, if it is here.
  find(id) {
    return this.trail.find((p) => p.id === id) || this.queue.find((p) => p.id === id);
  }

  // On to the first that is not decided: in the trail, else a new one. False: there is none here.
  advance() {
    const open = (from) => this.trail.findIndex((p, i) => i >= from && !p.verdict);
    let to = open(this.at + 1);
    if (to < 0 && this.queue.length) to = this.trail.push(this.queue.shift()) - 1;
    if (to < 0 && this.over) to = open(0);
    this.at = to < 0 ? this.trail.length : to;
    return to >= 0;
  }

  // One step, whatever is there.
  step(by) {
    if (this.at + by < 0) return false;
    if (this.at + by < this.trail.length) {
      this.at += by;
      return true;
    }
    if (by > 0 && this.queue.length) {
      this.at = this.trail.push(this.queue.shift()) - 1;
      return true;
    }
    return false;
  }

  // Shows a picture, wherever it was; one that is new comes after the present one.
  visit(picture) {
    let to = this.trail.findIndex((p) => p.id === picture.id);
    if (to < 0) {
      this.queue = this.queue.filter((p) => p.id !== picture.id);
      to = Math.min(this.at + 1, this.trail.length);
      this.trail.splice(to, 0, picture);
    }
    this.at = to;
    return this.current;
  }

  // These come next.
  push(pictures) {
    const ids = new Set(pictures.map((p) => p.id));
    const shown = new Set(this.trail.map((p) => p.id));
    this.queue = [
      ...pictures.filter((p) => !shown.has(p.id)),
      ...this.queue.filter((p) => !ids.has(p.id)),
    ];
  }

  // Decided in another window, or in the grid.
  drop(id) {
    this.queue = this.queue.filter((p) => p.id !== id);
  }

  // What was to come next was proposed by what knew less.
  forget() {
    this.queue = [];
    this.over = false;
  }

  // Sees to it that enough pictures are known. Raises Failure.
  async fill(pending = []) {
    if (this.queue.length >= AHEAD || this.filling) return this.filling;
    this.filling = this.fetch(pending).finally(() => (this.filling = undefined));
    return this.filling;
  }

  async fetch(pending) {
    const open = this.trail.filter((p) => !p.verdict).map((p) => p.id);
    const here = [...pending, ...this.queue.map((p) => p.id), ...open.reverse()];
    const without = [...new Set(here)].slice(0, WITHOUT).join();
    const { pictures } = await get("next", { count: AHEAD * 2, without });
    const known = new Set([...this.trail, ...this.queue].map((p) => p.id));
    const fresh = pictures.filter((p) => !known.has(p.id));
    this.over = fresh.length === 0;
    this.queue.push(...fresh);
  }

  // The image of a picture, loading or loaded; those of the next pictures are begun.
  image(picture) {
    const coming = [picture, ...this.trail.slice(this.at + 1, this.at + 2), ...this.queue];
    const images = new Map();
    for (const one of coming.slice(0, READY + 1)) {
      images.set(one.id, this.images.get(one.id) || begun(one));
    }
    for (const one of this.trail.slice(Math.max(0, this.at - 2), this.at)) {
      if (this.images.has(one.id)) images.set(one.id, this.images.get(one.id));
    }
    this.images = images;
    return images.get(picture.id);
  }
}

const begun = (picture) => {
  const image = new Image();
  image.src = pictureUrl(picture, "page");
  image.arrived = image.decode().then(
    () => true,
    () => false,
  );
  return image;
};
