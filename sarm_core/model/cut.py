"""The first L blocks of a decoder whose config stays what it is.

A shorter config is another model wherever something scales, shares or switches with depth: MiniCPM3 scales its
residuals by the number of blocks, Gemma 4 shares keys among its last ones, NanoChat uses its final norm twice. So the
decoder is built from its own config, the blocks behind L are let go before any weight is read, and a hook on block L
takes the stream there and ends the pass.
"""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sarm_core.errors import CheckpointError
from sarm_core.model.hf import BaseModelOutputWithPast, PretrainedConfig

__all__ = ["BLOCK_LISTS", "blocks_read", "check_layer", "class_cut_after", "cut_after", "drop_final_norm"]

BLOCK_LISTS = ("layers", "h", "blocks", "layer", "block")
"""What decoders call the list of their blocks."""


def check_layer(config: PretrainedConfig, layer: int) -> int:
    """How many blocks the decoder of `config` has. Raises CheckpointError where it has not `layer` of them."""
    total = config.num_hidden_layers
    if type(total) is not int:
        raise CheckpointError(
            f"num_hidden_layers is {total!r}: the backbone's config does not say how deep it is"
        )
    if not 1 <= layer <= total:
        raise CheckpointError(f"the SAE reads block {layer}, but this backbone has {total} blocks")
    return total


def class_cut_after(kind: type[nn.Module], layer: int) -> type[nn.Module]:
    """A class of `kind` whose models keep their first `layer` blocks and give h after them as `last_hidden_state`.

    It carries the name and module of `kind`, by which Transformers looks up how its weights are converted.
    """

    def __init__(self: nn.Module, config: PretrainedConfig, *rest: Any, **options: Any) -> None:
        with _Unfilled():
            kind.__init__(self, config, *rest, **options)
        _keep_first(self, layer)

    return _subclass(kind, layer, {"__init__": __init__})


def cut_after(backbone: nn.Module, layer: int) -> nn.Module:
    """Let go of a built decoder's blocks behind `layer` and of its final norm, in place, and return it.

    Its `last_hidden_state` is then h after block `layer`. Raises CheckpointError for what is no decoder.
    """
    _keep_first(backbone, layer)
    backbone.__class__ = _subclass(type(backbone), layer, {})
    return drop_final_norm(backbone)


def blocks_read(backbone: nn.Module) -> int:
    """L of a cut backbone."""
    return int(cast(Any, backbone).blocks_read)


def drop_final_norm(backbone: nn.Module) -> nn.Module:
    """Take the weights of the norm behind the blocks out of a cut backbone, in place, and return it.

    The pass ends before it. A norm without weights stays: NanoChat's stands before the blocks as well.
    """
    path, _, name = str(cast(Any, backbone).block_list).rpartition(".")
    parent = backbone.get_submodule(path)
    behind = False
    for child_name, child in parent.named_children():
        if behind and "norm" in (child_name + type(child).__name__).lower():
            if next(child.parameters(), None) is not None:
                setattr(parent, child_name, _Unreached())
            break
        behind |= child_name == name
    return backbone


class _Unreached(nn.Module):
    """Stands where the final norm was; an identity there would give another h without a word."""

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise CheckpointError("the final norm is used elsewhere than behind the blocks: not a known decoder")


@dataclass
class _Pass:
    """What one pass has given so far of h at `wanted` positions; a decoder may read a long text in pieces."""

    wanted: int
    pieces: list[Tensor] = field(default_factory=list)


class _Reached(Exception):
    """Block L has run."""


_PASS: ContextVar[_Pass | None] = ContextVar("pass", default=None)


def _take(_block: nn.Module, _inputs: Any, output: Any) -> None:
    """The hook on block L."""
    running = _PASS.get()
    if running is None:  # the block was called by itself
        return
    running.pieces.append(output[0] if isinstance(output, tuple | list) else output)
    if sum(piece.shape[1] for piece in running.pieces if piece.ndim > 1) >= running.wanted:
        raise _Reached


class _Unfilled(TorchFunctionMode):
    """Lets no parameter be drawn at random: Transformers builds a model without storage and fills it from the files."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _subclass(kind: type[nn.Module], layer: int, members: dict[str, Any]) -> type[nn.Module]:
    known = inspect.signature(kind.forward).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())

    @functools.wraps(kind.forward)
    def forward(self: nn.Module, input_ids: Tensor, **inputs: Any) -> BaseModelOutputWithPast:
        if not takes_any:
            inputs = {name: value for name, value in inputs.items() if name in known}
        running = _Pass(input_ids.shape[1])
        token = _PASS.set(running)
        try:
            kind.forward(self, input_ids=input_ids, **inputs)
        except _Reached:
            pass
        finally:
            _PASS.reset(token)
        pieces = running.pieces
        h = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1) if pieces else None
        if h is None or h.ndim != 3 or h.shape[:2] != input_ids.shape:
            shape = None if h is None else list(h.shape)
            raise CheckpointError(
                f"{kind.__name__}: after block {layer} there are numbers of shape {shape} for token ids of shape "
                f"{list(input_ids.shape)}, not one vector a token"
            )
        return BaseModelOutputWithPast(last_hidden_state=h, past_key_values=inputs.get("past_key_values"))  # type: ignore[arg-type]

    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), {**named, "blocks_read": layer, "forward": forward, **members})


def _keep_first(backbone: nn.Module, layer: int) -> None:
    config = cast(Any, backbone).config
    path, blocks = _block_list(backbone, check_layer(config, layer))
    cast(Any, backbone).block_list = path
    kept = blocks[:layer]
    backbone.set_submodule(path, kept)
    kept[-1].register_forward_hook(_take)
    tied = getattr(backbone, "all_tied_weights_keys", None)
    if tied:
        here = set(backbone.state_dict())
        cast(Any, backbone).all_tied_weights_keys = {
            copy: source for copy, source in tied.items() if copy in here and source in here
        }


def _block_list(backbone: nn.Module, n: int) -> tuple[str, nn.ModuleList]:
    """The list of a decoder's `n` blocks, and its path in it. Raises CheckpointError."""
    found = [
        (path, child)
        for path, child in backbone.named_modules()
        if isinstance(child, nn.ModuleList)
        and len(child) == n
        and path.rsplit(".", 1)[-1] in BLOCK_LISTS
        and not any(part.isdigit() for part in path.split("."))
    ]
    if len(found) != 1:
        raise CheckpointError(
            f"{type(backbone).__name__}: {len(found)} lists of {n} blocks are in it, not one; not a known decoder"
        )
    return found[0]
