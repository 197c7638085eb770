import { along, decimalsFor, margin, signed, whatMoved } from "./ranking.js";
import { arrange, icon, make, reveal, setAttribute, setStyle, setText, setTitle } from "./elements.js";
import { createEditor, destroyEditor, updateEditor } from "./editor.js";
import { adoptWanted, boxEdges, createGrip, createWishLine, destroyWanted, letterOf, shownOrder, updateWanted } from "./wanted_order.js";

/*
 * Rows and chips lie where a transform puts them, so a new order costs no layout and a CSS transition slides
 * each from where it is seen, also when the order changes again on the way. While the mouse is down only rows
 * in sight are drawn. The document's own order (what a screen reader reads) follows when things have come to rest.
 */
const SLIDE_MS = 220;
const MARGIN_PX = 120;
/** From here on rows are one line of text, in a box that scrolls by itself: what is under the list stays near. */
const MANY = 12;

/** The right panel: answers best first, and a strip of the same order for narrow windows. */
export function createList(actions) {
  const summary = make("span", "count");
  const low = make("span", "low");
  const what = make("span");
  const legend = make("span", "legend", {}, [make("span", "before-mark"), "before steering"]);
  const rows = make("ol", "answers");
  const empty = make("p", "empty", { textContent: "No answers yet: sample, paste or upload some above." });
  const axis = make("div", "axis", { "aria-hidden": "true" }, [
    make("span", "", {}, ["lowest ", low]),
    make("span", "", { textContent: "best 0" }),
  ]);
  const heading = make("h2", "", { textContent: "Answers, best first" });
  const head = make("header", "list-head", {}, [
    heading,
    summary,
    make("div", "axis-head", { title: "Every bar begins at the lowest answer, so the best has the longest" }, [
      make("div", "axis-title", {}, [legend, what]),
      axis,
    ]),
  ]);
  const box = make("div", "rows-box", {}, [rows]);
  const inner = make("div", "list-inner", {}, [head, empty, box]);
  const root = make("section", "list", { "aria-label": "Answers, best first" }, [inner]);
  const strip = make("ol", "strip", { "aria-hidden": "true" });
  const spoken = make("p", "spoken", { role: "status", "aria-live": "polite" });
  const list = { root, heading, strip, spoken, summary, low, what, legend, axis, rows, box, empty, byId: new Map(), nodes: [], actions };
  list.wishLine = createWishLine(list);
  head.after(list.wishLine);
  list.sizes = new ResizeObserver(() => measure(list));
  // The page's own scrolling is heard by the component; that of a box in here stays in here.
  box.addEventListener("scroll", actions.scrolled, { passive: true });
  return list;
}

export function destroyList(list) {
  list.sizes.disconnect();
  for (const { editor } of list.byId.values()) if (editor) destroyEditor(editor);
  destroyWanted(list);
  clearTimeout(list.resting);
}

export function arrangeList(list, data, problem) {
  const { answers, compared, reveal: key } = data;
  list.reveal = key;
  list.decimals = decimalsFor(problem.before);
  list.titles = answers.map((answer) => answer.title);
  list.nodes = answers.map((answer) => {
    if (!list.byId.has(answer.id)) list.byId.set(answer.id, createRow(answer.id, list));
    const row = list.byId.get(answer.id);
    describe(row, answer, compared.includes(answer.id), list);
    return row;
  });
  const kept = new Set(answers.map((answer) => answer.id));
  for (const [id, row] of [...list.byId]) {
    if (kept.has(id)) continue;
    list.sizes.unobserve(row.root);
    if (row.editor) destroyEditor(row.editor);
    list.byId.delete(id);
  }
  adoptWanted(list, data);
  list.root.classList.toggle("dense", answers.length > MANY);
  list.order = null;
  list.lastMoved = list.drag ? list.lastMoved : null;
  const order = shownOrder(list, Array.from(problem.order));
  // A row in hand keeps its place in the document: moved there, it would lose the finger.
  const typing = list.rows.getRootNode().activeElement?.classList.contains("edit-box");
  const inPlace = typing && list.rows.children.length === order.length;
  if (!list.drag && !inPlace) arrange(list.rows, order.map((row) => list.nodes[row].root));
  arrange(list.strip, Array.from(problem.order, (row) => list.nodes[row].chip));
  for (const row of list.nodes) list.sizes.observe(row.root);
  list.empty.hidden = answers.length > 0;
  // An answer alone has no margin: its reward is all there is to say.
  const alone = answers.length < 2;
  list.axis.parentNode.hidden = answers.length === 0;
  list.axis.hidden = list.legend.hidden = alone;
  setText(list.what, alone ? "reward" : "margin to best");
  for (const row of list.nodes) {
    row.scale.hidden = row.compare.hidden = alone;
    row.grip.hidden = alone || !data.can_wish;
    row.edit.hidden = !data.can_edit || row.root.classList.contains("edited");
  }
  list.strip.hidden = alone;
}

