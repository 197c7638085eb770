/*
 * Small builders for the page. Text that came from models and files only ever passes through textContent
 * and setAttribute: nothing here parses HTML.
 */

/** An element with a class, properties and children. */
export function make(tag, className, properties = {}, children = []) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

const ICONS = {
  undo: "M6 3 2.5 6.5 6 10M3 6.5h6.5a4 4 0 0 1 0 8H7",
  redo: "m10 3 3.5 3.5L10 10m3-3.5H6.5a4 4 0 0 0 0 8H9",
  reset: "M3 8a5 5 0 1 0 1.6-3.7M3 2.6v3.2h3.2",
  remove: "m4 4 8 8m0-8-8 8",
  up: "M8 12.5v-9M4.2 7.2 8 3.4l3.8 3.8",
  down: "M8 3.5v9M4.2 8.8 8 12.6l3.8-3.8",
  add: "M8 3.5v9M3.5 8h9",
  grip: "M6 3.5h.01M10 3.5h.01M6 8h.01M10 8h.01M6 12.5h.01M10 12.5h.01",
};

/** A 16 px line drawing in the text's colour; decorative, so the button around it carries the name. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onclick) {
  return make("button", "icon-button", { type: "button", title: label, "aria-label": label, onclick }, [icon(name)]);
}

/** What a press on a feature's name does: its card, where the page has cards, else `otherwise`. */
export function openCard(feature, otherwise) {
  return (event) => {
    const options = { bubbles: true, composed: true, cancelable: true, detail: { feature } };
    if (event.currentTarget.dispatchEvent(new CustomEvent("sarm-card", options))) otherwise();
  };
}

/** Write text only where it changed: most of a frame's text did not. */
export function setText(node, text) {
  if (node.shownText === text) return;
  node.shownText = text;
  node.textContent = text;
}

export function setAttribute(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setTitle(node, text) {
  if (node.shownTitle === text) return;
  node.shownTitle = text;
  node.title = text;
}

export function setStyle(node, name, value) {
  const shown = (node.shownStyles ??= new Map());
  if (shown.get(name) === value) return;
  shown.set(name, value);
  node.style.setProperty(name, value);
}

/** Bring the children of `parent` into the order of `nodes`, moving few of them and keeping the focus. */
export function arrange(parent, nodes) {
  const focused = parent.getRootNode().activeElement;
  const keep = new Set(nodes);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let next = null;
  for (let i = nodes.length - 1; i >= 0; i -= 1) {
    if (nodes[i].parentNode !== parent || nodes[i].nextSibling !== next) parent.insertBefore(nodes[i], next);
    next = nodes[i];
  }
  if (focused && parent.contains(focused)) focused.focus({ preventScroll: true });
}

/** Bring what was asked for into sight, below Streamlit's own bar. */
export function reveal(key) {
  const place = key && document.querySelector(`.st-key-${CSS.escape(key)}`);
  if (!place) return;
  place.style.scrollMarginTop = "4.5rem";
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  place.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}
