/*
 * No element of its own: it listens to the page's text area, which stays Streamlit's.
 * Called again on every run of the script, so what it needs is replaced and the listeners are added once.
 * What is typed stays in this browser's storage until the server says that it has it: when the line was cut,
 * Streamlit sends the box again once it is back, but not after the page was loaded anew.
 */
const PAUSE_MS = 500;
const AGAIN_MS = 1500;
const KEPT = "sarm-unsent:";
const mounted = new WeakMap();

function inField(node) {
  return node instanceof HTMLElement && (node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName));
}

// A browser may refuse storage (private windows, a full disk): then what is typed lives in the page alone.
function kept(item, text) {
  try {
    if (text === undefined) return localStorage.getItem(KEPT + item);
    if (text === null) localStorage.removeItem(KEPT + item);
    else localStorage.setItem(KEPT + item, text);
  } catch {}
  return null;
}

export default function render(component) {
  const parent = component.parentElement;
  const { item, saved } = component.data;
  let watch = mounted.get(parent);
  if (watch) {
    if (watch.component.data.item !== item) {
      // The server went on to another item, so it had what was typed for the last one.
      clearTimeout(watch.timer);
      kept(watch.component.data.item, null);
      watch.typed = false;
    }
    watch.component = component;
    setTimeout(watch.describe, 0);
    if (kept(item) === saved) kept(item, null);
    return watch.stop;
  }
  watch = { component, timer: 0, typed: false };
  mounted.set(parent, watch);

  const box = () => document.querySelector(`.st-key-${CSS.escape(watch.component.data.box)} textarea`);

  function send(text, found = false) {
    watch.component.setTriggerValue("typed", { item: watch.component.data.item, text, found });
  }

  function onInput(event) {
    if (event.target !== box()) return;
    clearTimeout(watch.timer);
    const { item } = watch.component.data;
    const text = event.target.value;
    watch.typed = true;
    kept(item, text);
    watch.timer = setTimeout(() => {
      if (item === watch.component.data.item) send(text);
    }, PAUSE_MS);
  }

  // Leaving the box reports its text anyway; a draft sent after that could come after the label itself.
  function onLeave(event) {
    if (event.target === box()) clearTimeout(watch.timer);
  }

  function onKey(event) {
    const target = box();
    if (!target) return;
    if (event.key === "Escape" && event.target === target) {
      target.blur();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      clearTimeout(watch.timer);
    } else if (event.key.toLowerCase() === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !inField(event.target)) {
      event.preventDefault();
      target.focus({ preventScroll: false });
    }
  }

  // A row of buttons of which one is chosen: to the eye by its colour, to a screen reader only like this.
  function describe() {
    const { group, group_name } = watch.component.data;
    const row = document.querySelector(`.st-key-${CSS.escape(group)}`);
    if (!row) return;
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", group_name);
    for (const button of row.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(/primary/i.test(button.dataset.testid ?? "")));
    }
  }

  const again = setInterval(describe, AGAIN_MS);

  document.addEventListener("input", onInput, true);
  document.addEventListener("focusout", onLeave, true);
  document.addEventListener("keydown", onKey, true);
  watch.describe = describe;
  setTimeout(describe, 0);
  watch.stop = () => {
    clearTimeout(watch.timer);
    clearInterval(again);
    document.removeEventListener("input", onInput, true);
    document.removeEventListener("focusout", onLeave, true);
    document.removeEventListener("keydown", onKey, true);
    mounted.delete(parent);
  };
  const before = kept(item);
  if (before === saved) kept(item, null);
  else if (before) setTimeout(() => item === watch.component.data.item && !watch.typed && send(before, true), 0);
  return watch.stop;
}
