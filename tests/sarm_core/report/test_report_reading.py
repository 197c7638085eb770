"""The files that a report is made of: whatever is wrong with one is one line."""

import copy
import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.errors import SarmError
from sarm_core.report.html_report import (
    Evidence,
    html_report,
    read_contrast,
    read_evaluation,
)
from tests.sarm_core.evaluations import (
    evaluation,
    pairs,
)
from tests.sarm_core.html_page import Page
from tests.sarm_core.report.test_report import ELEMENTS, evidence_of

# -- reading -----------------------------------------------------------------------------------------------


@functools.cache
def sound():
    return json.dumps(evaluation(pairs(8), resamples=5))


def broken(**changes):
    data = json.loads(sound())
    for path, value in changes.items():
        place = data
        *parents, last = path.split("__")
        for part in parents:
            place = place[int(part)] if part.isdigit() else place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not a readable JSON"),
        (b"{", "not a readable JSON"),
        (b'{"format": "sarm-evaluation/1", "items": NaN}', "NaN is not JSON"),
        (b"[" * 200_000, "not a readable JSON"),
        (b'{"format": "sarm-evaluation/1", "items": ' + b"9" * 6000 + b"}", "not a readable JSON"),
        (b"[]", "not an evaluation"),
        (b'{"format": "sarm-steering/1"}', "not an evaluation"),
        (b'{"format": "sarm-evaluation/1"}', "benchmark is missing"),
        (broken(scores__total=1e400), "Infinity is not JSON|scores.*number"),
        (broken(scores__total="<script>"), r"scores\['total'\] must be a number or null, not '<script>'"),
        (broken(items=-1), "items must be a whole number"),
        (broken(items=True), "items must be a whole number"),
        (broken(won=10**40), "won must be a whole number from 0, not a very large"),
        (broken(change__total__low=1e40), "number or null"),
        (broken(change__total=...), "'?change'? does not name the same scores"),
        (broken(distribution__edges=[0.0, 0.0]), "ascending"),
        (broken(distribution__before__counts=[1]), "one count for each bin"),
        (broken(curve__strengths=[1.0, 0.0]), "ascending"),
        (broken(curve__scores__total__value=[0.5]), "one value for each strength"),
        (broken(steering={"x": 1}), "not a feature number"),
        (broken(flips={"a": 1}), "flips must be a list"),
        (broken(bootstrap__confidence=1.5), "between 0 and 1"),
        (broken(model=...), "model is missing"),
    ],
)
def test_a_damaged_foreign_or_hostile_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "e.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(SarmError, match=message) as caught:
        html_report(read_evaluation(path))
    assert (
        "\n" not in str(caught.value)
        and str(caught.value).startswith(str(path))
        and len(str(caught.value)) < 400
    )


BASE = json.loads(sound())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


PLACES = sorted(places(BASE), key=str)


@pytest.mark.slow
@settings(max_examples=75)
@given(place=st.sampled_from(PLACES), value=JSON, remove=st.booleans())
def test_any_one_change_to_a_file_gives_a_sound_page_or_one_line(place, value, remove):
    data = copy.deepcopy(BASE)
    if place:
        parent = data
        for key in place[:-1]:
            parent = parent[key]
        if remove:
            del parent[place[-1]]
        else:
            parent[place[-1]] = value
    else:
        data = value
    try:
        body = html_report(data)
    except SarmError as error:
        assert "\n" not in str(error)
    else:
        assert {tag for tag, _ in Page.of(body).elements} <= ELEMENTS


def test_a_contrast_file_is_read_back_and_a_bad_one_is_one_line(tmp_path):
    benchmark = pairs()
    evidence, found, _ = evidence_of(benchmark)
    from sarm_core.find.tables import write_table

    path = tmp_path / "c.csv"
    write_table(found, path)
    assert list(read_contrast(path).rows) == list(evidence.rows)
    lines = path.read_text().splitlines()
    for text, message in (
        ("\n".join(["feature,w", "1,2"]), "no column 's'"),
        (lines[0], "no rows"),
        ("\n".join([*lines, lines[1]]), "is there twice"),
        (
            "\n".join([lines[0], lines[1].replace(lines[1].split(",")[1], "1e999", 1)]),
            "row 2: .*not a usable number",
        ),
        ("\n".join([lines[0], "<script>" + lines[1]]), "row 2: '<script>.*not a feature number"),
        ("\n".join([lines[0], lines[1].replace("false", "maybe")]), "neither true nor false"),
    ):
        path.write_text(text)
        with pytest.raises(SarmError, match=message) as caught:
            read_contrast(path)
        assert "\n" not in str(caught.value)


def test_a_contrast_of_another_model_is_refused():
    benchmark = pairs()
    evidence, _, _ = evidence_of(benchmark)
    rows = [dict(row, w=row["w"] + 0.5) for row in evidence.rows]
    with pytest.raises(SarmError, match="made for another model"):
        html_report(evaluation(benchmark), evidence=Evidence(rows))
