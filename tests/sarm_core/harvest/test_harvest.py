"""A harvest equals what dense arithmetic over the whole corpus gives, and reads every shape of corpus."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

import sarm_core.harvest.harvest
from feature_db import ExampleRecord, FeatureRecord, ModelRecord, Store, TextRecord
from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.cli.stores import harvest_into
from sarm_core.errors import RowError, SarmError
from sarm_core.harvest.activity import sequences_of
from sarm_core.harvest.bins import priorities
from sarm_core.harvest.cofiring import PositionSample
from sarm_core.harvest.corpus import read_corpus
from sarm_core.harvest.harvest import HarvestSettings, Workspace, harvest
from sarm_core.harvest.suggest_store import suggest_all
from sarm_core.model.sae import standardise
from tests.sarm_core.harvest.harvest_corpus import WORDS, content, spoilt_parquet, write_corpus, write_model
from tests.sarm_core.tiny_models import reference_checkpoint

SETTINGS = HarvestSettings(top=6, per_band=3, random=2, silent=4, chunk_texts=16, seed=3)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_sarm(write_model(tmp_path_factory.mktemp("model")), dtype="float32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl")


def finished_of(scorer, paths, folder, settings=SETTINGS, **options):
    workspace = Workspace(folder / "store.db")
    with workspace.opened(resume=False):
        return harvest(scorer, paths, workspace, settings, **options)


@pytest.fixture(scope="module")
def finished(scorer, corpus, tmp_path_factory):
    return finished_of(scorer, [corpus], tmp_path_factory.mktemp("harvest"))


class Oracle:
    """Dense z at every token of every text, one text at a time, by plain matrix arithmetic."""

    def __init__(self, scorer, paths, positions="sentences"):
        import torch

        self.texts = [text for row in read_corpus(paths) for text in row.texts]
        good, bad = sequences_of(scorer, self.texts)
        assert not bad
        self.sequences = [sequence for _, sequence in good]
        self.dense = []
        self.where = []
        for sequence in self.sequences:
            with torch.inference_mode():
                ids = torch.from_numpy(sequence.input_ids.astype(np.int64))[None]
                a = scorer.model.sae.pre_activations(standardise(scorer.model.hidden(ids)[0])).numpy()
            lowest = np.sort(a, axis=1)[:, -scorer.model.sae.of_kind.k, None]
            self.dense.append(np.where(a >= lowest, a, 0.0))
            ends = scorer.sentence_ends(sequence) if positions == "sentences" else [sequence.scored]
            self.where.append(np.asarray(ends))
        self.rows = np.concatenate([z[w] for z, w in zip(self.dense, self.where, strict=True)])
        self.key = [sequence.input_ids.tobytes() for sequence in self.sequences]

    def peaks(self, feature):
        """{token ids: largest z at a position} of the texts in which the feature fires."""
        found = {}
        for key, z, where in zip(self.key, self.dense, self.where, strict=True):
            column = z[where, feature]
            if column.any():
                peak = column[column != 0].max()
                found[key] = max(found.get(key, -np.inf), peak)
        return found


@pytest.fixture(scope="module")
def oracle(scorer, corpus):
    return Oracle(scorer, [corpus])


@pytest.mark.slow
def test_statistics_equal_dense_arithmetic(finished, oracle):
    rows = oracle.rows
    assert (rows < 0).any(), "the corpus must show negative activations for this test to mean something"
    for facts in finished.features():
        z = rows[:, facts.id]
        z = z[z != 0]
        assert (facts.firing_count, facts.denominator) == (len(z), len(rows))
        assert facts.density == len(z) / len(rows)
        if not len(z):
            assert facts.mean is None and facts.max is None and facts.histogram_counts is None
            continue
        assert facts.mean == pytest.approx(z.mean(), abs=1e-5)
        assert facts.max == pytest.approx(z.max(), abs=1e-5)
        edges, counts = facts.histogram_edges, facts.histogram_counts
        assert (np.diff(edges) > 0).all() and counts.sum() == len(z)
        if (z < 0).any():
            assert edges[1] == 0 and counts[0] == (z < 0).sum()
        # Values within rounding of an edge may fall on either side of it.
        near = np.abs(z[:, None] - edges).min(1) < 1e-4
        expected = np.histogram(z[~near], np.append(edges[:-1], np.inf))[0]
        assert (np.abs(counts - expected) <= near.sum()).all()


def test_cofiring_equals_the_dense_product(finished, oracle):
    active = (oracle.rows != 0).astype(int)
    together = active.T @ active
    assert finished.header()["cofiring"] == f"counted at {len(active)} of {len(active)} positions"
    for facts in finished.features():
        mine = together[facts.id].copy()
        mine[facts.id] = 0
        order = np.lexsort((np.arange(len(mine)), -mine))
        wanted = [(int(j), int(mine[j])) for j in order[:20] if mine[j]]
        assert facts.cofiring == wanted and facts.cofiring_of is None


@pytest.mark.slow
def test_cofiring_of_a_longer_corpus_is_that_of_a_sample_which_says_its_size(scorer, corpus, tmp_path):
    settings = HarvestSettings(**{**SETTINGS.__dict__, "pair_positions": 50})
    database = tmp_path / "s.db"
    header = harvest_into(database, scorer, [corpus], settings)
    assert header["cofiring"] == f"counted at 50 of {header['positions']} positions"
    with Store.open(database) as store:
        records = store.records()
    # k = 24 features fire at each of the 50 positions.
    assert sum(record.cofiring_of for record in records) == 50 * 24
    assert any(record.cofiring for record in records)
    for record in records:
        assert record.cofiring_of <= record.firing_count
        assert all(count <= record.cofiring_of for _, count in record.cofiring)


def test_neighbours_equal_all_cosines(finished, scorer):
    columns = scorer.model.sae.decoder.weight.numpy().T.astype(np.float64)
    columns /= np.linalg.norm(columns, axis=1, keepdims=True)
    cosine = columns @ columns.T
    np.fill_diagonal(cosine, -np.inf)
    for facts in finished.features():
        order = np.argsort(-cosine[facts.id])[:20]
        assert [i for i, _ in facts.neighbours] == order.tolist()
        np.testing.assert_allclose([c for _, c in facts.neighbours], cosine[facts.id][order], atol=1e-6)


def by_list(finished):
    found = defaultdict(list)
    for example in finished.examples():
        found[example.feature, example.kind, example.band].append(example)
    return found


def text_key(finished, oracle, place):
    return oracle.key[int(finished.traces.plan.ordinals[place])]


def test_top_texts_are_the_largest_peaks_of_distinct_texts(finished, oracle):
    lists = by_list(finished)
    assert len(set(oracle.key)) < len(oracle.key), (
        "some texts must occur twice for this test to mean something"
    )
    for feature in range(48):
        peaks = oracle.peaks(feature)
        top = lists[feature, "top", None]
        assert [e.rank for e in top] == list(range(min(6, len(peaks))))
        keys = [text_key(finished, oracle, e.text) for e in top]
        assert len(set(keys)) == len(keys)
        np.testing.assert_allclose([e.activation for e in top], sorted(peaks.values())[::-1][:6], atol=1e-5)
        np.testing.assert_allclose([peaks[k] for k in keys], [e.activation for e in top], atol=1e-5)


@pytest.mark.slow
def test_bands_part_the_firing_texts_and_hold_the_smallest_hashes(finished, oracle):
    lists = by_list(finished)
    banded = 0
    for feature in range(48):
        peaks = oracle.peaks(feature)
        digests = {s.input_ids.tobytes(): finished_digest(s) for s in oracle.sequences}
        order = {
            key: priorities(SETTINGS.seed, np.array([feature]), np.array([digests[key]], np.uint64))[0]
            for key in peaks
        }
        for band in range(7):
            held = lists[feature, "band", band]
            if not held:
                continue
            low, high = held[0].band_low, held[0].band_high
            assert band < 6 or (low < 0 and high == 0)
            low -= 1e-5 if band == 6 else 0  # the smallest z itself, rounded in another batch
            inside = [key for key, z in peaks.items() if low <= z < high]
            wanted = sorted(inside, key=order.__getitem__)[:3]
            assert [text_key(finished, oracle, e.text) for e in held] == wanted
            banded += len(held)
        covered = [lists[feature, "band", b][0] for b in range(7) if lists[feature, "band", b]]
        for z in peaks.values():  # every firing text lies in exactly one of the bands
            assert sum(e.band_low - (1e-5 if e.band == 6 else 0) <= z < e.band_high for e in covered) == 1
        random = [text_key(finished, oracle, e.text) for e in lists[feature, "random", None]]
        assert random == sorted(peaks, key=order.__getitem__)[:2]
    assert banded > 200


def finished_digest(sequence):
    from sarm_core.harvest.activity import digest_of

    return digest_of(sequence)


def test_silent_texts_are_silent_at_every_position(finished, oracle):
    lists = by_list(finished)
    for feature in range(48):
        peaks = oracle.peaks(feature)
        silent = [text_key(finished, oracle, e.text) for e in lists[feature, "silent", None]]
        if not peaks:
            assert not silent
            continue
        assert not set(silent) & set(peaks)
        assert len(silent) == min(4, len(set(oracle.key)) - len(peaks))
        assert all(e.activation == 0 and e.peak_position is None for e in lists[feature, "silent", None])


@pytest.mark.slow
def test_values_along_the_tokens_equal_dense_arithmetic(finished, oracle):
    checked = 0
    for example in finished.examples():
        ordinal = int(finished.traces.plan.ordinals[example.text])
        dense = oracle.dense[ordinal][:, example.feature]
        np.testing.assert_allclose(example.values, dense, atol=1e-4)
        if example.kind != "silent":
            assert example.values[example.peak_position] == example.activation
            assert example.peak_position in oracle.where[ordinal]
            checked += 1
    assert checked > 500


def test_encodings_are_z_at_the_scored_token(finished, oracle):
    for encoding in finished.encodings():
        dense = np.zeros(48)
        dense[encoding.features] = encoding.values
        wanted = oracle.dense[int(finished.traces.plan.ordinals[encoding.text])][-1]
        np.testing.assert_allclose(dense, wanted, atol=1e-4)


def test_label_and_check_parts_are_disjoint_and_interleaved(finished):
    purposes = defaultdict(set)
    for (feature, kind, _band), held in by_list(finished).items():
        for example in held:
            purposes[feature, example.text].add(example.purpose)
        if kind == "top":
            assert [e.purpose for e in held] == [("label", "check")[i % 2] for i in range(len(held))]
    assert all(len(found) == 1 for found in purposes.values())


@pytest.mark.slow
def test_scored_positions_alone(scorer, corpus, tmp_path):
    finished = finished_of(scorer, [corpus], tmp_path, HarvestSettings(positions="scored", top=3))
    oracle = Oracle(scorer, [corpus], "scored")
    count = (oracle.rows != 0).sum(0)
    facts = list(finished.features())
    assert [f.firing_count for f in facts] == count.tolist()
    assert facts[0].denominator == len(oracle.texts)


@pytest.mark.slow
def test_a_dense_model_is_harvested_without_pairs(tmp_path, corpus):
    scorer = load_sarm(write_model(tmp_path / "m", k=None), dtype="float32")
    finished = finished_of(scorer, [corpus], tmp_path)
    facts = list(finished.features())
    assert all(f.density == 1.0 and not f.cofiring for f in facts)
    assert all(f.histogram_counts.sum() == f.firing_count for f in facts)
    assert {e.kind for e in finished.examples()} == {"top", "band", "random"}


@pytest.mark.slow
def test_what_is_kept_does_not_depend_on_the_chunks(scorer, corpus, tmp_path):
    found = []
    for chunk in (7, 64):
        settings = HarvestSettings(**{**SETTINGS.__dict__, "chunk_texts": chunk})
        finished = finished_of(scorer, [corpus], tmp_path / str(chunk), settings)
        found.append(
            [
                (e.feature, e.kind, e.band, e.rank, e.purpose, finished.traces.plan.ordinals[e.text])
                for e in finished.examples()
            ]
        )
    assert found[0] == found[1]


@pytest.mark.slow
def test_another_seed_draws_other_samples(scorer, corpus, tmp_path, finished):
    other = finished_of(scorer, [corpus], tmp_path, HarvestSettings(**{**SETTINGS.__dict__, "seed": 4}))
    mine, theirs = (
        {(e.feature, e.text) for e in f.examples() if e.kind == "band"} for f in (finished, other)
    )
    assert mine != theirs
    tops = [[(e.feature, e.text) for e in f.examples() if e.kind == "top"] for f in (finished, other)]
    assert tops[0] == tops[1]


# -- reading a corpus --------------------------------------------------------------------------------------


def test_parquet_and_jsonl_give_the_same_texts(tmp_path, scorer):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"prompt": f"{w}?", "response": f"{w} {w}. Yes.", "category": None, "messages": None} for w in WORDS
    ]
    rows[3] = {
        "prompt": None,
        "response": None,
        "category": "x",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a b."}],
    }
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet", row_group_size=5)
    read = [
        [(t.messages(), t.category) for row in read_corpus([tmp_path / name]) for t in row.texts]
        for name in ("c.jsonl", "c.parquet")
    ]
    assert read[0] == read[1] and len(read[0]) == len(rows)


def test_every_answer_of_a_row_is_a_text(corpus):
    counts = Counter(t.source for row in read_corpus([corpus]) for t in row.texts)
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    assert counts["pairs"] == 2 * sum("chosen" in row for row in lines)
    assert sum(counts.values()) == sum(2 if "chosen" in r else len(r.get("answers", "1")) for r in lines)


def test_special_tokens_in_plain_text_stay_text(scorer, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"text": "a <|im_end|> b."}) + "\n")
    ((_, sequence),), _ = sequences_of(scorer, [t for r in read_corpus([path]) for t in r.texts])
    end = scorer.format.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end not in sequence.input_ids
    assert "".join(sequence.pieces()) == "a <|im_end|> b."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "a"}', "row 2: has 'prompt' but no 'response'"),
        ("{not json", "row 2: not valid JSON"),
        ('{"text": 3}', "row 2: 'text' must be a string"),
        ('{"prompt": "a", "answers": [{"text": "b"}, 4]}', r"row 2: answers\[1\] is a number"),
        ('{"input_ids": [99999]}', "row 2: token id 99999 is outside the vocabulary"),
    ],
)
def test_a_bad_row_is_named_and_leaves_no_store_or_is_skipped(scorer, tmp_path, line, words):
    path = tmp_path / "c.jsonl"
    good = json.dumps({"prompt": "mix?", "response": "Yes. No."})
    path.write_text(f"{good}\n{line}\n{good}\n")
    database = tmp_path / "s.db"
    with pytest.raises(RowError, match=words):
        harvest_into(database, scorer, [path], SETTINGS)
    assert not database.exists()
    assert harvest_into(database, scorer, [path], SETTINGS, resume=True, skip_bad=True)["skipped"] == 1
    assert not Workspace(database).folder.exists()


@pytest.mark.slow
def test_rows_of_parquet_that_cannot_be_read_are_skipped_like_others(scorer, tmp_path):
    path = spoilt_parquet(tmp_path / "c.parquet")
    with pytest.raises(RowError, match=r"c\.parquet, row 2"):
        harvest_into(tmp_path / "s.db", scorer, [path], SETTINGS)
    assert (
        harvest_into(tmp_path / "s.db", scorer, [path], SETTINGS, resume=True, skip_bad=True)["skipped"] == 2
    )
    with Store.open(tmp_path / "s.db") as store:
        assert store.stats()["texts"] == 3


@pytest.mark.slow
def test_a_bad_row_late_in_a_corpus_says_how_to_go_on_and_loses_nothing(scorer, tmp_path, capsys):
    path = tmp_path / "c.jsonl"
    good = json.dumps({"prompt": "mix?", "response": "Yes. No."})
    path.write_text(f"{good}\n" * 4 + "{not json\n" + good)
    database = tmp_path / "s.db"
    command = ["harvest", str(path), "--model", str(scorer.checkpoint.folder), "--db", str(database)]
    command += ["--dtype", "float32", "--chunk", "2"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "row 5: not valid JSON" in error and "--resume --skip-bad" in error and error.count("\n") == 1
    facts, arrays = Workspace(database).read()
    assert facts["stage"] == "encode" and arrays["progress"][0] == 2  # chunks
    assert main([*command, "--resume", "--skip-bad"]) == 0
    assert "5 texts" in capsys.readouterr().out


def test_files_that_hold_nothing_are_refused(scorer, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "no.parquet").write_text("PAR?")
    for name, words in (
        ("empty.jsonl", "no rows"),
        ("no.parquet", "not readable as Parquet"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(RowError, match=words):
            harvest_into(tmp_path / f"{name}.db", scorer, [tmp_path / name], SETTINGS)


# -- into the store ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(scorer, corpus, tmp_path_factory):
    database = tmp_path_factory.mktemp("stored") / "store.db"
    harvest_into(database, scorer, [corpus], SETTINGS)
    return database


@pytest.mark.slow
def test_the_store_holds_the_harvest(stored, finished, scorer):
    with Store.open(stored, fingerprint=scorer.fingerprint) as store:
        for facts in list(finished.features())[:10]:
            record = store.feature(facts.id).record
            assert (record.firing_count, record.denominator) == (facts.firing_count, facts.denominator)
            assert record.head_weight == pytest.approx(float(scorer.head[facts.id]))
            assert list(record.cofiring) == facts.cofiring
        wanted = [e for e in finished.examples() if e.feature == 5]
        found = store.examples(5, purpose=None)
        assert len(found) == len(wanted)
        by_place = {(e.kind, e.band, e.rank): e for e in wanted}
        for example in found:
            mine = by_place[example.kind, example.band, example.rank]
            assert (example.purpose, example.activation) == (mine.purpose, mine.activation)
            np.testing.assert_array_equal(example.values, mine.values)
            assert len(example.text.tokens) == len(example.values)


@pytest.mark.slow
def test_harvesting_again_replaces_and_labels_survive(stored, scorer, corpus, tmp_path):
    before = content(stored)
    harvest_into(stored, scorer, [corpus], SETTINGS)
    after = content(stored)
    assert len(after["examples"]) == len(before["examples"])
    assert after["texts"] == before["texts"] and after["features"] == before["features"]


@pytest.mark.slow
def test_others_can_write_while_a_harvest_computes(stored, scorer, corpus, tmp_path, monkeypatch):
    """The corpus is tokenised, pairs are counted and decoder columns compared before the store is locked."""
    database = tmp_path / "s.db"
    shutil.copy(stored, database)
    written = Counter()

    def writing_first(owner, name):
        original = getattr(owner, name)

        def run(*args, **named):
            with Store.open(database, busy_seconds=0.05) as other:
                other.bookmark(1, name)
            written[name] += 1
            return original(*args, **named)

        monkeypatch.setattr(owner, name, run)

    writing_first(type(scorer), "tokens")
    writing_first(sarm_core.harvest.harvest, "decoder_neighbours")
    writing_first(PositionSample, "partners")
    harvest_into(database, scorer, [corpus], SETTINGS)
    assert written.keys() == {"tokens", "decoder_neighbours", "partners"}


@pytest.mark.slow
def test_others_can_write_while_suggestions_are_made(stored, monkeypatch):
    def suggest_while_another_writes(examples, background):
        with Store.open(stored, busy_seconds=0.05) as other:
            other.bookmark(1, "somebody")
        return None

    monkeypatch.setattr("sarm_core.harvest.suggest_store.suggest", suggest_while_another_writes)
    with Store.open(stored) as store:
        suggest_all(store)
        assert store.bookmarks("somebody") == [1]


@pytest.mark.slow
def test_suggesting_holds_one_feature_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("sarm_core.harvest.suggest_store.suggest", lambda examples, background: None)
    peaks = []
    for n_features in (100, 3000):
        database = tmp_path / f"{n_features}.db"
        with Store.open(database, create=ModelRecord("f", "m", n_features)) as store:
            store.import_harvest(
                (FeatureRecord(i) for i in range(n_features)),
                [TextRecord([{"role": "text", "content": f"word{t}"}], [t], ["w"]) for t in range(20)],
                (),
                (
                    ExampleRecord(i, t, "top", t, activation=1.0, peak_position=0)
                    for i in range(n_features)
                    for t in range(20)
                ),
            )
            tracemalloc.start()
            suggest_all(store)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


@pytest.mark.slow
def test_a_store_that_the_app_made_first_tells_as_much_of_its_model(scorer, corpus, tmp_path, monkeypatch):
    from app.session.engine import Choice, _prepared_store

    monkeypatch.setenv("SARM_DATA", str(tmp_path / "app"))
    made_by_app = _prepared_store(Choice(str(scorer.checkpoint.folder)), scorer)
    harvest_into(tmp_path / "s.db", scorer, [corpus], SETTINGS)
    with Store.open(made_by_app) as one, Store.open(tmp_path / "s.db") as other:
        assert one.model == other.model
        assert (one.model.info["layer"], one.model.info["k"]) == (scorer.checkpoint.shape.layer, 24)


@pytest.mark.slow
def test_another_corpus_replaces_the_texts_of_the_last_but_no_labels_evidence(stored, scorer, tmp_path):
    from app.session.stored_pairs import StoredPairs
    from feature_db.label.labels import CheckScore, Labels

    database = tmp_path / "s.db"
    shutil.copy(stored, database)
    with Store.open(database) as store:
        evidence, tested, drafted = (e.text for e in store.examples(5, kind="top", purpose=None)[:3])
        bo = Labels(store, "bo")
        bo.label(5, "mixing", evidence=[evidence.hash], check=CheckScore([tested.hash], [True], [True]))
        bo.draft(6, {"text": "not yet", "evidence": [drafted.hash]})
        named = {text.hash: text for text in (evidence, tested, drafted)}
        old_hashes = {row[0] for row in store.rows("SELECT hash FROM texts")}
        session = store.save_session({"prompt": "q"})
    path = tmp_path / "other.jsonl"
    rows = [
        {"prompt": f"number {i}?", "chosen": f"Zebra {i}. Yes.", "rejected": f"Quagga {i}. No."}
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    harvest_into(database, scorer, [path], SETTINGS)
    harvest_into(tmp_path / "alone.db", scorer, [path], SETTINGS)
    with Store.open(database) as store, Store.open(tmp_path / "alone.db") as alone:
        kept = {row[0] for row in store.rows("SELECT hash FROM texts")}
        assert kept & old_hashes == set(named)
        assert kept - old_hashes == {row[0] for row in alone.rows("SELECT hash FROM texts")}
        for text_hash, text in named.items():
            assert store.text(text.id).hash == text_hash and store.encoding(text.id) is None
        assert Labels(store, "bo").history(5)[0].data["evidence"] == [evidence.hash]
        mine, theirs = (StoredPairs.read(s, scorer.head) for s in (store, alone))
        assert mine.questions == theirs.questions and len(mine.left) == len(theirs.left) == 40
        assert store.search_texts("zebra") and store.open_session(session) == {"prompt": "q"}
        for word in ("lamp", "water", "zebra"):
            found = {
                row[0] for row in store.rows("SELECT rowid FROM texts_fts WHERE texts_fts MATCH ?", (word,))
            }
            bodies = store.rows("SELECT id FROM text_bodies WHERE body LIKE ?", (f"%{word}%",))
            assert found == {row[0] for row in bodies}
        assert not store.rows("PRAGMA foreign_key_check")


def test_a_store_of_another_model_is_refused_before_the_work(stored, corpus, tmp_path):
    other = load_sarm(write_model(tmp_path / "other", seed=9), dtype="float32")
    with pytest.raises(SarmError, match="not of the model in use"):
        harvest_into(stored, other, [corpus], SETTINGS)
    assert not Workspace(stored).folder.exists()


@pytest.mark.slow
def test_a_model_without_tokenizer_harvests_token_ids(tmp_path):
    scorer = load_sarm(reference_checkpoint(tmp_path / "m"), dtype="float32")
    path = tmp_path / "ids.jsonl"
    path.write_text("".join(json.dumps({"input_ids": [i, 2 * i + 1, 7]}) + "\n" for i in range(40)))
    harvest_into(tmp_path / "s.db", scorer, [path], SETTINGS)
    with Store.open(tmp_path / "s.db") as store:
        assert store.stats()["texts"] == 40


@pytest.mark.slow
def test_the_command_line_harvests_and_reports(tmp_path, corpus, scorer, capsys):
    model = str(scorer.checkpoint.folder)
    arguments = ["harvest", str(corpus), "--model", model, "--db", str(tmp_path / "s.db"), "--top", "4"]
    assert main(arguments) == 0
    assert "harvested into" in capsys.readouterr().out
    assert (
        main(["harvest", str(tmp_path / "none.jsonl"), "--model", model, "--db", str(tmp_path / "t.db")]) == 2
    )
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seed", str(2**63 - 1)),
        ("--seed", str(2**70)),
        ("--seed", "-1"),
        ("--top", "900000000"),
        ("--per-band", "900000000"),
        ("--silent", "900000000"),
        ("--checkpoint-seconds", "nan"),
        ("--checkpoint-seconds", "inf"),
        ("--checkpoint-seconds", "-1"),
    ],
)
def test_a_number_that_cannot_be_used_is_refused_before_the_work(
    arguments, tmp_path, corpus, scorer, capsys, monkeypatch
):
    monkeypatch.setattr("sarm_core.cli.harvest.loaded", lambda *_args, **_named: pytest.fail("work began"))
    command = ["harvest", str(corpus), "--model", "m", "--db", str(tmp_path / "s.db"), *arguments]
    for resume in ([], ["--resume"]):
        assert main([*command, *resume]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {arguments[0][2:]} ") and error.count("\n") == 1, error
    assert not list(tmp_path.iterdir())


def test_settings_and_checkpoint_times_are_checked_in_python_too(scorer, corpus, tmp_path, monkeypatch):
    for wrong in ({"seed": 2**63 - 1}, {"seed": -1}, {"top": 10**9}, {"silent": 1.5}, {"chunk_texts": 0}):
        with pytest.raises(SarmError, match="has to be a whole number from"):
            HarvestSettings(**wrong)
    with pytest.raises(SarmError, match="finite number"):
        harvest_into(tmp_path / "s.db", scorer, [corpus], SETTINGS, checkpoint_seconds=float("nan"))
    monkeypatch.setattr(sarm_core.harvest.harvest, "_memory_bytes", lambda: 10_000)
    with pytest.raises(SarmError, match="of memory, and this machine has"):
        harvest_into(tmp_path / "s.db", scorer, [corpus], SETTINGS)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_largest_seed_and_the_smallest_lists_harvest(scorer, corpus, tmp_path):
    kept = dict.fromkeys(("top", "per_band", "random", "silent", "partners", "neighbours"), 0)
    settings = HarvestSettings(**kept, pool=1, pair_positions=1, chunk_texts=16)
    assert not list(finished_of(scorer, [corpus], tmp_path, settings).examples())
    last = HarvestSettings(**{**SETTINGS.__dict__, "seed": 2**63 - 2})
    harvest_into(tmp_path / "last.db", scorer, [corpus], last)
    with Store.open(tmp_path / "last.db") as store:
        assert store.value("SELECT count(*) FROM examples WHERE kind = 'silent'")


@pytest.mark.slow
def test_the_engine_does_not_import_the_store():
    code = (
        "import sys, sarm_core.harvest.harvest, sarm_core.harvest.suggest, sarm_core.harvest.ray_engine; "
        "sys.exit(any(m.split('.')[0] in ('feature_db', 'sqlite3', 'ray', 'streamlit', 'pyarrow') "
        "for m in sys.modules))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
