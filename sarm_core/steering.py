"""Steering: change how a reward model weighs its features, without running the model again.

Three kinds of change to an activation z_i, with what each can do:

    scale   z_i -> m z_i          answers where i is silent are untouched; can re-rank; folds into the head
    set     z_i -> v where active answers where i is silent are untouched; can re-rank; cannot be folded
    offset  z_i -> z_i + v        in EVERY answer, silent ones too; adds the constant w_i v, so never re-ranks

A named group has one multiplier that scales all its features together.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import RowError, SteeringError
from sarm_core.features import FeatureMatrix
from sarm_core.files import whole_file
from sarm_core.text.strict_json import unique_keys

__all__ = ["UNCHANGED", "Group", "Steering"]

FORMAT = "sarm-steering/1"
_OPERATORS = {"*": "scale", "=": "set", "+": "offset"}
_SYMBOLS = {kind: symbol for symbol, kind in _OPERATORS.items()}
_LARGEST = 1e30
_LARGEST_STEERED = 1e36  # room for strengths beyond 1, and still finite in float32
UNCHANGED = "unchanged"
"""What a steering does to a feature it does not name, in `Steering.diff`."""


@dataclass(frozen=True)
class Group:
    """Features that share one multiplier."""

    features: tuple[int, ...]
    scale: float = 1.0


@dataclass(frozen=True)
class Steering:
    """Changes by feature id. A feature's total multiplier is its own scale times that of its groups.

    Applied in this order: scale (or set, which wins over scale where both are given), then offset.
    """

    scale: Mapping[int, float] = field(default_factory=dict)
    set: Mapping[int, float] = field(default_factory=dict)
    offset: Mapping[int, float] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)

    # -- reading and writing ---------------------------------------------------------------------------

    @classmethod
    def from_json(cls, text: str, source: str = "steering") -> Steering:
        """Parse the reference format `{"16720": ["*", 2.0]}` or this project's extension of it.

        The extension allows "=" (set), several changes to one feature (a list of pairs) and groups:
        `{"format": "sarm-steering/1", "features": {"7": [["*", 2.0], ["+", 1.0]]},
        "groups": {"style": {"features": [3, 9], "scale": 0.5}}}`.
        Raises SteeringError naming `source` and the entry.
        """
        try:
            data = json.loads(text, object_pairs_hook=unique_keys)
        except (RecursionError, ValueError, RowError) as error:
            raise SteeringError(f"{source}: not valid JSON ({error})") from None
        if not isinstance(data, dict):
            raise SteeringError(f'{source}: expected an object such as {{"16720": ["*", 2.0]}}')
        groups: dict[str, Group] = {}
        entries: Any = data
        if "format" in data or "features" in data or "groups" in data:
            if data.get("format", FORMAT) != FORMAT:
                raise SteeringError(f"{source}: format {str(data['format'])[:40]!r} is not {FORMAT!r}")
            _only_known(data, ("format", "features", "groups"), source)
            entries = data.get("features", {})
            groups = _read_groups(data.get("groups", {}), source)
        if not isinstance(entries, dict):
            raise SteeringError(f"{source}: 'features' must be an object of feature id to change")
        changes: dict[str, dict[int, float]] = {"scale": {}, "set": {}, "offset": {}}
        for key, entry in entries.items():
            feature = _read_feature(key, source)
            pairs = entry if isinstance(entry, list) and entry and isinstance(entry[0], list) else [entry]
            for pair in pairs:
                kind, value = _read_change(pair, f"{source}: feature {feature}")
                if feature in changes[kind]:
                    raise SteeringError(f"{source}: feature {feature} has two {_SYMBOLS[kind]!r} changes")
                changes[kind][feature] = value
        steering = cls(groups=groups, **changes)
        steering._check_products(_LARGEST, f"{source}: ")
        return steering

    @classmethod
    def read(cls, path: str | Path) -> Steering:
        """Read a steering file (see `from_json`). Raises SteeringError."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SteeringError(f"{path}: cannot be read ({error})") from None
        return cls.from_json(text, str(path))

    def to_json(self) -> str:
        """The reference format when it can hold this steering, this project's extension otherwise."""
        features: dict[int, list[list[Any]]] = {}
        for kind, values in (("scale", self.scale), ("set", self.set), ("offset", self.offset)):
            for feature, value in values.items():
                features.setdefault(feature, []).append([_SYMBOLS[kind], float(value)])
        plain = not self.groups and not self.set and all(len(pairs) == 1 for pairs in features.values())
        entries = {
            str(feature): pairs[0] if len(pairs) == 1 else pairs
            for feature, pairs in sorted(features.items())
        }
        if plain:
            return json.dumps(entries, indent=1)
        groups = {
            name: {"features": list(group.features), "scale": group.scale}
            for name, group in self.groups.items()
        }
        return json.dumps({"format": FORMAT, "features": entries, "groups": groups}, indent=1)

    def write(self, path: str | Path) -> None:
        """Write the file beside its place, then rename, so a reader never sees half of it. Raises SarmError."""
        with whole_file(path) as file:
            file.write(self.to_json())

    # -- what it does ----------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.features())

    def features(self) -> tuple[int, ...]:
        """Ids of all features this steering changes, ascending; changes that do nothing are left out."""
        changed = {i for i, m in self.multipliers().items() if m != 1.0}
        changed |= {i for i, v in self.offset.items() if v != 0.0}
        return tuple(sorted(changed | set(self.set)))

    def multipliers(self) -> dict[int, float]:
        """Total multiplier per feature: own scale times the scale of each group it belongs to."""
        total = dict(self.scale)
        for group in self.groups.values():
            for feature in dict.fromkeys(group.features):
                total[feature] = total.get(feature, 1.0) * group.scale
        return total

    def can_rerank(self) -> bool:
        """False when only offsets are left: they move every answer alike."""
        return bool(self.set) or any(m != 1.0 for m in self.multipliers().values())

    def without_offsets(self) -> Steering:
        """What ranks answers. A large constant leaves float32 too few digits for what tells two answers apart."""
        return replace(self, offset={})

    def check(self, n_features: int) -> None:
        """Raise SteeringError when a feature id does not exist in a dictionary of `n_features`, or when the scales
        of a feature and of its groups multiply to more than float32 can bear."""
        named: set[int] = {*self.scale, *self.set, *self.offset}
        for group in self.groups.values():
            named.update(group.features)
        wrong = sorted(i for i in named if not 0 <= i < n_features)
        if wrong:
            raise SteeringError(
                f"feature {wrong[0]} does not exist: this model has features 0 to {n_features - 1}. "
                "The steering was probably made for another model"
            )
        self._check_products(_LARGEST_STEERED)

    def _check_products(self, largest: float, place: str = "") -> None:
        """Each factor may be usable and their product not, which would make rewards infinite."""
        for feature, multiplier in self.multipliers().items():
            if not abs(multiplier) <= largest:
                raise SteeringError(
                    f"{place}feature {feature}: its scale times those of its groups is {multiplier:g}, "
                    "which is too large: lower one of them"
                )

    def apply(self, matrix: FeatureMatrix) -> FeatureMatrix:
        """The steered matrix: same answers, changed activations; its contributions sum to its rewards."""
        self.check(matrix.n_features)
        factor = np.ones(matrix.n_features, dtype=np.float32)
        for feature, multiplier in self.multipliers().items():
            factor[feature] = multiplier
        csr = matrix.csr.copy()
        csr.data = csr.data * factor[csr.indices]
        if self.set:
            fixed = np.full(matrix.n_features, np.nan, dtype=np.float32)
            for feature, value in self.set.items():
                fixed[feature] = value
            replaced = fixed[csr.indices]
            csr.data = np.where(np.isnan(replaced), csr.data, replaced)
        ids = np.fromiter(self.offset.keys(), dtype=np.int64, count=len(self.offset))
        values = np.fromiter(self.offset.values(), dtype=np.float64, count=len(self.offset))
        order = np.argsort(ids)
        return FeatureMatrix(sparse.csr_matrix(csr), matrix.head, ids[order], values[order])

    def rewards(self, matrix: FeatureMatrix, *, once: bool = False) -> npt.NDArray[np.float32]:
        """Steered rewards, float32 [n], touching only the columns that change.

        r' = r + sum over scaled i of (m_i - 1) w_i z_i + sum over set i of w_i (v_i - z_i)
               + sum over offset i of w_i v_i.

        `once` says that the matrix is not asked again: then columns are not made for it (the rewards are the same).
        """
        self.check(matrix.n_features)
        rewards = matrix.exact_rewards.copy()
        multipliers = self.multipliers()
        features = [*{*multipliers, *self.set}]
        columns = matrix.columns_at(features) if once else map(matrix.column, features)
        for feature, (rows, z) in zip(features, columns, strict=True):
            weight = float(matrix.head[feature])
            if feature in self.set:
                rewards[rows] += weight * (self.set[feature] - z.astype(np.float64))
            else:
                rewards[rows] += (multipliers[feature] - 1.0) * weight * z.astype(np.float64)
        constant = sum(float(matrix.head[i]) * v for i, v in self.offset.items())
        return (rewards + constant).astype(np.float32)

    def fold(self, head: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The head w' with w'_i = m_i w_i, so that plain rewards under w' equal the steered ones under w.

        Raises SteeringError for what a head cannot express: set depends on the activation, an offset
        needs a bias the model does not have, and a weight beyond float32 is none.
        """
        if self.set:
            raise SteeringError(
                f"feature {min(self.set)} is set to a value, which no head weight can express: "
                "use scale instead, or ship the steering file beside the model"
            )
        offsets = [i for i, value in self.offset.items() if value]
        if offsets:
            raise SteeringError(
                f"feature {min(offsets)} has an offset, which would need a bias the model does not have: "
                "remove it (it cannot change a ranking anyway)"
            )
        self.check(head.shape[0])
        folded = head.astype(np.float32).copy()
        for feature, multiplier in self.multipliers().items():
            weight = float(folded[feature]) * multiplier
            if not abs(weight) <= float(np.finfo(np.float32).max):
                raise SteeringError(
                    f"feature {feature}: its head weight times {multiplier:g} is {weight:g}, which float32 cannot hold"
                )
            folded[feature] = weight
        return folded

    # -- combining -------------------------------------------------------------------------------------

    def with_scale(self, feature: int, multiplier: float) -> Steering:
        """A copy with the feature's own multiplier changed; 1 removes it."""
        scale = {i: m for i, m in self.scale.items() if i != feature}
        if multiplier != 1.0:
            scale[feature] = float(multiplier)
        return replace(self, scale=scale)

    def then(self, other: Steering) -> Steering:
        """One steering that does this one, then `other`: scales multiply, a set wins, offsets add.

        What was set is multiplied by a later scale; so is an offset. A group in both with the same members stays
        one group with the two multipliers multiplied; of a group that has other members here, `other`'s part is
        expanded to its features. Raises SteeringError when the sequence cannot be written as one steering (an
        offset followed by set), or when a product passes 1e30.
        """
        clash = set(self.offset) & set(other.set)
        if clash:
            raise SteeringError(
                f"feature {min(clash)}: an offset followed by set has no single equivalent; remove the offset"
            )
        later = other.multipliers()
        scale, groups = dict(self.scale), dict(self.groups)
        for feature, multiplier in other.scale.items():
            scale[feature] = scale.get(feature, 1.0) * multiplier
        for name, group in other.groups.items():
            mine = groups.get(name)
            if mine is None:
                groups[name] = group
            elif set(mine.features) == set(group.features):
                groups[name] = replace(mine, scale=mine.scale * group.scale)
            else:
                for feature in dict.fromkeys(group.features):
                    scale[feature] = scale.get(feature, 1.0) * group.scale
        fixed = {i: v * later.get(i, 1.0) for i, v in self.set.items()} | dict(other.set)
        offset = {i: v * later.get(i, 1.0) for i, v in self.offset.items()}
        for feature, value in other.offset.items():
            offset[feature] = offset.get(feature, 0.0) + value
        scale = {i: m for i, m in scale.items() if m != 1.0 and i not in fixed}
        both = Steering(scale=scale, set=fixed, offset=offset, groups=groups)
        for feature, value in [*both.multipliers().items(), *fixed.items(), *offset.items()]:
            if not abs(value) <= _LARGEST:
                raise SteeringError(f"feature {feature}: the two together make {value:g}, which is too large")
        return both

    def described(self) -> dict[int, str]:
        """What happens to each feature that changes, in words: "x 0.5", "= 2", "x 2, + 1"."""
        out: dict[int, list[str]] = {}
        for feature, multiplier in self.multipliers().items():
            if multiplier != 1.0 and feature not in self.set:
                out.setdefault(feature, []).append(f"x {_number(multiplier)}")
        for feature, value in self.set.items():
            out.setdefault(feature, []).append(f"= {_number(value)}")
        for feature, value in self.offset.items():
            if value:
                out.setdefault(feature, []).append(f"+ {_number(value)}")
        return {i: ", ".join(out[i]) for i in sorted(out)}

    def diff(self, other: Steering) -> dict[int, tuple[str, str]]:
        """Features that the two steerings treat differently: id -> (what this does, what `other` does)."""
        mine, theirs = self.described(), other.described()
        return {
            i: (mine.get(i, UNCHANGED), theirs.get(i, UNCHANGED))
            for i in sorted({*mine, *theirs})
            if mine.get(i) != theirs.get(i)
        }

    def diff_groups(self, other: Steering) -> dict[str, tuple[Group | None, Group | None]]:
        """Groups that differ in members or multiplier: name -> (the group here, in `other`), None where there is none.

        Two steerings may differ in groups and yet treat every feature alike.
        """
        names = dict.fromkeys([*self.groups, *other.groups])
        pairs = {name: (self.groups.get(name), other.groups.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if _same(pair[0]) != _same(pair[1])}


def _same(group: Group | None) -> tuple[frozenset[int], float] | None:
    return None if group is None else (frozenset(group.features), group.scale)


def _number(value: float) -> str:
    # Nine figures tell any two float32 apart, and 0.1 * 3 is still 0.3.
    return f"{value:.9g}"


def _only_known(entry: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    """A misspelled key would be a change that silently does not happen."""
    unknown = next((key for key in entry if key not in known), None)
    if unknown is not None:
        raise SteeringError(f"{place}: the key {unknown[:40]!r} is none of {', '.join(known)}")


def _read_feature(key: Any, source: str) -> int:
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < 2**31:
        return key
    if not isinstance(key, str) or not re.fullmatch(r"[0-9]{1,9}", key):
        raise SteeringError(f"{source}: {str(key)[:40]!r} is not a feature number")
    return int(key)


def _read_number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SteeringError(f"{place}: {str(value)[:40]!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) > _LARGEST:
        raise SteeringError(f"{place}: {str(value)[:40]} is not a usable number")
    return number


def _read_change(pair: Any, place: str) -> tuple[str, float]:
    if not isinstance(pair, list) or len(pair) != 2 or pair[0] not in list(_OPERATORS):
        raise SteeringError(f'{place}: expected ["*", number], ["=", number] or ["+", number]')
    return _OPERATORS[pair[0]], _read_number(pair[1], place)


def _read_groups(data: Any, source: str) -> dict[str, Group]:
    if not isinstance(data, dict):
        raise SteeringError(f"{source}: 'groups' must be an object of name to features and scale")
    groups = {}
    for name, entry in data.items():
        place = f"{source}: group {name[:40]!r}"
        if not isinstance(entry, dict) or not isinstance(entry.get("features"), list) or "scale" not in entry:
            raise SteeringError(f'{place}: expected {{"features": [...], "scale": number}}')
        _only_known(entry, ("features", "scale"), place)
        features = tuple(dict.fromkeys(_read_feature(key, place) for key in entry["features"]))
        groups[name] = Group(features, _read_number(entry["scale"], place))
    return groups
