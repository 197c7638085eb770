"""The HTML report: figures against independent computation, hostile text, odd cases, the same bytes."""

import copy
import html
import re

import numpy as np
import pytest

from sarm_core.errors import SarmError
from sarm_core.find.contrast import contrast
from sarm_core.prove.evaluate import compare, evaluate
from sarm_core.prove.strength import strength_curve
from sarm_core.report.html_report import (
    Curve,
    FeatureNote,
    Series,
    checked_evaluation,
    evidence_from_rows,
    html_report,
)
from sarm_core.steering import Steering
from tests.sarm_core.evaluations import (
    FEATURES,
    FINGERPRINT,
    OFFSET,
    SCALED,
    SET,
    evaluation,
    matrix_for,
    pairs,
    reward_bench2,
    rm_bench,
)
from tests.sarm_core.html_page import Page, number

BENCHMARKS = {"pairs": pairs, "rm-bench": rm_bench, "rewardbench2": reward_bench2}
SECTIONS = (
    "question",
    "verdict",
    "steering",
    "evidence",
    "results",
    "items",
    "moved",
    "caveats",
    "provenance",
)
_ELEMENTS = (
    "html head meta link title style body header nav main section footer article h1 h2 h3 p a b i q small bdi span "
    "div ul li dl dt dd pre code table caption thead tbody tr th td figure figcaption details summary "
    "svg desc line rect circle polygon polyline text"
)
_ATTRIBUTES = (
    "charset http-equiv content name rel href lang class id role aria-label aria-labelledby aria-hidden tabindex "
    "scope dir title xmlns viewbox x y x1 y1 x2 y2 cx cy r width height points text-anchor transform"
)
ELEMENTS, ATTRIBUTES = set(_ELEMENTS.split()), set(_ATTRIBUTES.split())
HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>'</style></title></text></svg>"
    '<a href="javascript:alert(3)">&lt;b&gt; {{x}} ${y} \u202e https://example.com/x.png <!-- ]]> \x00\x07'
)


def evidence_of(benchmark, **about):
    matrix = matrix_for(benchmark)
    sides = matrix.select(benchmark.chosen), matrix.select(benchmark.rejected)
    found = contrast(*sides, resamples=50)
    return evidence_from_rows(found.table.to_dict("records"), **about), found, sides


def page_of(data, **how):
    return Page.of(html_report(data, **how))


# -- figures -----------------------------------------------------------------------------------------------


def test_before_after_and_change_are_the_shares_counted_by_hand():
    benchmark = pairs()
    matrix = matrix_for(benchmark)
    page = page_of(evaluation(benchmark))
    table = page.table("Scores before and after")
    sides = [matrix.rewards, SCALED.rewards(matrix)]
    won = [side[benchmark.chosen] > side[benchmark.rejected] for side in sides]
    subsets = np.array([item.subset for item in benchmark.items])
    for name, rows in (
        ("total", subsets != ""),
        *((s, subsets == s) for s in ("should answer", "should refuse")),
    ):
        before, after = (100 * float(side[rows].mean()) for side in won)
        cells = table[name]
        assert [number(cell) for cell in cells[:5]] == pytest.approx(
            [int(rows.sum()), 30, before, after, after - before], abs=0.051
        )
    assert number(page.table("Change in percentage points")["total"][0]) == number(table["total"][4])
    n_won, n_lost = (int((a & ~b).sum()) for a, b in ((won[1], won[0]), (won[0], won[1])))
    assert n_won + n_lost > 0, "the steering must flip something for this test to say anything"
    assert f"it wins {n_won} and loses {n_lost}" in page.texts["verdict"]
    assert page.texts["items"].count("margin ") == min(10, n_won) + min(10, n_lost)


