/*
 * The arithmetic of a steered ranking, without a document: every function here is pure.
 * It follows sarm_core/steering.py: scale and set touch answers in which the feature is active (z != 0),
 * an offset touches every answer alike, a group multiplies the scale of its members, set wins over scale.
 */

export const MODES = ["scale", "set", "offset"];
export const LARGEST_VALUE = 1e6;

/** Values of one kind by id. Maps, because a group may be called "__proto__". */
export function emptySteering() {
  return { scale: new Map(), set: new Map(), offset: new Map(), groups: new Map() };
}

export function copySteering(steering) {
  return {
    scale: new Map(steering.scale),
    set: new Map(steering.set),
    offset: new Map(steering.offset),
    groups: new Map(steering.groups),
  };
}

/** What Python sent, limited to the features and groups that are on the page. */
export function readSteering(data, features, groups) {
  const steering = emptySteering();
  const known = new Set(features.map((feature) => String(feature.id)));
  for (const kind of MODES) {
    for (const [id, value] of Object.entries(data?.[kind] ?? {})) {
      if (known.has(id) && Number.isFinite(value)) steering[kind].set(id, value);
    }
  }
  const given = new Map(Object.entries(data?.groups ?? {}));
  for (const group of groups) steering.groups.set(group.name, given.get(group.name) ?? group.scale ?? 1);
  return steering;
}

/** The shape Python reads; changes that do nothing are left out. */
export function writeSteering(steering) {
  const changed = (values, neutral) =>
    Object.fromEntries([...values].filter(([, value]) => value !== neutral).sort(byKey));
  return {
    scale: changed(steering.scale, 1),
    set: changed(steering.set, undefined),
    offset: changed(steering.offset, 0),
    groups: Object.fromEntries([...steering.groups].sort(byKey)),
  };
}

function byKey([left], [right]) {
  return left < right ? -1 : left > right ? 1 : 0;
}

export function isNeutral(steering) {
  const all = (values, neutral) => [...values.values()].every((value) => value === neutral);
  return (
    steering.set.size === 0 &&
    all(steering.scale, 1) &&
    all(steering.offset, 0) &&
    all(steering.groups, 1)
  );
}

/** Everything that stays the same while a slider moves: typed arrays and the ranking before steering. */
export function compileProblem(answers, features, groups) {
  const before = Float64Array.from(answers, (answer) => answer.reward);
  const memberships = new Map();
  for (const group of groups) {
    for (const id of new Set(group.features.map(String))) {
      memberships.set(id, [...(memberships.get(id) ?? []), group.name]);
    }
  }
  const columns = features.map((feature) => {
    const z = Float64Array.from(feature.activations);
    const active = Int32Array.from(z.keys()).filter((row) => z[row] !== 0);
    const id = String(feature.id);
    return { id, weight: feature.weight, z, active, groups: memberships.get(id) ?? [] };
  });
  const order = rank(before, Int32Array.from(before.keys()));
  return { n: answers.length, before, columns, order, place: placesOf(order) };
}

/** Total multiplier of a feature: its own scale times that of its groups. */
export function multiplier(column, steering) {
  let total = steering.scale.get(column.id) ?? 1;
  for (const name of column.groups) total *= steering.groups.get(name) ?? 1;
  return total;
}

/** The activation in answer `row` under a steering, without offsets: 0 where the feature is silent. */
export function steeredActivation(column, steering, row) {
  const z = column.z[row];
  if (z === 0) return 0;
  return steering.set.get(column.id) ?? multiplier(column, steering) * z;
}

/** Which slider a feature's change is owed to: its own, or a group's where only the group moved it. */
export function sliderOf(column, steering) {
  if (steering.set.has(column.id) || (steering.scale.get(column.id) ?? 1) !== 1) return `feature:${column.id}`;
  const group = column.groups.find((name) => (steering.groups.get(name) ?? 1) !== 1);
  return group === undefined ? `feature:${column.id}` : `group:${group}`;
}

/**
 * Steered rewards and, per slider, what it changed in each answer.
 * Offsets are kept apart (`offset`): the same constant in every answer.
 */
export function steer(problem, steering) {
  const now = Float64Array.from(problem.before);
  const sliders = new Map();
  let offset = 0;
  for (const column of problem.columns) {
    offset += column.weight * (steering.offset.get(column.id) ?? 0);
    const fixed = steering.set.get(column.id);
    const factor = multiplier(column, steering) - 1;
    if (fixed === undefined && factor === 0) continue;
    const name = sliderOf(column, steering);
    if (!sliders.has(name)) sliders.set(name, new Float64Array(problem.n));
    const change = sliders.get(name);
    for (const row of column.active) {
      const z = column.z[row];
      const delta = column.weight * (steeredActivation(column, steering, row) - z);
      change[row] += delta;
      now[row] += delta;
    }
  }
  if (offset !== 0) for (let row = 0; row < problem.n; row += 1) now[row] += offset;
  const order = rank(now, problem.order);
  return { now, sliders, offset, order, place: placesOf(order), ...ranksAloud(now, order) };
}

