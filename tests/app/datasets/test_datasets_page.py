"""The page Data sets over a tiny real model: what is kept, listed, scored, opened and handed on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.datasets.address import from_address, in_words, to_address
from app.datasets.kept import Chosen, is_corpus, keep, keep_corpus, open_item
from app.datasets.scoring import margins_under, score
from app.datasets.table import frame
from app.datasets.view import headline
from app.draw.progress import NotKept
from feature_db import StoreError
from feature_db.datasets.datasets import DataSets
from feature_db.datasets.items import Counts, Items
from feature_db.datasets.slices import Slice
from sarm_core.errors import RowError, SarmError
from sarm_core.prove.agreement import share_agreed
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader, answer_to

HOSTILE = '<script>alert(1)</script> $x$ **b** [l](u) :red[r] `c` "q" \\ %'
ROWS = [
    {"prompt": f"{HOSTILE} question {i}", "chosen": f"a{i} " * (i + 1), "rejected": f"b{i} " * (12 - i),
     "subset": HOSTILE if i % 2 else "plain", HOSTILE: i, "rater": f"r{i % 3}"}
    for i in range(12)
]  # fmt: skip


def bytes_of(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def kept(engine):
    made, _ = keep(engine, HOSTILE, [(f"{HOSTILE}.jsonl", bytes_of(ROWS))], Reader(), "ann")
    yield made
    with engine.store() as store:
        if DataSets(store).with_hash(made.hash) is not None:
            DataSets(store).delete(made.address, "ann")


@pytest.mark.slow
def test_scores_are_the_models_own_margins_and_counted_as_such(engine, kept) -> None:
    seen: list[tuple[int, int]] = []
    score(engine, kept.address, lambda done, of: seen.append((done, of)))
    assert seen[-1] == (12, 12)
    sides = [[answer_to(row["prompt"], row[side]) for row in ROWS] for side in ("chosen", "rejected")]
    better, worse = (engine.scorer.score(side).rewards.astype(float) for side in sides)
    with engine.store() as store:
        items = Items(store, kept.address)
        page = items.page(Slice())
        np.testing.assert_allclose([item.margin for item in page], better - worse, atol=1e-5)
        assert [item.won for item in page] == (better > worse).astype(int).tolist()
        assert items.n_to_score(engine.scorer.encoding_key) == 0
        steering = Steering(scale=dict.fromkeys(range(engine.scorer.n_features // 2), 0.0))
        steered = margins_under(engine, items, [3, 1], steering)
        wanted = [
            float(np.subtract(*engine.scorer.score([side[i] for side in sides]).steered(steering).rewards))
            for i in (3, 1)
        ]
        np.testing.assert_allclose(steered, wanted, atol=1e-5)
        counts = items.counts(Slice())
    text = headline(
        counts, share_agreed([(1.0, 1, counts.labels_won), (0.0, 1, 12 - counts.labels_won)]), Slice()
    )
    assert f"agrees with {counts.labels_won}, disagrees with {12 - counts.labels_won}" in text
    assert "over 12 prompts" in text


def test_a_label_that_is_no_longer_read_ends_the_scoring_with_a_line(engine) -> None:
    rows = [{"prompt": f"p{i}", "chosen": "a", "rejected": f"b{i}"} for i in range(3)]
    made, _ = keep(engine, "old", [("old.jsonl", bytes_of(rows))], Reader(), "")
    with engine.store() as store, store.write() as conn:
        changed = json.dumps({"prompt": "p1", "answers": ["a", "b1"]})
        conn.execute("UPDATE dataset_rows SET body = ? WHERE dataset = ? AND item = 1", (changed, made.id))
    with pytest.raises(SarmError, match="old, prompt 2: had a label"):
        score(engine, made.address)
    with engine.store() as store:
        DataSets(store).delete(made.address, "")


def test_margins_under_a_steering_never_run_the_model(engine) -> None:
    rows = [{"prompt": "never read before", "chosen": "one of these", "rejected": "or that"}]
    made, _ = keep(engine, "new", [("new.jsonl", bytes_of(rows))], Reader(), "")
    with engine.store() as store, pytest.raises(NotKept):
        margins_under(engine, Items(store, made.address), [0], Steering(scale={0: 0.0}))


def test_a_row_opens_its_answers_with_the_labelled_ones_left_and_right(engine, kept) -> None:
    with engine.store() as store:
        opened = open_item(Items(store, kept.address), 4)
    assert opened.comparison.question == ROWS[4]["prompt"]
    texts = [answer.text for answer in opened.comparison.answers]
    assert opened.better is not None and opened.worse is not None
    assert (texts[opened.better], texts[opened.worse]) == (ROWS[4]["chosen"], ROWS[4]["rejected"])
    graded = [
        {"prompt": "p", "response": text, "score": grade} for text, grade in (("x", 1), ("y", 3), ("z", 2))
    ]
    made, _ = keep(engine, "graded", [("g.jsonl", bytes_of(graded))], Reader(), "")
    with engine.store() as store:
        opened = open_item(Items(store, made.address), 0)
    assert [answer.note for answer in opened.comparison.answers] == ["graded 1", "graded 3", "graded 2"]
    assert (opened.better, opened.worse) == (1, 0)


def test_a_slice_is_a_file_that_is_read_as_the_data_set_was(engine, kept) -> None:
    part = Slice(subset="plain", sort="length")
    name, data = Chosen(kept, part, 6).file(engine)
    assert name.endswith(" (6 of 12).jsonl") and "/" not in name
    assert [json.loads(line) for line in data.splitlines()] == ROWS[::2]
    with pytest.raises(StoreError, match="no prompt is left"):
        Chosen(kept, Slice(words="nowhere"), 0).file(engine)


@pytest.mark.parametrize(
    "part",
    [
        Slice(),
        Slice(words=HOSTILE, verdict="disagrees", subset="", column=HOSTILE, value="3", sort="-own:rater"),
        Slice(subset=HOSTILE, sort="close"),
    ],
)
def test_a_slice_survives_its_address(part: Slice) -> None:
    assert from_address(to_address(part)) == part
    assert "<" not in in_words(part).replace("\\<", "")


def test_an_address_that_nobody_wrote_asks_for_what_there_is() -> None:
    assert from_address({"dv": "'; DROP TABLE", "do": "margin DESC", "x": "y"}) == Slice()


def test_a_wrong_row_is_refused_with_its_file_and_nothing_is_kept(engine) -> None:
    with engine.store() as store:
        before = len(DataSets(store).all())
    data = bytes_of([*ROWS, {"prompt": "p", "chosen": "only one"}])
    with pytest.raises(RowError, match=r"mine\.jsonl, row 13: no 'rejected'"):
        keep(engine, "x", [("mine.jsonl", data)], Reader(), "")
    with engine.store() as store:
        assert len(DataSets(store).all()) == before


def test_columns_of_numbers_and_texts_make_one_column_of_texts(engine, kept) -> None:
    with engine.store() as store:
        page = Items(store, kept.address).page(Slice())
    table = frame(page, kept.columns)
    assert table[f"own:{HOSTILE}"].tolist() == list(range(12))
    assert len(set(table.columns)) == len(table.columns)


def test_what_is_said_of_a_slice_of_one_verdict_is_no_share() -> None:
    counts = Counts(3, 3, 3, 0, 0, {"agrees": 0, "disagrees": 3, "ties": 0})
    assert (
        headline(counts, None, Slice(verdict="disagrees"))
        == "**3 prompts in this slice: the model disagrees.**"
    )


@pytest.mark.slow
def test_the_corpus_is_there_from_the_start_and_a_deleted_set_is_said(
    run_page, load_once, checkpoint
) -> None:
    test = run_page("datasets.py")
    assert any("None of your own" in text.value for text in test.markdown)
    names = test.dataframe[0].value["name"].tolist()
    assert names == ["The project's corpus"]
    gone = run_page("datasets.py", d="0123456789ab")
    assert any("bring its file again" in text.value for text in gone.warning)


@pytest.mark.slow
def test_a_file_on_this_machine_is_named_by_who_sits_at_it(run_page, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("app.datasets.listing.only_here", lambda _address: True)
    test = run_page("datasets.py")
    test.text_input(key="bring_path").set_value(str(tmp_path / "none.jsonl")).run()
    assert "cannot be read (No such file or directory)" in test.error[0].value.replace("\\", "")
    file = tmp_path / "mine.jsonl"
    file.write_bytes(bytes_of([*ROWS, {"prompt": "p"}]))
    test.text_input(key="bring_path").set_value(str(file)).run()
    test.button(key="bring_go").click().run()
    assert "mine.jsonl, row 13: has 'prompt' but no 'response'" in test.error[0].value.replace("\\", "")
    file.write_bytes(bytes_of(ROWS))
    test.run()
    test.button(key="bring_go").click().run()
    assert not test.exception and not test.error and test.query_params["d"]
    assert any(head.value == "mine\\.jsonl" for head in test.header)
    monkeypatch.setattr("app.datasets.listing.only_here", lambda _address: False)
    assert not [box for box in run_page("datasets.py").text_input if box.key == "bring_path"]


def test_the_corpus_is_kept_once(engine) -> None:
    keep_corpus(engine)
    keep_corpus(engine)
    with engine.store() as store:
        assert sum(map(is_corpus, DataSets(store).all())) == 1
