/*
 * No element of its own: this browser keeps the name that is typed into the sidebar, and gives it back once to a page
 * that was loaded anew and has none. A name that is taken out of the box is forgotten.
 */
const KEPT = "sarm-name";
let told = false;
let last = "";

// A browser may refuse storage (private windows): then the name lives as long as the page.
function kept(name) {
  try {
    if (name === undefined) return localStorage.getItem(KEPT) ?? "";
    if (name) localStorage.setItem(KEPT, name);
    else localStorage.removeItem(KEPT);
  } catch {}
  return "";
}

export default function render(component) {
  const { name } = component.data;
  if (name || last) {
    if (name !== last) kept(name);
    told = true;
  } else if (!told) {
    told = true;
    const found = kept();
    if (found) component.setTriggerValue("found", found);
  }
  last = name;
}
