"""What a dictionary is like, as plain data: whose names carry the reward; features that double, split or are dense.

Mass is the sum of |w z| over the answers looked at. Of a pair of features:

double    nearly one direction, and they fire on the same answers: one thing twice
split     nearly one direction, but they fire on different answers: one thing told apart
together  they fire on the same answers, in directions of their own
unseen    nearly one direction, and one of them fires on too few answers to tell
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.dictionary.directions import Near, near_pairs
from sarm_core.dictionary.side import Side
from sarm_core.dictionary.together import LEAST_TOGETHER, Together, firing_together, together
from sarm_core.provenance import versions

__all__ = ["ALWAYS", "DENSE", "FORMAT", "PAIR_KINDS", "Bounds", "Known", "densities", "look", "mass_of"]

FORMAT = "sarm-dictionary/1"
DENSE, ALWAYS = 0.1, 0.99
"""Shares of positions: above the first a feature says little of any one answer, from the second on it is always on"""
PAIR_KINDS = {
    "double": "nearly one direction, firing on the same answers",
    "split": "nearly one direction, firing on different answers",
    "together": "directions of their own, firing on the same answers",
    "unseen": "nearly one direction, too seldom seen firing to tell",
}
Progress = Callable[[int, int], object]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bounds:
    """From where on two features are near (`cosine`), or on the same answers (`jaccard`); `rows` a table lists."""

    cosine: float = 0.7
    jaccard: float = 0.5
    correlation: float = 0.7
    rows: int = 50


@dataclass(frozen=True)
class Known:
    """What a store knows of the features; empty where there is none.

    `kinds` the kind of evidence of each feature's name, with `titles` of the kinds from the strongest to the last,
    which is that of the features not in `kinds`. `names` gives what features are called. `density` float [M], nan where
    unknown; `positions` is what that is out of.
    """

    kinds: Mapping[int, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    names: Callable[[Sequence[int]], Mapping[int, str]] = lambda _features: {}
    density: npt.NDArray[np.float64] | None = None
    positions: int | None = None


def densities(store: Any) -> tuple[npt.NDArray[np.float64], int | None]:
    """`Known.density` [M] and `Known.positions` as a feature store has them."""
    found = np.full(store.model.n_features, np.nan)
    columns = store.densities()
    found[columns["id"]] = columns["density"]
    harvests = store.imports("harvest")
    positions = harvests[-1].header.get("positions") if harvests else None
    return found, positions if isinstance(positions, int) else None


def look(
    side: Side,
    known: Known | None = None,
    *,
    answers: str,
    bounds: Bounds | None = None,
    near: Near | None = None,
    progress: Progress = lambda _done, _of: None,
) -> dict[str, Any]:
    """The report of one dictionary on the answers of `side`; `answers` says which these are.

    `near` is what `near_pairs` gives for the bound, for whoever has it at hand: nearly all the time goes there.
    """
    known, bounds = known or Known(), bounds or Bounds()
    return {
        "format": FORMAT,
        "versions": versions(),
        "model": side.facts(),
        "answers": {"n": side.n_answers, "of": answers},
        "mass": mass_of(side, known, bounds.rows),
        "pairs": _pairs(side, known, bounds, near or near_pairs(side.decoder, bounds.cosine, progress)),
        "density": _density(side, known, bounds.rows),
    }


# -- mass ----------------------------------------------------------------------------------------------------------


def mass_of(side: Side, known: Known, rows: int) -> dict[str, Any]:
    """How much of the mass falls on names of each kind, and the features with the most of it."""
    shares = side.shares
    kinds = []
    last = list(known.titles)[-1] if known.titles else ""
    of = np.array([known.kinds.get(i, last) for i in range(side.n_features)]) if known.titles else np.zeros(0)
    for kind, title in known.titles.items():
        here = of == kind
        kinds.append(
            {"kind": kind, "title": title, "features": int(here.sum()), "share": float(shares[here].sum())}
        )
    largest = [int(i) for i in np.argsort(-shares, kind="stable")[:rows] if shares[i] > 0]
    names = known.names(largest)
    return {
        "total": float(side.mass.sum()),
        "features": int((side.mass > 0).sum()),
        "kinds": kinds,
        "largest": [
            {
                "feature": i,
                "name": names.get(i, ""),
                "kind": known.titles.get(known.kinds.get(i, last), ""),
                "share": float(shares[i]),
                "weight": float(side.head[i]),
                "answers": int(side.fires[i]),
            }
            for i in largest
        ],
    }


# -- pairs ---------------------------------------------------------------------------------------------------------


def _pairs(side: Side, known: Known, bounds: Bounds, near: Near) -> dict[str, Any]:
    measured = together(side.z, near.left, near.right)
    kind = np.where(measured.jaccard >= bounds.jaccard, "double", "split")
    kind[np.minimum(side.fires[near.left], side.fires[near.right]) < LEAST_TOGETHER] = "unseen"
    cosine = near.cosine.astype(np.float64)
    others = _none()
    if not side.checkpoint.shape.sae.every_feature:  # else all fire together, which says nothing
        others = firing_together(side.z, bounds.jaccard)
    held = set(zip(near.left.tolist(), near.right.tolist(), strict=True))
    new = np.array(
        [pair not in held for pair in zip(others.left.tolist(), others.right.tolist(), strict=True)], bool
    )
    others = others.at(new)
    all_pairs = Together(*(np.concatenate(columns) for columns in zip(measured, others, strict=True)))
    kind = np.concatenate([kind, np.full(len(others.left), "together")])
    cosine = np.concatenate([cosine, _cosines(side, others.left, others.right)])
    found: dict[str, Any] = {}
    for name, title in PAIR_KINDS.items():
        rows = np.flatnonzero(kind == name)
        members = np.unique(np.concatenate([all_pairs.left[rows], all_pairs.right[rows]])).astype(np.int64)
        found[name] = {
            "title": title,
            "pairs": len(rows),
            "features": len(members),
            "share": float(side.shares[members].sum()),
            "rows": _rows(side, known, all_pairs, cosine, _most(side, all_pairs, rows)[: bounds.rows]),
        }
    return {
        "cosine": bounds.cosine,
        "jaccard": bounds.jaccard,
        "near": near.total,
        "near_looked_at": len(near.left),
        "kinds": found,
    }


def _none() -> Together:
    none = np.zeros(0, dtype=np.int64)
    return Together(none, none, none, none.astype(float), none.astype(float))


def _most(side: Side, pairs: Together, rows: Ids) -> Ids:
    """Those with most of the mass first."""
    mass = side.shares[pairs.left[rows]] + side.shares[pairs.right[rows]]
    return rows[np.lexsort((pairs.right[rows], pairs.left[rows], -mass))]


def _cosines(side: Side, left: Ids, right: Ids) -> npt.NDArray[np.float64]:
    found = np.zeros(len(left))
    for start in range(0, len(left), 1024):
        part = slice(start, start + 1024)
        one, other = (side.decoder[:, ids[part]].double().cpu().numpy() for ids in (left, right))
        length = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
        found[part] = (one * other).sum(axis=0) / np.maximum(length, 1e-12)
    return found


def _rows(
    side: Side, known: Known, pairs: Together, cosine: npt.NDArray[np.float64], chosen: Ids
) -> list[dict[str, Any]]:
    names = known.names(sorted({*pairs.left[chosen].tolist(), *pairs.right[chosen].tolist()}))
    return [
        {
            "left": int(pairs.left[i]),
            "left_name": names.get(int(pairs.left[i]), ""),
            "right": int(pairs.right[i]),
            "right_name": names.get(int(pairs.right[i]), ""),
            "cosine": float(cosine[i]),
            "jaccard": _number(pairs.jaccard[i]),
            "pmi": _number(pairs.pmi[i]),
            "both": int(pairs.both[i]),
            "left_fires": int(side.fires[pairs.left[i]]),
            "right_fires": int(side.fires[pairs.right[i]]),
            "share": float(side.shares[pairs.left[i]] + side.shares[pairs.right[i]]),
        }
        for i in chosen
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# -- how often they fire -------------------------------------------------------------------------------------------


def _density(side: Side, known: Known, rows: int) -> dict[str, Any]:
    """Dense, always on and dead features: over a harvest's positions where a store knows them, else the answers."""
    own = side.fires / max(side.n_answers, 1)
    density, of = own, f"{side.n_answers:,} answers"
    if known.density is not None and np.isfinite(known.density).any():
        density = known.density
        of = "harvested positions" if known.positions is None else f"{known.positions:,} harvested positions"
    elif not side.n_answers:
        density = np.full(side.n_features, np.nan)
    kinds = {
        "dense": (density > DENSE) & ~(density >= ALWAYS),
        "always": density >= ALWAYS,
        "dead": density == 0,
    }
    found: dict[str, Any] = {"of": of, "dense_above": DENSE, "always_from": ALWAYS}
    for kind, here in kinds.items():
        ids = np.flatnonzero(here)
        listed = [int(i) for i in ids[np.argsort(-side.shares[ids], kind="stable")][:rows]]
        names = known.names(listed)
        found[kind] = {
            "features": len(ids),
            "share": float(side.shares[ids].sum()),
            "rows": [
                {
                    "feature": i,
                    "name": names.get(i, ""),
                    "density": float(density[i]),
                    "weight": float(side.head[i]),
                    "share": float(side.shares[i]),
                }
                for i in listed
            ],
        }
    found["unknown"] = int(np.isnan(density).sum())
    found["silent"] = int((side.fires == 0).sum())
    return found
