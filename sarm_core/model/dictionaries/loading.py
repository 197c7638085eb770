"""From a path or Hub id to an SAE whose features are those of the package that wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import find_folder, hub_snapshot, is_hub_id
from sarm_core.model.dictionaries.base import Format, Plan, Source, whole_number
from sarm_core.model.dictionaries.registry import FORMATS, weights_in
from sarm_core.model.dictionaries.tensors import SUFFIXES, Tensors
from sarm_core.model.sae import SAE

__all__ = ["DEEPEST", "Dictionary", "Opened", "find_sae", "load_sae", "open_one", "open_sae", "sources"]

DEEPEST = 3  # folders between a collection and one of its dictionaries, as in Gemma Scope
_MOST_FOLDERS = 10_000  # that are looked into at one depth
_ROWS = 1 << 22  # numbers looked at together for infinity and NaN
_FEATURE_ROWS = 256  # positions encoded together, so that a [rows, M] block stays small


@dataclass(frozen=True)
class Dictionary:
    """A public dictionary: an SAE, and where in a decoder it reads."""

    sae: SAE
    layer: int | None
    """L: h is the residual stream after that many blocks; None where neither file nor caller says it"""
    hook: str | None
    """The place as the file names it; None where it does not"""
    format: str
    """Name of the format in the registry: "saelens" """
    source: Path
    """The file with the tensors"""

    @property
    def kind(self) -> str:
        """Name of the SAE's kind: "topk"."""
        return self.sae.kind

    @property
    def words(self) -> str:
        """Which features are active, in a few words: "k 64, positive"."""
        return self.sae.words

    @property
    def n_features(self) -> int:
        """M."""
        return self.sae.n_features

    @property
    def width(self) -> int:
        """d, that of the residual stream."""
        return self.sae.width

    @torch.no_grad()
    def features(self, h: np.ndarray[Any, Any] | Tensor) -> sparse.csr_matrix:
        """z of h, float32 [n, d] after block L, as scipy CSR, float32 [n, M]; features ascend within a row.

        Raises ValueError for another shape.
        """
        rows = torch.as_tensor(h).float()
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"h has shape {list(rows.shape)}, not [n, {self.width}]")
        device = self.sae.latent_bias.device
        parts = [
            self.sae.encode(self.sae.inputs(part.to(device))).csr() for part in rows.split(_FEATURE_ROWS)
        ]
        return sparse.vstack(parts, "csr") if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class Opened:
    """A dictionary that is understood and whose shapes fit; no number has been read."""

    of: Format
    source: Source
    plan: Plan
    layer: int | None
    n_features: int
    width: int

    def check_numbers(self) -> None:
        """Raises CheckpointError for infinity or NaN; one tensor is in memory at a time."""
        for theirs, _ in self.plan.parts.values():
            flat = self.source.tensors.read(theirs).reshape(-1)
            if not all(part.isfinite().all() for part in flat.split(_ROWS)):
                raise self.source.refuse(f"{theirs} holds infinity or NaN: no feature would be a number")

    def load(self) -> Dictionary:
        """Read the tensors, float32. Raises CheckpointError."""
        self.check_numbers()
        wanted = self.plan.kind.shapes(self.width, self.n_features)
        loaded = {}
        for ours, (theirs, axes) in self.plan.parts.items():
            tensor = self.source.tensors.read(theirs).float()
            if axes == "":
                tensor = tensor.reshape(()).expand(self.n_features)
            elif len(axes) == 2 and ours in wanted and axes != _axes(self.plan, ours):
                tensor = tensor.T
            loaded[ours] = tensor.clone(memory_format=torch.contiguous_format)
        loaded = {name: tensor.contiguous() for name, tensor in self.plan.fold(loaded).items()}
        with torch.device("meta"):
            sae = SAE(self.width, self.n_features, self.plan.kind)
        sae.load_state_dict(loaded, assign=True)
        if not all(bool(tensor.isfinite().all()) for tensor in loaded.values()):
            raise self.source.refuse("its numbers overflow in float32")
        sae = sae.eval().requires_grad_(False)
        return Dictionary(sae, self.layer, self.plan.hook, self.of.name, self.source.file)


def _axes(plan: Plan, ours: str) -> str:
    return "".join(plan.kind.TENSORS[ours])


def load_sae(path: str | Path, *, k: int | None = None, layer: int | None = None) -> Dictionary:
    """The dictionary in `path`: a file, a folder, or a Hub id, with a path inside the repository behind it if need be.

    `k` is for files that do not state it; `layer` (L, the number of blocks that have run) for files that do not, and to
    choose among the dictionaries of a folder. Both are refused where the file says otherwise. Raises CheckpointError.
    """
    return open_sae(path, k=k, layer=layer).load()


def open_sae(path: str | Path, *, k: int | None = None, layer: int | None = None) -> Opened:
    """What `load_sae` reads, before any number is read. Raises CheckpointError."""
    for name, value in (("k", k), ("layer", layer)):
        if value is not None:
            whole_number(value, f"load_sae: {name}")
    there = find_sae(path, layer)
    return open_one(there, list(sources(there, str(path), k)), layer)


def open_one(there: Path, found: list[tuple[Format, Source]], layer: int | None) -> Opened:
    """The only one of `found` in the file or folder `there`, or the one of `layer`. Raises CheckpointError."""
    if not found:
        raise CheckpointError(
            f"{there}: no dictionary that is known here; formats that are read: "
            f"{', '.join(each.title for each in FORMATS)}"
        )
    return _opened(*found[0], layer) if len(found) == 1 else _chosen(there, found, layer)


