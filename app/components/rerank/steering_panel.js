import { MODES, LARGEST_VALUE, multiplier, plain, sliderRange, typicalActivation } from "./ranking.js";
import { arrange, icon, iconButton, make, openCard, setAttribute, setStyle, setText, setTitle } from "./elements.js";

const MODE_HINTS = {
  scale: "multiply this feature's activation: can re-rank, can be exported",
  set: "replace its activation where it fires: can re-rank, no head weight can express it in an export",
  offset: "add to its activation in every answer: never re-ranks, cannot be exported",
};

/**
 * The left panel: header, group sliders, one row a feature.
 * `actions` is what the rows may ask for: live, settle, hold, setMode, resetOne, command, undo, redo, resetAll.
 */
export function createPanel(actions) {
  const undo = headerButton("undo", "Undo", actions.undo, "history");
  const redo = headerButton("redo", "Redo", actions.redo, "history");
  const reset = headerButton("reset", "Reset all", actions.resetAll);
  const count = make("span", "count");
  const groups = make("div", "groups");
  const rows = make("div", "features");
  const empty = make("p", "empty", { textContent: "Add a feature: click a bar below or search." });
  const root = make("section", "panel", { "aria-label": "Steering" }, [
    make("header", "panel-head", {}, [
      make("h2", "", { textContent: "Steering" }),
      count,
      make("div", "head-buttons", {}, [undo, redo, reset]),
    ]),
    make("div", "panel-body", {}, [empty, groups, rows]),
  ]);
  return { root, undo, redo, reset, count, groups, rows, empty, byFeature: new Map(), byGroup: new Map(), actions };
}

function headerButton(name, label, onclick, kind = "") {
  return make("button", `text-button ${kind}`, { type: "button", onclick, title: label }, [
    icon(name),
    make("span", "", { textContent: label }),
  ]);
}

/** Rows for what is on the page now; rows of features that stay keep their nodes (and their focus). */
export function arrangePanel(panel, features, groups) {
  const groupRows = groups.map((group) => {
    if (!panel.byGroup.has(group.name)) panel.byGroup.set(group.name, createGroupRow(group.name, panel.actions));
    return panel.byGroup.get(group.name);
  });
  const rows = features.map((feature) => {
    const id = String(feature.id);
    if (!panel.byFeature.has(id)) panel.byFeature.set(id, createFeatureRow(feature.id, panel.actions));
    return panel.byFeature.get(id);
  });
  keepOnly(panel.byGroup, new Set(groups.map((group) => group.name)));
  keepOnly(panel.byFeature, new Set(features.map((feature) => String(feature.id))));
  arrange(panel.groups, groupRows.map((row) => row.root));
  arrange(panel.rows, rows.map((row) => row.root));
  panel.groups.hidden = groups.length === 0;
  panel.empty.hidden = features.length > 0;
}

/** Data around the rows changed: the next update writes them all. */
export function forgetShown(panel) {
  for (const row of panel.byFeature.values()) row.shows = null;
}

function keepOnly(rows, keys) {
  for (const key of [...rows.keys()]) if (!keys.has(key)) rows.delete(key);
}

export function updatePanel(panel, view) {
  const { features, groups, problem, steering, modes, limits, canUndo, canRedo, neutral } = view;
  panel.undo.disabled = !canUndo;
  panel.redo.disabled = !canRedo;
  panel.reset.disabled = neutral;
  setText(panel.count, features.length ? `${features.length} ${features.length === 1 ? "feature" : "features"}` : "");
  const labels = new Map(features.map((feature) => [String(feature.id), nameOf(feature)]));
  for (const group of groups) updateGroupRow(panel.byGroup.get(group.name), group, steering, limits, labels);
  features.forEach((feature, i) => {
    const row = panel.byFeature.get(String(feature.id));
    updateFeatureRow(row, feature, problem.columns[i], steering, modes, limits, problem.n);
  });
}

export function nameOf(feature) {
  return feature.label || "unlabelled";
}

/** A slider, its marks and its number box: one value, edited either way. */
function createValueEditor(actions, edit) {
  const slider = make("input", "slider", { type: "range" });
  const box = make("input", "box", { type: "number", step: "any", inputMode: "decimal" });
  const marks = make("div", "marks", { "aria-hidden": "true" });
  slider.onpointerdown = () => actions.hold();
  slider.oninput = () => edit(Number(slider.value));
  slider.onchange = () => actions.settle();
  slider.onblur = (event) => {
    // Undo takes back an edit the server has not heard of; sending it on the way to the button would race.
    if (!event.relatedTarget?.classList.contains("history")) actions.settle(true);
  };
  box.oninput = () => {
    const value = Number(box.value);
    const usable = box.value !== "" && Number.isFinite(value) && Math.abs(value) <= LARGEST_VALUE;
    box.classList.toggle("unusable", !usable);
    if (usable) edit(value);
  };
  box.onchange = () => actions.settle();
  box.onblur = (event) => {
    box.classList.remove("unusable");
    actions.refresh();
    if (!event.relatedTarget?.classList.contains("history")) actions.settle(true);
  };
  for (const input of [slider, box]) {
    input.onkeydown = (event) => {
      if (event.key === "Enter") actions.settle(true);
    };
  }
  return { slider, box, marks, track: make("div", "track", {}, [marks, slider]) };
}

