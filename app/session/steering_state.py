"""The steering a person is working on, with its history: plain data that lives in the session."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sarm_core.errors import SteeringError
from sarm_core.steering import Group, Steering

__all__ = ["MAX_PANEL", "SteeringState"]

MAX_HISTORY = 200
MAX_PANEL = 32


@dataclass
class SteeringState:
    """What is on the panel and how it is weighted, now and before.

    `revision` rises whenever the server, not the mouse, changed the steering: the sliders then follow.
    """

    panel: list[int] = field(default_factory=list)
    history: list[Steering] = field(default_factory=lambda: [Steering()])
    at: int = 0
    revision: int = 0

    @property
    def current(self) -> Steering:
        """The steering in force."""
        return self.history[self.at]

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to go back to."""
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to go forward to."""
        return self.at < len(self.history) - 1

    def untouched(self) -> list[int]:
        """Features on the panel that the steering does not mention."""
        named = set(_named(self.current))
        return [i for i in self.panel if i not in named]

    def change(self, steering: Steering, *, by_server: bool = False) -> None:
        """A new step; what was undone before is forgotten. A step that changes nothing is not kept."""
        if by_server:
            self.revision += 1
        if steering == self.current:
            return
        self.history = [*self.history[: self.at + 1], steering][-MAX_HISTORY:]
        self.at = len(self.history) - 1
        self._make_room()

    def undo(self) -> None:
        """One step back."""
        if self.can_undo:
            self.at -= 1
            self._show()

    def redo(self) -> None:
        """One step forward."""
        if self.can_redo:
            self.at += 1
            self._show()

    def reset(self) -> None:
        """Everything back to x1; groups stay, at x1. Can be undone."""
        groups = {name: replace(group, scale=1.0) for name, group in self.current.groups.items()}
        self.change(Steering(groups=groups), by_server=True)

    def add(self, features: Sequence[int]) -> list[int]:
        """Put features on the panel; returns those that did not fit."""
        wanted = [i for i in dict.fromkeys(features) if i not in self.panel]
        room = max(0, MAX_PANEL - len(self.panel))
        self.panel += wanted[:room]
        return wanted[room:]

    def remove(self, feature: int) -> None:
        """Take a feature off the panel and out of the steering and its groups."""
        self.panel = [i for i in self.panel if i != feature]
        now = self.current
        groups = {
            name: replace(group, features=tuple(i for i in group.features if i != feature))
            for name, group in now.groups.items()
        }
        self.change(
            Steering(
                scale={i: m for i, m in now.scale.items() if i != feature},
                set={i: v for i, v in now.set.items() if i != feature},
                offset={i: v for i, v in now.offset.items() if i != feature},
                groups={name: group for name, group in groups.items() if group.features},
            ),
            by_server=True,
        )

    def add_group(self, name: str, features: Sequence[int]) -> None:
        """A named group with one slider. Raises SteeringError without a name, features, or room for them."""
        if not name.strip():
            raise SteeringError("a group needs a name")
        if not features:
            raise SteeringError("a group needs at least one feature: choose some")
        groups = {**self.current.groups, name.strip()[:40]: Group(tuple(features))}
        self.load(replace(self.current, groups=groups))

    def remove_group(self, name: str) -> None:
        """Forget a group; its features stay on the panel."""
        groups = {key: group for key, group in self.current.groups.items() if key != name}
        self.change(replace(self.current, groups=groups), by_server=True)

    def load(self, steering: Steering) -> None:
        """Take over a whole steering (from a file or a link). Raises SteeringError, changing nothing, if too large."""
        named = _named(steering)
        if len(named) > MAX_PANEL:
            raise SteeringError(
                f"the steering changes {len(named)} features; the panel holds {MAX_PANEL}. "
                "Use the command line (score --steering) for larger ones"
            )
        self.change(steering, by_server=True)

    def to_link(self) -> str:
        """Panel and steering as one compact JSON text for a query parameter."""
        body = json.loads(self.current.to_json())
        return json.dumps({"panel": self.panel, "steering": body}, separators=(",", ":"))

    @classmethod
    def from_link(cls, text: str) -> SteeringState:
        """The state a link describes. Raises SteeringError."""
        try:
            data = json.loads(text)
            panel = data["panel"]
            body = json.dumps(data["steering"])
            if not isinstance(panel, list) or not all(type(i) is int and 0 <= i < 2**31 for i in panel):
                raise ValueError(panel)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise SteeringError("the link's steering cannot be read; ask for a new link") from None
        state = cls()
        state.add(panel)
        state.load(Steering.from_json(body, "the link's steering"))
        state.history, state.at = [state.current], 0
        return state

    def _show(self) -> None:
        self.revision += 1
        self._make_room()

    def _make_room(self) -> None:
        """Every steered feature has a slider; sliders that steer nothing give way, the last first."""
        named = _named(self.current)
        missing = [i for i in named if i not in self.panel]
        spare = [i for i in self.panel if i not in set(named)]
        too_many = max(0, len(self.panel) + len(missing) - MAX_PANEL)
        dropped = set(spare[len(spare) - too_many :]) if too_many else set()
        self.panel = [i for i in self.panel if i not in dropped] + missing


def _named(steering: Steering) -> list[int]:
    """Every feature a steering mentions, once."""
    members = (i for group in steering.groups.values() for i in group.features)
    return list(dict.fromkeys([*steering.scale, *steering.set, *steering.offset, *members]))