/** Rewards on a grid far below what is shown, so that equal sums added in another order stay equal. */
function grid(rewards) {
  let largest = 1;
  for (const reward of rewards) largest = Math.max(largest, Math.abs(reward));
  return Float64Array.from(rewards, (reward) => Math.round(reward / (largest * 1e-10)));
}

/** Rows best first; ties keep the order in which `previous` lists them. */
export function rank(rewards, previous) {
  const keys = grid(rewards);
  return Int32Array.from(Array.from(previous).sort((left, right) => keys[right] - keys[left]));
}

export function placesOf(order) {
  const places = new Int32Array(order.length);
  order.forEach((row, place) => {
    places[row] = place;
  });
  return places;
}

/** Per answer: its rank as said aloud (1, 1, 3: answers with one reward share a rank) and whether it is tied. */
export function ranksAloud(rewards, order) {
  const keys = grid(rewards);
  const aloud = new Int32Array(order.length);
  const tied = new Uint8Array(order.length);
  order.forEach((row, place) => {
    const above = order[place - 1];
    const same = place > 0 && keys[row] === keys[above];
    aloud[row] = same ? aloud[above] : place + 1;
    if (same) tied[row] = tied[above] = 1;
  });
  return { aloud, tied };
}

/** The best answer's lead over the next; every other answer's distance to the best (never positive). */
export function margin(rewards, order, row) {
  if (order.length < 2) return null;
  return row === order[0] ? rewards[row] - rewards[order[1]] : rewards[row] - rewards[order[0]];
}

/**
 * What the lead of answer `left` over answer `right` is made of, of a problem that holds every feature active in either:
 * {rows: [{column, left, right, difference}], margin, error}, contributions w z, largest |difference| first. Offsets
 * cancel. `error` is |sum of the differences - margin|.
 */
export function decide(problem, steering, left, right) {
  const { now } = steer(problem, steering);
  const rows = [];
  let sum = 0;
  for (const column of problem.columns) {
    if (column.z[left] === 0 && column.z[right] === 0) continue;
    const [one, other] = [left, right].map((row) => column.weight * steeredActivation(column, steering, row));
    rows.push({ column, left: one, right: other, difference: one - other });
    sum += one - other;
  }
  rows.sort((one, other) => Math.abs(other.difference) - Math.abs(one.difference));
  const lead = now[left] - now[right];
  return { rows, margin: lead, error: Math.abs(sum - lead) };
}

/** Rows that `row` overtook (when it rose) or that overtook it (when it fell), nearest first. */
export function passed(problem, result, row) {
  const rose = result.place[row] < problem.place[row];
  const rows = [];
  for (const other of problem.order) {
    const was = problem.place[other] < problem.place[row];
    const is = result.place[other] < result.place[row];
    if (rose ? was && !is : !was && is && other !== row) rows.push(other);
  }
  return rose ? rows.reverse() : rows;
}

/**
 * The slider that did most to move `row` past the answers it changed places with:
 * {slider, rows, changes}, where changes[j] is what that slider did to the margin of `row` over rows[j].
 * null when the answer kept its place.
 */
export function whatMoved(problem, result, row) {
  const direction = Math.sign(problem.place[row] - result.place[row]);
  if (direction === 0) return null;
  const rows = passed(problem, result, row);
  let best = null;
  let most = 0;
  for (const [slider, change] of result.sliders) {
    let total = 0;
    for (const other of rows) total += change[row] - change[other];
    if (total * direction > most) {
      most = total * direction;
      best = slider;
    }
  }
  if (best === null) return null;
  const change = result.sliders.get(best);
  return { slider: best, rows, changes: rows.map((other) => change[row] - change[other]) };
}

/**
 * One axis for all bars: from `low`, the largest distance to the best before or now, to 0, the best itself.
 * Rewards have no zero of their own; bars begin at `low`, so the best has the longest, and what moves all answers
 * alike moves no bar.
 * Grows with `wider`, never shrinks below it.
 */
export function barScale(before, now, wider = null) {
  let low = wider?.low ?? 0;
  for (const rewards of [before, now]) {
    const best = rewards.reduce((most, reward) => Math.max(most, reward), -Infinity);
    for (const reward of rewards) low = Math.min(low, reward - best);
  }
  return { low };
}

