"""What a harvest keeps, and the identity that says whether a stopped one may go on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sarm_core.errors import SarmError
from sarm_core.harvest.activity import Positions

__all__ = ["HarvestSettings", "checked_seconds"]

MOST = 10_000
"""Texts, partners or neighbours kept for one feature: what is kept is read by people, and tables grow with it."""
LAST_SEED = 2**63 - 2
"""Seeds are hashed as signed 64 bits, and silent texts are drawn with the seed after this."""

_LIMITS = {
    **dict.fromkeys(("top", "per_band", "random", "silent", "partners", "neighbours"), (0, MOST)),
    **dict.fromkeys(("pool", "pair_positions", "chunk_texts"), (1, 10**9)),
    "seed": (0, LAST_SEED),
}


@dataclass(frozen=True)
class HarvestSettings:
    """Everything that decides the result of a harvest besides the model and the corpus.

    Raises SarmError for a number that cannot be used: what fails at the end fails after hours of encoding.
    """

    positions: Positions = "sentences"
    """"scored": the scored position only. "sentences": every sentence-final token of the last answer as well."""
    top: int = 20
    """Strongest distinct texts kept for each feature"""
    per_band: int = 4
    """Texts sampled from each activation band of each feature"""
    random: int = 4
    """Texts sampled from all those in which a feature fires; at most `per_band`"""
    silent: int = 40
    """Texts in which a feature does not fire. Half are kept for testing labels, and a test takes five that its
    label was not tested on before: 40 are enough for four tests."""
    pool: int = 2048
    """Texts sampled from the corpus, kept whatever fires in them: silent texts are drawn from these, and
    they stand for "the rest" of the corpus in suggestions."""
    pair_positions: int = 65_536
    """Positions sampled from the corpus, on which co-firing is counted; all of them while there are no more"""
    partners: int = 20
    """Co-firing features listed for each feature"""
    neighbours: int = 20
    """Decoder neighbours listed for each feature"""
    chunk_texts: int = 256
    """Texts encoded together; also how often a harvest can be resumed"""
    seed: int = 0
    """Of every sample"""

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            number = getattr(self, name)
            if type(number) is not int or not least <= number <= most:
                shown = number if isinstance(number, int) and abs(number) < 10**20 else repr(number)[:20]
                raise SarmError(
                    f"{name.replace('_', '-')} {shown} cannot be used: it has to be a whole number "
                    f"from {least} to {most}"
                )
        if self.random > self.per_band:
            raise SarmError("random is drawn from the bands' samples, so it cannot exceed per-band")


def checked_seconds(seconds: float) -> float:
    """Seconds between two checkpoints; 0 writes one after every chunk. Raises SarmError for a number that no clock
    reaches (nan, infinity) or that is negative."""
    if not math.isfinite(seconds) or seconds < 0:
        raise SarmError(f"checkpoint-seconds {seconds} cannot be used: it has to be a finite number from 0")
    return seconds