@pytest.mark.slow
def test_the_features_shares_are_those_of_dense_arithmetic_and_sum_to_the_change_of_the_margin():
    benchmark = pairs()
    matrix = matrix_for(benchmark)
    data = evaluation(benchmark)
    z, w = matrix.csr.toarray().astype(float), matrix.head.astype(float)
    multiplier = {3: 0.0, 7: -1.5, 11: 2.0, 12: 2.0}
    right, wrong = benchmark.chosen, benchmark.rejected
    subsets = np.array([item.subset for item in benchmark.items])
    table = page_of(data).table("What each steered feature adds")
    for feature, m in multiplier.items():
        delta = (m - 1) * w[feature] * (z[right, feature] - z[wrong, feature])
        cells = table[f"#{feature} unlabelled"]
        wanted = [delta.mean(), *(delta[subsets == s].mean() for s in ("should answer", "should refuse"))]
        assert [number(cell) for cell in cells] == pytest.approx(wanted, abs=6e-4)
    sums = page_of(data).table("The features' shares sum")
    before = z @ w
    after = (z * np.array([multiplier.get(i, 1.0) for i in range(FEATURES)])) @ w
    for name, rows in (("all items", subsets != ""), ("should refuse", subsets == "should refuse")):
        margins = [float((side[right] - side[wrong])[rows].mean()) for side in (before, after)]
        shown = [number(cell) for cell in sums[name]]
        assert shown == pytest.approx(
            [rows.sum(), *margins, margins[1] - margins[0], margins[1] - margins[0]], abs=6e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", BENCHMARKS)
def test_the_shares_sum_to_the_margins_in_every_benchmark_and_with_set(kind):
    for steering in (SCALED, SET):
        found = evaluation(BENCHMARKS[kind](), steering)["steered_features"]
        for name, before in found["margins"]["before"].items():
            shares = sum(entry["margin_change"][name] for entry in found["features"])
            assert shares == pytest.approx(found["margins"]["after"][name] - before, abs=1e-5)


@pytest.mark.parametrize("kind", BENCHMARKS)
def test_the_curve_passes_through_the_plain_and_the_steered_score_with_the_intervals_of_compare(kind):
    benchmark = BENCHMARKS[kind]()
    matrix = matrix_for(benchmark)
    compared = compare(
        evaluate(benchmark, matrix), evaluate(benchmark, matrix, SCALED), resamples=60, seed=4
    ).scores.set_index("score")
    curve = strength_curve(benchmark, matrix, SCALED, [0.0, 1.0, 1.7], resamples=60, seed=4)
    plain, steered = (curve[curve["strength"] == t].set_index("score") for t in (0.0, 1.0))
    np.testing.assert_array_equal(steered["value"], compared.loc[steered.index, "after"])
    for ours, theirs in (
        ("low", "after_low"),
        ("high", "after_high"),
        ("change_low", "low"),
        ("change_high", "high"),
    ):
        np.testing.assert_allclose(steered[ours], compared.loc[steered.index, theirs], atol=1e-12)
    np.testing.assert_allclose(plain["low"], compared.loc[plain.index, "before_low"], atol=1e-12)
    assert not plain["change_low"].any() and not plain["change_high"].any()


def test_a_large_benchmark_is_resampled_in_parts_with_the_same_intervals(monkeypatch):
    benchmark = pairs(40)
    matrix = matrix_for(benchmark)
    strengths = [0.0, 0.5, 1.0, 1.5]
    whole = strength_curve(benchmark, matrix, SCALED, strengths, resamples=30)
    monkeypatch.setattr("sarm_core.bootstrap.BLOCK_BYTES", 1)
    parts = strength_curve(benchmark, matrix, SCALED, strengths, resamples=30)
    assert whole.equals(parts)


def test_the_curves_table_has_the_evaluations_values_at_every_strength():
    data = evaluation(pairs())
    rows = page_of(data).table("Scores over the strength")
    strengths = data["curve"]["strengths"]
    assert [number(name) for name in rows] == pytest.approx(strengths)
    for i, cells in enumerate(rows.values()):
        for name, cell in zip(("total", "should answer", "should refuse"), cells, strict=True):
            columns = data["curve"]["scores"][name]
            assert number(cell) == pytest.approx(100 * columns["value"][i], abs=0.051)
            assert number(cell.split("|")[1]) == pytest.approx(100 * columns["low"][i], abs=0.051)


@pytest.mark.slow
def test_rm_benchs_style_matrix_is_the_mean_of_strict_wins():
    benchmark = rm_bench()
    matrix = matrix_for(benchmark)
    table = page_of(evaluation(benchmark)).table("By style")
    before, after = matrix.rewards, SCALED.rewards(matrix)
    pools = np.array([item.subset for item in benchmark.items])
    styles = ("concise", "plain", "markdown")
    for i, right in enumerate(styles):
        for j in range(3):
            means = [
                np.mean(
                    [
                        (
                            side[benchmark.right[pools == pool, i]] > side[benchmark.wrong[pools == pool, j]]
                        ).mean()
                        for pool in ("chat", "safety-refuse")
                    ]
                )
                for side in (before, after)
            ]
            shown = [number(part) for part in table[right][j].split("|")[0].split("→")]
            assert shown == pytest.approx([100 * float(m) for m in means], abs=0.051)


def test_evidence_shows_salience_and_frequency_recomputed_from_dense_arrays():
    benchmark = pairs()
    evidence, _, sides = evidence_of(benchmark, title="good against bad", same_items=True)
    page = page_of(evaluation(benchmark), evidence=evidence)
    table = page.table("Steered features first")
    c, j = (side.csr.toarray().astype(float).sum(0) for side in sides)
    freq = [(side.csr.toarray() != 0).mean(0) for side in sides]
    s = (c - j) / (c + j + (c + j).mean())
    order = np.argsort(-np.abs(s), kind="stable").tolist()
    for feature in SCALED.features():
        cells = table[f"#{feature} unlabelled"]
        assert number(cells[0]) == order.index(feature) + 1
        assert number(cells[1]) == pytest.approx(s[feature], abs=6e-4)
        assert number(cells[2]) == pytest.approx(100 * (freq[0] - freq[1])[feature], abs=0.051)
        assert number(cells[5]) == pytest.approx(float(sides[0].head[feature]), abs=6e-4)
        assert cells[6] == ("opposed" if s[feature] * sides[0].head[feature] < 0 else "agree")
    assert sum("(not steered)" in name for name in table) == 5
    assert "so the gain is optimistic" in page.texts["caveats"]


# -- words -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((0.1, 0.02, 0.2), "it does better"),
        ((-0.1, -0.2, -0.02), "it does worse"),
        ((0.1, -0.02, 0.2), "not told apart from no change"),
        ((0.1, 0.0, 0.2), "not told apart from no change"),
        ((0.1, None, None), "no bootstrap was drawn"),
        ((0.0, 0.0, 0.0), "none of its comparisons came out differently"),
        ((None, None, None), "undefined"),
    ],
)
def test_the_verdict_follows_the_interval(change, words):
    data = evaluation(pairs())
    data["change"]["total"] |= dict(zip(("change", "low", "high"), change, strict=True))
    assert words in page_of(data).texts["verdict"]


