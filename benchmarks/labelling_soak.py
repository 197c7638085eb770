"""Twenty annotators at once on one store, in threads and in processes: is every event there once, how long is a submit?

    python benchmarks/labelling_soak.py                   10,000 operations a way of running
    python benchmarks/labelling_soak.py --operations 1000

Three runs: 20 threads, 20 processes, 20 processes of which one is killed at a random moment. Each annotator claims,
drafts, submits, skips, flags, votes and undoes, opening the store anew for every operation as the app does. Each
writes the uid of what it was told is stored to a journal of its own; afterwards every uid of the journals has to be
in the store exactly once. Refusals by a rule (nothing to undo, say) are counted apart; anything that speaks of a
locked or busy database is a failure. Times are wall times on whatever else the machine is doing: see the load.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from report import Figure, arguments, publish  # noqa: E402

from feature_db import FeatureFilter, FeatureRecord, ModelRecord, Store, StoreError  # noqa: E402
from feature_db.labels import Labels  # noqa: E402
from feature_db.queues import Queues  # noqa: E402
from feature_db.roles import People  # noqa: E402

PEOPLE = 20
FEATURES = 20_000


def make_store(path: Path) -> int:
    """A store with a queue that cannot run dry; returns the queue."""
    rng = np.random.default_rng(3)
    with Store.open(path, create=ModelRecord("soak", "soak", FEATURES)) as store:
        weights = rng.normal(size=FEATURES)
        store.import_harvest(
            features=[
                FeatureRecord(i, head_weight=float(w), firing_count=50, denominator=10_000, mean=1.0, max=3.0)
                for i, w in enumerate(weights)
            ],
            texts=[],
            encodings=[],
            examples=[],
        )
        People(store).set_role(None, "chief", "admin")
        return Queues(store, "chief").make("soak", FeatureFilter(), limit=FEATURES, overlap=2)


def annotate(path: str, queue: int, person: int, operations: int, journal: str) -> None:
    """One annotator; the journal gets a line for each operation as soon as the store has answered."""
    name, rng = f"annotator {person:02d}", random.Random(person)
    with open(journal, "a", encoding="utf-8", buffering=1) as log:
        for step in range(operations):
            kind = rng.choices(("submit", "draft", "skip", "flag", "vote", "undo"), (50, 20, 8, 8, 8, 6))[0]
            started = time.perf_counter()
            uid, outcome = "-", "done"
            try:
                with Store.open(path) as store:
                    uid = act(store, queue, name, kind, step, rng) or "-"
            except StoreError as error:
                text = str(error)
                outcome = "LOCKED" if "busy" in text or "locked" in text else "refused"
            except Exception as error:  # what a person would see as a crash
                outcome = "LOCKED" if "locked" in str(error) else f"CRASH {type(error).__name__} {error}"
            log.write(f"{kind}\t{uid}\t{outcome}\t{time.perf_counter() - started:.6f}\n")


def act(store: Store, queue: int, name: str, kind: str, step: int, rng: random.Random) -> str | None:
    """One operation; returns the uid of the event it added, where the store says it."""
    labels, queues = Labels(store, name), Queues(store, name)
    if kind == "undo":
        labels.undo()
        return None
    if kind == "vote":
        found = store.value(
            "SELECT uid FROM label_events WHERE kind = 'label' AND annotator <> ? ORDER BY seq DESC LIMIT 1",
            (name,),
        )
        if found is None:
            raise StoreError("no label to vote on yet")
        return labels.vote(found, rng.random() < 0.7, f"step {step}")
    lent = queues.claim(queue)
    if lent is None:
        raise StoreError("nothing left")
    if kind == "submit":
        return queues.submit(
            lent.id,
            f"label {step} of {name}",
            verdict=rng.randint(1, 5),
            category=rng.choice(("style", "safety")),
        )
    if kind == "draft":
        return labels.draft(lent.feature, {"text": f"draft {step}"})
    if kind == "skip":
        return queues.skip(lent.id, f"step {step}")
    return labels.flag(lent.feature, f"step {step}")


def run(way: str, operations: int, folder: Path) -> list[Figure]:
    """One run; raises SystemExit with what was lost or shown."""
    path = folder / f"{way}.db"
    queue = make_store(path)
    each = operations // PEOPLE
    jobs = [(str(path), queue, person, each, str(folder / f"{way}-{person}.tsv")) for person in range(PEOPLE)]
    started = time.perf_counter()
    workers: Sequence[threading.Thread | multiprocessing.process.BaseProcess]
    if way == "threads":
        workers = [threading.Thread(target=annotate, args=job) for job in jobs]
    else:
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=annotate, args=job) for job in jobs]
    for worker in workers:
        worker.start()
    victim = None
    if way == "killed":
        victim = random.randrange(PEOPLE)
        journal = Path(jobs[victim][4])
        wait_for = random.randrange(1, max(2, each // 2))
        while not journal.exists() or journal.read_bytes().count(b"\n") < wait_for:
            time.sleep(0.01)
        time.sleep(random.random() * 0.02)
        doomed = workers[victim]
        assert isinstance(doomed, multiprocessing.process.BaseProcess) and doomed.pid is not None
        os.kill(doomed.pid, signal.SIGKILL)
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    return check(way, path, [Path(job[4]) for job in jobs], each, victim, seconds)


def check(
    way: str, path: Path, journals: list[Path], each: int, victim: int | None, seconds: float
) -> list[Figure]:
    """Every acknowledged uid once, nothing locked, nothing crashed, an intact file."""
    rows: list[list[str]] = []
    for person, journal in enumerate(journals):
        lines = [line.split("\t") for line in journal.read_text(encoding="utf-8").splitlines()]
        if person == victim:
            lines = [line for line in lines if len(line) == 4]
        elif len(lines) != each:
            raise SystemExit(f"{way}: annotator {person} did {len(lines)} of {each} operations")
        rows += lines
    acknowledged = [row[1] for row in rows if row[1] != "-"]
    undone = sum(row[0] == "undo" and row[2] == "done" for row in rows)
    with Store.open(path) as store:
        stored = [row[0] for row in store.rows("SELECT uid FROM label_events WHERE kind <> 'undo'")]
        n_undo = store.value("SELECT count(*) FROM label_events WHERE kind = 'undo'")
        intact = store.value("PRAGMA integrity_check") == "ok"
        doubly = store.value(
            "SELECT count(*) FROM (SELECT 1 FROM current_labels GROUP BY feature, annotator HAVING count(*) > 1)"
        )
        beyond = store.value("SELECT count(*) FROM queue_items WHERE done > wanted")
    lost = set(acknowledged) - set(stored)
    # The killed one may have stored one event whose answer it did not live to write down.
    unheard = len(stored) - len(acknowledged) + n_undo - undone
    locked = sum(row[2] == "LOCKED" for row in rows)
    crashed = [row[2] for row in rows if row[2].startswith("CRASH")]
    problems = [
        *([f"{len(lost)} acknowledged events are not in the store"] if lost else []),
        *(["an event is there twice"] if len(set(stored)) != len(stored) else []),
        *([f"{unheard} events nobody was told of"] if not 0 <= unheard <= (victim is not None) else []),
        *([f"{locked} operations met a locked database"] if locked else []),
        *([f"{len(crashed)} crashed: {crashed[0]}"] if crashed else []),
        *(["the file is damaged"] if not intact else []),
        *([f"{doubly} features with two current labels of one person"] if doubly else []),
        *([f"{beyond} features labelled more often than wanted"] if beyond else []),
    ]
    if problems:
        raise SystemExit(f"{way}: " + "; ".join(problems))
    submits = np.array([float(row[3]) for row in rows if row[0] == "submit" and row[2] == "done"])
    refused = sum(row[2] == "refused" for row in rows)
    return [
        Figure(f"{way}: operations", len(rows), "of them"),
        Figure(f"{way}: refused by a rule", refused, "of them"),
        Figure(f"{way}: acknowledged events, each stored once", len(acknowledged), "events"),
        Figure(f"{way}: met a locked database", locked, "of them", ("<=", 0)),
        Figure(f"{way}: a submit, median", float(np.median(submits)) * 1e3, "ms"),
        Figure(f"{way}: a submit, 95th percentile", float(np.quantile(submits, 0.95)) * 1e3, "ms"),
        Figure(f"{way}: whole run", seconds, "s"),
    ]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--ways", nargs="+", default=["threads", "processes", "killed"])
    options = parser.parse_args()
    load = os.getloadavg()[0]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for way in options.ways:
            figures += run(way, options.operations, Path(folder))
    publish(
        figures,
        options.out,
        annotators=PEOPLE,
        operations=options.operations,
        load_before=load,
        load_after=os.getloadavg()[0],
    )


if __name__ == "__main__":
    main()
