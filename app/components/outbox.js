/** How many earlier commands one carries along: far more presses than fit into one run of the script. */
const CARRIED = 20;

/**
 * What a component tells Python. Streamlit folds messages together while a run is on (the last one wins) and
 * drops a state equal to the last, so every message gets a number from one clock, and each command carries
 * the commands before it. `inbox.py` takes each of them once, in order.
 */
export function createOutbox(setTrigger) {
  const earlier = [];
  let edits = 0;

  function nextEdit() {
    edits = Math.max(edits + 1, Date.now());
    return edits;
  }

  function send(payload) {
    const command = { ...payload, edit: nextEdit() };
    setTrigger("command", { ...command, before: earlier.slice(-CARRIED) });
    earlier.push(command);
  }

  return { nextEdit, send };
}