@pytest.mark.slow
def test_what_is_missing_or_odd_is_said():
    data = evaluation(rm_bench(), nan=3)
    told = page_of(data).texts["caveats"]
    assert "touch a reward that is not a number" in told and "No rows of math, code" in told
    assert "2 answers were longer than the model reads" in told and "only 20 items" in told
    few = evaluation(pairs(30), resamples=0)
    told = page_of(few).texts["caveats"]
    assert "no change here can be told from chance" in told and "Fewer than 20 values" in told
    assert "an exact tie" in told or "exact ties" in told or few["tied"] == 0


@pytest.mark.slow
def test_items_shown_are_counted():
    data = evaluation(pairs(), Steering(scale=dict.fromkeys(range(FEATURES), -1.0)))
    page = page_of(data, items=3)
    shown = [classes for tag, a in page.elements if tag == "article" and (classes := a["class"])]
    assert len(shown) == min(3, data["won"]) + min(3, data["lost"])
    for direction in ("won", "lost"):
        if data[direction] > 3:
            assert f"the evaluation file has all {data[direction]}" in page.texts["items"]


# -- every case --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", BENCHMARKS)
@pytest.mark.parametrize("steering", [None, SCALED, SET, OFFSET, Steering(), Steering(scale={29: 1.0000001})])
@pytest.mark.parametrize("how", [{}, {"nan": 5}, {"nan": 10_000}, {"complement": False, "resamples": 0}])
def test_every_case_is_a_sound_page_with_its_sections(kind, steering, how):
    data = evaluation(BENCHMARKS[kind](), steering, **{"resamples": 10, **how})
    page = page_of(data)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    wanted = SECTIONS if steering is not None else ("question", "verdict", "results", "caveats", "provenance")
    for name in wanted:
        assert page.texts[name].strip(), name
    everything = " ".join(page.texts.values())
    assert not re.search(r"\b(nan|inf|None(?! of))\b", everything)
    names = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(names) == len(set(names))
    places = {a["href"] for tag, a in page.elements if tag == "a"}
    assert places == {f"#{name}" for name in names if f"{name}-heading" in names}
    for tag, a in page.elements:
        if tag == "svg" and "aria-hidden" not in a:
            assert set((a["aria-labelledby"] or "").split()) <= set(names)


