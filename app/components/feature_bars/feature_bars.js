import { createOutbox } from "../outbox.js";
import { icon, make, openCard } from "../rerank/elements.js";

/*
 * Rows of bars. Nothing moves by itself here, so new data simply draws new rows; only the focus is kept.
 */
const mounted = new WeakMap();

export default function render(component) {
  const parent = component.parentElement;
  let root = mounted.get(parent);
  if (!root) {
    root = make("div", "feature-bars");
    const held = root;
    root.outbox = createOutbox((name, value) => held.component.setTriggerValue(name, value));
    mounted.set(parent, root);
  }
  if (root.parentNode !== parent) parent.append(root);
  if (root.shown !== component.data) {
    root.shown = component.data;
    draw(root, component);
  }
  root.component = component;
  return () => {
    root.remove();
    mounted.delete(parent);
  };
}

function draw(root, { data }) {
  const focused = root.getRootNode().activeElement;
  const kept = focused && root.contains(focused) ? [focused.className, focused.dataset.feature] : null;
  const all = data.bars.flatMap((bar) => bar.values);
  const scale = { low: Math.min(0, ...all), high: Math.max(0, ...all) };
  if (scale.low === scale.high) scale.high = 1;
  const decimals = decimalsFor(Math.max(scale.high, -scale.low));
  root.style.setProperty("--columns", String(data.columns.length));
  root.classList.toggle("several", data.columns.length > 1);
  root.replaceChildren(
    make("div", "bars", { role: "table" }, [
      make("div", "head", { role: "row" }, [
        make("span", "feature-head", { role: "columnheader", textContent: "feature" }),
        ...data.columns.map((column, i) =>
          make("span", `column-head ${place(i, data)}`, { role: "columnheader", textContent: column, title: column }),
        ),
        make("span", "", { role: "columnheader", "aria-label": "on the sliders" }),
      ]),
      ...data.bars.map((bar) => row(root, bar, data, scale, decimals)),
    ]),
  );
  if (kept) {
    const again = [...root.querySelectorAll("button")].find(
      (button) => button.dataset.feature === kept[1] && button.className === kept[0],
    );
    again?.focus({ preventScroll: true });
  }
}

function row(root, bar, data, scale, decimals) {
  const tell = (name) => () => root.outbox.send({ name, feature: bar.feature });
  const label = make("button", "label", { type: "button", "data-card": String(bar.feature), onclick: openCard(bar.feature, tell("click")) }, [
    make("span", "id", { textContent: `#${bar.feature}` }),
    make("span", bar.name ? "name" : "name unlabelled", { textContent: bar.name || "unlabelled" }),
  ]);
  label.dataset.feature = String(bar.feature);
  if (data.click_hint) label.cardAct = { words: data.click_hint, run: tell("click") };
  const about = make("div", "about", { role: "rowheader" }, [label]);
  if (bar.mark) about.append(make("span", "name-mark", { textContent: bar.mark, title: bar.mark_help }));
  about.append(make("span", "facts", { textContent: bar.facts, title: bar.facts }));
  const cells = bar.values.map((value, i) => cell(value, place(i, data), scale, decimals));
  const node = make("div", "bar-row", { role: "row" }, [about, ...cells, plus(bar, data, tell("add"))]);
  node.classList.toggle("chosen", data.chosen === bar.feature);
  node.dataset.feature = String(bar.feature);
  if (data.click_hint) {
    node.classList.add("acts");
    node.onclick = (event) => !event.target.closest("button") && tell("click")();
  }
  return node;
}

function plus(bar, data, onclick) {
  if (!data.can_add) return make("span", "", { role: "cell" });
  if (bar.on_panel) {
    return make("span", "there", { role: "cell", textContent: "\u2713", title: "On the sliders", "aria-label": "on the sliders" });
  }
  const name = `Add feature ${bar.feature} to the sliders`;
  const button = make("button", "add", { type: "button", title: name, "aria-label": name, onclick }, [icon("add")]);
  button.dataset.feature = String(bar.feature);
  return make("span", "", { role: "cell" }, [button]);
}

function cell(value, kind, scale, decimals) {
  const along = (x) => (x - scale.low) / (scale.high - scale.low);
  const [from, to] = [Math.min(along(0), along(value)), Math.max(along(0), along(value))];
  const fill = make("span", value < 0 ? "fill negative" : "fill");
  fill.style.left = `${(from * 100).toFixed(2)}%`;
  fill.style.width = `${((to - from) * 100).toFixed(2)}%`;
  const zero = make("span", "zero");
  zero.style.left = `${(along(0) * 100).toFixed(2)}%`;
  return make("span", `cell ${kind}`, { role: "cell" }, [
    make("span", value === 0 ? "figure none" : "figure", { textContent: value === 0 ? "0" : signed(value, decimals) }),
    make("span", "track", { "aria-hidden": "true" }, [zero, fill]),
  ]);
}

/** The last of several columns is the one a narrow window keeps. */
function place(i, data) {
  return i === data.columns.length - 1 ? "last" : "aside";
}

function signed(value, decimals) {
  const text = Math.abs(value).toFixed(decimals);
  return `${value < 0 ? "\u2212" : "+"}${text}`;
}

/** Three figures of the largest value. */
function decimalsFor(largest) {
  if (!(largest > 0)) return 2;
  return Math.min(8, Math.max(0, 2 - Math.floor(Math.log10(largest))));
}
