"""Benchmark scores against a second computation in plain loops: ties, NaN and missing subsets included."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.complement import Complement, prompt_pairs
from sarm_core.prove.evaluate import collateral, compare, distribution, evaluate, load_benchmark
from sarm_core.prove.evaluation_report import evaluation_report
from sarm_core.prove.strength import at_strength, strength_curve
from sarm_core.report.verdict import headline_scores, judged
from sarm_core.steering import Group, Steering
from sarm_core.text.answers import conversation_of
from sarm_core.text.rows import Conversation, Message

DATA = Path(__file__).parents[4] / "shared" / "data"
# few distinct values, so that ties are common
REWARD = st.sampled_from([-1.0, 0.0, 0.5, 0.75, 2.0, math.nan])
NUMBER = st.sampled_from([-1.0, 0.0, 0.5, 0.75, 2.0])


def write(folder, rows, name="in.jsonl"):
    path = folder / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def rewards_by_text(benchmark, table):
    """The benchmark decides what it wants encoded; rewards are looked up by (prompt, answer)."""
    return np.array([table[c.messages[0].content, c.messages[-1].content] for c in benchmark.conversations])


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else math.nan


# -- RM-Bench --------------------------------------------------------------------------------------------


def rm_rows(pools):
    return [
        {
            "id": i,
            "prompt": f"p{i}",
            "chosen": [f"right {s}" for s in range(3)],
            "rejected": [f"wrong {s}" for s in range(3)],
            "domain": pool,
        }
        for i, pool in enumerate(pools)
    ]


def rm_oracle(rows, table):
    domains = {}
    for pool in sorted({row["domain"] for row in rows}):
        bands = {"hard": [], "normal": [], "easy": []}
        for i, j in itertools.product(range(3), range(3)):
            wins = [
                1 if table[row["prompt"], row["chosen"][i]] > table[row["prompt"], row["rejected"][j]] else 0
                for row in rows
                if row["domain"] == pool
            ]
            bands["hard" if i < j else "easy" if i > j else "normal"].append(mean(wins))
        domains[pool] = {band: mean(cells) for band, cells in bands.items()}
    scores = {}
    safety = [domains.pop(pool) for pool in ("safety-refuse", "safety-response") if pool in domains]
    if safety:
        domains["safety"] = {band: mean(pool[band] for pool in safety) for band in ("hard", "normal", "easy")}
    for domain, bands in domains.items():
        scores[domain] = mean(bands.values())
        scores.update({f"{domain}/{band}": value for band, value in bands.items()})
    for band in ("hard", "normal", "easy"):
        scores[band] = mean(bands[band] for bands in domains.values())
    scores["total"] = mean(scores[domain] for domain in domains)
    return scores


POOLS = ["chat", "math", "code", "safety-refuse", "safety-response"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data(), pools=st.lists(st.sampled_from(POOLS), min_size=1, max_size=8))
def test_rm_bench_equals_plain_loops(tmp_path_factory, data, pools):
    rows = rm_rows(pools)
    table = {
        (row["prompt"], answer): data.draw(REWARD)
        for row in rows
        for answer in [*row["chosen"], *row["rejected"]]
    }
    benchmark = load_benchmark("rm-bench", write(tmp_path_factory.mktemp("rm"), rows))
    result = benchmark.result(rewards_by_text(benchmark, table))
    for name, value in rm_oracle(rows, table).items():
        assert result.scores[name] == pytest.approx(value), name
    cells = [
        (table[row["prompt"], a], table[row["prompt"], b])
        for row in rows
        for a in row["chosen"]
        for b in row["rejected"]
    ]
    assert result.n_tied == sum(a == b for a, b in cells)
    assert result.n_nan == sum(math.isnan(a) or math.isnan(b) for a, b in cells)
    assert result.missing == tuple(pool for pool in POOLS if pool not in pools)
    words = " ".join(result.notes)
    assert all(pool in words for pool in result.missing)
    assert ("not a number" in words) == (result.n_nan > 0)


def test_hard_means_the_wrong_answer_is_the_fancier(tmp_path):
    """A model that loves markdown wins every easy cell and loses every hard one."""
    benchmark = load_benchmark("rm-bench", write(tmp_path, rm_rows(["chat"])))
    result = benchmark.result([float(c.answer[-1]) for c in benchmark.conversations])
    assert (result.scores["easy"], result.scores["normal"], result.scores["hard"]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("keys", "file", "pool"),
    [
        ({"domain": "safety-refuse", "subset": "chat"}, "in.jsonl", "safety-refuse"),
        ({"subset": "math"}, "in.jsonl", "math"),
        ({"subset": "alpacaeval-easy"}, "in.jsonl", "chat"),
        ({"subset": "xstest-should-respond"}, "in.jsonl", "safety-response"),
        ({"subset": "poetry"}, "in.jsonl", "poetry"),
        ({"subset": "hard"}, "in.jsonl", "domain hard"),
        ({}, "safety-response_filtered.json", "safety-response"),
    ],
)
def test_the_domain_comes_from_the_row_then_from_the_file(tmp_path, keys, file, pool):
    row = rm_rows(["chat"])[0]
    del row["domain"]
    benchmark = load_benchmark("rm-bench", write(tmp_path, [row | keys], file))
    assert [item.subset for item in benchmark.items] == [pool]
    assert benchmark.result(np.arange(6.0)).total == benchmark.result(np.arange(6.0)).scores["normal"]


# -- RewardBench 2 ---------------------------------------------------------------------------------------


SUBSETS = ["Factuality", "Precise IF", "Math", "Safety", "Focus", "Ties"]


@st.composite
def reward_bench_rows(draw, value):
    rows, table = [], {}

    def add(identity, prompt, subset, n_right, n_wrong):
        chosen = [f"right {i}" for i in range(n_right)]
        rejected = [f"wrong {i}" for i in range(n_wrong)]
        rows.append(
            {
                "id": identity,
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "num_correct": n_right,
                "subset": subset,
            }
        )
        for answer in chosen + rejected:
            table[prompt, answer] = draw(value)

    subsets = draw(st.lists(st.sampled_from(SUBSETS[:-1]), max_size=8))
    for i, subset in enumerate(subsets):
        add(str(i), f"p{i}", subset, 1, 3)
    for n in range(draw(st.integers(0 if subsets else 1, 4))):
        which = ["ref", "tied"] if n == 0 else draw(st.sampled_from([["ref", "tied"], ["ref"], ["tied"]]))
        if "ref" in which:
            add(f"ref:{n}", f"ref {n}", "Ties", 1, draw(st.integers(1, 3)))
        if "tied" in which:
            add(f"tied:{n}", f"tied {n}", "Ties", draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    return rows, table


def reward_bench_oracle(rows, table):
    scores = {}
    for subset in SUBSETS[:-1]:
        credits = []
        for row in rows:
            if row["subset"] != subset:
                continue
            answers = [table[row["prompt"], a] for a in row["chosen"] + row["rejected"]]
            if any(math.isnan(r) for r in answers):
                credits.append(0)
                continue
            best = [position for position, r in enumerate(answers) if r == max(answers)]
            credits.append(1 / len(best) if 0 in best else 0)
        if credits:
            scores[subset] = mean(credits)
    ties = {"ref": {}, "tied": {}}
    for row in rows:
        if row["subset"] == "Ties":
            kind, n = row["id"].split(":")
            right = [table[row["prompt"], a] for a in row["chosen"]]
            wrong = [table[row["prompt"], a] for a in row["rejected"]]
            if any(math.isnan(r) for r in right + wrong):
                ties[kind][n] = (math.nan, math.nan)
            else:
                ties[kind][n] = (max(right) - min(right), min(right) - max(wrong))
    both = [n for n in ties["ref"] if n in ties["tied"]]
    if both:
        margins = []
        for n in both:
            spread, gap = ties["tied"][n]
            least = (
                math.nan if math.isnan(ties["ref"][n][1]) or math.isnan(gap) else min(ties["ref"][n][1], gap)
            )
            if spread == 0:  # x / 0 is +-infinity, whose tanh is +-1; 0 / 0 is undefined
                margins.append(0 if math.isnan(least) or least == 0 else math.copysign(1, least))
            else:
                value = math.tanh(least / spread - 1)
                margins.append(0 if math.isnan(value) else value)
        scores["Ties"] = (
            0.30 * mean(gap > 0 for _, gap in ties["tied"].values())
            + 0.30 * mean(gap > 0 for _, gap in ties["ref"].values())
            + 0.20 * mean(ties["tied"][n][1] > ties["tied"][n][0] for n in both)
            + 0.20
            * mean(
                ties["tied"][n][1] > ties["tied"][n][0] and ties["ref"][n][1] > ties["tied"][n][0]
                for n in both
            )
            + 0.01 * mean(margins)
        )
    scores["total"] = mean(scores.values())
    return scores


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(case=reward_bench_rows(NUMBER))
def test_reward_bench_2_equals_plain_loops(tmp_path_factory, case):
    check_reward_bench(tmp_path_factory.mktemp("rb"), *case)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(case=reward_bench_rows(REWARD))
def test_reward_bench_2_with_nan_equals_plain_loops(tmp_path_factory, case):
    check_reward_bench(tmp_path_factory.mktemp("rb"), *case)


def check_reward_bench(folder, rows, table):
    benchmark = load_benchmark("rewardbench2", write(folder, rows))
    result = benchmark.result(rewards_by_text(benchmark, table))
    wanted = reward_bench_oracle(rows, table)
    assert {name: result.scores[name] for name in wanted} == pytest.approx(wanted)
    assert result.missing == tuple(name for name in SUBSETS if name not in wanted)
    assert all(name in " ".join(result.notes) for name in result.missing)
    unknown = [
        any(math.isnan(table[row["prompt"], a]) for a in row["chosen"] + row["rejected"]) for row in rows
    ]
    assert result.n_nan == sum(unknown)
    assert result.counts().get("Ties", 0) == sum(row["subset"] == "Ties" for row in rows if "Ties" in wanted)
    decisions = result.decisions
    for name in ("gap above spread", "both gaps above spread"):
        if "Ties" in wanted:
            credit = decisions.credit[decisions.case == f"ties ({name})"]
            assert credit.mean() == pytest.approx(result.scores[f"Ties/{name}"])


def test_ties_without_a_partner_are_said_and_not_scored(tmp_path):
    rows = [
        {
            "id": "ref:1",
            "prompt": "p",
            "chosen": ["a"],
            "rejected": ["b"],
            "num_correct": 1,
            "subset": "ties",
        },
        {"id": 5, "prompt": "q", "chosen": ["a"], "rejected": ["b"], "num_correct": 1, "subset": "Math"},
    ]
    benchmark = load_benchmark("rewardbench2", write(tmp_path, rows))
    result = benchmark.result(np.arange(4.0)[::-1])
    assert "Ties" in result.missing
    assert result.total == result.scores["Math"] == 1.0
    assert "both a ref and a tied" in " ".join(result.notes)


# -- plain pairs -----------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data(), subsets=st.lists(st.sampled_from(["a", "b", None, "total"]), min_size=1, max_size=9))
def test_pairs_equal_plain_loops(tmp_path_factory, data, subsets):
    rows = [
        {"prompt": f"p{i}", "chosen": "yes", "rejected": "no", "subset": subset}
        for i, subset in enumerate(subsets)
    ]
    table = {(row["prompt"], answer): data.draw(REWARD) for row in rows for answer in ("yes", "no")}
    benchmark = load_benchmark("pairs", write(tmp_path_factory.mktemp("pairs"), rows))
    result = benchmark.result(rewards_by_text(benchmark, table))
    wins = [table[row["prompt"], "yes"] > table[row["prompt"], "no"] for row in rows]
    assert result.total == pytest.approx(mean(wins))
    for name in {subset for subset in subsets if subset}:
        wanted = mean(win for win, subset in zip(wins, subsets, strict=True) if subset == name)
        assert result.scores["subset total" if name == "total" else name] == pytest.approx(wanted)
    assert result.n_tied == sum(table[r["prompt"], "yes"] == table[r["prompt"], "no"] for r in rows)


def test_an_answer_in_several_pairs_is_encoded_once(tmp_path):
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {"prompt": "p", "chosen": "a", "rejected": "c"},
        {"prompt": "q", "chosen": "a", "rejected": "c"},
    ]
    benchmark = load_benchmark("pairs", write(tmp_path, rows))
    assert len(benchmark.conversations) == 5


# -- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "row", "words"),
    [
        (
            "rm-bench",
            {"prompt": "p", "chosen": ["a"], "rejected": ["b"], "domain": "chat"},
            "3 answers.*not 1",
        ),
        ("rm-bench", {"prompt": "p", "chosen": "a", "rejected": "b", "domain": "chat"}, "not a string"),
        ("rm-bench", rm_rows(["chat"])[0] | {"domain": 3}, "'domain' must be a name"),
        ("rm-bench", rm_rows(["chat"])[0] | {"domain": None}, "no 'domain' or 'subset'"),
        ("rm-bench", rm_rows(["chat"])[0] | {"prompt": None}, "no 'prompt'"),
        ("rm-bench", rm_rows(["chat"])[0] | {"chosen": ["a", " ", "c"]}, r"'chosen\[1\]' is empty"),
        ("rewardbench2", {"prompt": "p", "chosen": ["a"], "rejected": ["b"]}, "no 'subset'"),
        (
            "rewardbench2",
            {"prompt": "p", "chosen": ["a"], "rejected": [], "subset": "Math"},
            "1 of 1 answers",
        ),
        ("rewardbench2", {"prompt": "p", "chosen": ["a"], "rejected": ["b"], "subset": "Ties"}, '"ref:n"'),
        (
            "rewardbench2",
            {"prompt": "p", "chosen": ["a"], "rejected": 4, "subset": "Math"},
            "a list of answers",
        ),
        ("pairs", {"prompt": "p", "chosen": "a"}, "no 'rejected'"),
    ],
)
def test_a_bad_row_is_named_or_skipped_and_noted(tmp_path, kind, row, words):
    path = write(tmp_path, [row])
    with pytest.raises(RowError, match=f"in.jsonl, row 1: .*{words}"):
        load_benchmark(kind, path)
    with pytest.raises(SarmError, match="none of the 1 rows"):
        load_benchmark(kind, path, skip_bad=True)
    good = {
        "rm-bench": rm_rows(["chat"])[0],
        "rewardbench2": {"prompt": "p", "chosen": ["a"], "rejected": ["b"], "subset": "Math"},
        "pairs": {"prompt": "p", "chosen": "a", "rejected": "b"},
    }[kind]
    benchmark = load_benchmark(kind, write(tmp_path, [row, good]), skip_bad=True)
    assert [error.row for error in benchmark.skipped] == [1]
    assert "1 rows were skipped" in " ".join(benchmark.result(np.zeros(len(benchmark.conversations))).notes)


def test_a_file_given_twice_is_refused_and_repeated_rows_are_told(tmp_path):
    row = {"id": 1, "prompt": "p", "chosen": "a", "rejected": "b"}
    path = write(tmp_path, [row, {**row, "id": 2}, {**row, "prompt": "q"}])
    (tmp_path / "link.jsonl").symlink_to(path)
    for other in (path, str(path), tmp_path / "link.jsonl"):
        with pytest.raises(SarmError, match="given twice"):
            load_benchmark("pairs", [path, other])
    copy = write(tmp_path, [row], "copy.jsonl")
    benchmark = load_benchmark("pairs", [path, copy])
    assert len(benchmark.items) == 4
    notes = benchmark.result(np.zeros(len(benchmark.conversations))).notes
    assert any(note.startswith("2 rows say the same as an earlier one") for note in notes)


def test_a_second_ties_row_of_one_id_is_refused(tmp_path):
    row = {"id": "ref:1", "prompt": "p", "chosen": ["a"], "rejected": ["b"], "subset": "Ties"}
    path = write(tmp_path, [row])
    with pytest.raises(RowError, match="given twice"):
        load_benchmark("rewardbench2", [path, write(tmp_path, [row], "copy.jsonl")])


def test_what_lowers_the_ties_score_is_among_the_flips(tmp_path):
    """The gap stays above 0 and falls below the spread: accuracies stay, the score does not."""
    rows = [
        {"id": "ref:1", "prompt": "p", "chosen": ["a"], "rejected": ["x"], "subset": "Ties"},
        {"id": "tied:1", "prompt": "q", "chosen": ["b", "c"], "rejected": ["y"], "subset": "Ties"},
    ]
    benchmark = load_benchmark("rewardbench2", write(tmp_path, rows))
    before, after = (
        benchmark.result(rewards_by_text(benchmark, dict(zip(keys, rewards, strict=True))))
        for keys in [[("p", "a"), ("p", "x"), ("q", "b"), ("q", "c"), ("q", "y")]]
        for rewards in ([5, 0, 3.0, 3.5, 0], [5, 0, 1.0, 3.5, 0])
    )
    found = compare(before, after)
    change = found.scores.set_index("score")["change"]
    assert change["Ties/tied accuracy"] == 0 and change["Ties"] < -0.39
    assert found.flips["case"].tolist() == ["ties (gap above spread)", "ties (both gaps above spread)"]
    assert set(found.flips["direction"]) == {"lost"} and set(found.flips["id"]) == {"tied:1"}
    right, wrong = (benchmark.conversations[found.flips[side][0]].answer for side in ("right", "wrong"))
    assert (right, wrong) == ("b", "y") and found.flips["margin_after"].tolist() == [1.0, 1.0]
    keys = [("p", "a"), ("p", "x"), ("q", "b"), ("q", "c"), ("q", "y")]
    for unknown in keys:  # a gap that is not a number is above nothing
        rewards = dict.fromkeys(keys, 5.0) | {("p", "x"): 0.0, ("q", "y"): 0.0, unknown: math.nan}
        decisions = benchmark.result(rewards_by_text(benchmark, rewards)).decisions
        assert decisions.credit[decisions.case == "ties (both gaps above spread)"].tolist() == [0.0]


def test_rewards_of_another_length_are_refused(tmp_path):
    benchmark = load_benchmark("pairs", write(tmp_path, [{"prompt": "p", "chosen": "a", "rejected": "b"}]))
    with pytest.raises(SarmError, match="2 conversations"):
        benchmark.result([1.0])


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the benchmark file is not beside the project")
def test_the_real_chat_file_reads_whole():
    benchmark = load_benchmark("rm-bench", DATA / "rm_bench_chat.json")
    assert {item.subset for item in benchmark.items} == {"chat"}
    assert len(benchmark.items) == 129
    result = benchmark.result([len(c.answer) for c in benchmark.conversations])
    assert result.scores["easy"] > result.scores["hard"]


# -- before and after ------------------------------------------------------------------------------------


def steered_case(tmp_path, n=30):
    rows = [
        {"prompt": f"p{i % 10}", "chosen": f"a{i}", "rejected": f"b{i}", "subset": "xy"[i % 2]}
        for i in range(n)
    ]
    benchmark = load_benchmark("pairs", write(tmp_path, rows))
    rng = np.random.default_rng(4)
    z = rng.exponential(1.0, (len(benchmark.conversations), 12)) * (rng.random((2 * n, 12)) < 0.4)
    return benchmark, FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), rng.normal(size=12).astype("f4"))


def test_a_steering_is_the_same_as_scaled_activations(tmp_path):
    benchmark, matrix = steered_case(tmp_path)
    steering = Steering(scale={3: 4.0, 5: -1.0})
    scaled = matrix.csr.toarray().astype(float)
    scaled[:, 3] *= 4
    scaled[:, 5] *= -1
    wanted = benchmark.result(scaled @ matrix.head.astype(float))
    assert evaluate(benchmark, matrix, steering).scores == pytest.approx(dict(wanted.scores))


def test_flips_are_exactly_the_decisions_that_changed(tmp_path):
    benchmark, matrix = steered_case(tmp_path)
    steering = Steering(scale={3: 4.0, 5: -1.0})
    before, after = evaluate(benchmark, matrix), evaluate(benchmark, matrix, steering)
    found = compare(before, after, resamples=50)
    one, two = matrix.rewards, steering.rewards(matrix)
    wanted = {
        i
        for i, (c, r) in enumerate(zip(benchmark.chosen, benchmark.rejected, strict=True))
        if (one[c] > one[r]) != (two[c] > two[r])
    }
    assert set(found.flips["item"]) == wanted
    assert len(wanted) >= 2
    for _, flip in found.flips.iterrows():
        assert flip["margin_after"] == pytest.approx(float(two[flip["right"]]) - float(two[flip["wrong"]]))
        assert (flip["direction"] == "won") == (flip["margin_after"] > 0)
        assert benchmark.conversations[flip["right"]].answer == f"a{flip['item']}"
    won, lost = ((found.flips["direction"] == way).sum() for way in ("won", "lost"))
    total = found.scores.set_index("score").loc["total"]
    assert total["change"] == pytest.approx((won - lost) / 30)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("value", [5.0, 1e12])
def test_an_offset_flips_nothing(tmp_path, value):
    benchmark, matrix = steered_case(tmp_path)
    steering = Steering(offset={2: value})
    after = evaluate(benchmark, matrix, steering)
    found = compare(evaluate(benchmark, matrix), after, fewest_prompts=1)
    assert found.flips.empty
    assert (found.scores[["change", "low", "high"]] == 0).all(axis=None)
    report = evaluation_report(
        benchmark, matrix, steering, complement=Complement(matrix, np.array([[0, 1], [2, 3]]))
    )
    for moved in (report["collateral"], report["complement"]["collateral"]):
        assert moved["moved"] == len(matrix) and moved["pairs"] and moved["flipped"] == 0


def test_the_interval_is_that_of_redrawn_prompts(tmp_path):
    """The stated generator, replayed prompt by prompt over the rows themselves."""
    benchmark, matrix = steered_case(tmp_path)
    after = evaluate(benchmark, matrix, Steering(scale={3: 4.0, 5: -1.0}))
    before = evaluate(benchmark, matrix)
    found = compare(before, after, resamples=40, seed=5, fewest_prompts=1).scores.set_index("score")
    picks = np.random.default_rng([5, 0]).integers(0, 10, (40, 10))
    one, two = before.decisions.credit, after.decisions.credit
    for name, subset in (("total", None), ("x", "x")):
        changes = []
        for draw in picks:
            rows = [i for p in draw for i in range(30) if i % 10 == p and subset in (None, "xy"[i % 2])]
            if rows:
                changes.append(mean(two[i] for i in rows) - mean(one[i] for i in rows))
        wanted = np.quantile(changes, [0.025, 0.975])
        assert (found.loc[name, "low"], found.loc[name, "high"]) == pytest.approx(tuple(wanted))


def test_blocks_do_not_change_the_interval(tmp_path, monkeypatch):
    benchmark, matrix = steered_case(tmp_path)
    results = evaluate(benchmark, matrix), evaluate(benchmark, matrix, Steering(scale={3: 4.0}))
    whole = compare(*results, resamples=30).scores
    monkeypatch.setattr("sarm_core.bootstrap.BLOCK_BYTES", 16 * 10 * 4)
    assert compare(*results, resamples=30).scores.equals(whole)


def test_composite_scores_are_redrawn_as_a_whole(tmp_path):
    """With one prompt a domain every draw is the same, so every interval is the value itself."""
    benchmark = load_benchmark("rm-bench", write(tmp_path, rm_rows(POOLS)))
    rng = np.random.default_rng(0)
    before, after = (benchmark.result(rng.normal(size=30)) for _ in range(2))
    scores = compare(before, after, resamples=20, fewest_prompts=1).scores
    for name in ("change", "before", "after"):
        prefix = "" if name == "change" else f"{name}_"
        assert scores[f"{prefix}low"].to_numpy() == pytest.approx(scores[name].to_numpy())
        assert scores[f"{prefix}high"].to_numpy() == pytest.approx(scores[name].to_numpy())


def pairs_of(tmp_path, prompts):
    """As many pairs as `prompts` says for each subset, all of them won by feature 1 alone."""
    rows = [
        {"prompt": f"{name} {i}", "chosen": f"{name} good {i}", "rejected": f"{name} bad {i}", "subset": name}
        for name, n in prompts.items()
        for i in range(n)
    ]
    benchmark = load_benchmark("pairs", write(tmp_path, rows))
    z = np.zeros((len(benchmark.conversations), 2), np.float32)
    z[benchmark.chosen, 1] = 1
    return benchmark, FeatureMatrix(sparse.csr_matrix(z), np.array([1, -1], np.float32))


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_below_ten_prompts_a_score_has_no_interval_and_no_verdict_anywhere(n, tmp_path):
    benchmark, matrix = pairs_of(tmp_path, {"large": 40, "tiny": n})
    report = evaluation_report(benchmark, matrix, Steering(scale={1: -1.0}), resamples=200)
    json.dumps(report, allow_nan=False)
    assert report["prompts"] == {"total": 40 + n, "large": 40, "tiny": n}
    tiny, large = report["change"]["tiny"], report["change"]["large"]
    assert tiny["change"] == large["change"] == 1 and (large["low"], large["high"]) == (1, 1)
    few = n < 10
    assert (tiny["low"], tiny["high"]) == ((None, None) if few else (1, 1))
    assert report["intervals_steered"]["tiny"] == ([None, None] if few else [1, 1])
    assert report["curve"]["scores"]["tiny"]["low"][-1] == (None if few else 1)
    assert judged(report, "tiny") == ("few" if few else "better") and judged(report, "large") == "better"
    old = {key: value for key, value in report.items() if key != "prompts"} | {
        "change": {**report["change"], "tiny": {**tiny, "low": 1.0, "high": 1.0}}
    }
    assert judged(old, "tiny") == ("few" if few else "better"), "also in a file of an earlier version"


def test_a_mean_over_parts_has_no_interval_when_one_part_has_few_prompts(tmp_path):
    rows = rm_rows(["chat"] * 12 + ["math"] * 3)
    benchmark = load_benchmark("rm-bench", write(tmp_path, rows))
    rng = np.random.default_rng(0)
    before, after = (benchmark.result(rng.normal(size=len(benchmark.conversations))) for _ in range(2))
    found = compare(before, after, resamples=50).scores.set_index("score")
    assert dict(found["prompts"][["chat", "math", "total"]]) == {"chat": 12, "math": 3, "total": 3}
    assert found["low"].notna()["chat"] and found["low"].isna()[["math", "total"]].all()


def test_results_of_different_benchmarks_do_not_compare(tmp_path):
    path = write(tmp_path, [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    one, two = (load_benchmark("pairs", path).result([1.0, 0.0]) for _ in range(2))
    with pytest.raises(SarmError, match="different benchmarks"):
        compare(one, two)


# -- collateral ------------------------------------------------------------------------------------------


@given(
    values=st.lists(st.tuples(REWARD, REWARD), min_size=2, max_size=8),
    picks=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=8),
)
def test_collateral_equals_plain_loops(values, picks):
    before, after = [v[0] for v in values], [v[1] for v in values]
    pairs = [(a % len(values), b % len(values)) for a, b in picks]
    found = collateral(before, after, pairs)
    known = [not math.isnan(b) and not math.isnan(a) for b, a in values]
    assert found.n_moved == sum(ok and b != a for ok, (b, a) in zip(known, values, strict=True))
    assert found.n_nan == len(values) - sum(known)

    def order(rewards, a, b):
        return (rewards[a] > rewards[b]) - (rewards[a] < rewards[b])

    flips = [
        position
        for position, (a, b) in enumerate(pairs)
        if known[a] and known[b] and order(before, a, b) != order(after, a, b)
    ]
    assert found.flipped.tolist() == flips
    assert found.n_pairs_nan == sum(not (known[a] and known[b]) for a, b in pairs)
    json.dumps(found.to_dict(), allow_nan=False)


def test_answers_where_the_feature_is_silent_have_not_moved(tmp_path):
    _, matrix = steered_case(tmp_path)
    found = collateral(matrix.rewards, Steering(scale={3: 1.5}).rewards(matrix))
    assert found.n_moved == matrix.column(3)[0].size
    assert 0 < found.share_moved < 1


@pytest.mark.slow
@given(values=st.lists(st.tuples(REWARD, REWARD), max_size=8))
def test_a_distribution_counts_every_known_reward_once(values):
    before, after = [v[0] for v in values], [v[1] for v in values]
    found = distribution(before, after, bins=5)
    for counts, summary, rewards in (
        (found.counts_before, found.before, before),
        (found.counts_after, found.after, after),
    ):
        known = [r for r in rewards if not math.isnan(r)]
        assert counts.sum() == summary.n == len(known)
        assert summary.n_nan == len(rewards) - len(known)
        assert summary.mean == pytest.approx(mean(known), nan_ok=True)


# -- strength --------------------------------------------------------------------------------------------


@given(st.floats(-2, 3), st.floats(-2, 3), st.floats(0, 2))
@settings(max_examples=25, deadline=None)
def test_strength_moves_rewards_in_a_straight_line_from_plain_to_steered(one, two, strength):
    rng = np.random.default_rng(0)
    z = sparse.random(12, 6, 0.5, format="csr", random_state=1, dtype=np.float32)
    matrix = FeatureMatrix(z, rng.normal(size=6).astype(np.float32))
    steering = Steering(scale={1: one, 3: two}, groups={"g": Group((3, 4), 0.5)}, offset={0: 1.5})
    plain, steered = matrix.exact_rewards, steering.rewards(matrix)
    found = at_strength(steering, strength).rewards(matrix)
    np.testing.assert_allclose(found, plain + strength * (steered - plain), atol=1e-4)


def test_strength_curve_is_the_plain_score_at_0_and_the_steered_one_at_1(tmp_path):
    rows = [
        {"chosen_input_ids": [i], "rejected_input_ids": [i + 50], "subset": "ab"[i % 2]} for i in range(10)
    ]
    benchmark = load_benchmark("pairs", write(tmp_path, rows))
    z = sparse.random(20, 6, 0.5, format="csr", random_state=2, dtype=np.float32)
    matrix = FeatureMatrix(z, np.random.default_rng(0).normal(size=6).astype(np.float32))
    steering = Steering(scale={0: -1.0, 2: 0.0})
    curve = strength_curve(benchmark, matrix, steering, [0.0, 1.0])
    for strength, result in (
        (0.0, evaluate(benchmark, matrix)),
        (1.0, evaluate(benchmark, matrix, steering)),
    ):
        part = curve[curve["strength"] == strength]
        assert dict(zip(part["score"], part["value"], strict=True)) == dict(result.scores)
    with pytest.raises(SarmError, match="no strength"):
        strength_curve(benchmark, matrix, Steering(set={1: 2.0}), [1.0])


def test_subsets_that_call_themselves_after_the_total_keep_their_own_scores_and_it_is_said(tmp_path):
    rows = [
        {"prompt": name, "chosen": f"a {i}", "rejected": f"b {i}", "subset": name}
        for i, name in enumerate(["total", "subset total", "subset total", "a/b>c"])
    ]
    benchmark = load_benchmark("pairs", write(tmp_path, rows))
    rewards = np.zeros(len(benchmark.conversations))
    rewards[benchmark.chosen[[1, 2]]] = 1
    result = benchmark.result(rewards)
    assert dict(result.scores) == {
        "total": 0.5,
        "subset subset total": 0.0,
        "subset total": 1.0,
        "a/b>c": 0.0,
    }
    assert any('"subset subset total"' in note for note in result.notes)
    assert "a/b>c" in headline_scores(result.to_dict())


def test_rows_that_say_only_safety_keep_their_scores_beside_the_named_pools(tmp_path):
    benchmark = load_benchmark(
        "rm-bench", write(tmp_path, rm_rows(["safety"] * 3 + ["safety-refuse"] * 2 + ["chat"]))
    )
    rewards = np.zeros(len(benchmark.conversations))
    rewards[benchmark.right[:3].ravel()] = 1  # the plain safety rows are won, all others are ties, so lost
    result = benchmark.result(rewards)
    assert result.scores["safety-unnamed"] == 1 and result.scores["safety-refuse"] == 0
    assert result.scores["safety"] == result.scores["safety/hard"] == 0.5
    assert result.counts()["safety-unnamed/hard"] == 9 and result.counts()["safety/hard"] == 15
    assert any("3 rows say only" in note for note in result.notes)
    alone = load_benchmark("rm-bench", write(tmp_path, rm_rows(["safety"] * 3), "alone.jsonl"))
    assert "safety-unnamed" not in alone.result(np.zeros(len(alone.conversations))).scores


def test_answers_to_one_prompt_are_paired_with_the_next_hundred_and_texts_without_a_prompt_with_none():
    def answer(prompt, text):
        return conversation_of({"prompt": prompt, "response": text})

    conversations = [answer(f"q {i % 2}", f"a {i}") for i in range(7)]
    conversations.append(Conversation(messages=(Message("assistant", "a text"),)))
    conversations += [conversations[-1], conversation_of({"input_ids": [1, 2]})]
    wanted = {(i, j) for j in range(7) for i in range(j) if i % 2 == j % 2}
    found = [tuple(pair) for pair in prompt_pairs(conversations).tolist()]
    assert set(found) == wanted and len(found) == len(wanted)
    many = prompt_pairs([answer("q", f"a {i}") for i in range(300)])
    assert len(many) == sum(min(100, 299 - i) for i in range(300))
    assert (many[:, 1] - many[:, 0]).max() == 100
