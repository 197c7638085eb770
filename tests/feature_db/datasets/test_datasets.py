"""Data sets in the store: kept once and whole, listed in any order, sliced, scored, deleted by whom they belong to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from feature_db import ModelRecord, PermissionRefused, Store, StoreError
from feature_db.datasets.datasets import DataSets, ItemRecord
from feature_db.datasets.items import Items, ItemScore
from feature_db.datasets.slices import SORTS, VERDICTS, Slice
from feature_db.roles import People

HASH = "a" * 64
N = 60


def records(n: int = N) -> Iterator[ItemRecord]:
    """Pairs, some of them without a label or an own value, two items to a prompt."""
    for i in range(n):
        yield ItemRecord(
            id=f"id{i}",
            prompt=f'Question {i // 2} about 100% of _this_ \\ it\'s "so"',
            unit=i // 2,
            answers=2,
            labels=0 if i % 10 == 9 else 1,
            length=(i * 7) % 13,
            longer=None if i % 10 == 9 else float((i * 5) % 11 - 5),
            subset=("", "chat", "code")[i % 3],
            own={"rater": f"r{i % 4}", **({"seconds": (i * 3) % 17} if i % 5 else {})},
            rows=[(0, i + 1, {"prompt": f"p{i}", "chosen": "<b>a</b>\x00", "rejected": "\ud800"})],
        )


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s.db", create=ModelRecord("f" * 64, "tiny", 4)) as store:
        yield store


def kept(store: Store, hash: str = HASH, by: str = "", name: str = "pairs") -> Items:
    made, new = DataSets(store).add(name, hash, records(), columns=["rater", "seconds"], by=by)
    assert new
    return Items(store, made.address)


def scored(items: Items) -> Items:
    """Every third is right, wrong, tied; margins with ties among them."""
    scores = [
        ItemScore(i, int(i % 3 == 0), int(i % 3 == 2), float((i * 11) % 7 - 3) if i % 3 != 2 else 0.0)
        for i in items.to_score("model", 1000)
    ]
    items.keep_scores("model", scores)
    return items


def test_a_data_set_is_kept_whole_or_not_at_all(fresh: Store) -> None:
    def broken() -> Iterator[ItemRecord]:
        yield from records(1500)
        raise ValueError("row 1501")

    with pytest.raises(ValueError, match="row 1501"):
        DataSets(fresh).add("pairs", HASH, broken())
    with pytest.raises(StoreError, match="no answers"):
        DataSets(fresh).add("pairs", HASH, [])
    assert DataSets(fresh).all() == []
    for table in ("dataset_items", "dataset_rows", "dataset_values"):
        assert fresh.value(f"SELECT count(*) FROM {table}") == 0


def test_the_same_content_is_the_same_data_set_whoever_brings_it(fresh: Store) -> None:
    first = kept(fresh, by="ann").of
    again, new = DataSets(fresh).add("another name", HASH, records(), by="bob")
    assert not new and again == first and again.name == "pairs" and again.owner == "ann"
    assert (first.n_items, first.n_answers, first.n_labels) == (N, 2 * N, N - N // 10)
    assert first.columns == ("rater", "seconds")


def test_two_who_bring_one_file_at_once_get_one_data_set(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store.open(path, create=ModelRecord("f" * 64, "tiny", 4)).close()
    made, barrier = [], threading.Barrier(4)

    def bring() -> None:
        with Store.open(path) as store:
            barrier.wait()
            made.append(DataSets(store).add("pairs", HASH, records()))

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({of.id for of, _ in made}) == 1 and sorted(new for _, new in made) == [False] * 3 + [True]


@pytest.mark.parametrize("sort", [*SORTS, "own:seconds", "-own:seconds", "own:rater"])
def test_every_sort_lists_every_item_once_and_knows_its_place(fresh: Store, sort: str) -> None:
    items = scored(kept(fresh))
    every = items.page(Slice(sort=sort), limit=N)
    assert sorted(item.number for item in every) == list(range(N))
    pages = [item for at in range(0, N, 7) for item in items.page(Slice(sort=sort), limit=7, offset=at)]
    assert pages == every
    key = {
        "file": lambda item: item.number,
        "worst": lambda item: item.margin,
        "margin": lambda item: None if item.margin is None else -item.margin,
        "close": lambda item: None if item.margin is None else abs(item.margin),
        "length": lambda item: -item.length,
        "shortest": lambda item: item.length,
        "longer": lambda item: None if item.longer is None else -item.longer,
        "shorter": lambda item: item.longer,
        "own:seconds": lambda item: item.own.get("seconds"),
        "-own:seconds": lambda item: -item.own["seconds"] if "seconds" in item.own else -99,
        "own:rater": lambda item: item.own["rater"],
    }[sort]
    keys = [key(item) for item in every]
    there = [value for value in keys if value is not None]
    assert there == sorted(there) and keys[: len(there)] == there, "what has no value comes last"
    for place in (0, 1, N // 2, N - 1):
        assert items.place(Slice(sort=sort), every[place].number) == place


def test_verdicts_share_the_items_out_and_add_up(fresh: Store) -> None:
    items = kept(fresh)
    assert items.counts(Slice()).verdicts["unscored"] == N - N // 10
    scored(items)
    counts = items.counts(Slice())
    assert sum(counts.verdicts.values()) == counts.items == N and counts.verdicts["unscored"] == 0
    every = items.page(Slice(), limit=N)
    for verdict in VERDICTS:
        assert items.count(Slice(verdict=verdict)) == counts.verdicts[verdict]
        assert {item.verdict for item in items.page(Slice(verdict=verdict))} <= {verdict}
    assert counts.labels_won == sum(item.won or 0 for item in every)
    assert counts.labels_tied == sum(item.tied or 0 for item in every)
    credits = items.credits(Slice())
    assert sum(items_ * prompts for _, items_, prompts in credits) == counts.labels_scored
    assert sum(won * prompts for won, _, prompts in credits) == pytest.approx(counts.labels_won)


def test_of_several_orders_the_majority_decides(fresh: Store) -> None:
    several = [ItemRecord(str(i), "p", i, 4, 6, 1) for i in range(4)]
    made, _ = DataSets(fresh).add("graded", HASH, several)
    items = Items(fresh, made.address)
    items.keep_scores(
        "m",
        [
            ItemScore(0, 4, 0, 1.0),
            ItemScore(1, 3, 0, 0.0),
            ItemScore(2, 2, 1, -1.0),
            ItemScore(3, 3, 1, None),
        ],
    )
    assert [item.verdict for item in items.page(Slice())] == ["agrees", "ties", "disagrees", "agrees"]


@pytest.mark.parametrize(
    ("words", "found"),
    [("100%", N), ("_this_", N), ("1__%", 0), ("\\ it's", N), ('"SO"', N), ("question 7 ", 2)],
)
def test_words_are_looked_for_as_they_stand(fresh: Store, words: str, found: int) -> None:
    assert kept(fresh).count(Slice(words=words)) == found


def test_of_many_subsets_the_largest_are_listed(fresh: Store) -> None:
    items = kept(fresh)
    assert (
        dict(items.subsets()) == {"": N // 3, "chat": N // 3, "code": N // 3} and len(items.subsets(2)) == 2
    )


def test_a_slice_joins_what_it_asks_for_and_hands_out_its_rows_in_order(fresh: Store) -> None:
    items = scored(kept(fresh))
    part = Slice(subset="chat", column="seconds", value="3", sort="worst")
    wanted = [i for i in range(N) if i % 3 == 1 and i % 5 and (i * 3) % 17 == 3]
    assert wanted and sorted(item.number for item in items.page(part)) == wanted
    rows = list(items.rows(part))
    assert [row.item for row in rows] == wanted == [row.row - 1 for row in rows]
    assert rows[0].body["chosen"] == "<b>a</b>\x00"
    assert len(list(items.rows(Slice()))) == N
    assert items.count(Slice(column="rater", value="r1'; DROP TABLE datasets; --")) == 0
    assert dict(items.values("seconds"))[""] == N // 5


@pytest.mark.parametrize(
    "bad", [Slice(sort="margin; DROP TABLE x"), Slice(sort="own:nobody"), Slice(verdict="x")]
)
def test_what_no_slice_has_is_refused_in_a_line(fresh: Store, bad: Slice) -> None:
    with pytest.raises(StoreError):
        kept(fresh).page(bad)


def test_what_another_encoding_scored_is_forgotten(fresh: Store) -> None:
    items = scored(kept(fresh))
    assert items.n_to_score("model") == 0 and items.n_to_score("other") == N - N // 10
    items.keep_scores("other", [ItemScore(3, 1, 0, 2.0)])
    assert items.counts(Slice()).labels_scored == 1
    assert items.to_score("other", 3) == [0, 1, 2] and Items(fresh, items.of.address).of.scored_by == "other"


def test_a_data_set_that_is_deleted_while_open_says_so(fresh: Store) -> None:
    items = kept(fresh)
    DataSets(fresh).delete(items.of.address, "")
    with pytest.raises(StoreError, match="deleted, or is another store's; bring its file again"):
        items.keep_scores("model", [ItemScore(0, 1, 0, 1.0)])
    with pytest.raises(StoreError, match="bring its file again"):
        Items(fresh, items.of.address)
    assert items.page(Slice()) == []
    for table in ("dataset_items", "dataset_rows", "dataset_values"):
        assert fresh.value(f"SELECT count(*) FROM {table}") == 0


def test_only_who_brought_it_or_an_admin_changes_it_and_readers_bring_none(fresh: Store) -> None:
    people, sets = People(fresh), DataSets(fresh)
    people.become_first_admin("root")
    people.set_role("root", "rita", "reader")
    anns = kept(fresh, by="Ann").of
    for by in ("", "bob", "rita"):
        assert not sets.may_change(anns, by)
        with pytest.raises(PermissionRefused, match="data set of Ann"):
            sets.delete(anns.address, by)
        with pytest.raises(PermissionRefused, match="data set of Ann"):
            sets.rename(anns.address, "mine now", by)
    with pytest.raises(PermissionRefused, match="readers keep nothing"):
        sets.add("pairs", "b" * 64, records(), by="rita")
    sets.rename(anns.address, "  better \n name ", "ann")
    assert sets.get(anns.address).name == "better name"
    with pytest.raises(StoreError, match="needs a name"):
        sets.rename(anns.address, " ", "ann")
    sets.delete(anns.address, "root")
    assert sets.all() == []


def test_scores_in_parts_leave_the_rest_to_be_scored(fresh: Store) -> None:
    items = kept(fresh)
    rng = np.random.default_rng(0)
    while numbers := items.to_score("model", 17):
        items.keep_scores("model", [ItemScore(i, 1, 0, float(rng.normal())) for i in numbers])
    assert items.counts(Slice()).labels_scored == N - N // 10