/** Where a distance to the best (0 or negative) lies on a bar scale, 0 to 1: how long its bar is. */
export function along(scale, behind) {
  if (!(scale.low < 0)) return 1;
  return Math.min(1, Math.max(0, 1 - behind / scale.low));
}

/** How far a slider reaches in a mode, its step and its marks; extended to hold `value`. */
export function sliderRange(mode, column, limits, value) {
  const active = Array.from(column?.active ?? [], (row) => column.z[row]);
  const largest = active.reduce((most, z) => Math.max(most, Math.abs(z)), 0) || 1;
  let [low, high, step, marks] = [limits[0], limits[1], 0.05, [0, 1]];
  if (mode === "set") {
    step = niceStep(largest / 40);
    [low, high] = [Math.min(0, ...active) * 1.5, Math.max(0, ...active) * 1.5];
    if (low === high) high = largest;
    marks = [0];
  } else if (mode === "offset") {
    step = niceStep(largest / 40);
    [low, high] = [-largest, largest];
    marks = [0];
  }
  low = onGrid(Math.floor(Math.min(low, value) / step + 1e-9), step);
  high = onGrid(Math.ceil(Math.max(high, value) / step - 1e-9), step);
  return { low, high, step, marks: marks.filter((mark) => mark >= low && mark <= high) };
}

function niceStep(size) {
  const power = 10 ** Math.floor(Math.log10(size));
  const lead = size / power;
  return (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10) * power;
}

function onGrid(count, step) {
  return Number((count * step).toPrecision(12));
}

/** Where a slider starts in "set" before anything was set: the mean activation where the feature fires. */
export function typicalActivation(column) {
  if (!column.active.length) return 0;
  let sum = 0;
  for (const row of column.active) sum += column.z[row];
  return Number((sum / column.active.length).toPrecision(3));
}

/** Decimals that show about three digits of the differences between these answers. */
export function decimalsFor(rewards) {
  let low = Infinity;
  let high = -Infinity;
  for (const reward of rewards) {
    low = Math.min(low, reward);
    high = Math.max(high, reward);
  }
  const spread = high - low;
  if (!(spread > 0)) return 2;
  return Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(spread))));
}

/** A number with its sign and a real minus; no sign on what rounds to zero. */
export function signed(value, decimals) {
  const text = Math.abs(value).toFixed(decimals);
  if (Number(text) === 0) return text;
  return (value < 0 ? "\u2212" : "+") + text;
}

/** A slider's value as short as it can be said. */
export function plain(value) {
  return String(Number(value.toPrecision(6))).replace("-", "\u2212");
}

/** `order` with `row` at `place`, the others as they stood. */
export function movedTo(order, row, place) {
  const others = order.filter((other) => other !== row);
  others.splice(Math.min(Math.max(place, 0), others.length), 0, row);
  return others;
}

/**
 * The wishes of an order: pairs [better, worse] that stand the other way round in `base`. Both list rows, best first.
 * Of a single answer that was moved, those are the answers it was moved past; where else it could stand is not said.
 */
export function turnedPairs(base, order) {
  const was = placesOf(base);
  const pairs = [];
  order.forEach((better, place) => {
    for (const worse of order.slice(place + 1)) if (was[better] > was[worse]) pairs.push([better, worse]);
  });
  return pairs;
}

/**
 * Pairs as few phrases: {row, before, behind} with the rows that `row` was moved past, in `order`. The answer that
 * most pairs are about is the one that was moved; of equals the one that is wanted higher.
 */
export function wishPhrases(pairs, order) {
  const place = placesOf(order);
  const byPlace = (left, right) => place[left] - place[right];
  const phrases = [];
  let left = pairs;
  while (left.length) {
    const counts = new Map();
    for (const row of left.flat()) counts.set(row, (counts.get(row) ?? 0) + 1);
    const row = [...counts.keys()].sort((one, two) => counts.get(two) - counts.get(one) || byPlace(one, two))[0];
    const before = left.filter(([better]) => better === row).map(([, worse]) => worse);
    const behind = left.filter(([, worse]) => worse === row).map(([better]) => better);
    phrases.push({ row, before: before.sort(byPlace), behind: behind.sort(byPlace) });
    left = left.filter((pair) => !pair.includes(row));
  }
  return phrases.sort((one, two) => byPlace(one.row, two.row));
}

/** Whether the better answer of a pair has the higher reward. */
export function holds(rewards, [better, worse]) {
  const keys = grid(rewards);
  return keys[better] > keys[worse];
}
