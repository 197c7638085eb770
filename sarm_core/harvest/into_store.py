"""Corpus and model in, feature store out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError
from sarm_core.harvest.harvest import FinishedHarvest, HarvestSettings, Workspace, harvest, harvest_identity
from sarm_core.harvest.progress import bar_of, counted
from sarm_core.harvest.store_protocol import HarvestStore, OpenStore, model_facts
from sarm_core.harvest.suggest_pairs import suggest_pairs, tags_in
from sarm_core.harvest.suggest_store import suggest_all
from sarm_core.harvest.work import Engine
from sarm_core.score.scorer import Scorer
from sarm_core.text.answers import Reader

__all__ = ["harvest_into_store", "model_facts"]


def harvest_into_store(
    open_store: OpenStore,
    database: Path,
    scorer: Scorer,
    paths: Sequence[str | Path],
    settings: HarvestSettings | None = None,
    *,
    engine: Engine | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    skip_bad: bool = False,
    reader: Reader | None = None,
) -> dict[str, Any] | None:
    """Harvest `paths` into a store and suggest descriptions and names of its features.

    `open_store` opens the store of this model, or makes it; `database` is its file, beside which the harvest keeps
    its state. Returns the harvest's header with the number of suggestions and of names. The store is written in three
    transactions at the very end (examples, suggestions, names); a process that dies before, between or in them is
    continued by `resume`, to the same store. Returns None, with the store as it was, when `resume` has nothing to
    go on with because the store's last harvest is this very one. Raises SarmError, and what the store raises.
    """
    workspace = Workspace(database)
    # Before the work: a store of another model is refused at once, not after an hour.
    if database.exists():
        with open_store():
            pass
    with workspace.opened(resume=resume):
        if resume and not workspace.state_file.exists() and database.exists():
            run = _run(harvest_identity(scorer, paths, settings, reader))
            with open_store() as store:
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
            reader=reader,
        )
        with open_store() as store:
            header = _import(store, finished, workspace)
            header["suggestions"] = suggest_all(store)
            header["names"] = suggest_pairs(store, tags_in(paths))
        workspace.remove()
    return header


def _run(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _last_run(store: HarvestStore) -> str | None:
    """The run whose texts the store has. A harvest replaces the one before; what comes from other files does not."""
    harvests = store.imports("harvest")
    return harvests[-1].header.get("run") if harvests else None


def _import(store: HarvestStore, finished: FinishedHarvest, workspace: Workspace) -> dict[str, Any]:
    """Hand the harvest to the store, unless this very run did so before it was stopped."""
    found = workspace.read()
    if found is None:
        raise SarmError(f"{workspace.folder}: its state is gone; start anew")
    facts, arrays = found
    before = store.imports()
    if facts["stage"] != "import":
        facts = {**facts, "stage": "import", "imports_before": before[-1].id if before else 0}
        workspace.write(facts, arrays)
    run = _run(facts["identity"])
    header = {**finished.header(), "run": run}
    done = any(made.header.get("run") == run for made in store.imports(since=facts["imports_before"]))
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
