// What every part of the page uses: elements, the status line, the key, and requests.

export const byId = (id) => document.getElementById(id);

// Text is only ever text: the policy of the page refuses everything else.
export const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

export const counted = (many, what) =>
  `${many.toLocaleString("en")} ${what}${many === 1 ? "" : "s"}`;

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

// A browser may refuse storage; then nothing is remembered.
export const remembered = (storage, name) => {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
};

export const remember = (storage, name, value) => {
  try {
    window[storage].setItem(name, value);
  } catch {
    // as above
  }
};

// One tab stop for many elements: arrows, Home and End go between them.
export const roving = (container, selector, onMove = () => {}) => {
  const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
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
    for (const one of list.children) one.setAttribute("aria-selected", String(one === tab));
    settle(tab);
    onChoose(tab);
  };
  const settle = roving(list, "[role=tab]", choose);
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  return choose;
};

export const copyText = async (text) => {
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

// The status line: what is said for a reason stands until that reason is gone.

const said = new Map();

const showStatus = () => {
  const last = [...said.values()].pop();
  byId("status").hidden = last === undefined;
  if (last === undefined) return;
  byId("status-text").textContent = last.text;
  const button = byId("status-action");
  button.hidden = !last.action;
  button.textContent = last.action ? last.action[0] : "";
  button.onclick = last.action ? last.action[1] : null;
};

export const unsay = (reason) => {
  if (said.delete(reason)) showStatus();
};

export const say = (reason, text, action) => {
  said.delete(reason);
  said.set(reason, { text, action });
  showStatus();
};

let noteTimer;

export const note = (text) => {
  say("note", text);
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => unsay("note"), 4000);
};

// The key: asked for when it is missing, once for all that wait for it.

let key = remembered("sessionStorage", "unseen-key");
let asked = null;

export const needsKey = () => key === null;

export const askForKey = () => {
  asked ||= new Promise((resolve, reject) => {
    const dialog = byId("key-dialog");
    byId("key-wrong").hidden = key === null;
    byId("key").value = "";
    byId("key-later").onclick = () => dialog.close();
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      key = byId("key").value.trim();
      remember("sessionStorage", "unseen-key", key);
      resolve();
      dialog.close();
    };
    dialog.onclose = () => {
      asked = null;
      reject(new Problem(401, "This server asks for a key."));
    };
    dialog.showModal();
  });
  return asked;
};

// Requests

const TRIES = 4;
const LONGEST_WAIT = 10; // seconds
const BUSY = [429, 503];

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status; // 0: no answer at all
  }

  // Nothing is wrong with what was asked: it can be asked again as it is.
  get passing() {
    return [0, 401, ...BUSY].includes(this.status);
  }
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

const problemOf = async (response) => {
  let detail = `The server answered ${response.status} ${response.statusText}`.trim() + ".";
  try {
    const problem = await response.json();
    if (typeof problem.detail === "string") detail = problem.detail;
  } catch {
    // not JSON: something between us and the server said it
  }
  return new Problem(response.status, detail);
};

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
  const problem = await problemOf(response);
  return { problem, used, wait: Number(response.headers.get("Retry-After")) };
};

// The answer, as JSON (or `as` "blob"). Waits where the server is busy or away, for a while; then,
// and for everything else that is wrong, throws a Problem.
export const ask = async (path, options = {}) => {
  for (let tries = 1; ; tries++) {
    const { value, problem, used, wait } = await attempt(path, options);
    if (!problem) {
      unsay("server");
      return value;
    }
    if (problem.status === 401) {
      if (used === key) await askForKey(); // else another request has just got a new one
    } else if (problem.passing && tries < TRIES) {
      const seconds = Math.min(LONGEST_WAIT, Math.max(1, wait || 2 ** (tries - 1)));
      const what = problem.status ? "The server is busy" : "The server does not answer";
      say("server", `${what}; trying again in ${seconds} s.`);
      await pause(seconds, options.signal);
    } else {
      throw problem;
    }
  }
};
