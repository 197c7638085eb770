"""The share of each group: what the page's table and chart say is the engine's arithmetic, and honest."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.compare.shares_view import category_groups, share_chart, share_table
from app.draw.plain_text import cut
from app.session.engine import Choice, load_engine
from feature_db import Store
from feature_db.label.labels import Labels
from sarm_core.explain.shares import Partition, margin_shares, reward_shares
from sarm_core.features import FeatureMatrix
from sarm_core.score.scorer import Scored
from sarm_core.steering import Group, Steering
from tests.app.conftest import Run
from tests.app.demo_pages import checked

HOSTILE = "<b>x</b> $\\frac12$ %{x} &amp;"


def frame(test: AppTest, column: str) -> dict[str, dict[str, float]]:
    """The table that has `column`, by its first column."""
    table = next(f.value for f in test.dataframe if column in f.value)
    return table.set_index(table.columns[0]).to_dict("index")


def scored(test: AppTest, checkpoint: Path) -> Scored:
    engine = load_engine(Choice(str(checkpoint)))
    now = test.session_state["comparison"]
    found = engine.cached(f"comparison:{now.key}")
    assert found is not None
    return found.steered(test.session_state["steering_state"].current)


def parts_of(groups: dict[str, list[int]]) -> tuple[tuple[str, ...], dict]:
    rng = np.random.default_rng(1)
    ids = np.array([rng.choice(20, 6, replace=False) for _ in range(2)])
    matrix = FeatureMatrix.from_topk(ids, rng.normal(size=(2, 6)), rng.normal(size=20))
    partition = Partition.of_groups(groups, 20)
    return partition.names, {
        "A": reward_shares(matrix, 0, partition),
        "B": reward_shares(matrix, 1, partition),
        "A − B": margin_shares(matrix, 0, 1, partition),
    }


def test_the_tables_last_row_is_the_sum_and_per_cent_is_left_out_where_it_misleads() -> None:
    names, parts = parts_of({"style": list(range(7)), "safety": list(range(7, 12))})
    table = share_table(names, parts)
    assert table["group"].tolist() == ["style", "safety", "unassigned", "sum"]
    np.testing.assert_allclose(table["A − B"].iloc[-1], parts["A − B"].total, atol=1e-6)
    assert table["of all contributions"].iloc[:-1].sum() == table["of all contributions"].iloc[-1]
    assert ("of the total" in table) == (not parts["A − B"].caveat)
    names, parts = parts_of({})
    assert share_table(names, parts)["of the total"].tolist() == [1.0, 1.0]


def test_the_chart_adds_up_with_more_groups_than_colours_and_shows_hostile_names_as_text() -> None:
    groups = {f"{HOSTILE}{i}": [i] for i in range(18)}
    names, parts = parts_of(groups)
    figure = share_chart(names, parts)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert len(bars) == 13
    sums = np.sum([bar.x for bar in bars], axis=0)
    np.testing.assert_allclose(sums, [part.total for part in parts.values()], atol=1e-6)
    for bar, name in zip(bars, groups, strict=False):
        assert not set("<$%") & set(bar.name)
        if bar is not bars[-1]:
            assert unescape(bar.name) == cut(name, 28)
        assert bar.hovertemplate.count("%{") == 1 and bar.hovertemplate.count("<") == 2


def test_categories_make_groups_and_unsettled_labels_one_of_their_own() -> None:
    assert category_groups({1: "style", 2: "", 3: "safety", 4: "safety"}) == {
        "safety": [3, 4],
        "style": [1],
        "labels disagree": [2],
    }


@pytest.mark.slow
def test_named_groups_of_the_steering_are_shared_out_as_the_engine_does(
    run_page: Run, store_path: Path, checkpoint: Path
) -> None:
    test = run_page("compare.py")
    panel = test.session_state["steering_state"].panel
    steering = Steering(groups={"mine": Group(tuple(panel[:2]), 2.0)})
    test.session_state["steering_state"].change(steering)
    test.session_state["share_groups"] = "Named groups"
    checked(test.run())
    matrix = scored(test, checkpoint).matrix
    left, right = test.session_state["left"], test.session_state["right"]
    ids, difference = matrix.difference(left, right)
    wanted = float(difference[np.isin(ids, panel[:2])].sum())
    rows = frame(test, "of all contributions")
    column = next(name for name in rows["mine"] if "−" in name)
    assert rows["mine"][column] == wanted
    assert any("the groups sum to the margin" in part.value for part in test.caption)
    every = frame(test, "reward")
    assert len(every) == len(matrix)
    for row in every.values():
        np.testing.assert_allclose(row["mine"] + row["unassigned"], row["reward"], atol=1e-5)


@pytest.mark.slow
def test_label_categories_are_groups_and_the_rest_is_said_to_be_unassigned(
    run_page: Run, store_path: Path, checkpoint: Path
) -> None:
    test = run_page("compare.py")
    active = np.unique(scored(test, checkpoint).matrix.csr.indices)
    with Store.open(store_path) as store:
        for feature in active[:2].tolist():
            Labels(store, "cy").label(feature, "x", category="content")
    test.session_state["share_groups"] = "Label categories"
    checked(test.run())
    rows = frame(test, "of all contributions")
    assert "content" in rows and "unassigned" in rows
    assert any(f"of the {len(active):,} features active" in part.value for part in test.caption)


@pytest.mark.slow
def test_one_answer_alone_has_shares_of_its_reward(run_page: Run, store_path: Path) -> None:
    test = run_page("compare.py")
    test.text_area("paste_prompt").set_value("q")
    test.text_area("paste_answers").set_value("only one")
    checked(test.button("FormSubmitter:paste-Compare").click().run())
    assert any("No group was made yet" in part.value for part in test.caption)
    assert not any("of all contributions" in part.value for part in test.dataframe)
    held = test.session_state["steering_state"]
    held.add([1, 2])
    held.add_group("tone", [1, 2])
    checked(test.run())
    assert list(frame(test, "of all contributions")) == ["tone", "unassigned", "sum"]
    assert any("sum to the reward of A" in part.value for part in test.caption)
