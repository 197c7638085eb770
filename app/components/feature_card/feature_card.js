import { createOutbox } from "../outbox.js";
import { featureIn, placeOf, placeOfPoint } from "./places.js";

/*
 * One pop-up for the whole page. A pointer that rests on a feature, or the focus of a keyboard, shows its card; a press,
 * Enter or a click, holds it and moves the focus into it; Escape closes it and gives the focus back.
 */
const WAIT = 320;
const GONE = 260;
const GAP = 8;
const LEAVING = 2500;
const PRESSED = 700;
const mounted = new WeakMap();

export default function render(component) {
  const parent = component.parentElement;
  let card = mounted.get(parent);
  if (!card) {
    card = createCard(() => card.component);
    card.component = component;
    mounted.set(parent, card);
  }
  card.component = component;
  if (card.root.parentNode !== parent) parent.append(card.root);
  take(card, component.data);
  return () => {
    card.stop.abort();
    card.root.remove();
    mounted.delete(parent);
  };
}

function createCard(component) {
  const root = document.createElement("div");
  root.className = "feature-card";
  root.tabIndex = -1;
  root.setAttribute("popover", "manual");
  root.setAttribute("role", "dialog");
  root.setAttribute("aria-labelledby", "card-name");
  const card = { root, kept: new Map(), epoch: null, place: null, held: false, timer: 0, asked: null, leaving: 0, pressed: 0, path: "", stop: new AbortController() };
  card.outbox = createOutbox((name, value) => component().setTriggerValue(name, value));
  card.want = (feature) => component().setTriggerValue("want", { feature, at: Date.now() });
  listen(card);
  return card;
}

/** What came from Python: a card that was asked for, or word that the page ran again. */
function take(card, data) {
  if (data.epoch !== card.epoch) {
    card.epoch = data.epoch;
    card.kept.clear();
    card.asked = null;
  }
  if (data.card) {
    card.kept.set(data.card.feature, data.card.html);
    if (card.asked === data.card.feature) card.asked = null;
  }
  if (card.place && location.pathname !== card.path) hide(card);
  if (card.place) fill(card);
}

function listen(card) {
  const options = { capture: true, signal: card.stop.signal };
  const on = (kind, heard) => document.addEventListener(kind, heard, options);
  on("pointerover", (event) => event.pointerType !== "touch" && pointed(card, event));
  on("pointermove", (event) => {
    const moved = card.at !== whereOf(event);
    if (event.pointerType !== "touch" && (overTable(event) || (card.still && moved))) pointed(card, event);
    card.at = whereOf(event);
  });
  on("pointerdown", (event) => {
    card.pressed = Date.now();
    if (!inside(card, event) && !placeOf(event)) hide(card);
  });
  on("focusin", (event) => focused(card, event));
  on("keydown", (event) => pressed(card, event));
  on("click", (event) => clicked(card, event));
  on("scroll", (event) => card.place && !inside(card, event) && !card.held && hide(card));
  document.addEventListener("sarm-card", (event) => {
    event.preventDefault();
    const node = event.composedPath()[0];
    show(card, { feature: event.detail.feature, node, box: () => node.getBoundingClientRect() }, true);
  }, { signal: card.stop.signal });
  card.root.addEventListener("click", (event) => acted(card, event));
}

function whereOf(event) {
  return `${event.clientX},${event.clientY}`;
}

function inside(card, event) {
  return event.composedPath().includes(card.root);
}

function pointed(card, event) {
  // What comes under a pointer that rests, as a card or a dialog closes or a page changes, was not pointed at.
  const at = whereOf(event);
  const place = placeOf(event);
  // What was pointed at and is drawn anew is still pointed at.
  const again = place && [card.next, card.place].some((known) => known?.feature === place.feature);
  card.still = event.type === "pointerover" && card.at === at && !again;
  if (card.still || card.closedAt === at) return;
  card.closedAt = null;
  if (inside(card, event)) {
    clearTimeout(card.timer);
    return;
  }
  watchChart(card, event);
  if (place) soon(card, place);
  else if (!card.held) leave(card, event);
}

/** Show it when the pointer or the focus rests; a held card stays until it is closed. */
function soon(card, place) {
  if (card.held || (card.place && same(card.place, place))) return;
  if (card.next && same(card.next, place) && card.timer) {
    card.next = place;
    return;
  }
  clearTimeout(card.timer);
  card.next = place;
  card.timer = setTimeout(() => {
    card.timer = 0;
    show(card, card.next, false);
  }, WAIT);
}

function leave(card, event) {
  card.next = null;
  clearTimeout(card.timer);
  card.timer = 0;
  const chart = event.target.closest?.(".js-plotly-plot");
  if (card.place && !chart) card.timer = setTimeout(() => hide(card), GONE);
}

function same(a, b) {
  return a.feature === b.feature && a.node === b.node;
}

function focused(card, event) {
  if (inside(card, event) || card.held) return;
  const place = placeOf(event);
  const target = event.composedPath()[0];
  if (place && target.matches?.(":focus-visible, [role=gridcell]")) soon(card, place);
  else if (card.place && !place) hide(card);
}

