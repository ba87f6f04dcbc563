// What every part of the page uses: frames, the status line, the key, and requests.

import { make, ui } from "./elements.js";

// A square for a picture, as the first thing in `parent`: its <img>, or why there is none.
export const framed = (parent, missing) => {
  const frame = make("span", "frame");
  const image = make("img");
  image.alt = "";
  image.decoding = "async";
  image.onerror = () => image.replaceWith(make("span", "muted small", missing));
  frame.append(image);
  parent.append(frame);
  return image;
};

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

// The item stored under a name; with a value, stores it. A browser may refuse: then null.
export const storedItem = (storage, name, value) => {
  try {
    if (value === undefined) return window[storage].getItem(name);
    window[storage].setItem(name, value);
  } catch {
    return null;
  }
};

// The place of the next element above or below: of a list the neighbour, of a grid the next row's.
const inColumn = (elements, here, step) => {
  const left = (i) => elements[i].getBoundingClientRect().left;
  let to = here + step;
  while (elements[to] && Math.abs(left(to) - left(here)) > 2) to += step;
  return elements[to] ? to : -1;
};

// One tab stop for many elements: arrows, Home and End go between them.
export const roving = (container, selector, onMove = () => {}) => {
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  const columns = { ArrowUp: -1, ArrowDown: 1 };
  const all = () => [...container.querySelectorAll(selector)];
  const settle = (chosen) => {
    const elements = all();
    const one = elements.includes(chosen) ? chosen : elements.find((e) => e.tabIndex === 0);
    for (const e of elements) e.tabIndex = e === (one || elements[0]) ? 0 : -1;
  };
  container.addEventListener("focusin", (event) => settle(event.target.closest(selector)));
  container.addEventListener("keydown", (event) => {
    const elements = all();
    const here = elements.indexOf(event.target);
    if (here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to =
      event.key === "Home" ? 0
      : event.key === "End" ? elements.length - 1
      : event.key in steps ? here + steps[event.key]
      : event.key in columns ? inColumn(elements, here, columns[event.key])
      : -1;
    if (to < 0 || to >= elements.length) return;
    event.preventDefault();
    elements[to].focus();
    onMove(elements[to]);
  });
  return settle;
};

export const tabs = (list, onChoose) => {
  const choose = (tab) => {
    for (const one of list.children) one.setAttribute("aria-selected", one === tab);
    settle(tab);
    onChoose(tab);
  };
  const settle = roving(list, "[role=tab]", choose);
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  settle();
  return choose;
};

const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text); // only where the page came over https or locally
    return true;
  } catch {
    const before = document.activeElement;
    const field = make("textarea", "offstage");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before?.focus();
    return done;
  }
};

// Copies what the button is for, and says so on it.
export const copied = async (button, text) => {
  const before = (button.dataset.says ||= button.textContent);
  const done = await copyText(text);
  button.textContent = done ? "Copied" : before;
  clearTimeout(button.waiting);
  button.waiting = setTimeout(() => (button.textContent = before), 1500);
  return done;
};

// The status line: one message for each reason

const messages = new Map();

const showStatus = () => {
  const last = [...messages.values()].pop();
  ui.status.hidden = last === undefined;
  if (last === undefined) return;
  ui.statusText.textContent = last.text;
  const button = ui.statusAction;
  button.hidden = !last.action;
  button.textContent = last.action ? last.action[0] : "";
  button.onclick = last.action ? last.action[1] : null;
};

export const unsay = (reason) => {
  if (messages.delete(reason)) showStatus();
};

export const say = (reason, text, action) => {
  messages.delete(reason);
  messages.set(reason, { text, action });
  showStatus();
};

let noteTimer;

export const note = (text) => {
  say("note", text);
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => unsay("note"), 4000);
};

// The key: asked for when it is missing, once for all that wait for it.

let key = storedItem("sessionStorage", "unseen-key");
let keyRequest = null;

export const hasKey = () => key !== null;

export const askForKey = () => {
  keyRequest ||= new Promise((resolve, reject) => {
    const dialog = ui.keyDialog;
    ui.keyWrong.hidden = key === null;
    ui.key.value = "";
    ui.keyLater.onclick = () => dialog.close();
    ui.keyForm.onsubmit = (event) => {
      event.preventDefault();
      key = ui.key.value.trim();
      storedItem("sessionStorage", "unseen-key", key);
      resolve();
      dialog.close();
    };
    dialog.onclose = () => {
      keyRequest = null;
      reject(new Problem(401, "This server asks for a key."));
    };
    dialog.showModal();
  });
  return keyRequest;
};

// Requests

const TRIES = 4;
const LONGEST_WAIT = 10; // seconds
const STARTING = "starting"; // the code of a server whose model is not there yet
const BUSY = [429, 503];

export class Problem extends Error {
  constructor(status, detail, code = "") {
    super(detail);
    this.status = status; // 0: no answer at all
    this.code = code;
  }

  // Nothing is wrong with the request: it can be sent again as it is.
  get passing() {
    return [0, 401, ...BUSY].includes(this.status);
  }
}

const attempt = async (path, { method, body, signal, as }) => {
  const headers = {};
  const form = body instanceof FormData;
  if (body && !form) headers["Content-Type"] = "application/json";
  const used = key;
  if (used !== null) headers.Authorization = `Bearer ${used}`;
  let response;
  try {
    response = await fetch(path, {
      method: method || (body ? "POST" : "GET"),
      headers,
      body: body && !form ? JSON.stringify(body) : body,
      signal,
      credentials: "omit",
    });
    if (response.ok) return { value: await response[as || "json"]() };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { problem: new Problem(0, "The server does not answer."), wait: 0 };
  }
  // Not JSON if a proxy answered.
  const { detail, code } = await response.json().catch(() => ({}));
  const text = typeof detail === "string" ? detail : `The server answered ${response.status}.`;
  const problem = new Problem(response.status, text, code);
  return { problem, used, wait: Number(response.headers.get("Retry-After")) };
};

// The answer, as JSON (or `as` "blob"). Tries again while the server is busy or away, and as long as
// it loads its model; throws a Problem.
export const ask = async (path, options = {}) => {
  for (let tries = 1; ; tries++) {
    const { value, problem, used, wait } = await attempt(path, options);
    unsay("waiting");
    if (!problem) return value;
    if (problem.status === 401) {
      if (used === key) await askForKey(); // else another request has just got a new one
    } else if (problem.code === STARTING || (problem.passing && tries < TRIES)) {
      const seconds = Math.min(LONGEST_WAIT, Math.max(1, wait || 2 ** (tries - 1)));
      const what = problem.status ? "The server is busy" : "The server does not answer";
      say("waiting", problem.code === STARTING
        ? "The server is loading the model…" : `${what}; trying again in ${seconds} s.`);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    } else {
      throw problem;
    }
  }
};
