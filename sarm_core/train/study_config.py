"""Settings of `sarm study`: those of stage 1, and which arms are compared on which pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sarm_core.errors import SarmError
from sarm_core.prove.benchmarks.registry import benchmark_of
from sarm_core.train.data import Parts
from sarm_core.train.positions import KINDS
from sarm_core.train.sae_config import SAEConfig, check_settings

__all__ = ["ARMS", "DICTIONARIES", "StudyConfig", "check_study"]

ARMS = {
    "sarm": "head on the features of a dictionary that saw the positions of `mix`",
    "scalar_head": "head on the standardised h itself: an ordinary reward model",
    "random_encoder": "head on the features of random directions, as many and as many active",
    "token_sae": "head on the features of a dictionary that saw every token of the answers",
    "length": "the number of tokens, and nothing else",
}
"""What is compared, by its name in the settings"""
DICTIONARIES = ("sarm", "random_encoder", "token_sae")
"""Arms whose head reads features"""
TRAINED = ("sarm", "token_sae")
"""Those that stage 1 can make"""
FEWEST_RESAMPLES = 100


@dataclass(frozen=True)
class StudyConfig(SAEConfig):
    """What is compared on what. `seed` decides which positions are taken and the bootstrap's draws."""

    pairs: list[str] = field(default_factory=list)
    """files of preference pairs, on which every arm's head is fitted, chosen and measured"""
    ties: str = "out"
    """two answers called equally good: "out" leaves them out, "half" makes them half a win for each in every fit"""
    strength: str = "unused"
    """how strong a preference is said to be (HelpSteer, 1 to 3): "unused", "margin" or "weight" of its pair"""
    sae: str = ""
    """a dictionary in any format, or a SARM, to take for the sarm arm in every seed; empty: stage 1 trains one"""
    arms: list[str] = field(default_factory=lambda: list(ARMS))
    """which of the arms are compared; sarm is always one"""
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    """each trains both dictionaries anew (initial weights, batches) and draws random directions; texts, positions,
    pairs and parts are the same for all"""
    mix: dict[str, float] = field(default_factory=lambda: {"scored": 0.5, "sentence": 0.5})
    """share of each kind of position in a batch of the sarm arm's stage 1; the paper's are the ends of sentences"""
    token_mix: dict[str, float] = field(default_factory=dict)
    """the same for token_sae; empty: every answer token as often as it occurs in the texts"""
    benchmarks: dict[str, Any] = field(default_factory=dict)
    """kind of benchmark, and its file or files: measured on, never fitted on"""
    split: dict[str, float] = field(default_factory=lambda: {"validation": 0.1, "test": 0.1})
    """shares of all prompts, by their hash, that choose penalties and that are measured on; texts fall alike"""
    features: int = 0
    """features that the head of few uses; 0: as few as are no worse on the validation part"""
    resamples: int = 2000
    """rounds of the bootstrap over prompts"""
    out: str = "runs/study"
    """folder of the study"""

    @property
    def parts(self) -> Parts:
        """The shares of `split`."""
        return Parts(self.split["test"], self.split["validation"])

    @property
    def trained(self) -> tuple[str, ...]:
        """Arms for which stage 1 runs."""
        return tuple(arm for arm in TRAINED if arm in self.arms and not (arm == "sarm" and self.sae))

    @property
    def drawn(self) -> tuple[str, ...]:
        """Arms that a seed changes; the others have no randomness."""
        return tuple(arm for arm in self.arms if arm in DICTIONARIES and not (arm == "sarm" and self.sae))

    def files_of(self, kind: str) -> list[str]:
        """The files of a benchmark."""
        stated = self.benchmarks[kind]
        return [stated] if isinstance(stated, str) else list(stated)


def check_study(config: StudyConfig) -> None:
    """Raises SarmError, naming the setting, for a value that no study can have."""
    check_settings(config)
    if config.trained and not config.data:
        raise SarmError(f"data is empty: {config.trained[0]} needs texts to learn from")
    if not config.pairs:
        raise SarmError("pairs is empty: list files of preference pairs")
    _check_arms(config)
    if not config.seeds or len(set(map(repr, config.seeds))) < len(config.seeds):
        raise SarmError(f"seeds is {config.seeds!r}: list different whole numbers, one at least")
    for seed in config.seeds:
        if type(seed) is not int or not 0 <= seed < 2**31:
            raise SarmError(f"seeds: {seed!r} is not a whole number of at least 0")
    _check_split(config.split)
    if config.resamples < FEWEST_RESAMPLES:
        raise SarmError(f"resamples is {config.resamples}: it must be at least {FEWEST_RESAMPLES}")
    if config.features < 0:
        raise SarmError(f"features is {config.features}: it must be at least 0, which lets validation decide")
    for kind, files in config.benchmarks.items():
        benchmark_of(str(kind))
        listed = [files] if isinstance(files, str) else files
        if not isinstance(listed, list) or not listed or not all(isinstance(file, str) for file in listed):
            raise SarmError(f"benchmarks: {kind} is {files!r}: give a file, or a list of files")


def _check_arms(config: StudyConfig) -> None:
    for arm in config.arms:
        if arm not in ARMS:
            raise SarmError(f"arms names {arm!r}: there are {', '.join(ARMS)}")
    if "sarm" not in config.arms or len(set(config.arms)) < len(config.arms):
        raise SarmError(f"arms is {config.arms!r}: list each once, sarm among them")
    if "token_sae" not in config.arms:
        return
    if config.tokens_per_text < 1:
        raise SarmError("tokens_per_text is 0: token_sae has no tokens to learn from")
    for kind, share in config.token_mix.items():
        if kind not in KINDS:
            raise SarmError(f"token_mix names {kind!r}: kinds of position are {', '.join(KINDS)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < float("inf"):
            raise SarmError(f"token_mix: the share of {kind!r} is {share!r}, not a number of at least 0")


def _check_split(split: dict[str, float]) -> None:
    if set(split) != {"validation", "test"}:
        raise SarmError(f"split is {split!r}: give the shares of validation and test, and no other")
    for part, share in split.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise SarmError(f"split: the share of {part} is {share!r}, not a number between 0 and 1")
    if sum(split.values()) >= 1:
        raise SarmError(f"split is {split!r}: nothing is left to train on")
