"use strict";

// Data is shown by textContent alone; the policy of the page refuses everything else.

const byId = (id) => document.getElementById(id);

const read = (id) => JSON.parse(byId(id).textContent);

const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

const counted = (many, what) => `${many.toLocaleString("en")} ${what}${many === 1 ? "" : "s"}`;

// What a person looks at first in a path.
const lastPart = (name) => name.split(/[/\\]/).filter(Boolean).pop() || name;

// The address of a file on this machine, or null: nothing is ever loaded from another one.
const localFile = (href) => {
  if (href === null) return null;
  try {
    const url = new URL(href, document.baseURI);
    return url.protocol === "file:" && url.host === "" ? url.href : null;
  } catch {
    return null;
  }
};

const setLink = (anchor, href) => {
  anchor.hidden = href === null;
  if (href === null) anchor.removeAttribute("href");
  else anchor.setAttribute("href", href);
};

const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", "offstage");
    field.value = text;
    (document.querySelector("dialog[open]") || document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
};

const sayCopied = async (button, text) => {
  const before = button.dataset.says || (button.dataset.says = button.textContent);
  button.textContent = (await copyText(text)) ? "Copied" : "Not allowed";
  clearTimeout(button.waiting);
  button.waiting = setTimeout(() => (button.textContent = before), 1500);
};

// Shows `quick` at once, and the file itself in its place when the browser can read it.
const showPicture = (image, quick, href) => {
  clearTimeout(image.waiting);
  image.hidden = quick === null;
  if (quick === null) image.removeAttribute("src");
  else image.src = quick;
  const file = localFile(href);
  if (file === null) return;
  const request = (image.request = {});
  image.waiting = setTimeout(() => {
    const full = new Image();
    full.onload = () => {
      if (image.request !== request) return;
      image.src = full.src;
      image.hidden = false;
      image.dispatchEvent(new Event("arrived"));
    };
    full.src = file;
  }, 120); // not for each picture that an arrow key passes
};
