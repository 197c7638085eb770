"""Settings from YAML for both stages, and the command `train-reward`: a folder with a checkpoint and a report out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import yaml

from sarm_core.errors import SarmError
from sarm_core.files import check_new, whole_folder
from sarm_core.model.checkpoint import Shape, read_sae
from sarm_core.model.sae import JumpReLU, TopK
from sarm_core.ship.export import sae_tensors, write_own
from sarm_core.text.answers import Reader as RowReader
from sarm_core.text.conversation import SCORED_RULES
from sarm_core.train.activations import MAX_LENGTH, Reader, found_from_anywhere
from sarm_core.train.card import card
from sarm_core.train.data import check_parts, read_all_pairs, said_of
from sarm_core.train.head_study import HeadStudy
from sarm_core.train.objective import MODES
from sarm_core.train.processes import ALONE, Processes
from sarm_core.train.reward import RewardConfig
from sarm_core.train.sae_config import SAEConfig
from sarm_core.train.stage2 import run_stage2
from sarm_core.train.study_config import StudyConfig

__all__ = ["config_of", "read_config", "read_settings", "run_reward"]

Config = TypeVar("Config", SAEConfig, RewardConfig, StudyConfig)


def read_config(kind: type[Config], path: str | Path, changes: Sequence[str] = ()) -> Config:
    """A config from YAML with `changes` like "k=64" applied. Raises SarmError naming file and key."""
    return config_of(kind, path, read_settings(path, changes))


class _Settings(dict[Any, Any]):
    """Settings by name, and the line on which each stands in its file."""

    lines: Mapping[Any, int] = {}


def read_settings(path: str | Path, changes: Sequence[str] = ()) -> dict[Any, Any]:
    """The settings of a YAML file with `changes`, unchecked. Raises SarmError for what is none, or is stated twice."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        data = yaml.safe_load(text) or {}
        if not isinstance(data, dict):
            raise SarmError(f"{path}: expected settings, one `name: value` a line")
        data = _Settings(data)
        data.lines = _lines(path, yaml.compose(text, yaml.SafeLoader))
        for change in changes:
            key, _, value = change.partition("=")
            data[key] = yaml.safe_load(value)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SarmError(f"{path}: cannot be read as YAML ({str(error).splitlines()[0]})") from None
    return data


def _lines(path: str | Path, node: Any) -> dict[str, int]:
    """Lines, from 1, of the names in a mapping. Of a name that is there twice YAML would take the later value."""
    lines: dict[str, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            raise SarmError(f"{path}, line {line}: {name!r} stands on line {lines[name]} already")
        lines[name] = line
        _lines(path, value)
    return lines


def config_of(kind: type[Config], path: str | Path, data: Mapping[Any, Any]) -> Config:
    """A config of checked settings; `path` is named in refusals. Raises SarmError."""
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        line = data.lines.get(unknown[0]) if isinstance(data, _Settings) else None
        where = f"{path}, line {line}" if line else path
        raise SarmError(f"{where}: unknown setting {unknown[0]!r}; known: {', '.join(known)}")
    default = kind()
    config = kind(**{name: _setting(path, name, data[name], getattr(default, name)) for name in data})
    if not config.data and not isinstance(config, StudyConfig):  # which may train nothing
        raise SarmError(f"{path}: data is empty; list the training files")
    return config


def _setting(path: str | Path, name: str, value: Any, like: Any) -> Any:
    """A setting's value when it is of the kind of its default. YAML reads 5e-4 (without a dot) as text."""
    floats = isinstance(like, list) and like and isinstance(like[0], float) and isinstance(value, list)
    if isinstance(like, float) or floats:
        with suppress(TypeError, ValueError):
            return [float(v) for v in value] if isinstance(value, list) else float(value)
    names = {
        int: "a whole number",
        bool: "yes or no",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    wanted = str if like is None else type(like)
    texts = [value] if wanted is str else value if wanted is list and not like else []
    if type(value) is not wanted and not (like is None and value is None):
        raise SarmError(f"{path}: {name} is {value!r}, not {names[wanted]}")
    if not all(isinstance(text, str | None) for text in texts):
        raise SarmError(f"{path}: {name} is {value!r}, not a list of texts")
    return value


def run_reward(config: RewardConfig, rows: RowReader | None = None, *, processes: Processes = ALONE) -> Path:
    """Train the head (mode 0) or blocks too (modes 1 to 3); write a checkpoint in the own layout, with report.

    Only modes 1 to 3 are work for several `processes`. Raises SarmError.
    """
    with processes.agreeing():
        if config.mode not in MODES:
            known = ", ".join(f"{number} ({words})" for number, words in MODES.items())
            raise SarmError(f"mode {config.mode} is not available: {known}")
        if processes.n > 1 and not config.mode:
            raise SarmError(
                "mode 0 fits one convex problem: start it without a launcher; modes 1 to 3 are divided"
            )
        check_new(config.out)
        stage1 = _stage1(Path(config.sae))
        sae_config = stage1["config"]
        kind = JumpReLU() if stage1.get("kind") == JumpReLU.kind else TopK(sae_config["k"])
        shape = Shape(sae_config["layer"], sae_config["n_features"], kind)
        sae = read_sae(Path(config.sae) / "sae.safetensors", shape)
        pairs = read_all_pairs(config.data, rows, ties=config.ties, strength=config.strength).pairs
        check_parts(pairs)
        if processes.first:
            print(said_of(pairs), file=sys.stderr)
        rule = config.scored_token or sae_config.get("scored_token", SCORED_RULES[0])
        length = config.max_length if config.mode else sae_config.get("max_length", MAX_LENGTH)
        dtype = getattr(torch, sae_config.get("backbone_dtype", "bfloat16"))
        reader = Reader(sae_config["backbone"], shape.layer, dtype, rule=rule, max_length=length)
    if config.mode:
        return run_stage2(config, shape, sae, pairs, reader, stage1, processes)
    stage2 = HeadStudy(reader, pairs, config)
    w, report = stage2.sarm(sae)
    for name, other in (
        ("scalar_head", stage2.scalar_head()),
        ("random_encoder", stage2.random_encoder(sae, config.seed)),
    ):
        other["paired_difference"] = stage2.paired_difference(report["test_margins"], other["test_margins"])
        report[name] = other
    with whole_folder(config.out) as folder:
        write_own(
            folder,
            shape=shape,
            tensors=sae_tensors(sae, torch.float16),
            head=w.astype(np.float32),
            backbone=found_from_anywhere(sae_config["backbone"]),
            rule=reader.format.rule,
            chat_template=reader.format.template,
            max_length=reader.format.max_length,
            name=config.name,
        )
        whole = {"stage1": stage1, "stage2": {"config": asdict(config), **report}}
        (folder / "report.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
        (folder / "README.md").write_text(card(folder / "report.json"), encoding="utf-8")
    print((Path(config.out) / "README.md").read_text(encoding="utf-8"), file=sys.stderr)
    return Path(config.out)


def _stage1(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SarmError(f"{folder / 'report.json'}: cannot be read ({error}); run train-sae first") from None
