// ui.stage is the element with that id.
export const ui = new Proxy({}, { get: (_, id) => document.getElementById(id) });

// Text is only ever text: the policy of the page refuses everything else.
export const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  if (tag === "button") element.type = "button";
  return element;
};
