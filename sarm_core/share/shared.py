"""A comparison as a file that another installation opens: prompt, answers, their features, model, steering.

shared = Shared(prompt, answers, model_facts(scorer), matrix=scored.matrix, n_cut=scored.n_cut, steering=steering)
text = shared.to_json()                         # docs/schemas/comparison.schema.json
shared = Shared.from_json(text, "c.json")       # or the page that holds it; checked: it may be anyone's
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from sarm_core.errors import RowError, SarmError, SteeringError
from sarm_core.features import FeatureMatrix, separating_features
from sarm_core.steering import Steering
from sarm_core.text.json_check import (
    ANY,
    COUNT,
    MAYBE_TEXT,
    NUMBER,
    REAL,
    TEXT,
    ListOf,
    Object,
    check,
    one_line,
    read_json,
    shown,
    wrong,
)
from sarm_core.text.rows import ROLES, Conversation, Message
from sarm_core.text.strict_json import checked_object
from sarm_core.version import VERSION

__all__ = [
    "FORMAT",
    "MOST_ANSWERS",
    "SHAPE",
    "Shared",
    "SharedAnswer",
    "SharedFeature",
    "is_shared",
    "letters",
]

FORMAT = "sarm-comparison/1"
BLOCK = "sarm-comparison"
"""The id of the element of a page that holds the file"""
MOST_ANSWERS = 1_000
MOST_FEATURES = 10_000_000
OFFERED = 4
_NUMBERED = re.compile(r"sarm-comparison/([0-9]{1,6})")
_IN_PAGE = re.compile(rf'<script type="application/json" id="{BLOCK}">([^<]*)</script>')

_MODEL = Object(
    {"fingerprint": TEXT, "features": COUNT},
    {"source": MAYBE_TEXT, "name": MAYBE_TEXT, "dtype": TEXT, "device": TEXT, "max_length": NUMBER},
)
_TURN = Object({"role": TEXT, "content": TEXT}, {"extra": TEXT})
_ANSWER = Object({"text": TEXT}, {"note": TEXT, "extra": TEXT})
_SCORED = Object(
    {"reward": REAL, "features": ListOf(COUNT), "activations": ListOf(REAL)}, {"tokens_cut": COUNT}
)
_FEATURE = Object({"feature": COUNT, "weight": REAL}, {"name": TEXT, "mark": TEXT, "density": NUMBER})
SHAPE = Object(
    {"format": TEXT, "model": _MODEL, "prompt": ListOf(_TURN), "answers": ListOf(_ANSWER)},
    {
        "origin": TEXT,
        "tools": TEXT,
        "link": TEXT,
        "made": TEXT,
        "program": TEXT,
        "scored": ListOf(_SCORED),
        "features": ListOf(_FEATURE),
        "steering": ANY,
        "panel": ListOf(COUNT),
        "compared": ListOf(COUNT, 2),
    },
)
"""What a file holds; docs/schemas/write.py writes it as a schema. Without `scored` it is texts alone."""


@dataclass(frozen=True)
class SharedAnswer:
    """One answer; `note` says what it is, `extra` what its turn holds beside the text (see `Message`)."""

    text: str
    note: str = ""
    extra: str = ""


@dataclass(frozen=True)
class SharedFeature:
    """What is known of a feature: its name, the words that stand beside it ("suggested", "1 label"), the share of texts
    it fires in."""

    name: str = ""
    mark: str = ""
    density: float | None = None


@dataclass(frozen=True)
class Shared:
    """A comparison with all it takes to look at it elsewhere.

    `model` are `provenance.model_facts`. `matrix` holds z [n, M] and the head; of a file that was read only the weights
    of its own features are known, the others are 0. None for texts alone. `panel` are the features with a slider,
    `compared` the two answers that are compared. `link` is the id under which the sender's store keeps the answers.
    """

    prompt: tuple[Message, ...]
    answers: tuple[SharedAnswer, ...]
    model: Mapping[str, Any]
    matrix: FeatureMatrix | None = None
    n_cut: tuple[int, ...] = ()
    features: Mapping[int, SharedFeature] = field(default_factory=dict)
    steering: Steering = field(default_factory=Steering)
    panel: tuple[int, ...] = ()
    compared: tuple[int, int] | None = None
    origin: str = ""
    tools: str = ""
    made: str = ""
    link: str = ""

    @property
    def fingerprint(self) -> str:
        """sha256 of the model that scored the answers."""
        return str(self.model["fingerprint"])

    @property
    def model_name(self) -> str:
        """What people call the model."""
        return str(self.model.get("name") or self.model.get("source") or "an unnamed model")

    @property
    def question(self) -> str:
        """The last user turn, or whatever turn comes last."""
        users = [turn.content for turn in self.prompt if turn.role == "user"]
        return users[-1] if users else self.prompt[-1].content

    def conversations(self) -> list[Conversation]:
        """What the model scores, one per answer."""
        return [
            Conversation((*self.prompt, Message("assistant", a.text, a.extra)), tools=self.tools)
            for a in self.answers
        ]

    def titles(self) -> list[str]:
        """A, B, ... with the note."""
        return [
            f"{letters(i)} · {answer.note}" if answer.note else letters(i)
            for i, answer in enumerate(self.answers)
        ]

    def with_features(self, features: Mapping[int, SharedFeature]) -> Shared:
        """The same with what is known of its features."""
        return replace(self, features=features)

    def steered(self, steering: Steering, source: str = "the steering") -> Shared:
        """The same with another steering. Raises SteeringError for features of which the weights are not known."""
        steering.check(int(self.model["features"]))
        made = replace(self, steering=steering)
        unknown = [i for i in made.named if i not in self.features]
        if unknown:
            raise SteeringError(
                f"{source}: feature {unknown[0]} is active in none of the shared answers, so its weight is not in the "
                "file: leave it out, or share the rows anew with --steering"
            )
        return made

    def without_scores(self) -> Shared:
        """The texts alone, with the model's name: whoever opens them scores them."""
        return Shared(
            self.prompt, self.answers, self.model, origin=self.origin, tools=self.tools, made=self.made
        )

    @cached_property
    def named(self) -> tuple[int, ...]:
        """Features that are active in an answer, on the panel or in the steering, ascending."""
        if self.matrix is None:
            return ()
        steered = {*self.steering.scale, *self.steering.set, *self.steering.offset}
        members = {i for group in self.steering.groups.values() for i in group.features}
        active = np.unique(self.matrix.csr.indices).tolist()
        return tuple(sorted({*active, *self.panel, *steered, *members}))

    @property
    def sliders(self) -> tuple[int, ...]:
        """The panel with all that is steered; where both are empty, what separates these answers most."""
        if self.matrix is None:
            return ()
        members = [i for group in self.steering.groups.values() for i in group.features]
        steered = [*self.steering.scale, *self.steering.set, *self.steering.offset, *members]
        found = tuple(dict.fromkeys([*self.panel, *steered]))
        return found or tuple(separating_features(self.matrix, OFFERED))

    # -- the file --------------------------------------------------------------------------------------

    def data(self) -> dict[str, Any]:
        """Plain data of the file."""
        found: dict[str, Any] = {
            "format": FORMAT,
            "program": f"sarm-explorer {VERSION}",
            "model": dict(self.model),
            "prompt": [
                {"role": turn.role, "content": turn.content, **_if_any(extra=turn.extra)}
                for turn in self.prompt
            ],
            "answers": [{"text": a.text, **_if_any(note=a.note, extra=a.extra)} for a in self.answers],
            **_if_any(origin=self.origin, tools=self.tools, made=self.made, link=self.link),
        }
        if self.matrix is None:
            return found
        rewards = self.matrix.exact_rewards.tolist()
        found["scored"] = []
        for i in range(len(self.answers)):
            ids, z = self.matrix.activations(i)
            cut = {"tokens_cut": self.n_cut[i]} if self.n_cut and self.n_cut[i] else {}
            found["scored"].append(
                {"reward": rewards[i], **cut, "features": ids.tolist(), "activations": _short(z)}
            )
        notes = {i: self.features.get(i, SharedFeature()) for i in self.named}
        found["features"] = [
            {
                "feature": i,
                "weight": weight,
                **_if_any(name=note.name, mark=note.mark),
                **({} if note.density is None else {"density": note.density}),
            }
            for (i, note), weight in zip(
                notes.items(), _short(self.matrix.head[list(self.named)]), strict=True
            )
        ]
        found["steering"] = json.loads(self.steering.to_json())
        found["panel"] = list(self.panel)
        if self.compared is not None:
            found["compared"] = list(self.compared)
        return found

    def to_json(self) -> str:
        """The file, in ASCII: no reader takes a character of it for a line break or turns a line around."""
        return json.dumps(self.data(), allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, source: str = "the comparison") -> Shared:
        """What `to_json` wrote, or the page around it. Raises SarmError naming `source` and the place in it."""
        if (page := _IN_PAGE.search(text)) is not None:
            text = page[1]
        data = read_json(text, source)
        _check_format(data, source)
        try:
            checked_object(text, data)
        except RowError as error:
            raise SarmError(f"{source}: {error.reason}") from None
        check(data, SHAPE, source, remedy="share it again")
        return _read(data, source)


