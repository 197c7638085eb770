"""Neuronpedia's export folders, as a format: read by `neuronpedia_import`, written by `neuronpedia_export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feature_db.exchange.bad_rows import SKIP_BAD
from feature_db.exchange.format import Format, Look, Option, Report
from feature_db.exchange.neuronpedia_export import export_folder
from feature_db.exchange.neuronpedia_import import holds_batches, import_folder
from feature_db.exchange.whose import REPLACE, SAME_MODEL
from feature_db.store import Store

__all__ = ["Neuronpedia"]

MODEL_ID = "sarm"


class Neuronpedia(Format):
    """A folder of batches, or a .zip of it."""

    name = "neuronpedia"
    title = "Neuronpedia folder"
    endings = ("zip",)
    folder = True
    read_options = (SKIP_BAD, SAME_MODEL, REPLACE)
    write_options = (
        Option("model-id", f"the folder of the model (default: {MODEL_ID})"),
        Option("source-id", 'the folder of the source, "{layer}-{setName}" (default: "<layer>-sarm")'),
    )

    def recognises(self, file: Look) -> bool:
        """By the names of its batches."""
        return holds_batches(file.path, file.names)

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_folder`."""
        return import_folder(store, path, dry_run=dry_run, **options)

    def write(
        self,
        store: Store,
        path: Path,
        *,
        model_id: str | None = None,
        source_id: str | None = None,
        **options: Any,
    ) -> Report:
        """See `export_folder`."""
        source = source_id or f"{store.model.info.get('layer', 0)}-sarm"
        return export_folder(store, path, model_id=model_id or MODEL_ID, source_id=source)
