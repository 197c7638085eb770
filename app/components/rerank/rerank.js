/*
 * Steering sliders and the ranking they make, in one component, so that everything follows the mouse.
 * The server hears of a change once, on release; Python's own changes arrive with a new `revision`.
 */
import {
  MODES,
  barScale,
  compileProblem,
  copySteering,
  emptySteering,
  isNeutral,
  readSteering,
  steer,
  writeSteering,
} from "./ranking.js";
import { createOutbox } from "../outbox.js";
import { make } from "./elements.js";
import { arrangePanel, createPanel, forgetShown, nameOf, updatePanel } from "./steering_panel.js";
import { tellWanted } from "./wanted_order.js";
import { announce, arrangeList, createList, destroyList, markStuck, offerMore, updateList } from "./answer_list.js";

const KEYBOARD_DELAY = 250;
const mounted = new WeakMap();

/** Called by Streamlit on every rerun with new data, and when the theme changes. */
export default function render(component) {
  const parent = component.parentElement;
  let app = mounted.get(parent);
  if (!app) {
    app = createApp();
    mounted.set(parent, app);
  }
  if (app.root.parentNode !== parent) parent.append(app.root);
  app.hydrate(component);
  return () => {
    app.destroy();
    mounted.delete(parent);
  };
}

function createApp() {
  let component = null;
  let shownData = null;
  let problem = null;
  let names = new Map();
  let steering = emptySteering();
  let committed = "";
  let revision = null;
  let scale = null;
  let held = false;
  let timer = 0;
  let frame = 0;
  let shownWidth = 0;
  const modes = new Map();

  const actions = {
    hold() {
      held = true;
    },
    live(id, mode, value) {
      steering[mode].set(id, value);
      schedule();
    },
    refresh() {
      forgetShown(panel);
      schedule();
    },
    liveGroup(name, value) {
      steering.groups.set(name, value ?? 1);
      if (value === null) commit();
      schedule();
    },
    /** A value came to rest: at once after the mouse or Enter, after a pause for the keyboard. */
    settle(now = false) {
      clearTimeout(timer);
      timer = 0;
      if (held || !pending()) return;
      if (now) commit();
      else timer = setTimeout(commit, KEYBOARD_DELAY);
    },
    setMode(id, mode) {
      const was = modes.get(id) ?? "scale";
      if (was === mode) return;
      steering[was].delete(id);
      modes.set(id, mode);
      commit();
      schedule();
    },
    resetOne(id) {
      for (const kind of MODES) steering[kind].delete(id);
      modes.delete(id);
      commit();
      schedule();
    },
    /** An edit the server has not heard of is undone here; otherwise Python undoes its last one. */
    undo() {
      if (!revertPending()) send({ name: "undo" });
    },
    redo() {
      if (!revertPending()) send({ name: "redo" });
    },
    resetAll() {
      clearTimeout(timer);
      timer = 0;
      steering = readSteering({}, [], shownData.groups.map((group) => ({ ...group, scale: 1 })));
      committed = written();
      modes.clear();
      schedule();
      send({ name: "reset" });
    },
    command(payload) {
      commit();
      tellWanted(list);
      send(payload);
    },
    redraw() {
      schedule();
    },
    scrolled() {
      scrolled();
    },
    send(payload) {
      send(payload);
    },
  };

  const panel = createPanel(actions);
  const list = createList(actions);
  const root = make("div", "rerank", {}, [
    make("div", "columns", {}, [list.strip, panel.root, list.root, list.spoken]),
  ]);

  const { nextEdit, send } = createOutbox((name, value) => component.setTriggerValue(name, value));

  function written() {
    return JSON.stringify(writeSteering(steering));
  }

  function pending() {
    return written() !== committed;
  }

  function commit() {
    clearTimeout(timer);
    timer = 0;
    if (!pending()) return;
    committed = written();
    component.setStateValue("steering", { ...writeSteering(steering), edit: nextEdit() });
  }

  function revertPending() {
    if (!pending()) return false;
    clearTimeout(timer);
    timer = 0;
    steering = readSteering(JSON.parse(committed), shownData.features, shownData.groups);
    schedule();
    return true;
  }

  /** The mouse button came up, wherever that happened. */
  function release() {
    if (!held) return;
    held = false;
    commit();
    schedule();
  }

  function shortcut(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    if (event.target.matches?.("input[type=number]")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) {
      if (shownData.can_redo) actions.redo();
    } else if (shownData.can_undo || pending()) actions.undo();
  }

  function schedule() {
    if (!frame) frame = requestAnimationFrame(paint);
  }

  function paint() {
    if (frame) cancelAnimationFrame(frame);
    frame = 0;
    const { features, groups, limits, can_undo: canUndo, can_redo: canRedo } = shownData;
    const result = steer(problem, steering);
    const neutral = isNeutral(steering);
    const unsent = held || pending();
    scale = barScale(problem.before, result.now, held ? scale : null);
    root.classList.toggle("held", held);
    updatePanel(panel, {
      features,
      groups,
      problem,
      steering,
      modes,
      limits,
      canUndo: canUndo || unsent,
      canRedo: canRedo && !unsent,
      neutral,
    });
    updateList(list, { problem, result, scale, sliderNames: names, neutral, held });
    if (!held) announce(list, result);
  }

  function adopt(data) {
    steering = readSteering(data.steering, data.features, data.groups);
    committed = written();
    for (const { id } of data.features) {
      const key = String(id);
      const given = ["set", "scale", "offset"].find((kind) => steering[kind].has(key));
      if (given) modes.set(key, given);
    }
  }

  /** Same revision: the page changed around us. Drop what is gone without calling that an edit. */
  function keepLocal(data) {
    const settled = !pending();
    steering = keepKnown(steering, data);
    if (settled) committed = written();
  }

  function hydrate(next) {
    component = next;
    const data = next.data;
    const fresh = data !== shownData;
    shownData = data;
    if (fresh) {
      problem = compileProblem(data.answers, data.features, data.groups);
      names = sliderNames(data.features, data.groups);
      forgetShown(panel);
      arrangePanel(panel, data.features, data.groups);
      arrangeList(list, data, problem);
      const editing = held || timer !== 0;
      if (revision === null || (data.revision !== revision && !editing)) adopt(data);
      else keepLocal(data);
      revision = data.revision;
    }
    paint();
    if (fresh) offerMore(list);
    // What stands under it has waited for this (app/serve/first_paint.py).
    root.getRootNode().host?.closest(".st-key-rerank")?.setAttribute("data-drawn", "");
  }

  const widthWatch = new ResizeObserver(() => {
    if (shownData && root.offsetWidth !== shownWidth) {
      shownWidth = root.offsetWidth;
      root.style.setProperty("--header", `${headerHeight()}px`);
      offerMore(list);
    }
  });
  widthWatch.observe(root);

  /** Scrolling brings rows into sight that were not drawn while the mouse held a slider. */
  function scrolled() {
    list.sight = null;
    if (held) schedule();
    markStuck(list);
  }

  root.addEventListener("keydown", shortcut);
  window.addEventListener("scroll", scrolled, { capture: true, passive: true });
  window.addEventListener("pointerup", release);
  window.addEventListener("pointercancel", release);
  window.addEventListener("blur", release);

  function destroy() {
    window.removeEventListener("scroll", scrolled, { capture: true });
    widthWatch.disconnect();
    destroyList(list);
    clearTimeout(timer);
    cancelAnimationFrame(frame);
    window.removeEventListener("pointerup", release);
    window.removeEventListener("pointercancel", release);
    window.removeEventListener("blur", release);
    root.remove();
  }

  return { root, hydrate, destroy };
}

/** Local values of what is still on the page; groups that are new start as Python gave them. */
function keepKnown(steering, data) {
  const kept = readSteering(data.steering, [], data.groups);
  const known = new Set(data.features.map((feature) => String(feature.id)));
  const local = copySteering(steering);
  for (const kind of MODES) {
    for (const [id, value] of local[kind]) if (known.has(id)) kept[kind].set(id, value);
  }
  for (const [name, value] of local.groups) if (kept.groups.has(name)) kept.groups.set(name, value);
  return kept;
}

/** Height of Streamlit's own bar, which stays over the page; what sticks must stick below it. */
function headerHeight() {
  return document.querySelector("[data-testid=stHeader]")?.offsetHeight ?? 0;
}

function sliderNames(features, groups) {
  const names = new Map(features.map((feature) => [`feature:${feature.id}`, `#${feature.id} ${nameOf(feature)}`]));
  for (const group of groups) names.set(`group:${group.name}`, `group ${group.name}`);
  return names;
}
