"""Where in a decoder a dictionary reads, and whether that is the residual stream behind a block.

L counts the blocks that have run: the output of block n (`blocks.n.hook_resid_post`, the output of `model.layers.n`) is
h after L = n + 1 blocks, its input (`blocks.n.hook_resid_pre`) h after L = n.
"""

from __future__ import annotations

import re

__all__ = ["layer_behind"]

_BEHIND = re.compile(
    r"blocks\.(\d+)\.hook_resid_post|(?:model\.|transformer\.|gpt_neox\.)*(?:layers|h)\.(\d+)(?:\.output)?|"
    r"resid_post_layer_(\d+)"
)
_BEFORE = re.compile(r"blocks\.(\d+)\.hook_resid_pre")


def layer_behind(hook: str) -> int:
    """L of a hook point, as TransformerLens, Transformers or dictionary-learning name it.

    Raises ValueError, with the reason, for what is not the residual stream behind a block.
    """
    if found := _BEHIND.fullmatch(hook):
        return int(next(group for group in found.groups() if group is not None)) + 1
    if found := _BEFORE.fullmatch(hook):
        if int(found[1]) > 0:
            return int(found[1])
        raise ValueError(f"it reads {hook}, the embeddings, before any block has run")
    raise ValueError(f"it reads {hook}, which is not the residual stream behind a block")
