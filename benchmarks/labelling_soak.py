"""Twenty annotators at once on one store, in threads and in processes: is every event there once, how long is a submit?

    python benchmarks/labelling_soak.py                   10,000 operations a way of running
    python benchmarks/labelling_soak.py --operations 1000 --ways threads paced

Four runs: 20 threads, 20 processes, 20 processes of which one is killed at a random moment, none of them ever pausing;
and "paced", 20 threads that wait about a second between acts as people do, a tenth of the operations. Each annotator
claims, drafts, submits, edits, skips, flags, votes, undoes and renews leases, two of them adjudicate, and now and then
one goes away until the lease has run out and submits all the same. The store is opened anew for every operation, as the
app does. Each writes the uid of what it was told is stored to a journal of its own; afterwards every uid of the
journals has to be in the store exactly once. While they work, nothing may be lent to more people than wanted. Refusals
by a rule (nothing to undo, say) are counted apart; anything that speaks of a locked or busy database is a failure.
Times are wall times on whatever else the machine is doing: see the load.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import multiprocessing.process
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Figure, arguments, publish
from feature_db import FeatureFilter, FeatureRecord, ModelRecord, Store, StoreError
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from feature_db.sqlite.connection import microseconds

PEOPLE = 20
FEATURES = 20_000
JUDGES = 2
LEASE_SECONDS = 2
"""Shorter than a page lets anybody make it, so that leases run out in a short run."""
PACE_SECONDS = 1.0
ACTS = {
    "submit": 44, "draft": 16, "skip": 7, "flag": 7, "vote": 7, "undo": 5, "edit": 7, "renew": 4, "adjudicate": 2,
    "late": 1,
}  # fmt: skip


def make_store(path: Path, n_features: int) -> int:
    """A store with a queue of all its features, that two people are asked for; returns the queue."""
    rng = np.random.default_rng(3)
    with Store.open(path, create=ModelRecord("soak", "soak", n_features)) as store:
        weights = rng.normal(size=n_features)
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
        for person in range(JUDGES):
            People(store).set_role("chief", name_of(person), "adjudicator")
        queue = Queues(store, "chief").make("soak", FeatureFilter(), limit=n_features, overlap=2)
        with store.write() as conn:
            conn.execute("UPDATE queues SET lease_seconds = ?", (LEASE_SECONDS,))
        return queue


def name_of(person: int) -> str:
    return f"annotator {person:02d}"


def annotate(path: str, queue: int, person: int, operations: int, pace: float, journal: str) -> None:
    """One annotator; the journal gets a line for each operation as soon as the store has answered."""
    name, rng = name_of(person), random.Random(person)
    acts = dict(ACTS) if person < JUDGES else {kind: n for kind, n in ACTS.items() if kind != "adjudicate"}
    with open(journal, "a", encoding="utf-8", buffering=1) as log:
        for step in range(operations):
            if pace:
                time.sleep(pace * rng.uniform(0.5, 1.5))
            kind = rng.choices(list(acts), list(acts.values()))[0]
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
    if kind == "edit":
        own = store.value(
            "SELECT feature FROM current_labels WHERE annotator = ? ORDER BY random() LIMIT 1", (name,)
        )
        if own is None:
            raise StoreError("no label to edit yet")
        return labels.label(own, f"label edited in step {step} of {name}", verdict=rng.randint(1, 5))
    if kind == "adjudicate":
        found = store.value("SELECT uid FROM current_labels ORDER BY random() LIMIT 1")
        if found is None:
            raise StoreError("no label to settle on yet")
        feature = store.value("SELECT feature FROM label_events WHERE uid = ?", (found,))
        return labels.adjudicate(feature, label=found, note=f"step {step}")
    lent = queues.claim(queue)
    if lent is None:
        raise StoreError("nothing left")
    if kind == "renew":
        queues.renew(lent.id)
        return None
    if kind == "late":
        time.sleep(1.5 * LEASE_SECONDS)
    if kind in ("submit", "late"):
        return queues.submit(
            lent.id,
            f"label {step} of {name}",
            verdict=rng.randint(1, 5),
            category=rng.choice(("style", "safety")),
        )
    if kind == "draft":
        labels.draft(lent.feature, {"text": f"draft {step}"})
        return None
    if kind == "skip":
        return queues.skip(lent.id, f"step {step}")
    return labels.flag(lent.feature, f"step {step}")


def most_holders(path: Path, ended: threading.Event, found: list[int]) -> None:
    """Until the end: how many more people than wanted held one feature at the same time."""
    with Store.open(path) as store:
        while True:
            last = ended.is_set()
            with store.snapshot():
                store.value(
                    "SELECT count(*) FROM queues"
                )  # the snapshot begins with the first read, before `now`
                beyond = store.value(
                    "SELECT max(n) FROM (SELECT count(*) - i.wanted AS n FROM assignments AS a JOIN queue_items AS i "
                    "ON i.queue = a.queue AND i.feature = a.feature WHERE a.state = 'leased' AND a.expires > ? "
                    "GROUP BY a.queue, a.feature)",
                    (microseconds(),),
                )
            found.append(beyond or 0)
            if last:
                return
            ended.wait(0.1)


def run(
    way: str,
    operations: int,
    folder: Path,
    n_features: int = FEATURES,
    people: int = PEOPLE,
    context: multiprocessing.context.BaseContext | None = None,
) -> list[Figure]:
    """One run; raises SystemExit with what was lost or shown. Processes are those of `context`, or new Pythons."""
    path = folder / f"{way}.db"
    queue = make_store(path, n_features)
    each, pace = operations // people, PACE_SECONDS if way == "paced" else 0.0
    jobs = [
        (str(path), queue, person, each, pace, str(folder / f"{way}-{person}.tsv"))
        for person in range(people)
    ]
    ended, holders = threading.Event(), list[int]()
    watch = threading.Thread(target=most_holders, args=(path, ended, holders))
    watch.start()
    started = time.perf_counter()
    workers: Sequence[threading.Thread | multiprocessing.process.BaseProcess]
    if way in ("threads", "paced"):
        workers = [threading.Thread(target=annotate, args=job) for job in jobs]
    else:
        processes: Any = context or multiprocessing.get_context("spawn")
        workers = [processes.Process(target=annotate, args=job) for job in jobs]
    for worker in workers:
        worker.start()
    victim = None
    if way == "killed":
        victim = random.randrange(people)
        journal = Path(jobs[victim][-1])
        wait_for = random.randrange(1, max(2, each // 2))
        doomed = workers[victim]
        assert isinstance(doomed, multiprocessing.process.BaseProcess) and doomed.pid is not None
        while not journal.exists() or journal.read_bytes().count(b"\n") < wait_for:
            if doomed.exitcode is not None:
                ended.set()
                raise SystemExit(f"{way}: annotator {victim} ended by itself, with {doomed.exitcode}")
            time.sleep(0.01)
        time.sleep(random.random() * 0.02)
        os.kill(doomed.pid, signal.SIGKILL)
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    ended.set()
    watch.join()
    return check(way, path, [Path(job[-1]) for job in jobs], each, victim, max(holders), seconds)


def check(
    way: str, path: Path, journals: list[Path], each: int, victim: int | None, held: int, seconds: float
) -> list[Figure]:
    """Every acknowledged uid once, nothing locked, nothing crashed, nothing lent too often, an intact file."""
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
        # A label that comes after its lease ran out is kept, also where others filled the place meanwhile.
        beyond = store.value(
            "SELECT count(*) FROM queue_items AS i WHERE done > wanted + (SELECT count(*) FROM assignments AS a "
            "WHERE a.queue = i.queue AND a.feature = i.feature AND a.state = 'done' AND a.finished >= a.expires)"
        )
        counted = store.value(
            "SELECT count(*) FROM queue_items AS i WHERE done <> (SELECT count(*) FROM assignments AS a "
            "WHERE a.queue = i.queue AND a.feature = i.feature AND a.state = 'done')"
        )
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
        *([f"{counted} features with a wrong count of labels"] if counted else []),
        *([f"a feature was lent to {held} more people than wanted"] if held > 0 else []),
    ]
    if problems:
        raise SystemExit(f"{way}: " + "; ".join(problems))
    submits = 1e3 * np.array([float(row[3]) for row in rows if row[0] == "submit" and row[2] == "done"])
    late = sum(row[0] == "late" and row[2] == "done" for row in rows)
    refused = sum(row[2] == "refused" for row in rows)
    return [
        Figure(f"{way}: operations", len(rows), "of them"),
        Figure(f"{way}: refused by a rule", refused, "of them"),
        Figure(f"{way}: acknowledged events, each stored once", len(acknowledged), "events"),
        Figure(f"{way}: met a locked database", locked, "of them", ("<=", 0)),
        Figure(f"{way}: submitted after the lease ran out, and kept", late, "of them"),
        *(
            Figure(f"{way}: a submit, {words}", float(np.quantile(submits, share)), "ms")
            for words, share in (
                ("median", 0.5),
                ("95th percentile", 0.95),
                ("99th percentile", 0.99),
                ("longest", 1),
            )
            if len(submits)
        ),
        Figure(f"{way}: whole run", seconds, "s"),
    ]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--ways", nargs="+", default=["threads", "processes", "killed", "paced"])
    options = parser.parse_args()
    load = os.getloadavg()[0]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for way in options.ways:
            figures += run(way, options.operations // (10 if way == "paced" else 1), Path(folder))
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
