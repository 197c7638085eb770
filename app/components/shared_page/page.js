/*
 * A shared comparison, without a server: this script stands where the app's Python stands. It keeps the sliders' history
 * and draws which features decide; the ranking and its arithmetic are the app's own.
 */
import ranking from "../rerank/rerank.js";
import bars from "../feature_bars/feature_bars.js";
import { compileProblem, decide, readSteering, signed, steer, steeredActivation, writeSteering } from "../rerank/ranking.js";
import { arrange, make, setText } from "../rerank/elements.js";

const MOST_BARS = 60;
const MOST_NAMED = 3;
const MOST_SLIDERS = 32;

const held = (id) => JSON.parse(document.getElementById(id).textContent);
const file = held("sarm-comparison");
const view = held("sarm-view");
const styles = held("sarm-styles");

const answers = file.answers.map((answer, i) => ({
  id: String(i),
  title: view.titles[i],
  text: answer.text,
  reward: file.scored[i].reward,
  cut: file.scored[i].tokens_cut ?? 0,
}));
const features = new Map(
  file.features.map((feature) => [
    feature.feature,
    {
      id: feature.feature,
      label: feature.name ?? "",
      mark: feature.mark ?? "",
      mark_help: "",
      weight: feature.weight,
      density: feature.density ?? null,
      activations: answers.map(() => 0),
    },
  ]),
);
file.scored.forEach((scored, row) => {
  scored.features.forEach((id, i) => {
    features.get(id).activations[row] = scored.activations[i];
  });
});

const all = [...features.values()];
const letterOf = (row) => view.titles[row].split(" \u00b7 ", 1)[0];
const titleOf = (feature) => `#${feature.id} ${feature.label || "unlabelled"}`;

/* what the app's Python keeps: sliders, steps, the two answers */

const start = { steering: view.steering, groups: view.groups };
let sliders = [...view.sliders];
let steps = [start];
let at = 0;
let revision = 1;
let pair = [...view.compared];
let least = 10;
let plain = false;

const now = () => steps[at];

function step(next, byPage = true) {
  if (byPage) revision += 1;
  if (JSON.stringify(next) === JSON.stringify(now())) return;
  steps = [...steps.slice(0, at + 1), next];
  at = steps.length - 1;
}

function withoutFeature(id) {
  const kept = (values) => Object.fromEntries(Object.entries(values).filter(([key]) => key !== String(id)));
  const { steering } = now();
  const groups = now()
    .groups.map((group) => ({ ...group, features: group.features.filter((other) => other !== id) }))
    .filter((group) => group.features.length);
  return {
    steering: { scale: kept(steering.scale), set: kept(steering.set), offset: kept(steering.offset), groups: steering.groups },
    groups,
  };
}

const commands = {
  undo: () => at > 0 && ((at -= 1), (revision += 1)),
  redo: () => at < steps.length - 1 && ((at += 1), (revision += 1)),
  reset() {
    const groups = now().groups.map((group) => ({ ...group, scale: 1 }));
    step({ steering: { scale: {}, set: {}, offset: {}, groups: {} }, groups });
  },
  remove({ feature, group }) {
    if (group !== undefined) {
      step({ ...now(), groups: now().groups.filter((other) => other.name !== group) });
      return;
    }
    sliders = sliders.filter((id) => id !== feature);
    step(withoutFeature(feature));
  },
  compare({ answer }) {
    const row = Number(answer);
    pair = pair[1] === row ? [row, pair[0]] : [row, pair[1]];
  },
  open: ({ feature }) => showFeature(feature, true),
};

function add(id) {
  if (!features.has(id) || sliders.includes(id) || sliders.length >= MOST_SLIDERS) return;
  sliders = [...sliders, id];
  draw();
}

/** The steering in force, over all features: groups have their value in the sliders' state. */
function inForce() {
  return readSteering(now().steering, all, now().groups);
}

/* drawing */

function mount(place, css) {
  const root = document.getElementById(place).attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  return root;
}

const rankingRoot = mount("ranking", styles.ranking);
const pairPart = createPair();
const barsRoot = mount("bars", styles.bars);
const featurePlace = document.getElementById("feature");
let openFeature = null;

