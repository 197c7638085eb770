"""Corpus and model in, feature store out."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.errors import SarmError
from sarm_core.harvest.harvest import FinishedHarvest, HarvestSettings, Workspace, harvest, harvest_identity
from sarm_core.harvest.progress import bar_of, counted
from sarm_core.harvest.suggest_store import suggest_all
from sarm_core.harvest.work import Engine
from sarm_core.score.scorer import Scorer

if TYPE_CHECKING:
    from feature_db import ModelRecord, Store

__all__ = ["harvest_into", "model_record"]


def model_record(scorer: Scorer) -> ModelRecord:
    """What a store says of the model it belongs to; whoever makes the store, app or harvest, says the same."""
    from feature_db import ModelRecord

    checkpoint = scorer.checkpoint
    return ModelRecord(
        scorer.fingerprint,
        checkpoint.name or checkpoint.source,
        scorer.n_features,
        {"source": checkpoint.source, "layer": checkpoint.shape.layer, "k": checkpoint.shape.k},
    )


def harvest_into(
    database: Path,
    scorer: Scorer,
    paths: Sequence[str | Path],
    settings: HarvestSettings | None = None,
    *,
    engine: Engine | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    skip_bad: bool = False,
) -> dict[str, Any] | None:
    """Harvest `paths` into the store `database` and suggest a description for each feature.

    Returns the harvest's header with the number of suggestions. The store is written in two transactions at
    the very end (examples, then suggestions); a process that dies before, between or in them is
    continued by `resume`, to the same store. Returns None, with the store as it was, when `resume` has nothing to
    go on with because the store's last harvest is this very one. Raises SarmError.
    """
    from feature_db import Store, StoreError

    model = model_record(scorer)
    workspace = Workspace(database)
    try:
        # Before the work: a store of another model is refused at once, not after an hour.
        if database.exists():
            Store.open(database, create=model).close()
        with workspace.opened(resume=resume):
            if resume and not workspace.state_file.exists() and database.exists():
                run = _run(harvest_identity(scorer, paths, settings))
                with Store.open(database, scorer.fingerprint) as store:
                    if run == _last_run(store):
                        return None
            finished = harvest(
                scorer,
                paths,
                workspace,
                settings,
                engine=engine,
                checkpoint_seconds=checkpoint_seconds,
                skip_bad=skip_bad,
            )
            with Store.open(database, create=model) as store:
                header = _import(store, finished, workspace)
                header["suggestions"] = suggest_all(store)
            workspace.remove()
    except StoreError as error:
        raise SarmError(str(error)) from None
    except sqlite3.Error as error:
        raise SarmError(f"{database}: cannot be written ({error})") from None
    return header


def _run(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _last_run(store: Store) -> str | None:
    """The run whose texts the store has. A harvest replaces the one before; what comes from other files does not."""
    run: str | None = store.value(
        "SELECT json_extract(header, '$.run') FROM imports WHERE format = 'harvest' ORDER BY id DESC LIMIT 1"
    )
    return run


def _import(store: Store, finished: FinishedHarvest, workspace: Workspace) -> dict[str, Any]:
    """Hand the harvest to the store, unless this very run did so before it was stopped."""
    found = workspace.read()
    if found is None:
        raise SarmError(f"{workspace.folder}: its state is gone; start anew")
    facts, arrays = found
    last = store.value("SELECT coalesce(max(id), 0) FROM imports")
    if facts["stage"] != "import":
        facts = {**facts, "stage": "import", "imports_before": last}
        workspace.write(facts, arrays)
    run = _run(facts["identity"])
    header = {**finished.header(), "run": run}
    done = store.value(
        "SELECT count(*) FROM imports WHERE id > ? AND json_extract(header, '$.run') = ?",
        (facts["imports_before"], run),
    )
    if not done:
        with bar_of(header["examples"], "writing the store", " examples") as bar:
            store.import_harvest(
                finished.features(),
                finished.texts(),
                finished.encodings(),
                counted(finished.examples(), bar),
                source=", ".join(Path(path).name for path in finished.paths),
                header=header,
            )
    return header
