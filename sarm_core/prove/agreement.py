"""Does the model agree with labels: one item's stated orders against its rewards, and the share over many prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sarm_core.bootstrap import FEWEST_PROMPTS, interval, redrawn_alike
from sarm_core.features import reward_order

__all__ = ["ItemAgreement", "ShareAgreed", "item_agreement", "share_agreed"]


@dataclass(frozen=True)
class ItemAgreement:
    """Of the stated orders of one item the rewards agree with `won` and are equal in `tied`; `margin` is the mean lead
    of the better answers, NaN where a reward is."""

    won: int
    tied: int
    margin: float


def item_agreement(rewards: npt.ArrayLike, pairs: Sequence[tuple[int, int]]) -> ItemAgreement:
    """`rewards` [answers] against `pairs` (better, worse), of which there is at least one."""
    values = np.asarray(rewards, dtype=np.float32)
    better, worse = (values[[pair[side] for pair in pairs]] for side in (0, 1))
    order = reward_order(better, worse)
    lead = better.astype(np.float64) - worse.astype(np.float64)
    return ItemAgreement(int((order > 0).sum()), int((order == 0).sum()), float(lead.mean()))


@dataclass(frozen=True)
class ShareAgreed:
    """The share of items that the model agrees with, the orders of one item weighing one together; its 95 % interval
    over `prompts`, NaN where there are fewer than 10."""

    share: float
    low: float
    high: float
    prompts: int


def share_agreed(
    credits: Sequence[tuple[float, int, int]], *, resamples: int = 1000, seed: int = 0
) -> ShareAgreed | None:
    """From (agreed, items, prompts): so many prompts have `items` items each, of which `agreed` are agreed with.

    None for no item.
    """
    if not credits:
        return None
    table = np.asarray(credits, dtype=np.float64)
    counts = table[:, 2].astype(np.int64)
    sums, n = table[:, :2].T, int(counts.sum())
    won, items = sums @ counts
    if n < FEWEST_PROMPTS:
        return ShareAgreed(float(won / items), np.nan, np.nan, n)
    drawn = redrawn_alike(sums, counts, resamples, np.random.default_rng(seed))
    return ShareAgreed(float(won / items), *interval(drawn[0] / drawn[1], 0.95), n)