function draw() {
  const { steering, groups } = now();
  ranking({
    parentElement: rankingRoot,
    data: {
      answers,
      features: sliders.map((id) => features.get(id)),
      groups,
      steering,
      revision,
      limits: [-1, 3],
      can_undo: at > 0,
      can_redo: at < steps.length - 1,
      compared: pair.map(String),
      reveal: "sides",
      wanted: null,
      wanted_revision: "",
      can_wish: false,
      can_edit: false,
    },
    setStateValue(_, { edit: _edit, ...given }) {
      const scales = given.groups;
      const groups = now().groups.map((group) => ({ ...group, scale: scales[group.name] ?? group.scale }));
      step({ steering: given, groups }, false);
      draw();
    },
    setTriggerValue(_, command) {
      commands[command.name]?.(command);
      draw();
    },
  });
  drawPair();
  if (openFeature !== null) showFeature(openFeature, false);
}

/** A control under its name. */
function field(name, control, ...beside) {
  control.id = `field-${name.toLowerCase().replaceAll(" ", "-")}`;
  return make("div", "field", {}, [make("label", "", { htmlFor: control.id, textContent: name }), control, ...beside]);
}

/** The head of the section about two answers: which two, under what, and in words. */
function createPair() {
  const place = document.getElementById("sides");
  const choice = (label, which) => {
    const select = make("select", "", { onchange: () => choose(which, Number(select.value)) }, answers.map((answer) =>
      make("option", "", { value: answer.id, textContent: answer.title }),
    ));
    return { select, node: field(label, select) };
  };
  const left = choice("Compare", 0);
  const right = choice("with", 1);
  const basis = make("input", "", { type: "checkbox", onchange: () => ((plain = basis.checked), drawPair()) });
  const hide = make("input", "", { type: "range", min: "0", max: "100", value: String(least), oninput: () => ((least = Number(hide.value)), drawPair()) });
  const hidden = make("output");
  const words = make("p", "words", { "aria-live": "polite" });
  const exact = make("p", "note");
  const offered = make("datalist", "", { id: "all-features" }, all.map((feature) => make("option", "", { value: titleOf(feature) })));
  const box = make("input", "", { type: "text", placeholder: "a number or a name" });
  box.setAttribute("list", "all-features");
  const adding = make("form", "add", {
    onsubmit: (event) => {
      event.preventDefault();
      const id = Number(/^\s*#?(\d+)/.exec(box.value)?.[1] ?? NaN);
      box.setCustomValidity(features.has(id) ? "" : "Not a feature of these answers: choose one from the list.");
      if (!box.reportValidity()) return;
      box.value = "";
      add(id);
    },
  }, [field("Add a feature to the sliders", box), offered, make("button", "", { type: "submit", textContent: "Add" })]);
  box.oninput = () => box.setCustomValidity("");
  const alone = make("p", "note", { textContent: "One answer alone: there is none to compare it with." });
  const controls = make("div", "controls", {}, [
    left.node,
    right.node,
    make("label", "check", {}, [basis, "without the steering"]),
    field("Hide smaller than", hide, hidden),
  ]);
  place.append(controls, alone, words, exact, make("div", "", { id: "bars" }), adding);
  return { left: left.select, right: right.select, controls, alone, words, exact, hidden, bars: place.querySelector("#bars") };
}

function choose(which, row) {
  const other = 1 - which;
  const next = [...pair];
  if (pair[other] === row) next[other] = pair[which];
  next[which] = row;
  pair = next;
  draw();
}

function drawPair() {
  const several = answers.length > 1;
  for (const node of [pairPart.controls, pairPart.words, pairPart.exact, pairPart.bars]) node.hidden = !several;
  pairPart.alone.hidden = several;
  if (!several) return;
  const [left, right] = pair;
  [pairPart.left.value, pairPart.right.value] = pair.map(String);
  setText(pairPart.hidden, `${least} % of the largest`);
  const steering = plain ? readSteering({}, [], []) : inForce();
  const problem = compileProblem(answers, all, plain ? [] : now().groups);
  const { rows, margin, error } = decide(problem, steering, left, right);
  const largest = Math.abs(rows[0]?.difference ?? 0);
  const shown = rows.filter((row) => Math.abs(row.difference) >= largest * Math.min(least / 100, 1 - 1e-9)).slice(0, MOST_BARS);
  setText(pairPart.words, inWords(rows, margin, letterOf(left), letterOf(right)));
  setText(
    pairPart.exact,
    `Exact: the differences of all ${rows.length} features sum to the margin ${signed(margin, 4)} ` +
      `(error ${error === 0 ? "0" : error.toExponential(0)}); ${shown.length} are shown.`,
  );
  bars({
    parentElement: barsRoot,
    data: {
      columns: [`${letterOf(left)}: w z`, `${letterOf(right)}: w z`, `${letterOf(left)} \u2212 ${letterOf(right)}`],
      bars: shown.map((row) => barOf(row, left, right)),
      click_hint: "Show this feature in every answer",
      chosen: openFeature,
      can_add: true,
    },
    setTriggerValue(_, { name, feature }) {
      if (name === "add") add(feature);
      else showFeature(feature, true);
    },
  });
}

function barOf({ column, left, right, difference }, one, other) {
  const feature = features.get(Number(column.id));
  const short = (value) => String(Number(value.toPrecision(3))).replace("-", "\u2212");
  const often = feature.density === null ? "" : ` \u00b7 fires in ${short(feature.density * 100)} %`;
  return {
    feature: feature.id,
    name: feature.label,
    mark: feature.mark,
    mark_help: "",
    facts: `z ${short(column.z[one])} / ${short(column.z[other])} \u00b7 w ${short(column.weight)}${often}`,
    values: [left, right, difference],
    on_panel: sliders.includes(feature.id),
  };
}

function inWords(rows, margin, left, right) {
  if (margin === 0) return `${left} and ${right} have exactly the same reward: what speaks for either cancels.`;
  const [above, below] = margin > 0 ? [left, right] : [right, left];
  const towards = rows.map((row) => ({ id: Number(row.column.id), value: row.difference * Math.sign(margin) }));
  const named = (some) =>
    some
      .slice(0, MOST_NAMED)
      .map(({ id, value }) => {
        const feature = features.get(id);
        const mark = feature.mark ? `${feature.mark}, ` : "";
        return `#${id}${feature.label ? ` \u2068${feature.label}\u2069` : ""} (${mark}${signed(value, 3)})`;
      })
      .join(", ");
  const supporting = towards.filter(({ value }) => value > 0);
  const opposing = towards.filter(({ value }) => value < 0);
  let text = `${above} is above ${below} by ${Number(Math.abs(margin).toPrecision(3))}`;
  if (supporting.length) text += `, most of all through ${named(supporting)}`;
  text += ".";
  if (opposing.length) {
    const against = opposing.reduce((sum, { value }) => sum + value, 0);
    text += ` Against it speak ${named(opposing)}; everything against sums to ${signed(against, 3)}.`;
  }
  return text;
}

/** One feature in every answer, best first. */
function showFeature(id, asked) {
  const feature = features.get(id);
  openFeature = id;
  const steering = inForce();
  const problem = compileProblem(answers, [feature], now().groups);
  const whole = compileProblem(answers, all, now().groups);
  const { order } = steer(whole, steering);
  const [column] = problem.columns;
  const rows = Array.from(order, (row) => {
    const z = steeredActivation(column, steering, row);
    const cells = [signed(column.z[row], 3), signed(z, 3), signed(z * column.weight, 4)];
    return make("tr", "", {}, [
      make("th", "", { textContent: view.titles[row], scope: "row", dir: "auto" }),
      ...cells.map((text) => make("td", "n", { textContent: text })),
    ]);
  });
  const head = ["answer", "activation z", "z under the steering", "contribution w z"];
  const heading = make("h2", "", { tabIndex: -1, dir: "auto", textContent: titleOf(feature) });
  arrange(featurePlace, [
    heading,
    make("p", "note", {
      textContent: `Head weight ${signed(feature.weight, 4)}.${feature.mark ? ` Its name: ${feature.mark}.` : ""}`,
    }),
    make("div", "scroll", { role: "region", tabindex: "0", "aria-label": `Feature ${id} in every answer` }, [
      make("table", "", {}, [
        make("thead", "", {}, [make("tr", "", {}, head.map((name, i) => make("th", i ? "n" : "", { scope: "col", textContent: name })))]),
        make("tbody", "", {}, rows),
      ]),
    ]),
  ]);
  featurePlace.hidden = false;
  if (!asked) return;
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ block: "nearest" });
}

document.documentElement.classList.add("scripted");
draw();