function updateValueEditor(editor, { range, value, shown, neutral, label, valueText }) {
  const { slider, box, marks } = editor;
  const key = JSON.stringify(range);
  if (editor.range !== key) {
    editor.range = key;
    [slider.min, slider.max, slider.step] = [range.low, range.high, range.step];
    drawMarks(marks, range);
  }
  if (Number(slider.value) !== value) slider.value = String(value);
  const share = (mark) => ((mark - range.low) / (range.high - range.low || 1)).toFixed(4);
  setStyle(slider, "--at", share(Math.min(range.high, Math.max(range.low, value))));
  setStyle(slider, "--from", share(Math.min(range.high, Math.max(range.low, neutral))));
  slider.classList.toggle("untouched", !shown);
  slider.classList.toggle("reversed", shown && value < Math.min(0, neutral));
  setAttribute(slider, "aria-label", label);
  setAttribute(slider, "aria-valuetext", valueText);
  setAttribute(box, "aria-label", `${label}, exact value`);
  const text = shown ? String(Number(value.toPrecision(6))) : "";
  if (box.placeholder !== plain(neutral)) box.placeholder = plain(neutral);
  const typing = box.getRootNode().activeElement === box && (box.value === "" || Number(box.value) === value);
  if (!typing && box.value !== text && !box.classList.contains("unusable")) box.value = text;
}

function drawMarks(marks, range) {
  const share = (value) => (value - range.low) / (range.high - range.low || 1);
  const ends = [range.low, range.high].filter((end) =>
    range.marks.every((mark) => Math.abs(share(mark) - share(end)) > 0.09),
  );
  marks.replaceChildren(
    ...[...ends, ...range.marks].map((value) => {
      const kind = !ends.includes(value) ? "mark" : value === range.low ? "low" : "high";
      const mark = make("span", kind, { textContent: plain(value) });
      mark.style.setProperty("--at", share(value).toFixed(4));
      return mark;
    }),
  );
}

function createFeatureRow(id, actions) {
  const key = String(id);
  const row = {};
  const name = make("span", "name");
  const command = openCard(id, () => actions.command({ name: "open", feature: id }));
  const open = make("button", "open", { type: "button", "data-card": key, onclick: command }, [
    name,
    make("span", "id", { textContent: `#${id}` }),
  ]);
  const mark = make("span", "name-mark");
  const state = make("span", "state");
  const reset = iconButton("reset", `Reset feature ${id}`, () => actions.resetOne(key));
  const remove = iconButton("remove", `Remove feature ${id}`, () => actions.command({ name: "remove", feature: id }));
  const editor = createValueEditor(actions, (value) => actions.live(key, row.mode, value));
  const modes = MODES.map((mode) =>
    make("button", "mode", {
      type: "button",
      textContent: mode,
      title: MODE_HINTS[mode],
      "aria-label": `${mode} feature ${id}`,
      onclick: () => actions.setMode(key, mode),
    }),
  );
  const facts = make("span", "facts");
  const note = make("p", "note");
  Object.assign(row, { name, open, mark, state, reset, editor, modes, facts, note, mode: "scale" });
  row.root = make("div", "row feature", { "data-feature": key }, [
    make("div", "line", {}, [open, mark, state, make("span", "row-buttons", {}, [reset, remove])]),
    make("div", "line edit", {}, [editor.track, editor.box]),
    make("div", "line foot", {}, [
      make("div", "modes", { role: "group", "aria-label": `What the slider of feature ${id} does` }, modes),
      facts,
    ]),
    note,
  ]);
  return row;
}

