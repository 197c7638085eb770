import { make, setAttribute, setText, setTitle } from "./elements.js";

/*
 * An answer's words where they stand. What is typed is told after a short pause, so that the score follows, and again
 * once it was left alone, which makes a version of it. The colours lie in a layer behind the box, which must wrap its
 * text as the box does.
 */
const PAUSE_MS = 350;
const REST_MS = 2500;
const MOST = 100_000;

export function createEditor(list, id) {
  const editor = { list, id, pause: 0, rest: 0, told: "", restedWith: "", revision: null, focused: null, rules: "" };
  const tell = (command) => list.actions.command({ ...command, answer: id });
  editor.tell = tell;
  editor.box = make("textarea", "edit-box", { spellcheck: false, maxLength: MOST, dir: "auto" });
  editor.layer = make("div", "edit-layer", { "aria-hidden": "true", dir: "auto" });
  editor.said = make("p", "edit-said", { role: "status", "aria-live": "polite" });
  editor.busy = make("span", "edit-busy", { textContent: "scoring \u2026" });
  const button = (text, onclick, title = "") => make("button", "edit-button", { type: "button", textContent: text, title, onclick });
  editor.older = button("\u2039", () => tell({ name: "version", step: -1 }), "The version before");
  editor.newer = button("\u203a", () => tell({ name: "version", step: 1 }), "The version after");
  setAttribute(editor.older, "aria-label", "The version before");
  setAttribute(editor.newer, "aria-label", "The version after");
  editor.version = make("span", "edit-version");
  editor.shade = button("What it hangs on", () => tell({ name: "shade" }), "Colours each sentence by how far the reward falls or rises without it. Estimated: the answer is scored again without it.");
  editor.back = button("Back to the original", () => tell({ name: "original" }), "Takes this edited answer away; the original stands where it stood");
  editor.ruleButtons = make("span", "edit-rules", { role: "group", "aria-label": "Change it by a rule" });
  editor.legend = make("p", "edit-legend", { textContent: "Blue holds the reward up, orange holds it down. Estimated: each sentence was left out in turn." });
  editor.root = make("div", "editor", { hidden: true }, [
    make("div", "edit-field", {}, [editor.layer, editor.box]),
    editor.legend,
    make("div", "edit-line", {}, [editor.said, editor.busy]),
    make("div", "edit-tools", {}, [
      make("span", "edit-versions", {}, [editor.older, editor.version, editor.newer]),
      editor.back,
      editor.shade,
      editor.ruleButtons,
    ]),
  ]);
  editor.box.addEventListener("input", () => typed(editor));
  editor.box.addEventListener("blur", () => leave(editor));
  editor.box.addEventListener("scroll", () => {
    editor.layer.scrollTop = editor.box.scrollTop;
  });
  // Ctrl+Z in the box is the browser's own undo of typing, not that of the sliders.
  editor.box.addEventListener("keydown", (event) => event.stopPropagation());
  return editor;
}

export function destroyEditor(editor) {
  clearTimeout(editor.pause);
  clearTimeout(editor.rest);
}

function typed(editor) {
  clearTimeout(editor.pause);
  clearTimeout(editor.rest);
  editor.rest = 0;
  editor.pause = setTimeout(() => tellText(editor, false), PAUSE_MS);
  paint(editor);
}

function tellText(editor, rested) {
  clearTimeout(editor.pause);
  editor.pause = 0;
  const text = editor.box.value;
  if (!text.trim()) return;
  if (rested ? text !== editor.restedWith : text !== editor.told) {
    editor.told = text;
    if (rested) editor.restedWith = text;
    editor.list.actions.send({ name: "type", answer: editor.id, text, rested });
  }
  clearTimeout(editor.rest);
  editor.rest = rested ? 0 : setTimeout(() => tellText(editor, true), REST_MS);
  paint(editor);
}

/** The box was left: what is in it is a version. A row that moves in the document loses the focus and gets it back. */
function leave(editor) {
  setTimeout(() => {
    if (editor.box.getRootNode().activeElement !== editor.box && (editor.pause || editor.rest)) tellText(editor, true);
  }, 0);
}

/** Show what the server knows of an edited answer; a text in hand stays. */
export function updateEditor(editor, answer) {
  const { edit } = answer;
  editor.root.hidden = !edit;
  if (!edit) return;
  const news = editor.revision !== edit.revision;
  const inHand = editor.pause !== 0 || (editor.box.value !== answer.text && editor.box.value === editor.told);
  editor.scored = answer.text;
  editor.shades = edit.shades;
  if (editor.revision === null || news || !inHand) {
    if (editor.box.value !== answer.text) editor.box.value = answer.text;
    editor.told = answer.text;
    if (news) {
      editor.restedWith = answer.text;
      clearTimeout(editor.rest);
      editor.rest = 0;
    }
  }
  editor.revision = edit.revision;
  setAttribute(editor.box, "aria-label", `Words of answer ${answer.title}`);
  setText(editor.said, edit.said);
  setText(editor.version, edit.versions > 1 ? (edit.version < 0 ? `unsaved, ${edit.versions} versions` : `version ${edit.version + 1} of ${edit.versions}`) : "");
  editor.older.parentNode.hidden = edit.versions < 2;
  editor.older.disabled = edit.version === 0;
  editor.newer.disabled = edit.version < 0 || edit.version >= edit.versions - 1;
  setAttribute(editor.shade, "aria-pressed", edit.shaded);
  editor.legend.hidden = !edit.shades.length;
  if (editor.rules !== edit.rules.join()) {
    editor.rules = edit.rules.join();
    editor.ruleButtons.replaceChildren(
      ...edit.rules.map((rule) =>
        make("button", "edit-button", { type: "button", textContent: rule, onclick: () => editor.tell({ name: "rewrite", rule }) }),
      ),
    );
  }
  paint(editor);
  if (edit.focus && editor.focused !== edit.focus) setTimeout(() => editor.box.focus({ preventScroll: true }), 0);
  editor.focused = edit.focus;
}

/** Colours and height; colours of a text that changed since are gone. */
function paint(editor) {
  const { box, layer } = editor;
  const current = box.value === editor.scored;
  setText(editor.busy, box.value.trim() ? "scoring \u2026" : "an empty answer is not scored");
  editor.busy.hidden = current;
  const parts = [];
  let at = 0;
  for (const [start, stop, share, words] of current ? editor.shades : []) {
    if (start > at) parts.push(box.value.slice(at, start));
    const piece = make("mark", share < 0 ? "holds-down" : "holds-up", { textContent: box.value.slice(start, stop) });
    piece.style.setProperty("--share", Math.abs(share).toFixed(3));
    setTitle(piece, words);
    parts.push(piece);
    at = stop;
  }
  layer.replaceChildren(...parts, `${box.value.slice(at)}\n`);
}
