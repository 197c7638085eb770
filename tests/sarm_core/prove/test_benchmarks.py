"""What every registered benchmark must do: read its own sample, refuse what is none, and be evaluated to the report."""

import json

import numpy as np
import pytest
from scipy import sparse

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.registry import BENCHMARKS, benchmark_of, known, register
from sarm_core.prove.evaluate import compare, load_benchmark
from sarm_core.prove.evaluation_report import evaluation_report
from sarm_core.report.html_report import checked_evaluation, html_report
from sarm_core.steering import Steering
from tests.sarm_core.html_page import Page

every_kind = pytest.mark.parametrize("kind", list(BENCHMARKS))


def write(folder, rows):
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def sample(kind, tmp_path):
    return load_benchmark(kind, write(tmp_path, BENCHMARKS[kind].sample))


def right_wins(benchmark):
    """Activations of one feature that fires in right answers only, with w = 1."""
    right = {answer.number for item in benchmark.items for answer in item.answers if answer.right}
    z = np.array([[float(number in right), 0.25] for number in range(len(benchmark.conversations))])
    return FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), np.array([1, -1], np.float32))


@every_kind
def test_it_says_what_it_is(kind):
    made = benchmark_of(kind)
    assert made.kind == kind and made.title and made.hint.endswith(".") and "`" in made.hint and made.sample
    assert not getattr(made, "__abstractmethods__", None)


@every_kind
def test_it_reads_its_own_sample(kind, sample):
    rows = BENCHMARKS[kind].sample
    assert [item.row for item in sample.items] == list(range(1, len(rows) + 1))
    assert len(set(sample.conversations)) == len(sample.conversations)
    for number, item in enumerate(sample.items):
        sides = [answer.right for answer in item.answers]
        assert True in sides and False in sides and sides == sorted(sides, reverse=True), "right ones first"
        named = sample.answers_of(number)
        assert [answer.name for answer in named] == [answer.name for answer in item.answers]
        assert {answer.conversation for answer in named} <= set(sample.conversations)
        texts = [answer.conversation.answer for answer in named]
        assert all(text in json.dumps(rows[number], ensure_ascii=False) for text in texts)
        assert all(sample.places[answer.number][1] <= item.row for answer in item.answers)
    assert {source.rsplit("/", 1)[-1] for source, _ in sample.places} == {"in.jsonl"}


@every_kind
def test_pairs_are_every_right_against_every_wrong_answer(kind, sample):
    item, right, wrong = sample.item_pairs
    wanted = [
        (i, a.number, b.number)
        for i, each in enumerate(sample.items)
        for a in each.answers
        for b in each.answers
        if a.right and not b.right
    ]
    assert list(zip(item.tolist(), right.tolist(), wrong.tolist(), strict=True)) == wanted
    assert {tuple(pair) for pair in sample.pair_numbers.tolist()} == {(a, b) for _, a, b in wanted}


@pytest.mark.slow
@every_kind
def test_it_refuses_what_is_none_of_its_rows_in_one_line_with_its_place(kind, tmp_path):
    rows = BENCHMARKS[kind].sample
    for garbage in ({}, {"a": 1}, {"prompt": []}, {**rows[0], "prompt": 3}, dict.fromkeys(rows[0])):
        path = write(tmp_path, [*rows, garbage])
        with pytest.raises(RowError) as refused:
            load_benchmark(kind, path)
        text = str(refused.value)
        assert text.startswith(f"{path}, row {len(rows) + 1}: ") and "\n" not in text
        kept = load_benchmark(kind, path, skip_bad=True)
        assert len(kept.items) == len(rows) and [str(error) for error in kept.skipped] == [text]
        result = kept.result(np.zeros(len(kept.conversations)))
        assert any(text in note for note in result.notes), "what is left out is said with every figure"
    for row in rows:
        for key in row:
            try:
                load_benchmark(kind, write(tmp_path, [{k: v for k, v in row.items() if k != key}]))
            except RowError as error:
                assert "in.jsonl, row 1: " in str(error) and "\n" not in str(error)


@every_kind
def test_rewards_of_another_length_are_refused_and_nan_is_counted_and_lost(kind, sample):
    n = len(sample.conversations)
    with pytest.raises(SarmError, match=f"{n} conversations"):
        sample.result(np.zeros(n + 1))
    unknown = sample.result(np.full(n, np.nan))
    assert unknown.n_nan > 0 and (unknown.decisions.credit == 0).all()
    assert any("not a number" in note for note in unknown.notes)


@every_kind
def test_a_model_that_is_right_everywhere_has_the_highest_total_and_its_opposite_the_lowest(kind, sample):
    matrix = right_wins(sample)
    best, worst = sample.result(matrix.rewards), sample.result(-matrix.rewards)
    rng = np.random.default_rng(0)
    for _ in range(20):
        total = sample.result(rng.normal(size=len(matrix))).total
        assert worst.total <= total <= best.total
    assert worst.total <= 0 and best.total >= 1, "a formula of Ties has a term that may be below 0"
    assert next(iter(best.scores)) == "total" and "total" in sample.headlines(best.scores)
    compared = compare(best, worst, resamples=20, fewest_prompts=1)
    assert set(compared.flips["direction"]) == {"lost"} and compared.flips["item"].nunique() == len(
        sample.items
    )


@every_kind
def test_its_evaluation_is_whole_and_its_report_names_it(kind, sample):
    steering = Steering(scale={0: -1.0})
    matrix = right_wins(sample)
    body = evaluation_report(sample, matrix, steering, resamples=20)
    body["model"] = {"source": "tiny", "fingerprint": "ab" * 32}
    body = json.loads(json.dumps(body, allow_nan=False))
    checked_evaluation(body)
    change = body["steered_features"]["features"][0]["margin_change"]
    margins = body["steered_features"]["margins"]
    assert change["all items"] == pytest.approx(
        margins["after"]["all items"] - margins["before"]["all items"]
    )
    assert body["collateral"]["pairs"] == len(sample.pair_numbers) == body["collateral"]["flipped"]
    text = html_report(body, time="noon")
    assert f"{BENCHMARKS[kind].title}, {len(sample.items)} items" in text
    page = Page.of(text)
    for item in sample.items:
        assert item.prompt in page.texts["items"]


@every_kind
def test_a_file_goes_by_the_name_people_know_it_by(kind, tmp_path):
    path = write(tmp_path, [*BENCHMARKS[kind].sample, {}])
    found = load_benchmark(kind, path, skip_bad=True).under_names({str(path): "mine<1>.jsonl"})
    assert (
        {item.source for item in found.items} == {source for source, _ in found.places} == {"mine<1>.jsonl"}
    )
    assert str(found.skipped[0]).startswith("mine<1>.jsonl, row ")


def test_a_kind_is_taken_once_and_an_unknown_one_is_named():
    with pytest.raises(ValueError, match="'pairs'"):
        register(BENCHMARKS["pairs"])
    with pytest.raises(SarmError, match="unknown benchmark 'x': use pairs, "):
        benchmark_of("x")
    assert known("x") is Benchmark and Benchmark.headlines(["total", "a", "a/b", "c>d"]) == ["total", "a"]


def test_a_benchmark_says_as_what_its_rows_were_read(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b", "tags": ["x"]}) + "\n")
    assert load_benchmark("pairs", path).said == (
        "read as preference pairs (chosen, rejected); not used: tags",
    )
