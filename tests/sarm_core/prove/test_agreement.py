"""Agreement with labels: counted as the rewards say, with the interval of the bootstrap over prompts."""

from __future__ import annotations

import numpy as np
import pytest

from sarm_core.bootstrap import interval, redrawn
from sarm_core.prove.agreement import item_agreement, share_agreed


def test_orders_are_counted_and_the_margin_is_their_mean() -> None:
    found = item_agreement([2.0, 1.0, 1.0, 3.0], [(0, 1), (1, 2), (0, 3)])
    assert (found.won, found.tied) == (1, 1)
    assert found.margin == pytest.approx((1.0 + 0.0 - 1.0) / 3)
    assert np.isnan(item_agreement([np.nan, 1.0], [(0, 1)]).margin)
    assert item_agreement([np.nan, 1.0], [(0, 1)]).tied == 1


def test_alike_prompts_drawn_together_give_the_interval_of_prompts_drawn_one_by_one() -> None:
    rng = np.random.default_rng(3)
    items = rng.integers(1, 4, 400)
    won = rng.binomial(items, 0.6).astype(float)
    kinds: dict[tuple[float, int], int] = {}
    for pair in zip(won.tolist(), items.tolist(), strict=True):
        kinds[pair] = kinds.get(pair, 0) + 1
    found = share_agreed([(*kind, n) for kind, n in kinds.items()], resamples=20_000)
    assert (
        found is not None and found.prompts == 400 and found.share == pytest.approx(won.sum() / items.sum())
    )
    drawn = redrawn(np.stack([won, items.astype(float)]), 20_000, np.random.default_rng(1))
    assert (found.low, found.high) == pytest.approx(interval(drawn[0] / drawn[1], 0.95), abs=0.004)


def test_few_prompts_have_no_interval_and_none_no_share() -> None:
    assert share_agreed([]) is None
    few = share_agreed([(1.0, 1, 5), (0.0, 1, 4)])
    assert few is not None and few.share == pytest.approx(5 / 9) and np.isnan(few.low)
    sure = share_agreed([(1.0, 1, 40)])
    assert sure is not None and (sure.low, sure.high) == (1.0, 1.0)
