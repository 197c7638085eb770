import { holds, movedTo, turnedPairs, wishPhrases } from "./ranking.js";
import { icon, make, reveal, setAttribute, setStyle, setText, setTitle } from "./elements.js";

/*
 * The order a person wants, which is said on the ranking itself: a row is dragged by its handle, or moved by the arrow
 * keys with the handle in focus. From the first move on the list shows the wanted order, with the place each answer has
 * now beside it, until the order is taken back. Python hears of it once, on release.
 */
const BEGIN_PX = 4;
const KEYS_PAUSE = 300;
const EDGE_PX = 70;
const SCROLL_PX = 14;
const MOST_NAMED = 4;
/** The key of the page's section about what is wished for. */
const WISHES = "wishes";
const HINT = "Should another answer win? Drag it by its handle, or move it with the arrow keys.";

/** The line under the head: what can be done, then what is wished for and how to leave. */
export function createWishLine(list) {
  const words = make("span", "wish-words", { textContent: HINT });
  const back = make("button", "text-button take-back", {
    type: "button",
    onclick: () => takeBack(list),
    hidden: true,
  }, [icon("undo"), "Take the order back"]);
  const ask = make("button", "text-button ask", {
    type: "button",
    title: "Find the smallest change of the sliders that does it",
    onclick: () => {
      list.actions.command({ name: "propose" });
      reveal(WISHES);
    },
    hidden: true,
  }, ["Propose sliders"]);
  list.wishWords = words;
  list.leaving = [ask, back];
  return make("div", "wish-line", {}, [words, make("span", "wish-buttons", {}, [ask, back])]);
}

/** The handle of a row. */
export function createGrip(list, id) {
  const grip = make("button", "grip", { type: "button" }, [icon("grip")]);
  grip.addEventListener("pointerdown", (event) => grab(list, id, event));
  grip.addEventListener("keydown", (event) => step(list, id, event));
  return grip;
}

/** Take the order that Python holds where it is news; otherwise what the person has in hand stays. */
export function adoptWanted(list, { answers, wanted, wanted_revision: revision, can_wish: canWish }) {
  list.canWish = canWish;
  const fits = list.wanted?.order.length === answers.length;
  if (list.wantedRevision === revision && (fits || !list.wanted)) return;
  letGo(list);
  clearTimeout(list.telling);
  list.telling = 0;
  list.wantedRevision = revision;
  list.wanted = null;
  if (wanted) {
    const row = new Map(answers.map((answer, index) => [answer.id, index]));
    const rows = (ids) => ids.map((id) => row.get(id));
    list.wanted = { base: rows(wanted.base), order: rows(wanted.order), dropped: wanted.dropped.map(rows) };
  }
  list.told = written(list);
}

/** The rows' order on the page: the wanted one, or that of the rewards. */
export function shownOrder(list, order) {
  return list.wanted ? list.wanted.order : order;
}

/** Pairs [better, worse] that are wished for. */
function wishesOf({ base, order, dropped }) {
  const gone = new Set(dropped.map(String));
  return turnedPairs(base, order).filter((pair) => !gone.has(String(pair)));
}

/** Show what is wished for in the line, on the rows, and to who listens. */
export function updateWanted(list, result) {
  const { wanted } = list;
  list.ranking = result.order;
  list.wishLine.hidden = list.nodes.length < 2 || !list.canWish;
  // Most frames are of a slider that moves while nothing is wanted.
  if (!wanted && !list.marked) return;
  list.marked = Boolean(wanted);
  list.root.classList.toggle("wanting", Boolean(wanted));
  setText(list.heading, wanted ? "The order you want" : "Answers, best first");
  for (const button of list.leaving) button.hidden = !wanted;
  const pairs = wanted ? wishesOf(wanted) : [];
  const phrases = wanted ? wishPhrases(pairs, wanted.order) : [];
  const named = (row) => letterOf(list.titles[row]);
  const words = phrases.map((phrase) => `${named(phrase.row)} ${phraseWords(phrase, named)}`).join("; ");
  setText(list.wishWords, wanted ? words || "No wish is left of this order." : HINT);
  setTitle(list.wishWords, wanted ? words : "");
  const about = new Map(phrases.map((phrase) => [phrase.row, phrase]));
  list.nodes.forEach((row, index) => {
    const phrase = about.get(index);
    row.root.classList.toggle("wished", Boolean(phrase));
    const kept = phrase && pairs.filter((pair) => pair.includes(index)).every((pair) => holds(result.now, pair));
    setText(row.wish, phrase ? `wanted ${phraseWords(phrase, named)}` : "");
    setText(row.wishState, phrase ? (kept ? "so it is now" : "not so yet") : "");
    setAttribute(row.wishState, "data-kept", Boolean(kept));
    if (!wanted) return;
    const place = wanted.order.indexOf(index);
    setText(row.rank, String(place + 1));
    setTitle(row.rank, "The place you want");
    setText(row.now, result.place[index] === place ? "as now" : `now ${result.aloud[index]}`);
  });
  if (!wanted) return;
  const kept = pairs.filter((pair) => holds(result.now, pair)).length;
  const state = `${kept} of ${pairs.length} ${pairs.length === 1 ? "wish holds" : "wishes hold"} now`;
  setText(list.summary, pairs.length ? state : "");
  list.wantedSpoken = `${spokenMove(list, about, named) || (words && `Wanted: ${words}. `)}${pairs.length ? `${state}.` : ""}`;
}