def test_old_evaluations_without_the_new_parts_still_make_a_report():
    data = evaluation(pairs())
    for name in ("curve", "steered_features", "versions", "command", "files", "cut_answers", "complement"):
        del data[name]
    data["model"] = {"source": "tiny", "fingerprint": FINGERPRINT}
    page = page_of(data)
    assert "evaluate again" in page.texts["curve-section"]
    assert "not recorded" in page.texts["provenance"] and "not recorded" in page.texts["caveats"]


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_and_another_time_only_another_line():
    data, notes = evaluation(pairs()), {3: FeatureNote("refusal", "suggested", 0.01, ("a text",))}
    one, two = (html_report(copy.deepcopy(data), notes=notes, time="noon") for _ in range(2))
    assert one == two
    other = html_report(data, notes=notes, time="midnight").splitlines()
    assert sum(a != b for a, b in zip(one.splitlines(), other, strict=True)) == 1


@pytest.mark.slow
def test_own_curves_are_drawn_with_their_numbers_and_a_trade_off():
    x = [0.0, 0.5, 1.0]
    series = [
        Series("should answer", x, [0.2, 0.5, None], [0.1, 0.4, None], [0.3, 0.6, None]),
        Series("should refuse", x, [0.9, 0.8, 0.7]),
        *(Series(f"other {i}", x, [0.1 * i] * 3) for i in range(9)),
    ]
    curve = Curve(
        "Won back and lost",
        series,
        "multiplier",
        "Held out.",
        [(0.5, "half")],
        ("should answer", "should refuse"),
    )
    page = page_of(evaluation(pairs()), curves=[curve])
    rows = page.table("Won back and lost")
    assert list(rows) == ["0", "0.5", "1"] and len(rows["0"]) == 11
    assert rows["1"][0].startswith("undefined") and number(rows["0.5"][1]) == 80.0
    pair = page.table("“should answer” against “should refuse” along the multiplier")
    assert number(pair["0.5"][0]) == 50.0
    with pytest.raises(SarmError, match="has no series 'gone'"):
        html_report(evaluation(pairs()), curves=[Curve("c", series, trade_off=("gone", "should refuse"))])
    with pytest.raises(SarmError, match="no score 'gone'"):
        html_report(evaluation(pairs()), trade_off=("gone", "total"))


