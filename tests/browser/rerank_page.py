"""A small page around the rerank component, for the browser tests and the benchmark.

It keeps the steering the way a real page does: history in session state, `revision` raised by Python's own
changes. The query string chooses what is on it:
?answers=8&features=4&groups=1&hostile=1&long=1&huge=1&empty=features|answers&ties=1&busy=seconds
"""

from __future__ import annotations

import html
import json
import time

import numpy as np
import streamlit as st
from scipy import sparse

from app.components.rerank import as_steering, from_steering, rerank
from sarm_core import Steering
from sarm_core.features import FeatureMatrix

TEXTS = [
    "I'm sorry, but I can't help with that. If you are worried about fumes at home, please contact a "
    "professional who can look at the room and its ventilation.",
    "Mixing them releases chloramine gas, which irritates the lungs even in small amounts. Open the windows, "
    "leave the room, and rinse the surface with plenty of water before you use anything else on it.",
    "Yes, if the room is well aired and you use only a little of each.",
    "# Cleaning products\n\n- **Never** mix bleach with ammonia\n- **Never** mix bleach with vinegar\n"
    "- Ventilate\n- Wear gloves\n\nIn short: use one product at a time.",
    "It depends.",
    "Great question! Cleaning is something we all think about, and there are many wonderful ways to keep a "
    "home fresh. Let us look at the history of soap first, because it is truly fascinating.",
    "No. Bleach and ammonia together make a toxic gas. Use one, rinse, wait, then use the other if you must.",
    "Why would you even ask that? Read the label like everyone else does.",
]
LABELS = [
    "refusal wording",
    "lists, markdown",
    "",
    "answers the question asked",
    "padding before the point",
    "names a hazard",
]
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script>"\'`'


def build(
    n: int, n_features: int, *, ties: bool, hostile: bool, empty: str
) -> tuple[list, list, FeatureMatrix]:
    """Answers and features for the component, and the matrix that Python steers with."""
    rng = np.random.default_rng(7)
    ids = (
        rng.choice(4000, n_features, replace=False)
        if n_features > 4
        else np.array([1287, 33, 902, 2741])[:n_features]
    )
    z = rng.gamma(2.0, 0.8, (n, n_features)) * (rng.random((n, n_features)) < 0.55)
    if n > 1 and n_features > 1 and n_features <= 4:
        z[:, 0] = [2.4 if row % 3 == 0 else 0.0 for row in range(n)]
    if ties and n > 1:
        z[1] = z[0]
    w = np.round(rng.normal(0.0, 0.35, n_features), 4)
    if n_features:
        w[0] = -0.31
    w_rest, z_rest = 1.0, rng.normal(0.3, 0.5, n)
    if ties and n > 1:
        z_rest[1] = z_rest[0]
    dense = np.zeros((n, 4096), dtype=np.float32)
    dense[:, 4095] = z_rest
    head = np.zeros(4096, dtype=np.float32)
    head[4095] = w_rest
    for j, i in enumerate(ids):
        dense[:, i] = z[:, j]
        head[i] = w[j]
    matrix = FeatureMatrix(sparse.csr_matrix(dense), head)
    answers = [
        {
            "id": f"a{row}",
            "title": HOSTILE if hostile and row == 0 else chr(65 + row) if row < 26 else f"{row + 1}",
            "text": HOSTILE if hostile else TEXTS[row % len(TEXTS)],
            "reward": float(matrix.exact_rewards[row]),
        }
        for row in range(n)
    ]
    features = [
        {
            "id": int(i),
            "label": HOSTILE if hostile else LABELS[j % len(LABELS)],
            "mark": "suggested" if j % 2 else "",
            "weight": float(head[i]),
            "activations": [float(value) for value in dense[:, i]],
            "density": None if j % 4 == 2 else 0.0612 / (j + 1),
        }
        for j, i in enumerate(ids)
    ]
    return ([] if empty == "answers" else answers), ([] if empty == "features" else features), matrix


