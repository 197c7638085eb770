"""`sarm build`: a backbone, a dictionary and preference pairs in, a SARM with its report out.

The backbone reads each distinct answer once. On what the dictionary makes of them the head is a convex problem, solved
for every number of features it may use; beside it, on the same pairs, splits and search, stand a scalar head on h, a
dictionary of random directions, and the length of the answers. Nothing is trained but heads.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from sarm_core.errors import CheckpointError, SarmError
from sarm_core.files import check_new, whole_folder
from sarm_core.model.backbone import backbone_config
from sarm_core.model.checkpoint import DEFAULT_MAX_LENGTH, Shape
from sarm_core.model.cut import check_layer
from sarm_core.model.sae import SAE
from sarm_core.model.tensor_files import TensorFiles
from sarm_core.score.cache import encoded_folder
from sarm_core.score.scorer import device_named
from sarm_core.ship.export import sae_tensors, write_own
from sarm_core.text.answers import Reader as RowReader
from sarm_core.text.conversation import SCORED_RULES
from sarm_core.train.activations import Reader, backbone_folder, found_from_anywhere
from sarm_core.train.build_card import build_card
from sarm_core.train.build_heads import (
    Fitted,
    add_original,
    baselines,
    counts,
    doubtful_rows,
    report_of,
    unexplained,
)
from sarm_core.train.data import check_parts, read_all_pairs, said_of
from sarm_core.train.encoded_answers import Answers
from sarm_core.train.original_head import OriginalHead, is_reward_model
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.progress import counting, say

__all__ = ["DOUBTFUL", "BuildConfig", "DictionaryLike", "build_sarm", "run_build"]

DOUBTFUL = "doubtful_pairs.jsonl"
FOREIGN = (
    "warning: the dictionary misses these activations by {share:,.1f} times their variance, more than their mean would "
    "(1): was it trained on this model, this block, and tokens like the scored one?"
)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class BuildConfig:
    """What a SARM is built of."""

    pairs: list[str]
    """files of preference pairs"""
    backbone: str
    """"demo", a folder or a Hub id"""
    sae: str
    """a dictionary in any public format: a file, a folder or a Hub id"""
    out: str
    """the new folder"""
    layer: int | None = None
    """L, for a dictionary that does not state the block it reads"""
    features: int | None = None
    """how many features the head uses; without it the validation part decides"""
    ties: str = "out"
    """two answers called equally good: "out" leaves them out, "half" makes them half a win for each in the fit"""
    strength: str = "unused"
    """how strong a preference is said to be (HelpSteer, 1 to 3): "unused", "margin" or "weight" of its pair"""
    k: int | None = None
    """active features a position, for a dictionary that does not state it"""
    scored_token: str | None = None
    """which token is scored: a rule of `ChatFormat` or a token"""
    max_length: int | None = None
    """tokens of a conversation that are read, from its end"""
    device: str | None = None
    dtype: str = "auto"
    """of the backbone: auto is float32 on a CPU, the stored one on a GPU"""
    seed: int = 0
    """of the intervals, the random encoder and the folds"""
    name: str | None = None
    """shown in the app"""
    cache: str | None = None
    """where h and features of answers are kept"""


class DictionaryLike(Protocol):
    """What is needed of a dictionary: `load_sae` gives one."""

    @property
    def sae(self) -> SAE: ...
    @property
    def layer(self) -> int | None: ...
    @property
    def hook(self) -> str | None: ...


def run_build(config: BuildConfig, rows: RowReader | None = None) -> Path:
    """Build the SARM that `config` describes and return its folder, whose `report.json` has every figure.

    What was encoded is kept, so an interrupted or repeated run goes on. Raises SarmError in one line for what does not
    belong together, before any text is read by the backbone.
    """
    from sarm_core.model.dictionaries.loading import load_sae

    check_new(config.out)
    return build_sarm(config, load_sae(config.sae, k=config.k, layer=config.layer), rows)


def build_sarm(config: BuildConfig, dictionary: DictionaryLike, rows: RowReader | None = None) -> Path:
    """`run_build` with a dictionary at hand."""
    check_new(config.out)
    clock = _Clock()
    layer = dictionary.layer or config.layer
    if layer is None:
        raise SarmError(
            f"{config.sae}: does not say which block it reads: give --layer, the number of blocks before it"
        )
    folder = backbone_folder(config.backbone)
    _check_fit(config, dictionary, layer, folder)
    preferences = read_all_pairs(config.pairs, rows, ties=config.ties, strength=config.strength)
    pairs = preferences.pairs
    check_parts(pairs)
    own_head = is_reward_model(folder)
    reader = _reader(config, layer, folder, SCORED_RULES[1] if own_head else SCORED_RULES[0])
    cache = Path(config.cache) if config.cache else encoded_folder()
    say(f"{said_of(pairs)}; reading their answers with {config.backbone}, {layer} blocks")
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    original = OriginalHead(reader, cache) if own_head else None
    answers = Answers(
        reader,
        sides,
        cache,
        places=[pair.place for pair in pairs for _ in range(2)],
        progress=counting("answers read"),
    )
    clock.lap("read")
    study = PairStudy(pairs, answers.row_of, config.seed)
    study.check()
    sae = dictionary.sae.to(reader.device)
    codes = answers.codes(sae, counting("answers through the dictionary"))
    left = unexplained(answers, sae)
    if left > 1:
        say(FOREIGN.format(share=left))
    clock.lap("dictionary")
    say("heads on the dictionary's features")
    ours = Fitted(study, codes, config.features)
    clock.lap("head")
    found = report_of(ours)
    found["baselines"] = baselines(answers, sae, ours, config.seed)
    if original is not None:
        say("the reward model's own head")
        add_original(found, original.rewards(sides, counting("answers scored by it")), answers, ours)
    clock.lap("baselines")
    listed = doubtful_rows(ours, config.seed)
    found["pairs"] = counts(study, answers, listed, preferences.ties)
    found["unexplained"] = left
    found["active"] = float(codes.nnz / codes.shape[0])
    clock.lap("doubtful")
    found["built"] = {
        "name": config.name or Path(config.out).name,
        "backbone": config.backbone,
        "sae": config.sae,
        "hook": dictionary.hook,
        "kind": sae.kind,
        "words": sae.words,
        "layer": layer,
        "width": sae.width,
        "n_features": sae.n_features,
        "ties": config.ties,
        "strength": config.strength,
        "scored_token": reader.format.rule,
        "max_length": reader.format.max_length,
        "dtype": str(reader.dtype).removeprefix("torch."),
        "seed": config.seed,
    }
    found["seconds"] = clock.laps
    with whole_folder(config.out) as made:
        write_own(
            made,
            shape=Shape(layer, sae.n_features, sae.of_kind),
            tensors=_kept_exactly(sae),
            head=ours.point.head(sae.n_features),
            backbone=found_from_anywhere(config.backbone),
            rule=reader.format.rule,
            chat_template=reader.format.template,
            max_length=reader.format.max_length,
            name=found["built"]["name"],
        )
        (made / "report.json").write_text(json.dumps(found, indent=1, allow_nan=False), encoding="utf-8")
        (made / "README.md").write_text(build_card(found), encoding="utf-8")
        with (made / DOUBTFUL).open("w", encoding="utf-8") as file:
            for each in listed:
                file.write(json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n")
    return Path(config.out)


# -- what belongs together -------------------------------------------------------------------------------------


def _check_fit(config: BuildConfig, dictionary: DictionaryLike, layer: int, folder: Path) -> None:
    """Raises SarmError where dictionary and backbone do not belong together, as far as shapes can tell."""
    if config.layer is not None and config.layer != layer:
        raise SarmError(
            f"{config.sae}: reads the stream after {layer} blocks ({dictionary.hook}), but --layer is {config.layer}: "
            "leave --layer out"
        )
    stated = backbone_config(folder)
    try:
        check_layer(stated, layer)
    except CheckpointError as error:
        raise SarmError(f"{config.sae} does not belong to {config.backbone}: {error}") from None
    if stated.hidden_size != dictionary.sae.width:
        raise SarmError(
            f"{config.sae} does not belong to {config.backbone}: it reads vectors of {dictionary.sae.width} numbers, "
            f"the backbone's are {stated.hidden_size} wide"
        )


def _reader(config: BuildConfig, layer: int, folder: Path, rule: str) -> Reader:
    device = device_named(config.device)
    if config.dtype not in (*_DTYPES, "auto"):
        raise SarmError(f"dtype {config.dtype!r} is not known: use {', '.join(_DTYPES)} or auto")
    if config.dtype != "auto":
        dtype = _DTYPES[config.dtype]
    else:
        files = TensorFiles(folder)
        stored = files.dtype(
            next((n for n in files.names() if "layers.0" in n or "h.0." in n), files.names()[0])
        )
        dtype = torch.float32 if device.type == "cpu" else stored
    return Reader(
        config.backbone,
        layer,
        dtype,
        rule=config.scored_token or rule,
        max_length=config.max_length or DEFAULT_MAX_LENGTH,
        device=device,
    )


# -- writing ---------------------------------------------------------------------------------------------------


def _kept_exactly(sae: SAE) -> dict[str, torch.Tensor]:
    """The tensors, matrices in half the bytes where that loses nothing: what is scored is what was measured."""
    return {name: _narrowed(tensor) for name, tensor in sae_tensors(sae).items()}


def _narrowed(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.ndim < 2:
        return tensor
    for dtype in (torch.bfloat16, torch.float16):
        if all(torch.equal(part.to(dtype).float(), part) for part in tensor.split(1024)):
            return tensor.to(dtype)
    return tensor


# -- what is said meanwhile --------------------------------------------------------------------------------------


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = round(now - self._last, 2), now