function spokenMove(list, about, named) {
  const row = list.lastMoved;
  if (row === null || row === undefined) return "";
  const place = `${named(row)}, place ${list.wanted.order.indexOf(row) + 1} of ${list.nodes.length}`;
  const phrase = about.get(row);
  return phrase ? `${place}, ${phraseWords(phrase, named)}. ` : `${place}. `;
}

function phraseWords({ before, behind }, named) {
  const parts = [];
  if (before.length) parts.push(`before ${listed(before, named)}`);
  if (behind.length) parts.push(`behind ${listed(behind, named)}`);
  return parts.join(" and ");
}

function listed(rows, named) {
  const names = rows.slice(0, MOST_NAMED).map(named);
  if (rows.length > MOST_NAMED) return `${names.join(", ")} and ${rows.length - MOST_NAMED} more`;
  return names.length < 2 ? names[0] : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** "B \u00b7 over-refusing" is B here: lines have room for a name or a note, not for both. */
export function letterOf(title) {
  const letter = title.split(" \u00b7 ", 1)[0];
  return letter.length > 16 ? `${letter.slice(0, 15)}\u2026` : letter;
}

function rowNumber(list, id) {
  return list.nodes.indexOf(list.byId.get(id));
}

function begin(list) {
  list.wanted ??= { base: [...list.order], order: [...list.order], dropped: [] };
}

function move(list, row, place) {
  list.wanted = { ...list.wanted, order: movedTo(list.wanted.order, row, place) };
  list.lastMoved = row;
  list.actions.redraw();
}

function written({ wanted }) {
  return wanted ? JSON.stringify([wanted.base, wanted.order]) : "";
}

/**
 * The order in hand once it is let go of. One that turns no pair of the order it began from is none, unless the ranking
 * has changed since (a proposal was taken over, say): then that is what it turns.
 */
function settledOrder({ wanted, ranking }) {
  if (!wanted) return null;
  const base = [wanted.base, Array.from(ranking)].find((from) => turnedPairs(from, wanted.order).length);
  if (!base) return null;
  const place = (row) => wanted.order.indexOf(row);
  return { ...wanted, base, dropped: wanted.dropped.filter(([better, worse]) => place(better) < place(worse)) };
}

/** Tell Python of the order as it stands, where that is news. One that turns no pair is none. */
export function tellWanted(list) {
  clearTimeout(list.telling);
  list.telling = 0;
  list.wanted = settledOrder(list);
  list.actions.redraw();
  if (written(list) === list.told) return;
  list.told = written(list);
  const ids = (rows) => rows.map((row) => list.nodes[row].root.dataset.answer);
  const of = list.wantedRevision;
  if (list.wanted) list.actions.send({ name: "want", of, base: ids(list.wanted.base), order: ids(list.wanted.order) });
  else list.actions.send({ name: "unwant", of });
}

function takeBack(list) {
  letGo(list);
  list.wanted = null;
  list.lastMoved = null;
  tellWanted(list);
  list.actions.redraw();
}

/* by keys */

function step(list, id, event) {
  if (event.key === "Escape" && list.drag) {
    cancel(list);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || list.drag || list.nodes.length < 2) return;
  const row = rowNumber(list, id);
  const order = list.wanted?.order ?? Array.from(list.order);
  const from = order.indexOf(row);
  const to = { ArrowUp: from - 1, ArrowDown: from + 1, Home: 0, End: order.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (to < 0 || to >= order.length || to === from) return;
  begin(list);
  move(list, row, to);
  keepInBox(list, row);
  clearTimeout(list.telling);
  list.telling = setTimeout(() => tellWanted(list), KEYS_PAUSE);
}

/* by mouse, pen and finger */

function grab(list, id, event) {
  if (event.button !== 0 || !event.isPrimary || list.drag || list.nodes.length < 2) return;
  event.preventDefault();
  const row = rowNumber(list, id);
  const { root, grip } = list.nodes[row];
  grip.focus({ preventScroll: true });
  clearTimeout(list.resting);
  const drag = {
    row,
    pointer: event.pointerId,
    y: event.clientY,
    from: event.clientY,
    within: event.clientY - root.getBoundingClientRect().top,
    begun: false,
    former: list.wanted,
    frame: 0,
  };
  // On the window: a row may change its place in the document, which would end a capture.
  const heard = (other) => other.pointerId === drag.pointer;
  const listeners = {
    pointermove: (other) => heard(other) && dragTo(list, other),
    pointerup: (other) => heard(other) && drop(list),
    pointercancel: (other) => heard(other) && cancel(list),
    blur: () => cancel(list),
    keydown: (other) => other.key === "Escape" && cancel(list),
  };
  for (const [name, listener] of Object.entries(listeners)) window.addEventListener(name, listener);
  drag.end = () => {
    for (const [name, listener] of Object.entries(listeners)) window.removeEventListener(name, listener);
    cancelAnimationFrame(drag.frame);
    root.classList.remove("dragged");
  };
  list.drag = drag;
}

function dragTo(list, event) {
  const { drag } = list;
  drag.y = event.clientY;
  if (!drag.begun) {
    if (Math.abs(drag.y - drag.from) < BEGIN_PX) return;
    drag.begun = true;
    begin(list);
    list.nodes[drag.row].root.classList.add("dragged");
    list.actions.redraw();
    drag.frame = requestAnimationFrame(() => scrollAlong(list));
  }
  follow(list);
}

/** The row lies under the pointer; the others make room where its upper edge comes nearest to a place. */
function follow(list) {
  const { row, y, within } = list.drag;
  const top = list.rows.getBoundingClientRect().top;
  const others = list.wanted.order.filter((other) => other !== row);
  const total = others.reduce((sum, other) => sum + list.heights[other], 0);
  const at = Math.min(Math.max(y - within - top, -8), total + 8);
  setStyle(list.nodes[row].root, "transition", "none");
  setStyle(list.nodes[row].root, "transform", `translateY(${at}px)`);
  list.nodes[row].y = at;
  let place = 0;
  let edge = 0;
  while (place < others.length && at > edge + list.heights[others[place]] / 2) {
    edge += list.heights[others[place]];
    place += 1;
  }
  if (list.wanted.order.indexOf(row) !== place) move(list, row, place);
}

/** Upper and lower edge, in the window, of what shows rows: the window, or the box of a long list. */
export function boxEdges(list) {
  const box = list.box.getBoundingClientRect();
  return { top: Math.max(0, box.top), bottom: Math.min(window.innerHeight, box.bottom) };
}

/** A row that keys move takes the box along. */
function keepInBox(list, row) {
  const above = list.wanted.order.slice(0, list.wanted.order.indexOf(row));
  const top = above.reduce((sum, other) => sum + list.heights[other], 0);
  const bottom = top + list.heights[row];
  const { box } = list;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
}

/** At the edge the list's box scrolls along and, where that is at its end, the page. */
function scrollAlong(list) {
  const { drag } = list;
  if (!drag) return;
  drag.frame = requestAnimationFrame(() => scrollAlong(list));
  const { top, bottom } = boxEdges(list);
  const page = document.querySelector("[data-testid=stMain]") ?? document.scrollingElement;
  const scrolled = (scroller, from, to) => {
    const by = drag.y < from ? -SCROLL_PX : drag.y > to ? SCROLL_PX : 0;
    const before = scroller.scrollTop;
    if (by) scroller.scrollTop += by;
    return scroller.scrollTop !== before;
  };
  if (scrolled(list.box, top + EDGE_PX / 2, bottom - EDGE_PX / 2) || scrolled(page, EDGE_PX + 40, window.innerHeight - EDGE_PX)) {
    follow(list);
  }
}

function letGo(list) {
  list.drag?.end();
  list.drag = null;
}

function drop(list) {
  const { begun } = list.drag;
  letGo(list);
  if (!begun) return;
  list.actions.redraw();
  tellWanted(list);
}

function cancel(list) {
  if (!list.drag) return;
  const { former } = list.drag;
  letGo(list);
  list.wanted = former;
  list.actions.redraw();
}

export function destroyWanted(list) {
  letGo(list);
  clearTimeout(list.telling);
}