def is_shared(data: bytes) -> bool:
    """Whether an upload is such a file, readable or not, or the page around one."""
    start = data[:4_000_000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"{":
        return b'"sarm-comparison/' in start[:4_000]
    return f'id="{BLOCK}"'.encode() in data


def letters(index: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    name = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        name = chr(ord("A") + digit) + name
    return name


# -- reading -----------------------------------------------------------------------------------------------


def _check_format(data: Any, source: str) -> None:
    stated = data.get("format") if isinstance(data, dict) else None
    if stated == FORMAT:
        return
    if isinstance(stated, str) and (number := _NUMBERED.fullmatch(stated)) and int(number[1]) > 1:
        raise SarmError(
            f"{source}: is {stated}, made by a newer SARM Explorer; this one reads {FORMAT}: install the newer one"
        )
    raise SarmError(f"{source}: not a shared comparison; give what Share or `sarm share` wrote")


def _read(data: Mapping[str, Any], source: str) -> Shared:
    n, m = len(data["answers"]), data["model"]["features"]
    if not 1 <= n <= MOST_ANSWERS:
        raise wrong(source, "answers", f"must hold 1 to {MOST_ANSWERS} answers, not {n}")
    if not 1 <= m <= MOST_FEATURES:
        raise wrong(source, "model.features", f"must be from 1 to {MOST_FEATURES:,}, not {shown(m)}")
    for i, turn in enumerate(data["prompt"]):
        if turn["role"] not in ROLES:
            raise wrong(source, f"prompt[{i}].role", f"must be one of {', '.join(ROLES)}")
    if not data["prompt"]:
        raise wrong(source, "prompt", "must hold a turn")
    _check_extras(data, source)
    shared: dict[str, Any] = {
        "prompt": tuple(Message(t["role"], t["content"], t.get("extra", "")) for t in data["prompt"]),
        "answers": tuple(
            SharedAnswer(a["text"], a.get("note", ""), a.get("extra", "")) for a in data["answers"]
        ),
        "model": data["model"],
        **{name: data.get(name, "") for name in ("origin", "tools", "made", "link")},
    }
    if "scored" not in data:
        return Shared(**shared)
    if len(data["scored"]) != n:
        raise wrong(source, "scored", f"must have one entry for each of the {n} answers")
    compared = data.get("compared")
    if compared is not None and (max(compared) >= n or compared[0] == compared[1]):
        raise wrong(source, "compared", "must name two answers of the file")
    known = _features(data, m, source)
    steering = _steering(data, m, source)
    panel = tuple(dict.fromkeys(data.get("panel", ())))
    made = Shared(
        **shared,
        matrix=_matrix(data, known, m, source),
        n_cut=tuple(one.get("tokens_cut", 0) for one in data["scored"]),
        features={
            i: SharedFeature(f.get("name", ""), f.get("mark", ""), f.get("density")) for i, f in known.items()
        },
        steering=steering,
        panel=panel,
        compared=None if compared is None else (compared[0], compared[1]),
    )
    if missing := [i for i in made.named if i not in known]:
        raise wrong(source, "features", f"does not list feature {missing[0]}, which the file uses")
    return made


def _check_extras(data: Mapping[str, Any], source: str) -> None:
    """What chat templates are given is JSON in a text."""
    held: list[tuple[str, Any, type]] = [
        (f"prompt[{i}].extra", turn.get("extra"), dict) for i, turn in enumerate(data["prompt"])
    ]
    held += [(f"answers[{i}].extra", a.get("extra"), dict) for i, a in enumerate(data["answers"])]
    held.append(("tools", data.get("tools"), list))
    for place, text, kind in held:
        if not text:
            continue
        what = "an object" if kind is dict else "a list"
        try:
            if isinstance(json.loads(text), kind):
                continue
        except (ValueError, RecursionError):
            pass
        raise wrong(source, place, f"must be the JSON of {what}")


def _features(data: Mapping[str, Any], m: int, source: str) -> dict[int, dict[str, Any]]:
    known: dict[int, dict[str, Any]] = {}
    for position, entry in enumerate(data.get("features", ())):
        feature = entry["feature"]
        if feature >= m:
            raise wrong(source, f"features[{position}].feature", f"must be below {m}, not {shown(feature)}")
        if feature in known:
            raise wrong(source, f"features[{position}].feature", f"{feature} stands there twice")
        known[feature] = entry
    return known


def _steering(data: Mapping[str, Any], m: int, source: str) -> Steering:
    try:
        steering = Steering.from_json(json.dumps(data.get("steering", {})), f"{source}: steering")
        steering.check(m)
    except SteeringError as error:
        raise SarmError(str(error) if source in str(error) else f"{source}: steering: {error}") from None
    except (RecursionError, ValueError) as error:
        raise wrong(source, "steering", f"cannot be read ({one_line(error)})") from None
    if any(not 0 <= i < m for i in data.get("panel", ())):
        raise wrong(source, "panel", f"must name features below {m}")
    return steering


def _matrix(
    data: Mapping[str, Any], known: Mapping[int, Mapping[str, Any]], m: int, source: str
) -> FeatureMatrix:
    """z and w; each reward must be the sum of what it is made of, or something in the file was changed."""
    head = np.zeros(m, dtype=np.float32)
    for feature, entry in known.items():
        head[feature] = entry["weight"]
    ids: list[int] = []
    z: list[float] = []
    ends = [0]
    for i, one in enumerate(data["scored"]):
        place = f"scored[{i}]"
        features = one["features"]
        if len(features) != len(one["activations"]):
            raise wrong(
                source,
                f"{place}.activations",
                f"must have one value for each of the {len(features)} features",
            )
        if any(a >= b for a, b in pairwise(features)):
            raise wrong(source, f"{place}.features", "must ascend, each feature once")
        if features and features[-1] >= m:
            raise wrong(source, f"{place}.features", f"must be below {m}")
        unknown = next((feature for feature in features if feature not in known), None)
        if unknown is not None:
            raise wrong(source, "features", f"does not list feature {unknown}, which {place} uses")
        ids += features
        z += one["activations"]
        ends.append(len(ids))
    if max((abs(value) for value in (*z, *(entry["weight"] for entry in known.values()))), default=0) > 1e30:
        raise wrong(source, "scored", "holds a number that no model gives")
    csr = sparse.csr_matrix(
        (np.array(z, np.float32), np.array(ids, np.int64), np.array(ends)), shape=(len(ends) - 1, m)
    )
    matrix = FeatureMatrix(csr, head)
    sizes = abs(csr) @ np.abs(head.astype(np.float64))
    for i, (one, made_of) in enumerate(zip(data["scored"], matrix.exact_rewards.tolist(), strict=True)):
        if abs(one["reward"] - made_of) > 1e-6 * (1 + sizes[i]):
            raise wrong(
                source,
                f"scored[{i}].reward",
                f"is {one['reward']:.6g}, but its features sum to {made_of:.6g}: the file was changed; share it again",
            )
    return matrix


def _short(values: Sequence[float] | np.ndarray) -> list[float]:
    """float32 values in as few digits as give the same float32 again."""
    return [float(str(value)) for value in np.asarray(values, dtype=np.float32)]


def _if_any(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}