# -- hostile text ------------------------------------------------------------------------------------------


def hostile_version(data, text):
    """The evaluation with every free text replaced, names of scores included."""
    names = {name: f"{text} {i}" for i, name in enumerate(data["scores"]) if name != "total"}
    names |= {"all items": "all items"}

    def change(value, key=""):
        if isinstance(value, dict):
            return {
                (names.get(k, k) if key != "features" else k): change(v, k)
                for k, v in value.items()
                if k != "steering"
            }
        if isinstance(value, list):
            return [change(v, key) for v in value]
        if isinstance(value, str) and key not in ("format", "benchmark", "direction", "unit"):
            return text
        return value

    out = change(data)
    out["steering"] = {
        "format": "sarm-steering/1",
        "features": {"3": ["*", 0.0], "7": ["*", -1.5]},
        "groups": {text: {"features": [11, 12], "scale": 2.0}},
    }
    out["versions"] = {text: text}
    return out


def shape(page):
    """Elements and the names of their attributes; on which side of a point a label stands is left out."""
    return [(tag, tuple(sorted(set(a) - {"text-anchor"}))) for tag, a in page.elements]


@pytest.mark.slow
def test_no_text_of_any_field_becomes_markup_an_attribute_or_an_address():
    benchmark = pairs()
    data = evaluation(benchmark)
    pages = []
    for text in ("harmless", HOSTILE):
        evidence, _, _ = evidence_of(
            benchmark, title=text, facts=(text,), file={"name": text, "sha256": text}
        )
        notes = {i: FeatureNote(text, "suggested", 0.5, (text, text)) for i in range(FEATURES)}
        curve = Curve(text, [Series(text, [0, 1], [0.1, 0.2]), Series(f"{text} 2", [0, 1], [0.2, 0.1])], text, text,
                      [(0.0, text)], (text, f"{text} 2"))  # fmt: skip
        body = html_report(
            checked_evaluation(hostile_version(data, text)), question=text, title=text, author=text, time=text,
            evidence=evidence, notes=notes, curves=[curve], commands=[text], sources=[(text, text)],
        )  # fmt: skip
        pages.append((Page.of(body), body))
    (harmless, _), (hostile, body) = pages
    assert shape(hostile) == shape(harmless)
    assert {tag for tag, _ in hostile.elements} <= ELEMENTS
    assert {name for _, a in hostile.elements for name in a} <= ATTRIBUTES
    hrefs = {a["href"] for _, a in hostile.elements if "href" in a}
    assert all(h.startswith("#") for h in hrefs - {"data:,"})
    for tag, a in hostile.elements:
        for name, value in a.items():
            if name not in ("content", "aria-label", "xmlns"):
                assert "example.com" not in (value or "") and "script" not in (value or ""), (tag, name)
    assert body.count("<script") == 0 and "\x00" not in body and "\x07" not in body
    assert html.escape(HOSTILE[:30]) in body, "the text itself must be there, as text"
    body.encode("utf-8")


def test_halves_of_characters_do_not_stop_the_file():
    data = evaluation(pairs())
    data["flips"][0]["prompt"] = "broken \ud800 half"
    assert "broken \ufffd half" in html_report(data, question="\udfff")


def test_an_evaluation_under_the_largest_scale_has_a_report():
    made = evaluation(pairs(), Steering(scale={3: 1e30, 7: -1e30}))
    assert max(abs(edge) for edge in made["distribution"]["edges"]) > 1e30
    assert "<h1" in html_report(checked_evaluation(made))


def test_of_few_prompts_no_verdict_is_given():
    few = html_report(evaluation(pairs(8)))
    assert "Too few prompts to judge" in few and "items like these" not in few
    shown = Page.of(few).table("Scores before and after")
    assert {cells[-1] for cells in shown.values()} == {"few prompts"}