function pressed(card, event) {
  if (event.key === "Escape" && card.place) {
    const back = card.held ? card.place.focus : null;
    event.stopPropagation();
    hide(card);
    back?.focus?.({ preventScroll: true });
    return;
  }
  const at = event.composedPath()[0];
  const waits = at.getAttribute?.("role") === "gridcell" || (at.dataset?.card && at.tagName !== "BUTTON");
  if (event.key !== "Enter" || !waits) return;
  const place = placeOf(event);
  if (!place) return;
  event.preventDefault();
  event.stopPropagation();
  show(card, place, true);
}

/** A press on what speaks of a feature and does nothing else. Links lead where they lead, and grids select. */
function clicked(card, event) {
  if (inside(card, event)) return;
  const place = placeOf(event);
  const bare = place && featureIn(place.node.dataset?.card) !== null && place.node.tagName !== "BUTTON";
  if (bare) show(card, place, true);
  else if (place && overTable(event)) soon(card, place);
}

function overTable(event) {
  return Boolean(event.target.closest?.("[data-testid=stDataFrame]"));
}

function acted(card, event) {
  const act = event.target.closest?.("button")?.dataset.act;
  if (!act || !card.place) return;
  if (act === "own") {
    const { run } = card.place.node.cardAct;
    hide(card);
    run();
    return;
  }
  card.outbox.send({ act, feature: card.place.feature });
  if (act !== "open" && act !== "label") return;
  card.leaving = Date.now();
  card.closedAt = `${event.clientX},${event.clientY}`;
  hide(card);
}

/** Plotly tells of its points itself; a chart is asked once, when the pointer first comes to it. */
function watchChart(card, event) {
  const chart = event.target.closest?.(".js-plotly-plot");
  if (!chart?.on || chart.tellsCards === card) return;
  chart.tellsCards = card;
  chart.on("plotly_hover", (report) => {
    const place = placeOfPoint(report);
    if (place) soon(card, { ...place, node: chart });
  });
  chart.on("plotly_unhover", () => !card.held && leave(card, { target: document.body }));
  chart.on("plotly_click", (report) => {
    const place = placeOfPoint(report);
    if (place) show(card, { ...place, node: chart }, true);
  });
}

function show(card, place, held) {
  clearTimeout(card.timer);
  card.timer = 0;
  if (!place.node.isConnected) return; // drawn anew meanwhile
  card.place = { ...place, focus: deepFocus() };
  card.held = held;
  card.path = location.pathname;
  fill(card);
  if (held) card.root.focus({ preventScroll: true });
}

function deepFocus() {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at;
}

function hide(card) {
  clearTimeout(card.timer);
  Object.assign(card, { timer: 0, place: null, next: null, held: false, shown: null });
  if (card.root.matches(":popover-open")) card.root.hidePopover();
}

/** The card, or a line while it is being made. A run of the page goes first: its answer would be about before it. */
function fill(card) {
  const { feature } = card.place;
  const html = card.kept.get(feature);
  const focus = card.root.getRootNode().activeElement?.dataset?.act;
  if (html === undefined) {
    // A card on show stays as it was until there is a new one.
    if (card.shown !== feature) card.root.innerHTML = `<header><span class="id">#${feature}</span> <strong class="name none" id="card-name">reading \u2026</strong></header>`;
    ask(card);
  } else {
    card.root.innerHTML = html; // made in app/features/card.py, where every text is escaped
    addOwn(card);
  }
  card.shown = feature;
  if (!card.root.matches(":popover-open")) card.root.showPopover();
  put(card);
  if (focus) card.root.querySelector(`[data-act="${focus}"]`)?.focus({ preventScroll: true });
}

/** What only the place of the card can do: `cardAct` of the element, {words, run}. */
function addOwn(card) {
  const act = card.place.node.cardAct;
  const footer = card.root.querySelector("footer");
  if (!act || !footer) return;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: act.words });
  button.dataset.act = "own";
  footer.prepend(button);
}

function ask(card) {
  const feature = card.place?.feature;
  if (feature === undefined || card.kept.has(feature) || card.asked === feature) return;
  const now = Date.now();
  // A press may lead to another page. A question of this one that came behind it would lead back here.
  const pressed = now - card.leaving < LEAVING || (!card.held && now - card.pressed < PRESSED);
  const running = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "running";
  if (pressed || running) {
    setTimeout(() => ask(card), 120);
    return;
  }
  card.asked = feature;
  card.want(feature);
}

/** Under what it speaks of, or above it where there is more room; never past the edge of the window. */
function put(card) {
  const box = card.place.box();
  const { root } = card;
  root.style.maxHeight = "";
  const [width, height] = [root.offsetWidth, root.offsetHeight];
  const [above, below] = [box.top - 2 * GAP, innerHeight - box.bottom - 2 * GAP];
  const down = below >= Math.min(height, above) || below > above;
  const room = Math.max(120, down ? below : above);
  root.style.maxHeight = `${room}px`;
  const top = down ? box.bottom + GAP : box.top - GAP - Math.min(height, room);
  root.style.left = `${Math.max(GAP, Math.min(box.left, innerWidth - width - GAP))}px`;
  root.style.top = `${Math.max(GAP, Math.min(top, innerHeight - GAP - Math.min(height, room)))}px`;
}
