// What was decided and is not saved yet: kept in this browser, sent in order, and sent again until
// the server has said that it is saved. To send twice does no harm: the server knows its state.

import { Failure, get, post } from "./ask.js";

const MOST = 100; // decisions of a request
const WAITS = [500, 1000, 2000, 4000, 8000];

export class Outbox {
  // `on.result(operation, result)`, `on.status(status)`, `on.change(state)`; an operation is
  // {kind: "decide", id, verdict, label, before}, {kind: "undo", id} or {kind: "label", name}.
  constructor(labelling, on) {
    this.on = on;
    this.operations = [];
    this.state = "saved"; // saving, unreachable, ended
    this.prefix = `unseen-review ${labelling} `;
    this.key = this.prefix + Math.random();
    this.sending = 0; // operations that are on their way
    this.failures = 0;
    // Held for as long as this page lives: what other pages left is taken over, not what is theirs.
    navigator.locks?.request(this.key, () => new Promise(() => {}));
    addEventListener("beforeunload", (event) => {
      if (this.operations.length) event.preventDefault();
    });
    for (const what of ["online", "focus"]) addEventListener(what, () => this.now());
  }

  // What pages that are gone could not send.
  async adopt() {
    const { held = [] } = (await navigator.locks?.query()) || {};
    const alive = new Set(held.map((lock) => lock.name));
    const left = [];
    try {
      for (const key of Object.keys(localStorage)) {
        if (!key.startsWith(this.prefix) || key === this.key || alive.has(key)) continue;
        left.push(...JSON.parse(localStorage.getItem(key)));
        localStorage.removeItem(key);
      }
    } catch {
      // storage is refused: there is nothing to adopt
    }
    if (left.length) this.add(...left);
    return left.length;
  }

  add(...operations) {
    this.operations.push(...operations);
    this.keep();
    this.change(this.state === "saved" ? "saving" : this.state);
    if (!this.sending && this.state !== "ended" && !this.waiting) this.send();
  }

  // Takes back what is not on its way yet: whether that could be done.
  withdraw(matches) {
    const at = this.operations.findLastIndex(matches);
    if (at < this.sending || at !== this.operations.length - 1) return false;
    this.operations.pop();
    this.keep();
    this.change(this.operations.length ? this.state : "saved");
    return true;
  }

  // Tries at once.
  now() {
    if (!this.operations.length || this.sending) return;
    clearTimeout(this.waiting);
    this.waiting = undefined;
    this.send();
  }

  keep() {
    try {
      if (this.operations.length) localStorage.setItem(this.key, JSON.stringify(this.operations));
      else localStorage.removeItem(this.key);
    } catch {
      // storage is full or refused: what is open stays in memory
    }
  }

  change(state) {
    this.state = state;
    this.on.change(state, this.operations.length);
  }

  async send() {
    const [first] = this.operations;
    if (!first) return this.change("saved");
    let some = [first];
    if (first.kind === "decide") {
      const end = this.operations.findIndex((one) => one.kind !== "decide");
      some = this.operations.slice(0, Math.min(end < 0 ? MOST : end, MOST));
    }
    this.sending = some.length;
    let results;
    try {
      results = await this.ask(some);
    } catch (failure) {
      this.sending = 0;
      if (!(failure instanceof Failure)) throw failure;
      if (failure.code === "unknown_token") return this.change("ended");
      if (failure.passing) return this.later();
      results = some.map(() => ({ saved: false, problem: { detail: failure.message } }));
    }
    this.sending = 0;
    this.failures = 0;
    this.operations.splice(0, some.length);
    this.keep();
    some.forEach((one, i) => this.on.result(one, results[i]));
    this.change(this.operations.length ? "saving" : "saved");
    if (this.operations.length) this.send();
  }

  async ask(some) {
    const [first] = some;
    if (first.kind === "decide") {
      const decisions = some.map(({ kind, ...one }) => one);
      const { results, status } = await post("decide", { decisions });
      this.on.status(status);
      return results;
    }
    if (first.kind === "label") {
      await post("labels", { name: first.name });
      return [{ saved: true }];
    }
    const { status, picture } = await post("undo", { id: first.id });
    this.on.status(status);
    return [{ saved: true, picture }];
  }

  later() {
    const wait = WAITS[Math.min(this.failures++, WAITS.length - 1)];
    this.change("unreachable");
    this.waiting = setTimeout(() => this.now(), wait);
  }
}

export const status = () => get("status");
