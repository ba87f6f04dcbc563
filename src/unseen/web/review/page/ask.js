// What every part of the page uses: requests, the status line, commands to copy.

import { make, ui } from "./elements.js";

// A request that was not answered as wished: `status` is 0 where nobody answered.
export class Failure extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
  // Whether the same may be answered later.
  get passing() {
    return this.status === 0 || this.status >= 500;
  }
}

const PATIENCE = 30000; // milliseconds for an answer

const ask = async (path, options) => {
  let response;
  try {
    response = await fetch(`/api/${path}`, { ...options, signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    throw new Failure(0, "no_answer", "The server does not answer.");
  }
  let content;
  try {
    content = await response.json();
  } catch {
    throw new Failure(response.ok ? 0 : response.status, "no_json", "The answer was cut short.");
  }
  if (!response.ok) throw new Failure(response.status, content.code, content.detail);
  return content;
};

export const get = (path, query = {}) => ask(`${path}?${new URLSearchParams(query)}`);

export const post = (path, content) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Unseen-Review": "1" },
    body: JSON.stringify(content),
  });

export const pictureUrl = (picture, size) => `/api/picture/${picture.id}?size=${size}`;

export const lastPart = (name) => name.split("/").pop();

export const counted = (many, what) =>
  `${many.toLocaleString("en")} ${what}${many === 1 ? "" : "s"}`;

// For screen readers alone.
export const say = (text) => (ui.live.textContent = text);

let hiding;

// A line at the bottom for a while; with an action, until it is used or another line comes.
export const tell = (text, action, act) => {
  clearTimeout(hiding);
  ui.statusText.textContent = text;
  ui.statusAction.hidden = !action;
  ui.statusAction.textContent = action || "";
  ui.statusAction.onclick = () => {
    ui.status.hidden = true;
    act();
  };
  ui.status.hidden = false;
  hiding = setTimeout(() => (ui.status.hidden = true), action ? 15000 : 6000);
};

export const copyable = (command) => {
  const row = make("div", "command");
  const code = make("code", "", command);
  const button = make("button", "action", "Copy");
  button.setAttribute("aria-label", `Copy: ${command}`);
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl C";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  row.append(code, button);
  return row;
};