function createRow(id, list) {
  const grip = createGrip(list, id);
  const rank = make("span", "rank");
  const move = make("span", "move");
  const now = make("span", "now");
  const wish = make("span", "wish");
  const wishState = make("span", "wish-state");
  const title = make("span", "title");
  const text = make("p", "text");
  const said = make("div", "said", {}, [title, text]);
  const cut = make("p", "cut");
  const more = make("button", "link more", { type: "button", "aria-expanded": "false" });
  const compare = make("button", "link compare", {
    type: "button",
    textContent: "Compare",
    onclick: () => {
      list.actions.command({ name: "compare", answer: id });
      reveal(list.reveal);
    },
  });
  const edit = make("button", "link edit-link", {
    type: "button",
    textContent: "Edit",
    onclick: () => list.actions.command({ name: "edit", answer: id }),
  });
  const whyName = make("span", "why-name");
  const whyChange = make("span", "why-change");
  const whyRest = make("span", "why-rest");
  const why = make("span", "why", {}, [whyName, whyChange, whyRest]);
  const lead = make("span", "lead");
  const against = make("span", "against");
  const figures = make("div", "figures");
  const bar = make("div", "bar");
  const before = make("div", "before");
  const scale = make("div", "scale", {}, [bar, before]);
  figures.append(against, lead, scale);
  const root = make("li", "answer", { "data-answer": id }, [
    grip,
    make("div", "place", {}, [rank, move, now]),
    make("div", "words", {}, [said, cut]),
    figures,
    make("div", "under", {}, [make("span", "wish-line-of-row", {}, [wish, wishState]), why, more, edit, compare]),
  ]);
  const chipRank = make("span", "chip-rank");
  const chipTitle = make("span", "chip-title");
  const chipMove = make("span", "chip-move");
  const chip = make("li", "chip", {}, [chipRank, chipTitle, chipMove]);
  const row = { root, grip, rank, move, now, wish, wishState, title, said, text, cut, more, edit, editor: null, compare, why, whyName, whyChange, whyRest, lead, against, figures, scale, bar, before, chip, chipRank, chipTitle, chipMove };
  more.onclick = () => unfold(row, !root.classList.contains("expanded"));
  return row;
}

/** A whole answer scrolls in a box of its own, which the keyboard reaches; a preview is no place to stop at. */
function unfold(row, open) {
  row.root.classList.toggle("expanded", open);
  setAttribute(row.more, "aria-expanded", open);
  setText(row.more, open ? "Less" : "More");
  const box = { role: "region", tabindex: "0", "aria-label": `Answer ${row.title.textContent}, whole` };
  for (const [name, value] of Object.entries(box)) {
    if (open) setAttribute(row.text, name, value);
    else row.text.removeAttribute(name);
  }
  if (!open) row.text.scrollTop = 0;
}

/** The parts of an answer that no slider changes. */
function describe(row, answer, compared, list) {
  row.root.classList.toggle("compared", compared);
  setText(row.title, answer.title);
  setTitle(row.title, answer.title);
  const same = row.text.shownText === answer.text;
  setText(row.text, answer.text);
  setText(row.cut, answer.cut ? `The first ${answer.cut.toLocaleString("en")} tokens, prompt included, were cut: no influence.` : "");
  setText(row.chipTitle, answer.title);
  row.root.classList.toggle("edited", Boolean(answer.edit));
  if (answer.edit && !row.editor) {
    row.editor = createEditor(list, answer.id);
    row.root.append(row.editor.root);
  }
  if (row.editor) updateEditor(row.editor, answer);
  setAttribute(row.edit, "aria-label", `Edit answer ${answer.title}`);
  setAttribute(row.compare, "aria-label", `Compare answer ${answer.title}`);
  setAttribute(row.grip, "aria-label", `Move answer ${answer.title}: arrow up or down`);
  setTitle(row.grip, "Drag to where this answer should stand; or arrow up and down");
  unfold(row, same && row.root.classList.contains("expanded"));
}

