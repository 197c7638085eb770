"""Steering sliders and the ranking they make, in one Streamlit component.

The browser does the arithmetic of `sarm_core.steering` on the activations it was given, so order, bars and
arrows follow while the mouse is down. Python hears once, on release. What either side may change:

    the page gives    answers, features, groups, the steering to start from, and `revision`
    the browser gives `steering` (a whole one, after every settled edit) and `command` (a button, or an order that is
                      wanted, once the row was let go of)

Whenever Python itself changes the steering (undo, load, reset) it raises `revision`; only then does the
browser take the steering it is given, otherwise what the person has in hand wins. `wanted_revision` does the same
for the wanted order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from app.components.inbox import Letters, is_number
from app.components.one_module import OUTBOX, one_module
from app.components.rerank.edits import edit_command, read_edit
from sarm_core.errors import SarmError
from sarm_core.share.sliders import State, from_steering
from sarm_core.steering import Group, Steering

__all__ = ["Result", "as_steering", "from_steering", "rerank"]

KINDS = ("scale", "set", "offset")
COMMANDS = {
    "undo": None,
    "redo": None,
    "reset": None,
    "remove": "feature",
    "open": "feature",
    "compare": "answer",
    "propose": None,
    "edit": "answer",
    "original": "answer",
    "shade": "answer",
    "type": "text",
    "rewrite": "rule",
    "version": "step",
    "want": "order",
    "unwant": "order",
}
LARGEST_VALUE = 1e6
"""Values beyond this are refused, by the number boxes as well."""

_HERE = Path(__file__).parent
_MODULES = (
    "ranking.js",
    "elements.js",
    "steering_panel.js",
    "wanted_order.js",
    "editor.js",
    "answer_list.js",
    "rerank.js",
)
_STYLES = ("rerank.css", "steering_panel.css", "answer_list.css", "wanted_order.css", "editor.css")


def module_source() -> str:
    """The component's ES modules as the one module that Streamlit loads."""
    return one_module((OUTBOX, *(_HERE / name for name in _MODULES)))


_component = st.components.v2.component(
    "sarm_rerank",
    css="\n".join((_HERE / name).read_text(encoding="utf-8") for name in _STYLES),
    js=module_source(),
)


class Result(NamedTuple):
    """What the browser last said: `steering` stays, `command` is there for one run only."""

    steering: State | None
    command: dict[str, Any] | None


def rerank(
    *,
    key: str,
    answers: Sequence[Mapping[str, Any]],
    features: Sequence[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]] = (),
    steering: Mapping[str, Mapping[Any, float]] | None = None,
    revision: int = 0,
    limits: tuple[float, float] = (-1.0, 3.0),
    can_undo: bool = False,
    can_redo: bool = False,
    compared: Sequence[str] = (),
    reveal: str = "",
    wanted: Mapping[str, Sequence[Any]] | None = None,
    wanted_revision: str = "",
    can_wish: bool = True,
    can_edit: bool = False,
    on_steering: Callable[[State], None] | None = None,
    on_command: Callable[[dict[str, Any]], None] | None = None,
    height: str | int = "content",
) -> Result:
    """Mount the component. Call it on every rerun with the same `key`.

    answers   {"id": str, "title": str, "text": str, "reward": float, "cut": tokens cut at the beginning, 0 where
              left out, "edit": of an edited answer what stands with its words (see `edits.read_edit`)} in page order;
              none is fine.
    features  {"id": int, "label": str, "mark": words beside it, "mark_help": their tooltip, "weight": w,
              "activations": [z per answer, 0 = silent], "density": fraction of texts or None}.
    groups    {"name": str, "features": [ids], "scale": m}, of features that are in `features`.
    steering  {"scale": {id: m}, "set": {id: v}, "offset": {id: v}, "groups": {name: m}}.

    `compared` are ids of answers that the page compares: their rows are marked. `reveal` is the key of the container
    that a press of Compare brings into sight.

    `wanted` is the order that a person wants, of ids: {"base": the order they saw, "order": the one they want,
    "dropped": pairs (better, worse) that are no wish any more}; None without one. Without `can_wish` no row can be
    moved.

    `on_steering(steering)` gets every settled edit in that same shape with ids as strings, without changes
    that do nothing. `on_command(command)` gets {"name": ...} with "feature", "group" or "answer" where the
    command is about one: undo, redo, reset, remove, open, compare. Both run as Streamlit callbacks, before
    the script, in the order in which the person acted. Raises SarmError for data that does not fit together.
    """
    data = {
        "answers": [_read_answer(answer) for answer in answers],
        "features": [_read_feature(feature, len(answers)) for feature in features],
        "groups": [_read_group(group) for group in groups],
        "steering": _read_steering(steering or {}),
        "revision": int(revision),
        "limits": [_number(limit, "limits") for limit in limits],
        "can_undo": bool(can_undo),
        "can_redo": bool(can_redo),
        "compared": [str(answer) for answer in compared],
        "reveal": str(reveal),
        "wanted": None if wanted is None else _read_wanted(wanted),
        "wanted_revision": str(wanted_revision),
        "can_wish": bool(can_wish),
        "can_edit": bool(can_edit),
    }
    _check(data)
    inbox = _Inbox(key, data, on_steering, on_command)
    result = _component(
        key=key,
        data=data,
        height=height,  # type: ignore[arg-type]
        on_steering_change=inbox.deliver,
        on_command_change=inbox.deliver,
    )
    return Result(inbox.steering(result.get("steering")), inbox.command(result.get("command")))


