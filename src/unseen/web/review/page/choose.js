// Find a label among all, or add one: a text field over a list.

import { make, ui } from "./elements.js";

const SHOWN = 50;

// "Épée " and "epee" are the same to somebody who looks for it.
const plain = (text) =>
  text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/\s+/g, " ").trim();

// The labels that fit what was typed: those that begin so, those with a word that does, the others.
const fitting = (names, typed) => {
  const query = plain(typed);
  if (!query) return names;
  const groups = [[], [], []];
  for (const name of names) {
    const at = ` ${plain(name)}`.indexOf(` ${query}`);
    if (at === 0) groups[0].push(name);
    else if (at > 0) groups[1].push(name);
    else if (plain(name).includes(query)) groups[2].push(name);
  }
  return groups.flat();
};

export class Chooser {
  // `choose(name, isNew)` is called with what was taken.
  constructor(choose) {
    this.choose = choose;
    this.names = [];
    this.at = 0;
    ui.query.addEventListener("input", () => this.draw());
    ui.query.addEventListener("keydown", (event) => this.key(event));
    ui.options.addEventListener("pointermove", (event) => {
      const option = event.target.closest("li");
      if (option) this.mark([...ui.options.children].indexOf(option), false);
    });
    ui.options.addEventListener("click", (event) => {
      if (event.target.closest("li")) this.take();
    });
    ui.choose.addEventListener("click", (event) => {
      if (event.target === ui.choose) ui.choose.close();
    });
  }

  open(names, first) {
    // What the model thinks likely stands above the others.
    this.names = [...new Set([...first, ...names])];
    ui.query.value = "";
    ui.choose.showModal();
    ui.query.focus();
    this.draw();
  }

  draw() {
    const typed = ui.query.value.split(/\s+/).filter(Boolean).join(" ");
    const names = fitting(this.names, typed);
    const isKnown = this.names.some((name) => plain(name) === plain(typed));
    this.offered = names.slice(0, SHOWN).map((name) => ({ name, text: name }));
    if (typed && !isKnown) {
      this.offered.push({ name: typed, text: `Add the label “${typed}”`, isNew: true });
    }
    ui.options.replaceChildren(
      ...this.offered.map(({ text, isNew }, i) => {
        const option = make("li", isNew ? "new" : "", text);
        option.id = `option${i}`;
        option.role = "option";
        return option;
      }),
    );
    const more = names.length - SHOWN;
    ui.optionsMore.textContent = more > 0 ? `and ${more.toLocaleString("en")} more: type on` : "";
    this.mark(0);
  }

  mark(to, scroll = true) {
    const options = [...ui.options.children];
    this.at = Math.max(0, Math.min(to, options.length - 1));
    options.forEach((option, i) => (option.ariaSelected = i === this.at));
    if (options.length) ui.query.setAttribute("aria-activedescendant", `option${this.at}`);
    else ui.query.removeAttribute("aria-activedescendant");
    if (scroll) options[this.at]?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.isComposing) return;
    if (event.key in steps) this.mark(this.at + steps[event.key]);
    else if (event.key === "Enter") this.take();
    else return;
    event.preventDefault();
  }

  take() {
    const taken = this.offered[this.at];
    if (!taken) return;
    ui.choose.close();
    this.choose(taken.name, Boolean(taken.isNew));
  }
}