/** Offer "More" where the preview cuts the text; asked when texts or the width change, never in a frame. */
export function offerMore(list) {
  const cut = list.nodes.map((row) => row.root.classList.contains("expanded") || row.said.scrollHeight > row.said.clientHeight + 1);
  list.nodes.forEach((row, i) => {
    row.more.hidden = !cut[i] || row.root.classList.contains("edited");
  });
}

/** Heights changed (texts, width, "More", a font that arrived): lay the rows out anew. */
function measure(list) {
  list.heights = list.nodes.map((row) => row.root.offsetHeight);
  list.stripShown = list.strip.offsetParent !== null;
  if (list.order) place(list, null);
}

/** Show one frame: figures in every row in sight, and the order. */
export function updateList(list, { problem, result, scale, sliderNames, neutral, held }) {
  if (list.order === null) measure(list);
  list.order = shownOrder(list, result.order);
  const seen = held ? (list.sight ??= inSight(list)) : null;
  if (!held) list.sight = null;
  const shown = place(list, seen);
  for (const row of result.order) {
    if (shown === null || shown.has(row)) updateRow(list, row, problem, result, scale, sliderNames);
  }
  if (list.stripShown || !held) result.order.forEach((row, at) => updateChip(list.nodes[row], at, problem, result));
  updateAxis(list, scale);
  if (!list.wanted) setText(list.summary, summaryOf(problem, result, neutral, list.decimals));
  updateWanted(list, result);
  clearTimeout(list.resting);
  if (!held && !list.drag) list.resting = setTimeout(() => settle(list), SLIDE_MS + 80);
}

/** The part of the list, in its own pixels, that the window and the list's box show. */
function inSight(list) {
  const { top } = list.rows.getBoundingClientRect();
  const seen = boxEdges(list);
  return { from: seen.top - top - MARGIN_PX, to: seen.bottom - top + MARGIN_PX };
}

/** Put every row where the order wants it. Gives the rows that are, or were until now, within `seen`. */
function place(list, seen) {
  const shown = seen && new Set();
  let y = 0;
  for (const index of list.order) {
    const row = list.nodes[index];
    const height = list.heights[index];
    const near = (at) => at + height >= seen.from && at <= seen.to;
    const visible = seen === null || near(y) || near(row.y ?? y);
    if (shown && visible) shown.add(index);
    if (list.drag?.begun && list.drag.row === index) {
      y += height; // it lies under the pointer
      continue;
    }
    setStyle(row.root, "transition", visible && row.y !== undefined ? "" : "none");
    setStyle(row.root, "transform", `translateY(${y}px)`);
    row.y = y;
    y += height;
  }
  setStyle(list.rows, "height", `${y}px`);
  return shown;
}

/** Streamlit's bar above the strip may be see-through: once the strip sticks, it hides what scrolls by up there. */
export function markStuck(list) {
  if (!list.stripShown) return;
  const sticksAt = parseFloat(getComputedStyle(list.strip).top) || 0;
  list.strip.classList.toggle("stuck", list.strip.getBoundingClientRect().top <= sticksAt + 1);
}

function settle(list) {
  // A box in use keeps its place in the document, or what is typed meanwhile would go nowhere.
  if (list.rows.getRootNode().activeElement?.classList.contains("edit-box")) return;
  arrange(list.rows, Array.from(list.order, (row) => list.nodes[row].root));
}