def as_steering(
    state: Mapping[str, Mapping[Any, float]], groups: Sequence[Mapping[str, Any]] = ()
) -> Steering:
    """The engine's Steering for a steering of this component; `groups` says which features belong together."""
    given = state.get("groups", {})
    return Steering(
        **{kind: {int(i): float(v) for i, v in state.get(kind, {}).items()} for kind in KINDS},
        groups={
            str(group["name"]): Group(
                tuple(dict.fromkeys(int(i) for i in group["features"])),
                float(given.get(group["name"], group.get("scale", 1.0))),
            )
            for group in groups
        },
    )


class _Inbox:
    """Takes what the browser sent, checks it, and hands it on once and in order.

    Streamlit may fold a settled edit and a button press into one rerun; `Letters` says what came first.
    """

    def __init__(
        self,
        key: str,
        data: Mapping[str, Any],
        on_steering: Callable[[State], None] | None,
        on_command: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.key = key
        self.features = {str(feature["id"]) for feature in data["features"]}
        self.groups = {group["name"] for group in data["groups"]}
        self.answers = {answer["id"] for answer in data["answers"]}
        self.rules = {rule for answer in data["answers"] for rule in (answer["edit"] or {}).get("rules", ())}
        self.on_steering = on_steering
        self.on_command = on_command

    def deliver(self) -> None:
        said, letters = st.session_state[self.key], Letters(self.key)
        letters.take(said.get("steering"), self.steering, self.on_steering)
        letters.take(said.get("command"), self.command, self.on_command)
        letters.deliver()

    def steering(self, raw: Any) -> State | None:
        """`raw` limited to features and groups on the page; None when it is not a steering."""
        if not isinstance(raw, dict):
            return None
        state: State = {}
        for kind, known in (*((kind, self.features) for kind in KINDS), ("groups", self.groups)):
            values = raw.get(kind, {})
            if not isinstance(values, dict) or not all(_usable(value) for value in values.values()):
                return None
            state[kind] = {str(i): float(value) for i, value in values.items() if i in known}
        return state

    def command(self, raw: Any) -> dict[str, Any] | None:
        """`raw` with the ids it is about; None when the command or what it names does not exist."""
        if not isinstance(raw, dict) or raw.get("name") not in COMMANDS:
            return None
        name = raw["name"]
        about = COMMANDS[name]
        if about is None:
            return {"name": name}
        if about == "order":
            return self._order(raw)
        if about in ("text", "rule", "step"):
            return edit_command(raw, self.answers, self.rules)
        if name == "remove" and raw.get("group") in self.groups:
            return {"name": name, "group": raw["group"]}
        if about == "answer":
            return {"name": name, "answer": raw["answer"]} if raw.get("answer") in self.answers else None
        return (
            {"name": name, "feature": int(raw["feature"])}
            if str(raw.get("feature")) in self.features
            else None
        )

    def _order(self, raw: Mapping[str, Any]) -> dict[str, Any] | None:
        """A wanted order, of the answers that are on the page, or that none is wanted any more."""
        name, of = raw["name"], raw.get("of")
        if not isinstance(of, str):
            return None
        if name == "unwant":
            return {"name": name, "of": of}
        orders = {part: raw.get(part) for part in ("base", "order")}
        if not all(_is_order(order, self.answers) for order in orders.values()):
            return None
        return {"name": name, "of": of, **orders}


def _is_order(order: Any, answers: set[str]) -> bool:
    return (
        isinstance(order, list)
        and len(order) == len(answers)
        and all(isinstance(answer, str) for answer in order)
        and set(order) == answers
    )


def _usable(value: Any) -> bool:
    return is_number(value) and abs(value) <= LARGEST_VALUE


def _number(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SarmError(f"{place}: {str(value)[:40]!r} is not a finite number")
    return number


def _read_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    place = f"answer {str(answer['id'])[:40]!r}"
    return {
        "id": str(answer["id"]),
        "title": str(answer["title"]),
        "text": str(answer["text"]),
        "reward": _number(answer["reward"], place),
        "cut": int(answer.get("cut", 0)),
        "edit": read_edit(answer.get("edit")),
    }


def _read_feature(feature: Mapping[str, Any], n_answers: int) -> dict[str, Any]:
    place = f"feature {feature['id']}"
    activations = [_number(z, place) for z in feature["activations"]]
    if len(activations) != n_answers:
        raise SarmError(f"{place}: {len(activations)} activations for {n_answers} answers")
    density = feature.get("density")
    return {
        "id": int(feature["id"]),
        "label": str(feature.get("label") or ""),
        "mark": str(feature.get("mark") or ""),
        "mark_help": str(feature.get("mark_help") or ""),
        "weight": _number(feature["weight"], place),
        "activations": activations,
        "density": None if density is None else _number(density, place),
    }


def _read_group(group: Mapping[str, Any]) -> dict[str, Any]:
    name = str(group["name"])
    scale = _number(group.get("scale", 1.0), f"group {name[:40]!r}")
    return {"name": name, "features": [int(i) for i in group["features"]], "scale": scale}


def _read_steering(steering: Mapping[str, Mapping[Any, float]]) -> State:
    return {
        kind: {str(i): _number(v, f"steering of {str(i)[:40]}") for i, v in steering.get(kind, {}).items()}
        for kind in (*KINDS, "groups")
    }


def _read_wanted(wanted: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        "base": [str(answer) for answer in wanted["base"]],
        "order": [str(answer) for answer in wanted["order"]],
        "dropped": [[str(answer) for answer in pair] for pair in wanted.get("dropped", ())],
    }


def _check(data: Mapping[str, Any]) -> None:
    for what in ("answers", "features"):
        ids = [entry["id"] for entry in data[what]]
        if len(set(ids)) != len(ids):
            raise SarmError(f"two {what} have the same id: give each its own")
    known = {feature["id"] for feature in data["features"]}
    for group in data["groups"]:
        missing = sorted(set(group["features"]) - known)
        if missing:
            raise SarmError(
                f"group {group['name'][:40]!r} holds feature {missing[0]}, which is not on the panel"
            )
    for kind in KINDS:
        for i in data["steering"][kind]:
            if not i.isdecimal() or int(i) not in known:
                raise SarmError(
                    f"the steering changes feature {i[:40]}, which is not on the panel: add it first"
                )
    if data["wanted"] is not None:
        answers = {answer["id"] for answer in data["answers"]}
        named = {answer for pair in data["wanted"]["dropped"] for answer in pair}
        orders = [data["wanted"]["base"], data["wanted"]["order"]]
        if not all(_is_order(order, answers) for order in orders) or not named <= answers:
            raise SarmError("the wanted order is not one of these answers: name each of them once")
    low, high = data["limits"]
    if not low < high:
        raise SarmError(f"slider limits {low:g} to {high:g} are empty: the first must be the smaller")
