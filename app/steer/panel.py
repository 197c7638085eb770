"""Sliders with the ranking they make, and the tools around them: search, groups, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app.components.rerank import as_steering, from_steering, rerank
from app.draw.plain_text import plain
from app.draw.popovers import close_popover, popover, turn
from app.session import edits, session
from app.session.comparison import Comparison, letters
from app.session.engine import Engine
from app.session.feature_title import about_mark, marked_name
from app.session.wishes import Wanted, wishes
from app.steer.saved_dialog import steerings_button
from sarm_core.errors import SteeringError
from sarm_core.features import separating_features
from sarm_core.score.scored import Scored
from sarm_core.steering import Steering

__all__ = ["group_form", "panel_tools", "sliders"]

MOST_OFFERED = 1_000  # a dense checkpoint has every feature active; others can be typed by number


def sliders(
    current: Engine,
    now: Comparison,
    scored: Scored,
    compared: Sequence[int],
    reveal: str,
    edited: Mapping[int, Mapping[str, Any]],
) -> None:
    """The component, fed with the activations of the features on the panel.

    `compared` are the answers that the section with the key `reveal` is about; the button of a row leads there.
    `edited` is what stands with each edited answer, by its index.
    """
    held = session.steering()
    notes = current.notes(held.panel)
    state, groups = from_steering(held.current)
    columns = {i: np.zeros(len(scored)) for i in held.panel}
    for i in held.panel:
        rows, z = scored.matrix.column(i)
        columns[i][rows] = z
    rewards = scored.matrix.exact_rewards
    wanted = wishes().of(now)
    rerank(
        key="rerank",
        answers=[
            {
                "id": str(i),
                "title": title,
                "text": answer.text,
                "reward": float(rewards[i]),
                "cut": scored.n_cut[i],
                "edit": edited.get(i),
            }
            for i, (title, answer) in enumerate(zip(now.titles(), now.answers, strict=True))
        ],
        features=[
            {
                "id": i,
                "label": notes[i].name,
                "mark": notes[i].mark,
                "mark_help": about_mark(notes[i].mark),
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
        compared=[str(i) for i in compared],
        reveal=reveal,
        wanted=None if wanted is None else _by_id(wanted),
        wanted_revision=wishes().mark(now),
        can_edit=True,
        on_steering=_on_steering,
        on_command=_on_command,
    )


def _by_id(wanted: Wanted) -> dict[str, list[object]]:
    return {
        "base": [str(i) for i in wanted.base],
        "order": [str(i) for i in wanted.order],
        "dropped": [[str(wish.better), str(wish.worse)] for wish in wanted.dropped],
    }


def _on_steering(state: dict[str, dict[str, float]]) -> None:
    held = session.steering()
    _, groups = from_steering(held.current)
    session.guarded(held.change, as_steering(state, groups))


def _on_command(command: dict[str, object]) -> None:
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
            _compare(int(str(command["answer"])))
        case "open":
            st.session_state["open_feature"] = int(str(command["feature"]))
        case name if name in edits.COMMANDS:
            edits.act(command)
        case "propose":
            wishes().ask()
        case "want" | "unwant":
            _want(command)


def _want(command: dict[str, object]) -> None:
    """An order of the answers on the page; answers that left it meanwhile had the same ids, theirs is passed over."""
    now, state = session.comparison(), wishes()
    if now is None or str(command["of"]).split(":")[0] != now.key:
        return
    if command["name"] == "unwant":
        state.take_back(now.key)
    else:
        base, order = ([int(i) for i in command[part]] for part in ("base", "order"))  # type: ignore[attr-defined]
        state.want(now, base, order)


def _compare(answer: int) -> None:
    """The answer becomes the left side; when it was the right one, the two change places."""
    if st.session_state.get("right") == answer:
        st.session_state["right"] = st.session_state.get("left")
    st.session_state["left"] = answer
    right = st.session_state.get("right")
    if isinstance(right, int):
        st.toast(
            f"{letters(answer)} is compared with {letters(right)} under the ranking.",
            icon=":material/compare_arrows:",
        )


def panel_tools(current: Engine, scored: Scored) -> None:
    """Search, groups, files: everything about the panel that is not a slider."""
    held = session.steering()
    search, tools = st.columns([3, 7], vertical_alignment="bottom")
    with search:
        _search(current, scored)
    with tools.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            "What decides here",
            on_click=session.decide_here,
            args=(scored,),
            icon=":material/center_focus_strong:",
            help="The features that separate these answers most take the place of the sliders that steer nothing",
            key="decide_here",
        )
        with popover("group", "Group", icon=":material/group_work:", help="One slider for several features"):
            group_form(current, "group", "Features on the sliders", held.panel)
        with popover("load", "Load", icon=":material/upload:", help="A steering from a file"):
            _load()
        st.download_button(
            "Download",
            held.current.to_json(),
            file_name="steering.json",
            mime="application/json",
            icon=":material/download:",
            disabled=not held.current,
            help="The steering as a file that the command line and this page read",
            key="save_steering",
            on_click="ignore",
        )
        steerings_button(current)


def _search(current: Engine, scored: Scored) -> None:
    held = session.steering()
    active = np.unique(scored.matrix.csr.indices)
    first = separating_features(scored.matrix, MOST_OFFERED)
    rest = [int(i) for i in active[:MOST_OFFERED] if int(i) not in set(first)]
    offered = [i for i in [*first, *rest][:MOST_OFFERED] if i not in held.panel]
    notes = current.notes(offered)

    def add() -> None:
        picked, st.session_state["add_search"] = st.session_state["add_search"], []
        numbers = [str(item).strip().lstrip("#") for item in picked]
        known = [int(i) for i in numbers if i.isascii() and i.isdecimal() and len(i) < 10]
        known = [i for i in known if i < current.scorer.n_features]
        if len(known) < len(numbers):
            session.say(
                "A feature is added by its number, or by choosing it from the list; "
                f"this model has features 0 to {current.scorer.n_features - 1:,}.",
                "warning",
            )
        session.add_features(known)

    st.multiselect(
        "Add features to the sliders",
        offered,
        format_func=lambda i: f"#{i} {marked_name(notes.get(i), 80)}".strip(),
        placeholder=f"Search the {len(active):,} features active here by label, or type a number",
        key="add_search",
        accept_new_options=True,
        on_change=add,
    )


def group_form(
    current: Engine,
    place: str,
    label: str,
    offered: Sequence[int],
    on_made: Callable[[], None] | None = None,
) -> None:
    """Name and members of a new group, inside the popover or dialog `place`; `label` says what `offered` are."""
    held = session.steering()
    notes = current.notes(offered)
    name, members = f"{place}_name_{turn(place)}", f"{place}_members_{turn(place)}"
    error = f"{place}_error"

    def make() -> None:
        try:
            held.add_group(st.session_state[name], st.session_state[members])
        except SteeringError as reason:
            st.session_state[error] = str(reason)
        else:
            st.session_state.pop(error, None)
            close_popover(place)
            if on_made is not None:
                on_made()

    with st.form(place, border=False):
        st.text_input("Name of the group", max_chars=40, key=name)
        st.multiselect(
            label,
            offered,
            format_func=lambda i: f"#{i} {marked_name(notes.get(i), 60)}".strip(),
            key=members,
        )
        if st.session_state.get(error):
            st.error(plain(st.session_state[error]), icon=":material/error:")
        st.form_submit_button("Make group", type="primary", on_click=make)


def _load() -> None:
    """Read a steering file; a wrong one leaves everything as it is, and says why beside the box."""
    number = st.session_state.setdefault("steering_files", 0)
    key = f"steering_file_{number}"
    engine = session.engine()

    def read() -> None:
        file = st.session_state[key]
        st.session_state.pop("steering_error", None)
        if file is None:
            return
        try:
            steering = Steering.from_json(file.getvalue().decode("utf-8"), file.name)
            steering.check(engine.scorer.n_features)
            session.steering().load(steering)
        except UnicodeDecodeError:
            st.session_state["steering_error"] = f"{file.name}: is not UTF-8 text"
        except SteeringError as error:
            st.session_state["steering_error"] = str(error)
        else:
            n = len(steering.features())
            session.say(f"{plain(file.name)}: {n} feature{'s' if n != 1 else ''} steered.", "success")
            st.session_state["steering_files"] = number + 1
            close_popover("load")

    st.file_uploader("Steering file (.json)", type=["json"], key=key, on_change=read)
    if st.session_state.get("steering_error"):
        st.error(plain(st.session_state["steering_error"]), icon=":material/error:")