function updateRow(list, index, problem, result, scale, sliderNames) {
  const row = list.nodes[index];
  const decimals = list.decimals;
  const place = result.place[index];
  const moved = problem.place[index] - place;
  setText(row.rank, rankText(result, index));
  setTitle(row.rank, result.tied[index] ? "Tied: answers with one reward keep the order they had before steering" : "");
  showMove(row.move, moved);
  row.root.classList.toggle("best", place === 0);

  const lead = margin(result.now, result.order, index);
  setText(row.lead, lead === null ? signed(result.now[index], decimals) : signed(lead, decimals));
  setText(row.against, lead === null || place > 0 ? "" : lead === 0 ? "level with the next" : "ahead of the next");
  // The reward has no scale of its own: one figure a row is the margin, this one is there for who looks for it.
  setTitle(row.figures, `Reward ${signed(problem.before[index], decimals)} before steering, ${signed(result.now[index], decimals)} now`);
  drawBar(
    row,
    along(scale, problem.before[index] - problem.before[problem.order[0]]),
    along(scale, result.now[index] - result.now[result.order[0]]),
  );

  const why = whyText(whatMoved(problem, result, index), moved, list, sliderNames);
  setText(row.whyName, why.name);
  setText(row.whyChange, why.change);
  setText(row.whyRest, why.rest);
  setTitle(row.why, why.full);
}

function updateChip(row, place, problem, result) {
  const index = result.order[place];
  setText(row.chipRank, rankText(result, index));
  showMove(row.chipMove, problem.place[index] - place);
  setStyle(row.chip, "--place", String(place));
}

function rankText(result, index) {
  return `${result.aloud[index]}${result.tied[index] ? "=" : ""}`;
}

function showMove(node, moved) {
  if (node.shownMove === moved) return;
  node.shownMove = moved;
  const places = Math.abs(moved);
  node.dataset.move = moved > 0 ? "up" : moved < 0 ? "down" : "none";
  const words = `${moved > 0 ? "up" : "down"} ${places} ${places === 1 ? "place" : "places"}`;
  node.title = moved ? `${words} against the ranking before steering` : "";
  node.setAttribute("aria-label", moved ? words : "same place");
  node.setAttribute("role", "img");
  if (moved) node.replaceChildren(icon(moved > 0 ? "up" : "down"), String(places));
  else node.replaceChildren("\u00b7");
}

/** A full-width bar clipped to what an answer is above the lowest: no layout while dragging. */
function drawBar(row, before, now) {
  setStyle(row.bar, "clip-path", `inset(0 ${(100 - now * 100).toFixed(2)}% 0 0 round 2px)`);
  setStyle(row.before, "left", `${(before * 100).toFixed(2)}%`);
}

function updateAxis(list, scale) {
  setText(list.low, scale.low < 0 ? signed(scale.low, list.decimals) : "");
}

function whyText(moved, places, list, sliderNames) {
  if (moved === null) return { name: "", change: "", rest: "", full: "" };
  const name = sliderNames.get(moved.slider) ?? moved.slider;
  const word = places > 0 ? "over" : "against";
  const parts = moved.rows.map((row, j) => `${signed(moved.changes[j], list.decimals)} ${word} ${letterOf(list.titles[row])}`);
  const rest = parts.length - 1;
  return {
    name,
    change: parts[0],
    rest: rest > 0 ? `\u00a0and ${rest} more` : "",
    full: `${name}\n${parts.slice(0, 20).join("\n")}${parts.length > 20 ? "\n\u2026" : ""}`,
  };
}

function summaryOf(problem, result, neutral, decimals) {
  if (problem.n < 2) return "";
  if (neutral) return "as the model ranks them";
  let moved = 0;
  for (let row = 0; row < problem.n; row += 1) if (problem.place[row] !== result.place[row]) moved += 1;
  if (moved) return `${moved} of ${problem.n} changed places`;
  if (result.sliders.size === 0 && result.offset !== 0) return `all moved by ${signed(result.offset, decimals)}; same order`;
  return "same order as before";
}

/** Said aloud once a change has settled. */
export function announce(list, result) {
  if (list.wanted) {
    setText(list.spoken, list.wantedSpoken);
    return;
  }
  const best = Array.from(result.order.slice(0, 3), (row, place) => `${place + 1}: ${list.titles[row]}`);
  setText(list.spoken, best.length ? `Ranking now ${best.join(", ")}` : "");
}
