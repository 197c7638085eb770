/*
 * Draws nothing but the bar of the sheet: the form stays Streamlit's. What it says goes on the root element as
 * attributes (data-form-sheet, data-form-saving), which the page's style reads; React knows nothing of them.
 * Called again on every run of the script, so what it needs is replaced and the listeners are added once.
 */
const AFTER_MS = 1500;
const LOOK_MS = 150;
const PULL_PX = 24;
const BURST_MS = 400;
const mounted = new WeakMap();
const root = document.documentElement;
const CHOICES = "button[role=radio]";
const placed = (key) => document.querySelector(`.st-key-${CSS.escape(key)}`);
const inField = (node) =>
  node instanceof HTMLElement && (node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName));
const inDialog = () => document.querySelector("[role=dialog][aria-modal=true], [data-testid=stDialog]") !== null;

function runs() {
  const app = document.querySelector("[data-testid=stApp]");
  return app?.dataset.testScriptState !== "notRunning" || app?.dataset.testConnectionState !== "CONNECTED";
}

export default function render(component) {
  const parent = component.parentElement;
  const before = mounted.get(parent);
  if (before) {
    before.update(component.data);
    return before.stop;
  }
  let data = component.data;
  const bar = parent.querySelector("button");
  const status = parent.querySelector("[role=status]");
  /** What `done` was when the form was closed for an act; null while it is open. */
  let waitsFor = null;
  let quietSince = 0;
  let lastStoppedAt = 0;
  let pulledFrom = null;

  function sheet(open) {
    root.dataset.formSheet = open ? "open" : "closed";
    bar.setAttribute("aria-expanded", String(open));
    bar.querySelector("span").textContent = open ? "Back to the texts" : data.title;
  }

  function close(what) {
    waitsFor = data.done;
    quietSince = Date.now();
    root.dataset.formSaving = what;
    status.textContent = what === "submit" ? "Saving" : "One moment";
    // After the press itself has been heard by everybody.
    setTimeout(() => waitsFor !== null && placed(data.form)?.toggleAttribute("inert", true), 0);
  }

  function reopen() {
    waitsFor = null;
    delete root.dataset.formSaving;
    status.textContent = "";
    placed(data.form)?.toggleAttribute("inert", false);
  }

  // The server has not moved on though it is idle: the press was lost, or refused before it counted.
  function look() {
    if (waitsFor === null) return;
    if (runs()) quietSince = Date.now();
    else if (Date.now() - quietSince > AFTER_MS) reopen();
  }

  function submit() {
    const button = placed(data.submit)?.querySelector("button");
    if (!button || button.disabled) return;
    if (inField(document.activeElement)) document.activeElement.blur(); // hands its text to the server first
    button.click();
  }

  function choose(event) {
    const wanted = event.shiftKey ? `Shift+${/^Digit(\d)$/.exec(event.code)?.[1] ?? ""}` : event.key;
    for (const [row, keys] of Object.entries(data.rows)) {
      const place = keys.indexOf(wanted);
      const choice = place >= 0 && placed(row)?.querySelectorAll(CHOICES)[place];
      if (choice) {
        choice.click();
        return true;
      }
    }
    return false;
  }

  function stopped(event) {
    event.preventDefault();
    event.stopPropagation();
  }

  function onKey(event) {
    if (event.isComposing) return;
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    if (inDialog()) return;
    const writes = !modified && (event.key.length === 1 || event.key === "Enter");
    // What is typed now would be a key of the next item, and so would the rest of the same word.
    const rest = writes && !inField(event.target) && Date.now() - lastStoppedAt < BURST_MS;
    if (waitsFor !== null || rest) {
      if (writes) lastStoppedAt = Date.now();
      if (writes || event.key === "Enter") stopped(event);
      return;
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      stopped(event);
      if (!event.repeat) submit();
    } else if (!modified && !inField(event.target)) {
      const act = Object.entries(data.acts).find(([, key]) => key && key.toLowerCase() === event.key.toLowerCase());
      if (act && !event.shiftKey && placed(act[0])) close("act");
      else if (choose(event)) stopped(event);
    }
  }

  function onClick(event) {
    const pressed = (key) => event.target instanceof Element && event.target.closest(`.st-key-${CSS.escape(key)} button`);
    if (waitsFor !== null) return;
    if (pressed(data.submit)) close("submit");
    else if (Object.keys(data.acts).some(pressed)) close("act");
  }

  // The cursor in a folded form is a wish to see it.
  function onFocus(event) {
    if (event.target instanceof Element && event.target.closest(`.st-key-${CSS.escape(data.form)}`)) sheet(true);
  }

  function toTop() {
    for (const key of Object.keys(data.panes)) {
      const pane = placed(key);
      if (pane) pane.scrollTop = 0;
    }
    document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
  }

  function describe() {
    for (const [key, name] of Object.entries(data.panes)) {
      const pane = placed(key);
      if (!pane) continue;
      pane.tabIndex = 0;
      pane.setAttribute("role", "region");
      pane.setAttribute("aria-label", name);
    }
    for (const [row, keys] of Object.entries(data.rows)) {
      placed(row)?.querySelectorAll(CHOICES).forEach((button, place) => {
        if (keys[place]) button.title = `key ${keys[place]}`;
        if (keys[place]) button.setAttribute("aria-keyshortcuts", keys[place]);
      });
    }
  }

  function update(next) {
    const another = next.item !== data.item;
    data = next;
    if (waitsFor !== null && data.done > waitsFor) reopen();
    if (another) {
      sheet(false);
      toTop();
      setTimeout(toTop, 0); // once the next item's texts are drawn
    }
    if (data.open) sheet(true);
    setTimeout(describe, 0);
  }

  bar.addEventListener("click", () => sheet(root.dataset.formSheet !== "open"));
  bar.addEventListener("pointerdown", (event) => {
    pulledFrom = event.clientY;
    bar.setPointerCapture(event.pointerId);
  });
  bar.addEventListener("pointermove", (event) => {
    if (pulledFrom === null || Math.abs(event.clientY - pulledFrom) < PULL_PX) return;
    const open = event.clientY < pulledFrom;
    pulledFrom = null;
    if (open !== (root.dataset.formSheet === "open")) {
      sheet(open);
      // The click that ends the pull would undo it.
      bar.addEventListener("click", (end) => end.stopImmediatePropagation(), { once: true, capture: true });
    }
  });
  bar.addEventListener("pointerup", () => (pulledFrom = null));

  const looks = setInterval(look, LOOK_MS);
  const describes = setInterval(describe, AFTER_MS);
  window.addEventListener("keydown", onKey, true); // before the keys of draft_watch, which listens to the document
  document.addEventListener("click", onClick, true);
  document.addEventListener("focusin", onFocus, true);
  function stop() {
    clearInterval(looks);
    clearInterval(describes);
    window.removeEventListener("keydown", onKey, true);
    document.removeEventListener("click", onClick, true);
    document.removeEventListener("focusin", onFocus, true);
    reopen();
    delete root.dataset.formSheet;
    mounted.delete(parent);
  }
  mounted.set(parent, { update, stop });
  sheet(data.open);
  setTimeout(describe, 0);
  return stop;
}
