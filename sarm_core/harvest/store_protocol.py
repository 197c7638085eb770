"""What the engine needs of a feature store: `feature_db.Store` has it, and so may any other.

The engine opens no store and knows no table of one; who calls it hands an open store over, or a way to open it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sarm_core.score.facts import SarmFacts

__all__ = [
    "ExampleStore",
    "HarvestStore",
    "Import",
    "ModelFacts",
    "NoteStore",
    "OpenStore",
    "Place",
    "Title",
    "model_facts",
]


@dataclass(frozen=True)
class ModelFacts:
    """What a store says of the model it belongs to; the fields of `feature_db.ModelRecord`."""

    fingerprint: str
    name: str
    n_features: int
    info: Mapping[str, Any] = field(default_factory=dict)


def model_facts(facts: SarmFacts) -> ModelFacts:
    """What a store says of the model it belongs to; whoever makes the store, app or harvest, says the same."""
    return ModelFacts(
        facts.fingerprint,
        facts.title,
        facts.n_features,
        {"source": facts.source, "layer": facts.layer, **facts.sae},
    )


class Import(Protocol):
    """That something was taken in."""

    @property
    def id(self) -> int: ...
    @property
    def header(self) -> Mapping[str, Any]: ...


class Place(Protocol):
    """Where a feature peaks in a text it is an example of, or that it is silent there."""

    @property
    def feature(self) -> int: ...
    @property
    def text(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def purpose(self) -> str: ...
    @property
    def peak_position(self) -> int | None: ...


class _Text(Protocol):
    @property
    def messages(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def tokens(self) -> Sequence[str] | None: ...
    @property
    def category(self) -> str | None: ...
    @property
    def source(self) -> str | None: ...


class _Example(Protocol):
    @property
    def text(self) -> _Text: ...
    @property
    def peak_position(self) -> int | None: ...


class Title(Protocol):
    """What a feature is called."""

    @property
    def text(self) -> str: ...
    @property
    def mark(self) -> str:
        """Words that stand beside it, such as "suggested"; "" for a name that holds."""


class ExampleStore(Protocol):
    """The examples that suggestions are made from, and a place to put them."""

    def text(self, text: int, /) -> _Text:
        """One text by its id."""

    def sample_texts(self, limit: int, /) -> Sequence[int]:
        """A sample of the corpus."""

    def places(self) -> Iterator[Place]:
        """Every example that fires or is silent, feature by feature, the strongest first."""

    def n_exemplified(self, *, firing: bool = False) -> int:
        """Features that have examples, or with `firing` examples in which they fire."""

    def imports(self, format: str | None = None, *, since: int = 0) -> Sequence[Import]:
        """What was taken in, first to last."""

    @property
    def model(self) -> Any:
        """`ModelFacts`, or a look-alike."""

    def encodings(
        self,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """z of all encoded texts as CSR parts: text ids [n], indptr [n + 1], feature ids and values [total]."""

    def replace_suggestions(self, method: str, suggestions: Iterable[Any], /) -> int:
        """Replace the suggestions of a method; how many there are now."""


class HarvestStore(ExampleStore, Protocol):
    """A store that takes a harvest in."""

    def import_harvest(
        self,
        features: Iterable[Any],
        texts: Iterable[Any],
        encodings: Iterable[Any],
        examples: Iterable[Any],
        *,
        source: str,
        header: dict[str, Any] | None,
    ) -> Any:
        """Take it in, all or nothing."""


class NoteStore(Protocol):
    """What a report tells of a feature."""

    @property
    def path(self) -> Path: ...
    @property
    def model(self) -> Any: ...
    def titles(self, features: Sequence[int], /) -> Mapping[int, Title]: ...
    def densities_of(self, features: Sequence[int], /) -> Mapping[int, float]: ...
    def examples(self, feature: int, kind: str | None, limit: int | None, /) -> Sequence[_Example]: ...


OpenStore = Callable[[], AbstractContextManager[HarvestStore]]
"""Opens the store of a harvest, made when it is missing. Raises SarmError when it belongs to another model."""
