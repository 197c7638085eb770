"""Bulk import of a harvest: everything in one transaction, the index of the examples built after its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from feature_db.harvest.staging import ImportCounts, Place, Staging
from feature_db.sqlite.connection import Connection

__all__ = ["HarvestImport", "ImportCounts"]


class HarvestImport(Connection):
    """`import_harvest` and the rules its rows must keep."""

    def import_harvest(
        self,
        features: Iterable[Any] = (),
        texts: Iterable[Any] = (),
        encodings: Iterable[Any] = (),
        examples: Iterable[Any] = (),
        *,
        source: str = "harvest",
        format: str = "harvest",
        header: dict[str, Any] | None = None,
        keep_examples: bool = False,
        skip_repeated: bool = False,
        dry_run: bool = False,
        origin: str | None = None,
        replace: bool = False,
    ) -> ImportCounts:
        """Take in a harvest in one transaction: all of it or, on any error, nothing.

        Arguments are iterables of `FeatureRecord`, `TextRecord`, `EncodingRecord` and `ExampleRecord` (or
        look-alikes), read once and in the order texts, features, encodings, examples, all of them before the store
        is locked (`Staging`); `text` in the last two is a position in `texts`. Known texts are found by hash and
        reused. Labels are never touched.

        A harvest replaces the statistics of the features it names (a head weight of None keeps the stored
        one) and, when it has examples, all stored examples, with the texts and encodings of the corpus before:
        only texts that label events and drafts name (evidence, tests of labels) stay. With `keep_examples`, for
        partial files, a None keeps any stored number and examples replace only those of the features they
        name. A text listed twice for one feature and kind is an error or, with `skip_repeated`, left out the
        second time. What has an `origin` (see `Staging.commit`) can be undone and replaces nothing of another one
        unless told to `replace` it. With `dry_run` nothing changes, and the counts are those that would be.
        Raises RowError naming `source`, the kind of record and its place (from 1).
        """
        with Staging(self, source) as staged:
            for row, record in enumerate(texts, 1):
                with Place(source, row, "text"):
                    staged.text(record)
            for row, record in enumerate(features, 1):
                with Place(source, row, "feature"):
                    staged.feature(record)
            staged.encodings(encodings)

            def values() -> Iterator[tuple[Any, ...]]:
                for row, record in enumerate(examples, 1):
                    with Place(source, row, "example"):
                        found = staged.example_values(record)
                    yield found

            staged.examples(values())
            return staged.commit(
                format=format,
                header=header,
                keep=keep_examples,
                skip_repeated=skip_repeated,
                dry_run=dry_run,
                origin=origin,
                replace=replace,
            )
