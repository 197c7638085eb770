"""Which layouts there are for an export, and which of them has words for a kind of SAE.

own        says every kind, in `sarm.json`
reference  the paper's: TopK with signed values, or every feature, of standardised h
auto       what `modeling_sarm.py` computes, in the words of `sarm.json`
"""

from __future__ import annotations

from typing import Any, Literal

from sarm_core.errors import CheckpointError
from sarm_core.model.checkpoint import Shape
from sarm_core.model.sae import Dense, ReferenceWords, SAEKind, TopK

__all__ = ["LAYOUTS", "AnyLayout", "auto_words", "layouts_for", "reference_words", "refuse_layout"]

AnyLayout = Literal["own", "reference", "auto"]
LAYOUTS: tuple[AnyLayout, ...] = ("own", "reference", "auto")


def layouts_for(shape: Shape) -> tuple[AnyLayout, ...]:
    """Layouts that can say this kind of SAE; the own one says any."""
    says = {
        "own": True,
        "reference": shape.sae.in_reference(shape.n_features) is not None,
        "auto": _in_auto(shape.sae),
    }
    return tuple(layout for layout in LAYOUTS if says[layout])


def refuse_layout(shape: Shape, layout: AnyLayout) -> None:
    """Raises CheckpointError for a kind of SAE that `layout` has no word for, with the layouts that have one."""
    can = layouts_for(shape)
    if layout not in can:
        said = f", reading h {shape.sae.reads}" if shape.sae.reads != SAEKind.input else ""
        raise CheckpointError(
            f"the {layout} layout has no word for an SAE of kind {shape.sae.kind!r} ({shape.sae.words}){said}: "
            f"export it with --layout {' or --layout '.join(sorted(can))}"
        )


def reference_words(shape: Shape) -> ReferenceWords:
    """k, and whether TopK is applied, as the reference layout states them. Raises CheckpointError."""
    refuse_layout(shape, "reference")
    found = shape.sae.in_reference(shape.n_features)
    assert found is not None
    return found


def auto_words(shape: Shape) -> dict[str, Any]:
    """Entries of the auto layout's config.json that say the kind: `k`, null without one, and what is not the paper's.

    Raises CheckpointError.
    """
    refuse_layout(shape, "auto")
    stated = shape.sae.to_stated()
    words = {"k": stated.pop("k", None)}
    if stated["kind"] in (TopK.kind, Dense.kind):  # told apart by k
        del stated["kind"]
    return words | stated


def _in_auto(kind: SAEKind) -> bool:
    from sarm_core.ship.modeling_sarm import (  # registers the model type, so only where it is asked
        ACTIVE,
        INPUTS,
    )

    return kind.kind in ACTIVE and kind.input in INPUTS
