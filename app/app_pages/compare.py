"""Compare and steer: rank answers, see which features decide, re-weight them while the order follows."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import session
from app.compare_inputs import input_row
from app.components.rerank import as_steering, from_steering, rerank
from app.engine import Engine, FeatureNote
from app.plain_text import plain
from app.why import decide, difference_chart, in_words
from sarm_core.scorer import Scored

SHOWN = 20  # features in the chart before the filter


def first_features(scored: Scored, n: int = 4) -> list[int]:
    """Features that separate the answers most: largest spread of w z over the answers."""
    if len(scored) < 2:
        return []
    contributions = scored.matrix.csr.multiply(scored.matrix.head[None, :]).tocsc()
    mean = np.asarray(contributions.mean(axis=0)).ravel()
    square = np.asarray(contributions.multiply(contributions).mean(axis=0)).ravel()
    spread = square - mean**2
    return [int(i) for i in np.argsort(-spread)[:n] if spread[i] > 0]


def on_steering(state: dict[str, dict[str, float]]) -> None:
    held = session.steering()
    _, groups = from_steering(held.current)
    session.guarded(held.change, as_steering(state, groups))


def on_command(command: dict[str, object]) -> None:
    held = session.steering()
    match command["name"]:
        case "undo":
            held.undo()
        case "redo":
            held.redo()
        case "reset":
            held.reset()
        case "remove" if "group" in command:
            held.remove_group(str(command["group"]))
        case "remove":
            held.remove(int(str(command["feature"])))
        case "compare":
            st.session_state["left"] = int(str(command["answer"]))
        case "open":
            st.session_state["feature"] = int(str(command["feature"]))
            st.session_state["go_to_feature"] = True


def add_features(features: list[int]) -> None:
    """Callback: put features on the panel, saying so when they do not fit."""
    left_out = session.steering().add(features)
    if left_out:
        session.say(f"The panel is full: {len(left_out)} features were not added. Remove one first.", "warning")


current = session.engine()
session.open_link(current)
session.current_comparison()

head, model = st.columns([3, 2], vertical_alignment="bottom")
head.title("Compare and steer", anchor=False)
shape = current.scorer.checkpoint.shape
model.caption(
    f"{current.scorer.checkpoint.name or current.scorer.checkpoint.source} · {shape.layer} blocks, "
    f"{shape.n_features:,} features",
    text_alignment="right",
)
st.caption("Which answer does the reward model prefer, which features decide it, and what if they weighed otherwise?")
session.show_messages()
input_row(current)
now = session.current_comparison()

with st.container(border=True):
    st.markdown("**Prompt**")
    st.text(now.question)
    earlier = len(now.prompt) - 1
    if earlier > 0:
        with st.expander(f"{earlier} earlier turn{'s' if earlier > 1 else ''}"):
            for turn in now.prompt[:-1]:
                st.caption(turn.role)
                st.text(turn.content)

scored = session.score(current, now)
held = session.steering()
if not held.panel and not st.session_state.get("panel_offered"):
    held.add(first_features(scored))
held.panel = [i for i in held.panel if i < current.scorer.n_features]
st.session_state["panel_offered"] = True
steered = scored.steered(held.current)
titles = now.titles()


def sliders(engine: Engine, scored: Scored) -> None:
    notes = engine.notes(held.panel)
    state, groups = from_steering(held.current)
    columns = {i: np.zeros(len(scored)) for i in held.panel}
    for i in held.panel:
        rows, z = scored.matrix.column(i)
        columns[i][rows] = z
    rewards = scored.matrix.exact_rewards
    rerank(
        key="rerank",
        answers=[
            {"id": str(i), "title": title, "text": answer.text, "reward": float(rewards[i])}
            for i, (title, answer) in enumerate(zip(titles, now.answers, strict=True))
        ],
        features=[
            {
                "id": i,
                "label": notes[i].name,
                "suggested": notes[i].suggested,
                "weight": float(scored.matrix.head[i]),
                "activations": columns[i].tolist(),
                "density": notes[i].density,
            }
            for i in held.panel
        ],
        groups=groups,
        steering=state,
        revision=held.revision,
        can_undo=held.can_undo,
        can_redo=held.can_redo,
        on_steering=on_steering,
        on_command=on_command,
    )


sliders(current, scored)
if any(scored.n_cut):
    st.warning(
        f"{sum(n > 0 for n in scored.n_cut)} answers were longer than {current.scorer.max_length} tokens with their "
        "prompt; the beginning was cut."
    )


def panel_tools() -> None:
    """Search, groups, files: everything about the panel that is not a slider."""
    search, tools = st.columns([3, 2], vertical_alignment="bottom")
    active = np.unique(scored.matrix.csr.indices)
    notes = current.notes(active.tolist())
    left = [int(i) for i in active if int(i) not in held.panel]
    chosen = search.multiselect(
        "Add features to the sliders",
        left,
        format_func=lambda i: f"#{i} {notes[i].name}".strip(),
        placeholder=f"Search the {len(active)} features active here, by number or label",
        key="add_search",
    )
    if chosen:
        add_features(chosen)
        del st.session_state["add_search"]
        st.rerun()
    with tools.container(horizontal=True, horizontal_alignment="right"):
        with (
            st.popover("Group", icon=":material/group_work:", help="One slider for several features"),
            st.form("group", border=False, clear_on_submit=True),
        ):
            name = st.text_input("Name of the group", max_chars=40)
            members = st.multiselect("Features on the panel", held.panel, format_func=lambda i: f"#{i}")
            if st.form_submit_button("Make group"):
                session.guarded(held.add_group, name, members)
                st.rerun()
        with st.popover("Load", icon=":material/upload:", help="A steering file"):
            from app.compare_inputs import load_steering_form

            load_steering_form(current)
        st.download_button(
            "Save",
            held.current.to_json(),
            file_name="steering.json",
            mime="application/json",
            icon=":material/download:",
            disabled=not held.current,
            help="The steering as a file that the command line and this page read",
            key="save_steering",
        )


panel_tools()


def why(base: Scored, steered: Scored) -> None:
    """The features between two chosen answers."""
    if len(now.answers) < 2:
        st.info("Add a second answer to see what decides between the two.", icon=":material/info:")
        return
    order = np.argsort(-steered.rewards, kind="stable")
    indices = list(range(len(now.answers)))
    if st.session_state.get("left") not in indices:
        st.session_state["left"] = int(order[0])
    if st.session_state.get("right") not in indices or st.session_state["right"] == st.session_state["left"]:
        st.session_state["right"] = next(int(i) for i in order[::-1] if int(i) != st.session_state["left"])
    names = [title.split(" · ")[0] for title in titles]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        left = st.selectbox("Why is", indices, format_func=titles.__getitem__, key="left")
        right = st.selectbox("above or below", indices, format_func=titles.__getitem__, key="right")
        basis = st.segmented_control("Under", ["the steering", "the plain model"], default="the steering", key="basis")
    matrix = (base if basis == "the plain model" else steered).matrix
    ids, _ = matrix.difference(left, right)
    notes: dict[int, FeatureNote] = current.notes(ids.tolist())
    decision = decide(matrix, left, right, notes)
    if left == right:
        st.info("Choose two different answers.")
        return
    st.markdown(":material/arrow_right: " + plain(in_words(decision, names[left], names[right], notes)))
    largest = float(decision.table["difference"].abs().max()) if len(decision.table) else 0.0
    default = float(decision.table["difference"].abs().iloc[min(SHOWN, len(decision.table)) - 1]) if largest else 0.0
    share = st.slider(
        "Show differences of at least",
        0.0,
        max(largest, 1e-9),
        value=min(default, largest),
        format="%.3g",
        key=f"threshold_{now.key}_{left}_{right}_{basis}",
    )
    shown = decision.table[decision.table["difference"].abs() >= share * (1 - 1e-9)]
    st.caption(
        f":green-badge[exact] the differences of all {len(decision.table)} features sum to the margin "
        f"{decision.margin:+.4f} (error {decision.error:.0e}); {len(shown)} are shown"
    )
    chart, table = st.tabs(["Chart", "Table"])
    with chart:
        event = st.plotly_chart(
            difference_chart(shown.head(60), names[left], names[right], notes),
            key=f"why_{now.key}",
            on_select="rerun",
            selection_mode=("points", "box"),
            config={"displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]},
        )
        picked = list(dict.fromkeys(int(point["customdata"][0]) for point in event.selection.points))
        _add_buttons(picked, "chart", "Click a bar to choose its feature")
    with table:
        selection = st.dataframe(
            shown,
            hide_index=True,
            on_select="rerun",
            selection_mode="multi-row",
            key=f"why_table_{now.key}",
            column_config={
                "feature": st.column_config.NumberColumn(format="#%d"),
                "left": st.column_config.NumberColumn(names[left], format="%+.4f"),
                "right": st.column_config.NumberColumn(names[right], format="%+.4f"),
                "difference": st.column_config.NumberColumn(format="%+.4f"),
                "z_left": st.column_config.NumberColumn(f"z in {names[left]}", format="%.3f"),
                "z_right": st.column_config.NumberColumn(f"z in {names[right]}", format="%.3f"),
                "weight": st.column_config.NumberColumn("head weight w", format="%+.4f"),
                "density": st.column_config.NumberColumn("fires in", format="percent"),
            },
        )
        rows = selection.selection.rows
        _add_buttons([int(shown["feature"].iloc[i]) for i in rows], "table", "Choose rows to add their features")


def _add_buttons(picked: list[int], place: str, hint: str) -> None:
    new = [i for i in picked if i not in held.panel]
    if not picked:
        st.caption(hint)
    elif not new:
        st.caption("Already on the sliders: " + ", ".join(f"#{i}" for i in picked))
    else:
        st.button(
            f"Add {', '.join(f'#{i}' for i in new[:6])}{' …' if len(new) > 6 else ''} to the sliders",
            on_click=add_features,
            args=(new,),
            key=f"add_{place}",
            type="primary",
            icon=":material/add:",
        )


why(scored, steered)
session.update_link(current)