query = st.query_params
answers, features, matrix = build(
    int(query.get("answers", 8)),
    int(query.get("features", 4)),
    ties="ties" in query,
    hostile="hostile" in query,
    empty=query.get("empty", ""),
)
if query.get("empty") == "answers":
    features = [{**feature, "activations": []} for feature in features]
if "long" in query:
    answers = [{**answer, "title": f"{answer['title']} has a name that goes on"} for answer in answers]
    features = [
        {**feature, "label": f"{feature['label']}, and more words than fit" * 3} for feature in features
    ]
if "huge" in query:
    answers[0] |= {"text": "One of very many words. " * 4000, "cut": 12_345}
groups = []
if "groups" in query:
    name = HOSTILE if "hostile" in query else "style"
    groups = [{"name": name, "features": [feature["id"] for feature in features[1:3]], "scale": 1.0}]

state = st.session_state
state.setdefault("runs", 0)
state.setdefault("history", [{"scale": {}, "set": {}, "offset": {}, "groups": {}}])
state.setdefault("at", 0)
state.setdefault("revision", 0)
state.setdefault("log", [])
state.setdefault("removed", [])
state.runs += 1


def on_steering(steering: dict) -> None:
    state.history = [*state.history[: state.at + 1], steering]
    state.at += 1
    state.log.append({"steering": steering})


def on_command(command: dict) -> None:
    state.log.append(command)
    before = state.at
    if command["name"] == "undo":
        state.at = max(0, state.at - 1)
    elif command["name"] == "compare":
        state.compared = [command["answer"], answers[0]["id"]]
    elif command["name"] == "want":
        state.wanted = {"base": command["base"], "order": command["order"]}
    elif command["name"] == "unwant":
        state.wanted = None
    elif command["name"] == "redo":
        state.at = min(len(state.history) - 1, state.at + 1)
    elif command["name"] == "reset":
        state.history = [*state.history[: state.at + 1], {"scale": {}, "set": {}, "offset": {}, "groups": {}}]
        state.at += 1
    elif command["name"] == "remove" and "feature" in command:
        state.removed.append(command["feature"])
        current = state.history[state.at]
        kept = {
            kind: {i: v for i, v in current[kind].items() if i != str(command["feature"])} for kind in current
        }
        state.history = [*state.history[: state.at + 1], kept]
        state.at += 1
    state.revision += state.at != before


def load_file() -> None:
    """A steering that Python makes, as if it had been read from a file."""
    first = features[0]["id"]
    loaded, _ = from_steering(Steering.from_json(json.dumps({str(first): ["*", -0.5]})))
    state.history = [*state.history[: state.at + 1], loaded]
    state.at += 1
    state.revision += 1


def forget_order() -> None:
    state.wanted = None
    state.wanted_revision = state.get("wanted_revision", 0) + 1


st.set_page_config(page_title="rerank", layout="wide")
st.button("Load a steering", key="load", on_click=load_file)
st.button("Want nothing", key="forget", on_click=forget_order)
features = [feature for feature in features if feature["id"] not in state.removed]
if "busy" in query:
    time.sleep(float(query["busy"]))
result = rerank(
    key="rerank",
    answers=answers,
    features=features,
    groups=groups,
    steering=state.history[state.at],
    revision=state.revision,
    can_undo=state.at > 0,
    can_redo=state.at < len(state.history) - 1,
    compared=state.get("compared", ()),
    reveal="reveal",
    wanted=state.get("wanted"),
    wanted_revision=f"page:{state.get('wanted_revision', 0)}",
    on_steering=on_steering,
    on_command=on_command,
)
steering = as_steering(state.history[state.at], groups)
rewards = matrix.exact_rewards if not answers else steering.rewards(matrix)
report = {
    "runs": state.runs,
    "revision": state.revision,
    "steering": state.history[state.at],
    "log": state.log[-12:],
    "result": result._asdict(),
    "wanted": state.get("wanted"),
    "rewards": [float(reward) for reward in rewards],
    "rewards_before": [float(reward) for reward in matrix.exact_rewards],
}
with st.container(key="reveal", height=1_500):
    st.text("what is compared")
st.html(f'<div class="report" style="display: none">{html.escape(json.dumps(report))}</div>')
