"""A shared comparison travels whole: the file gives back what went in, and refuses what was changed on the way."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sarm_core import load_sarm, to_share
from sarm_core.errors import RowError, SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.share.page import shared_page
from sarm_core.share.script import app_folder, bundle
from sarm_core.share.shared import Shared, SharedAnswer, SharedFeature, is_shared, letters
from sarm_core.steering import Group, Steering
from sarm_core.text.rows import Message
from tests.sarm_core.html_page import Page
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

M = 40
FULL = Steering({3: 0.5}, {5: 2.0}, {7: -1.0}, {"a group": Group((1, 2), 1.5)})
HOSTILE = (
    "</script><script>window.hacked = 1</script><!-- <img src=x onerror='window.hacked=2'> & &lt; \u2028\u2029 "
    "\u202eturned\u2066 \x00\x85 \ufffe 🦆 \\u003c"
)


def shared(n: int = 3, text: str = "an answer", steering: Steering = FULL, seed: int = 0) -> Shared:
    rng = np.random.default_rng(seed)
    dense = rng.normal(0, 2, (n, M)) * (rng.random((n, M)) < 0.3)
    matrix = FeatureMatrix(
        sparse.csr_matrix(dense.astype(np.float32)), rng.normal(0, 0.4, M).astype(np.float32)
    )
    made = Shared(
        (Message("system", text), Message("user", f"Why? {text}")),
        tuple(SharedAnswer(f"{text} {i}", text if i else "") for i in range(n)),
        {"source": "tiny", "name": text, "fingerprint": "f" * 64, "features": M, "dtype": "float32"},
        matrix=matrix,
        n_cut=(0,) * (n - 1) + (4,),
        steering=steering,
        panel=(9, 3),
        compared=(1, 0) if n > 1 else None,
        origin=text,
        made="1 May 2026",
        link="23456789ab",
    )
    return made.with_features(
        {i: SharedFeature(text, "suggested" if i % 2 else "", 0.25) for i in made.named}
    )


def broken(*way, value) -> str:
    """The file with one value changed, or taken away (`...`)."""
    data = json.loads(shared().to_json())
    inside = data
    for key in way[:-1]:
        inside = inside[key]
    if value is ...:
        del inside[way[-1]]
    else:
        inside[way[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize("write", [Shared.to_json, shared_page], ids=["file", "page"])
@pytest.mark.parametrize("text", ["an answer", HOSTILE])
def test_what_is_written_is_read_again(write, text):
    before = shared(text=text)
    written = write(before)
    assert is_shared(written.encode())
    after = Shared.from_json(written)
    for name in ("prompt", "answers", "model", "features", "steering", "panel", "compared", "origin", "link"):
        assert getattr(after, name) == getattr(before, name), name
    assert (after.matrix.csr != before.matrix.csr).nnz == 0
    named = list(before.named)
    assert np.array_equal(after.matrix.head[named], before.matrix.head[named])
    assert after.to_json() == before.to_json()


@pytest.mark.slow
@settings(max_examples=40)
@given(st.text(max_size=60), st.integers(1, 4), st.integers(0, 9))
def test_any_text_travels(text, n, seed):
    before = shared(n, text, seed=seed)
    after = Shared.from_json(before.to_json())
    assert after.answers == before.answers and after.titles() == before.titles()
    assert np.array_equal(after.matrix.exact_rewards, before.matrix.exact_rewards)


def test_texts_alone_have_no_scores():
    after = Shared.from_json(shared().without_scores().to_json())
    assert after.matrix is None and after.sliders == () and len(after.conversations()) == 3
    assert after.conversations()[0].messages[-1] == Message("assistant", "an answer 0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "not a shared comparison"),
        ('{"format": "sarm-comparison/2"}', "is sarm-comparison/2, made by a newer SARM Explorer"),
        ('{"format": "sarm-comparison/0"}', "not a shared comparison"),
        ('{"format": "sarm-evaluation/1"}', "not a shared comparison"),
        (broken("model", value=...), "model is missing"),
        (broken("model", "features", value=10**12), "model.features must be from 1 to"),
        (broken("prompt", 0, "role", value="pope"), "prompt[0].role must be one of"),
        (broken("prompt", value=[]), "prompt must hold a turn"),
        (broken("answers", value=[]), "answers must hold 1 to"),
        (broken("answers", 1, "text", value=3), "answers[1].text must be text, not 3"),
        (broken("answers", 1, "extra", value="[]"), "answers[1].extra must be the JSON of an object"),
        (broken("tools", value="{}"), "tools must be the JSON of a list"),
        (broken("scored", 2, value=...), "scored must have one entry for each of the 3 answers"),
        (broken("scored", 0, "reward", value=7.5), "scored[0].reward is 7.5, but its features sum to"),
        (broken("scored", 0, "activations", 0, value=99.0), "scored[0].reward is"),
        (broken("scored", 0, "activations", 0, value=None), "scored[0].activations[0] must be a number"),
        (broken("scored", 0, "activations", 0, value=1e38), "scored holds a number that no model gives"),
        (broken("scored", 0, "features", 0, value=M), "scored[0].features must ascend"),
        (broken("scored", 0, "features", -1, value=M), f"scored[0].features must be below {M}"),
        (broken("features", 0, value=...), "features does not list feature"),
        (broken("features", 1, "feature", value=1_000), f"features[1].feature must be below {M}"),
        (broken("compared", value=[0, 3]), "compared must name two answers"),
        (broken("panel", value=[M]), f"panel must name features below {M}"),
        (broken("steering", value={"7": ["*", "much"]}), "steering: feature 7"),
        (broken("steering", value={"999": ["*", 0.5]}), "steering: feature 999 does not exist"),
    ],
)
def test_what_was_changed_is_refused_with_its_place(text, said):
    with pytest.raises(SarmError) as refused:
        Shared.from_json(text, "c.json")
    assert str(refused.value).startswith("c.json: ") and said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_half_a_character_and_a_doubled_key_are_refused():
    text = shared().to_json()
    for bad in (text.replace("an answer 0", "\\ud800"), text.replace('"panel":', '"panel":[],"panel":')):
        with pytest.raises(SarmError, match=r"^c\.json: "):
            Shared.from_json(bad, "c.json")


def test_another_steering_needs_the_weights_it_asks_for():
    made = Shared.from_json(shared().to_json())
    assert made.steered(Steering({3: 0.0})).steering == Steering({3: 0.0})
    silent = next(i for i in range(M) if i not in made.named)
    with pytest.raises(SarmError, match=f"feature {silent} is active in none"):
        made.steered(Steering({silent: 0.0}))
    with pytest.raises(SarmError, match="does not exist"):
        made.steered(Steering({M: 0.0}))


def test_letters():
    assert [letters(i) for i in (0, 25, 26, 701)] == ["A", "Z", "AA", "ZZ"]


# -- the page ----------------------------------------------------------------------------------------------


def test_no_text_becomes_part_of_the_page():
    plain, hostile = Page.of(shared_page(shared())), Page.of(shared_page(shared(text=HOSTILE)))
    kinds = [
        [
            (name, sorted(attributes))
            for name, attributes in page.elements
            if name not in ("details", "summary")
        ]
        for page in (plain, hostile)
    ]
    assert kinds[0] == kinds[1], "the same elements with the same attributes, whatever the texts are"
    scripts = [attributes for name, attributes in hostile.elements if name == "script"]
    assert [script.get("id") for script in scripts] == ["sarm-comparison", "sarm-view", "sarm-styles", None]
    assert not [name for name, attributes in hostile.elements for key in attributes if key.startswith("on")]


def test_the_page_forbids_itself_every_request():
    policy = next(
        attributes["content"]
        for name, attributes in Page.of(shared_page(shared())).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_the_same_comparison_gives_the_same_bytes():
    assert shared_page(shared()) == shared_page(copy.deepcopy(shared()))


def test_the_ranking_is_there_without_scripts():
    page = Page.of(shared_page(shared(steering=Steering())))
    (rows,) = (rows for caption, rows in page.tables.items() if caption.startswith("The ranking"))
    rewards = shared().matrix.exact_rewards
    assert [row[1][0] for row in rows[1:]] == [letters(int(i)) for i in np.argsort(-rewards)]


def test_modules_keep_their_own_names(tmp_path):
    (tmp_path / "low.js").write_text("const same = 1;\nexport function one() {\n  return same;\n}\n")
    (tmp_path / "top.js").write_text(
        'import { one } from "./low.js";\nconst same = 2;\n'
        "export default function both() {\n  return one() + same;\n}\n"
    )
    made = bundle(tmp_path / "top.js")
    assert "import " not in made and "export " not in made
    assert made.index("return { one }") < made.index("return { default: both }")
    whole = bundle(app_folder() / "components" / "shared_page" / "page.js")
    assert "import {" not in whole and "export " not in whole


def test_rows_become_what_is_shared(tmp_path):
    sarm = load_sarm(reference_checkpoint(tmp_path / "m", tokenizer=chatml()))
    rows = [{"prompt": "q", "response": text} for text in ("one", "two", "one")]
    made = to_share(sarm, rows, steering=Steering(scale={0: 0.0}), names={0: "<b>"}, made="noon")
    assert [answer.text for answer in made.answers] == ["one", "two"] and made.question == "q"
    assert made.matrix.rewards.tolist() == pytest.approx(sarm.score(rows[:2]).rewards.tolist(), abs=1e-6)
    assert Shared.from_json(made.to_json(), "there").answers == made.answers
    for wrong, message in (
        ([*rows, {"prompt": "other", "response": "x"}], "row 4.*another prompt"),
        ([{"input_ids": [1, 2]}], "row 1.*token ids"),
        ([], "no rows"),
    ):
        with pytest.raises(RowError, match=message):
            to_share(sarm, wrong)
