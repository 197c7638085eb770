/*
 * Which feature is under the pointer or the focus, and where: one answer for elements of any component, links, rows of
 * tables and points of charts. Nothing here changes the page.
 */

const TABLE = "stDataFrame";
const ROW_HEIGHT = 35;
/** The column with the boxes to tick: who ticks one row after the other wants no card over the next. */
const BOXES_PX = 36;
const LARGEST = 2 ** 31;

/** A feature's number out of "17", "#17" or "#17 its name"; null for anything else. */
export function featureIn(text) {
  const found = /^(?:#(\d{1,9})(?![\d.])|(\d{1,9})$)/.exec(String(text ?? "").trim());
  const feature = Number(found?.[1] ?? found?.[2] ?? NaN);
  return feature < LARGEST ? feature : null;
}

/** The place of the first element of an event's path that speaks of a feature; null where none does. */
export function placeOf(event) {
  for (const node of event.composedPath()) {
    if (!(node instanceof Element)) continue;
    const feature = featureIn(node.dataset?.card) ?? featureOfLink(node);
    if (feature !== null) return { feature, node, box: () => node.getBoundingClientRect() };
    if (node.getAttribute("role") === "gridcell") return placeOfCell(node);
    if (node.dataset?.testid === TABLE) return placeInTable(node, event);
  }
  return null;
}

/** Links to a feature's page in lists; those of the menu name none. */
function featureOfLink(node) {
  if (node.tagName !== "A" || !node.closest("[data-testid=stPageLink]")) return null;
  const address = new URL(node.href, location.href);
  return /(^|\/)feature$/.test(address.pathname) ? featureIn(address.searchParams.get("feature")) : null;
}

/** The grid draws on a canvas and keeps what is in sight as a table inside it, for screen readers: that is read. */
function placeInTable(table, event) {
  const canvas = table.querySelector("canvas");
  if (canvas && event.clientX < canvas.getBoundingClientRect().left + BOXES_PX) return null;
  const below = canvas ? event.clientY - canvas.getBoundingClientRect().top - ROW_HEIGHT : -1;
  if (!(below >= 0)) return null;
  const row = Math.floor((below + scrolled(table)) / ROW_HEIGHT);
  return placeOfRow(table, canvas, row, event.clientX);
}

/** The cell that has the focus: the grid's own arrow keys move it. */
function placeOfCell(cell) {
  const canvas = cell.closest("canvas");
  const table = canvas?.closest(`[data-testid=${TABLE}]`);
  if (!table) return null;
  const row = Number(cell.parentElement.getAttribute("aria-rowindex")) - 2;
  return placeOfRow(table, canvas, row, canvas.getBoundingClientRect().left + 90);
}

function scrolled(table) {
  return table.querySelector(".dvn-scroller")?.scrollTop ?? 0;
}

function placeOfRow(table, canvas, row, left) {
  const column = columnOfFeatures(canvas);
  const cell = column < 0 ? null : canvas.querySelector(`tbody tr[aria-rowindex="${row + 2}"]`)?.children[column];
  const feature = cell ? featureIn(cell.textContent) : null;
  if (feature === null) return null;
  const top = canvas.getBoundingClientRect().top + ROW_HEIGHT * (row + 1) - scrolled(table);
  return { feature, node: table, box: () => new DOMRect(left, top, 1, ROW_HEIGHT) };
}

function columnOfFeatures(canvas) {
  return [...canvas.querySelectorAll("thead th")].findIndex((head) => head.textContent.trim().toLowerCase() === "feature");
}

/** Of a point that Plotly reports; charts of other things have no such number. */
export function placeOfPoint(report) {
  const point = report.points?.[0];
  const held = point?.customdata;
  const feature = featureIn(Array.isArray(held) ? held[0] : held);
  if (feature === null) return null;
  const { clientX, clientY } = report.event;
  return { feature, node: report.event.target, box: () => new DOMRect(clientX - 4, clientY - 4, 8, 8) };
}
