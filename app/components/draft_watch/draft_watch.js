/*
 * No element of its own: it listens to the page's text boxes, which stay Streamlit's.
 * Called again on every run of the script, so what it needs is replaced and the listeners are added once.
 * What is typed stays in this browser's storage until the server says that it has it: when the line was cut,
 * Streamlit sends the box again once it is back, but not after the page was loaded anew.
 */
const PAUSE_MS = 500;
const AGAIN_MS = 1500;
const UNHEARD_MS = 4000;
const MOST_TOLD = 5;
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

function field(key) {
  const place = key && `.st-key-${CSS.escape(key)}`;
  return place ? document.querySelector(`${place} textarea, ${place} input`) : null;
}

const same = (one, other) => one !== null && one !== undefined && one.trim() === other.trim();

export default function render(component) {
  const parent = component.parentElement;
  const before = mounted.get(parent);
  if (before) {
    before.update(component);
    return before.stop;
  }
  let data = component.data;
  let timer = 0;
  /** What was typed into the boxes since they are on the page, by item. */
  const typed = new Map();
  let lastActAt = 0;
  let timesTold = 0;
  /** The items that were looked at: what their box held already, and what an earlier page kept of them. */
  const met = new Set();
  /** What was given to the server and is not in its box yet, by item: when, and how often. */
  const given = new Map();

  const boxOf = (node) => (inField(node) ? data.boxes.find((box) => field(box.key) === node) : undefined);

  function tell() {
    const texts = {};
    for (const { item, saved } of data.boxes) {
      if (typed.has(item) && typed.get(item) !== saved) texts[item] = typed.get(item);
    }
    // While a form is being sent (form_dock) its words are on their way.
    if (!Object.keys(texts).length || document.documentElement.dataset.formSaving) return;
    component.setTriggerValue("typed", { typed: texts });
    lastActAt = Date.now();
    timesTold += 1;
  }

  // `saved` is the server's receipt: what has none after a while, a message that was lost for instance, is told again.
  function tellAgain() {
    if (data.tells && timesTold < MOST_TOLD && Date.now() - lastActAt > UNHEARD_MS) tell();
  }

  function heard(item, text) {
    typed.set(item, text);
    kept(item, text);
    lastActAt = Date.now();
    timesTold = 0;
    clearTimeout(timer);
    if (data.tells) timer = setTimeout(tell, PAUSE_MS);
  }

  // A box is on the page before this listens to it: what was typed by then is in it. Else an earlier page may have
  // kept something, which the server gets all in one message.
  function meet() {
    const found = {};
    for (const { key, item, saved } of data.boxes) {
      if (same(kept(item), saved)) kept(item, null);
      const box = field(key);
      if (typed.has(item) || box?.value) given.delete(item);
      // Streamlit breaks a callback off when another message comes in: what it was given is given again.
      const before = given.get(item);
      const again = before && before.times < MOST_TOLD && Date.now() - before.at > UNHEARD_MS;
      if (box === null || ((met.has(item) || typed.has(item)) && !again)) continue;
      met.add(item);
      if (box.value && !same(box.value, saved)) heard(item, box.value);
      else if (kept(item)) {
        found[item] = kept(item);
        given.set(item, { at: Date.now(), times: (before?.times ?? 0) + 1 });
      }
    }
    if (Object.keys(found).length) component.setTriggerValue("typed", { found });
  }

  function update(next) {
    const here = new Set(next.data.boxes.map((box) => box.item));
    for (const { item } of data.boxes) {
      if (here.has(item)) continue;
      // The server went on to another item, so it had what it was told for the last one.
      if (data.tells) {
        clearTimeout(timer);
        kept(item, null);
      }
      typed.delete(item);
      met.delete(item);
      given.delete(item);
    }
    component = next;
    data = next.data;
    setTimeout(meet, 0);
  }

  function onInput(event) {
    const box = boxOf(event.target);
    if (box) heard(box.item, event.target.value);
  }

  // Leaving the box reports its text anyway; a draft sent after that could come after the label itself.
  function onLeave(event) {
    if (boxOf(event.target)) clearTimeout(timer);
  }

  function onKey(event) {
    const target = field(data.focus);
    if (event.key === "Escape" && data.focus && boxOf(event.target)) {
      event.target.blur();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      clearTimeout(timer);
    } else if (target && event.key.toLowerCase() === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !inField(event.target)) {
      event.preventDefault();
      target.focus({ preventScroll: false });
    }
  }

  const again = setInterval(() => {
    meet();
    tellAgain();
  }, AGAIN_MS);
  document.addEventListener("input", onInput, true);
  document.addEventListener("focusout", onLeave, true);
  document.addEventListener("keydown", onKey, true);
  function stop() {
    clearTimeout(timer);
    clearInterval(again);
    document.removeEventListener("input", onInput, true);
    document.removeEventListener("focusout", onLeave, true);
    document.removeEventListener("keydown", onKey, true);
    mounted.delete(parent);
  }
  mounted.set(parent, { update, stop });
  setTimeout(meet, 0);
  return stop;
}