def find_sae(path: str | Path, layer: int | None = None) -> Path:
    """The file or folder that `path` names: "demo", one here, or one in a repository of the Hub, `owner/name/inside`.

    Of a repository only what is named is fetched: the folder or file inside, that of `layer`, or what lies at its top.
    Raises CheckpointError.
    """
    place = Path(path).expanduser()
    if place.exists() and str(path) != "demo":
        return place
    owner, _, rest = str(path).partition("/")
    name, _, inside = rest.partition("/")
    if not is_hub_id(f"{owner}/{name}"):
        return find_folder(path)
    if inside:
        beside = f"{inside.rpartition('/')[0]}/*.json".lstrip("/")
        patterns = [inside, f"{inside}/*", beside]
    else:
        patterns = [*_AT_TOP, *_of_layer(layer)]
    there = hub_snapshot(f"{owner}/{name}", patterns) / inside
    if inside and not there.exists():
        raise CheckpointError(f"{path}: the repository {owner}/{name} holds no {inside}")
    return there


_AT_TOP = ["*.json", "*.md", *(name for each in FORMATS for name in each.files if "*" not in name)]


def _of_layer(layer: int | None) -> list[str]:
    """Files of block n = L - 1, as collections name them."""
    return [] if layer is None else [f"layer{layer - 1}.sae.pt", f"layers.{layer - 1}/*"]


def sources(
    place: Path, said: str, k: int | None = None, deepest: int = DEEPEST
) -> Iterator[tuple[Format, Source]]:
    """Dictionaries of a file or folder, each with its format; in the folder itself, or else at most `deepest` below.

    Raises CheckpointError for a file that cannot be read.
    """
    if place.is_file():
        yield from _of_file(place, said, k) if place.suffix in SUFFIXES else ()
        return
    folders = [place]
    for depth in range(deepest + 1):
        files = [file for folder in folders for file in weights_in(folder)]
        found = [each for file in files for each in _of_file(file, said, k)]
        if depth == 0 and files and not found:
            raise CheckpointError(f"{files[0]}: its tensors are those of no dictionary that is known here")
        yield from found
        if found:
            return
        folders = list(islice((inner for folder in folders for inner in _inside(folder)), _MOST_FOLDERS))


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError:  # not ours to read
        return []


def _of_file(file: Path, said: str, k: int | None) -> Iterator[tuple[Format, Source]]:
    tensors = Tensors(file)
    for each in FORMATS:
        if each.holds(file, tensors.names()):
            yield each, Source(file, tensors, said, k)
            return


def _chosen(there: Path, found: list[tuple[Format, Source]], layer: int | None) -> Opened:
    """The one of `layer` among several."""
    named = [str(source.file.relative_to(there)) for _, source in found]
    if layer is None:
        shown = ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")
        raise CheckpointError(
            f"{there}: holds {len(named)} dictionaries: name one ({shown}), or give its layer"
        )
    fitting, refused = [], []
    for each, source in found:
        try:
            plan = each.plan(source)
        except CheckpointError as error:  # a collection may hold transcoders and outputs of MLPs as well
            refused.append(str(error))
            continue
        if plan.layer == layer:
            fitting.append((each, source))
    if len(fitting) != 1:
        why = f"; {len(refused)} cannot be read ({refused[0]})" if refused and not fitting else ""
        raise CheckpointError(
            f"{there}: {len(fitting)} of its {len(named)} dictionaries are of layer {layer}: name one{why}"
        )
    return _opened(*fitting[0], layer)


def _opened(each: Format, source: Source, layer: int | None) -> Opened:
    plan = each.plan(source)
    if layer is not None and plan.layer is not None and layer != plan.layer:
        where = f"{plan.hook}, which is layer {plan.layer}" if plan.hook else f"layer {plan.layer}"
        raise source.refuse(f"it reads {where}, not layer {layer} (L counts the blocks that have run)")
    tensors = source.tensors
    for theirs, _ in plan.parts.values():
        if theirs not in tensors:
            raise source.refuse(
                f"no tensor {theirs}, without which it is no whole dictionary of {each.title}"
            )
        if not tensors.floating[theirs]:
            raise source.refuse(f"{theirs} is not stored as floating point")
    beyond = sorted(tensors.names() - plan.unread - {theirs for theirs, _ in plan.parts.values()})
    if beyond:
        raise source.refuse(f"a dictionary of this kind has no place for {beyond[0]}")
    sizes = _sizes(plan, source)
    for theirs, axes in plan.parts.values():
        wanted = tuple(sizes[axis] for axis in axes)
        if tensors.shapes[theirs] != wanted and not (axes == "" and tensors.shapes[theirs] == (1,)):
            raise source.refuse(
                f"{theirs} has shape {list(tensors.shapes[theirs])}, "
                f"but {sizes['M']} features over {sizes['d']} dimensions need {list(wanted)}"
            )
    try:
        plan.kind.check(sizes["M"])
    except ValueError as error:
        raise source.refuse(str(error)) from None
    return Opened(each, source, plan, plan.layer if layer is None else layer, sizes["M"], sizes["d"])


def _sizes(plan: Plan, source: Source) -> dict[str, int]:
    theirs, axes = plan.parts["encoder.weight"]
    shape = source.tensors.shapes[theirs]
    if len(shape) != 2 or 0 in shape:
        raise source.refuse(f"{theirs} has shape {list(shape)}, not one of two dimensions")
    sizes = dict(zip(axes, shape, strict=True))
    for axis, size in plan.stated.items():
        if sizes[axis] != size:
            what = {"M": "features", "d": "dimensions"}[axis]
            raise source.refuse(f"its config states {size} {what}, but {theirs} has {sizes[axis]}")
    return sizes