function updateFeatureRow(row, feature, column, steering, modes, limits, n) {
  const mode = modes.get(column.id) ?? "scale";
  const total = multiplier(column, steering);
  const shows = [mode, total, ...MODES.map((kind) => steering[kind].get(column.id))].join();
  if (row.shows === shows) return;
  row.shows = shows;
  const given = steering[mode].get(column.id);
  const neutral = { scale: 1, set: typicalActivation(column), offset: 0 }[mode];
  const value = given ?? neutral;
  const name = nameOf(feature);
  row.mode = mode;
  setText(row.name, name);
  row.name.classList.toggle("unlabelled", !feature.label);
  row.mark.hidden = !feature.mark;
  setText(row.mark, feature.mark);
  setTitle(row.mark, feature.mark_help);
  row.modes.forEach((button, i) => setAttribute(button, "aria-pressed", MODES[i] === mode));
  const state = stateOf(mode, given, total, steering.scale.get(column.id) ?? 1);
  setText(row.state, state.text);
  setAttribute(row.state, "data-kind", state.kind);
  setTitle(row.state, mode === "scale" && column.groups.length ? `with its group: ${column.groups.join(", ")}` : "");
  row.reset.disabled = !MODES.some((kind) => steering[kind].has(column.id));
  updateValueEditor(row.editor, {
    range: sliderRange(mode, column, limits, value),
    value,
    shown: given !== undefined || mode !== "set",
    neutral,
    label: `${mode} feature ${feature.id} ${name}`,
    valueText: state.text ? `${plain(value)}, ${state.text}` : plain(value),
  });
  setText(row.facts, factsOf(feature, column, n));
  const note = noteOf(mode, column, steering, n);
  setText(row.note, note);
  row.note.hidden = note === "";
}

function stateOf(mode, given, total, own) {
  if (mode === "set") return given === undefined ? { text: "not set yet", kind: "quiet" } : { text: "set", kind: "on" };
  if (mode === "offset") return given ? { text: "offset", kind: "on" } : { text: "", kind: "" };
  if (total !== own) return { text: `\u00d7${plain(total)} in total`, kind: total > 0 ? "on" : "warn" };
  if (total === 0) return { text: "silenced", kind: "warn" };
  if (total < 0) return { text: "reversed", kind: "warn" };
  return { text: "", kind: "" };
}

function factsOf(feature, column, n) {
  const weight = `w ${plain(Number(column.weight.toPrecision(3)))}`;
  const fires = n ? ` \u00b7 fires in ${column.active.length} of ${n} ${n === 1 ? "answer" : "answers"}` : "";
  const density = feature.density;
  const often = Number.isFinite(density) ? ` \u00b7 ${plain(Number((density * 100).toPrecision(2)))} % of texts` : "";
  return `${weight}${fires}${often}`;
}

function noteOf(mode, column, steering, n) {
  const notes = [];
  if (mode === "offset") notes.push("Moves every answer alike; cannot re-rank.");
  else if (n > 0 && column.active.length === 0) notes.push("Silent in all of these answers, so this slider moves none of them.");
  else if (column.weight === 0) notes.push("Its head weight is 0, so this slider moves no answer.");
  const hidden = MODES.filter((kind) => kind !== mode && steering[kind].has(column.id));
  for (const kind of hidden) {
    const value = plain(steering[kind].get(column.id));
    notes.push(kind === "scale" && mode === "set" ? `Its scale \u00d7${value} waits behind set.` : `Also ${kind} ${value}.`);
  }
  return notes.join(" ");
}

function createGroupRow(name, actions) {
  const editor = createValueEditor(actions, (value) => actions.liveGroup(name, value));
  const title = make("span", "name", { textContent: name });
  const members = make("span", "facts");
  const state = make("span", "state");
  const reset = iconButton("reset", `Reset group ${name}`, () => actions.liveGroup(name, null));
  const remove = iconButton("remove", `Remove group ${name}`, () => actions.command({ name: "remove", group: name }));
  const root = make("div", "row group", { "data-group": name }, [
    make("div", "line", {}, [title, members, state, make("span", "row-buttons", {}, [reset, remove])]),
    make("div", "line edit", {}, [editor.track, editor.box]),
  ]);
  return { root, editor, members, state, reset };
}

function updateGroupRow(row, group, steering, limits, labels) {
  const value = steering.groups.get(group.name) ?? 1;
  const size = group.features.length;
  setText(row.members, `group of ${size} ${size === 1 ? "feature" : "features"}`);
  setTitle(row.members, group.features.map((id) => `#${id} ${labels.get(String(id)) ?? ""}`).join("\n"));
  const state = stateOf("scale", value, value, value);
  setText(row.state, state.text);
  setAttribute(row.state, "data-kind", state.kind);
  row.reset.disabled = value === 1;
  updateValueEditor(row.editor, {
    range: sliderRange("scale", null, limits, value),
    value,
    shown: true,
    neutral: 1,
    label: `scale group ${group.name}`,
    valueText: state.text ? `${plain(value)}, ${state.text}` : plain(value),
  });
}
