/*
 * No element of its own: it listens to the page's text area, which stays Streamlit's.
 * Called again on every run of the script, so what it needs is replaced and the listeners are added once.
 */
const PAUSE_MS = 500;
const mounted = new WeakMap();

function inField(node) {
  return node instanceof HTMLElement && (node.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(node.tagName));
}

export default function render(component) {
  const parent = component.parentElement;
  let watch = mounted.get(parent);
  if (watch) {
    if (watch.component.data.item !== component.data.item) clearTimeout(watch.timer);
    watch.component = component;
    return watch.stop;
  }
  watch = { component, timer: 0 };
  mounted.set(parent, watch);

  const box = () => document.querySelector(`.st-key-${CSS.escape(watch.component.data.box)} textarea`);

  function onInput(event) {
    if (event.target !== box()) return;
    clearTimeout(watch.timer);
    const { item } = watch.component.data;
    const text = event.target.value;
    watch.timer = setTimeout(() => {
      if (item === watch.component.data.item) watch.component.setTriggerValue("typed", { item, text });
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

  document.addEventListener("input", onInput, true);
  document.addEventListener("focusout", onLeave, true);
  document.addEventListener("keydown", onKey, true);
  watch.stop = () => {
    clearTimeout(watch.timer);
    document.removeEventListener("input", onInput, true);
    document.removeEventListener("focusout", onLeave, true);
    document.removeEventListener("keydown", onKey, true);
    mounted.delete(parent);
  };
  return watch.stop;
}
