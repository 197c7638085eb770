"""What a harvest keeps, and the identity that says whether a stopped one may go on."""

from __future__ import annotations

from dataclasses import dataclass

from sarm_core.harvesting.activity import Positions

__all__ = ["HarvestSettings"]


@dataclass(frozen=True)
class HarvestSettings:
    """Everything that decides the result of a harvest besides the model and the corpus."""

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
        if self.random > self.per_band:
            raise ValueError("random is drawn from the bands' samples, so it cannot exceed per_band")
