"""Which words?: the text is escaped and shaded by a stated scale, and the page shows what the engine computes."""

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.explain.occlusion_view import _agreement_lines, occlusion_html
from app.session.engine import default_choice, load_engine
from sarm_core.explain.occlusion import Agreement, occlude
from sarm_core.steering import Steering
from sarm_core.text.rows import Conversation, Message
from tests.app.conftest import Run

EVIL = (
    'Say <script>alert("1")</script>. It is & stays\' "quoted". <b title="x">Bold</b> here.\n  - a `point`\n'
)


@pytest.fixture
def scorer(app_env):
    return load_engine(default_choice()).scorer


def said(answer):
    return Conversation(messages=(Message("user", "Why?"), Message("assistant", answer)))


def shown_text(markup):
    """What a browser shows, without the numbers."""
    import html as parser

    body = markup.split("</style>", 1)[1]
    return parser.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<sup>\d+</sup>", "", body)))


def test_text_and_tooltips_are_escaped_and_nothing_is_lost(scorer):
    found = occlude(scorer, said(EVIL))
    change = found.reward_change
    markup = occlusion_html(found, change, float(np.abs(change).max()), '<i "x">', numbered=True)
    assert shown_text(markup) == EVIL
    assert "<script" not in markup and "<b" not in markup and "<i" not in markup
    tags = re.findall(r"<[^>]*>", markup.split("</style>", 1)[1])
    assert {re.sub(r'"[^"]*"', '""', tag) for tag in tags} <= {
        '<div class="">', '<span style="" title="">', "</span>", "<sup>", "</sup>", "</div>",
    }  # fmt: skip
    assert len(re.findall("<sup>", markup)) == len(found)


def test_full_colour_is_the_stated_scale_and_the_sign_is_the_colour(scorer):
    found = occlude(scorer, said("One is here. Two is here. Three is here. Four."), most_spans=3)
    change = np.array([np.nan, -0.5, 0.25, 0.0])
    markup = occlusion_html(found, change, 0.5, "reward", numbered=False)
    colours = re.findall(r"rgba\(([\d, ]+), ([\d.]+)\)", markup)
    assert [float(alpha) for _, alpha in colours] == pytest.approx([0.62, 0.31, 0.0])
    assert colours[0][0] != colours[1][0]
    assert markup.count('class="left-out"') == 1 and "not dropped" in markup
    assert "<sup>" not in markup
    assert "rgba" in occlusion_html(found, np.zeros(4), 0.0, "reward", numbered=False)


def pressed(test: AppTest) -> AppTest:
    next(b for b in test.button if b.key == "occlusion_go").click().run()
    assert not test.exception and not test.error
    return test


def frame(test: AppTest):
    (table,) = [part.value for part in test.dataframe if "reward_change" in part.value.columns]
    return table


@pytest.mark.slow
def test_the_page_shows_each_sentence_under_the_steering_and_the_model_runs_once(
    run_page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = run_page("explain.py")
    assert any(":orange-badge[estimated]" in part.value for part in test.caption)
    assert not [part for part in test.dataframe if "reward_change" in part.value.columns]
    pressed(test)
    scorer = load_engine(default_choice()).scorer
    now = test.session_state["comparison"]
    feature = test.selectbox("traced").value
    found = occlude(scorer, now.conversations()[0])
    table = frame(test)
    np.testing.assert_allclose(table["reward_change"], found.reward_change, atol=1e-5)
    np.testing.assert_allclose(table["z_change"], found.activation_change(feature), atol=1e-5)
    words = next(part.value for part in test.markdown if "with w z along the piece" in part.value)
    for agreement in (found.agreement(), found.agreement(feature), found.agreement(feature, by="max")):
        assert str(agreement).replace("-", "−") in words
    assert any("Do not read one for the other" in part.value for part in test.caption)

    def refuse(*_, **__):
        raise AssertionError("the model ran")

    monkeypatch.setattr("app.explain.occlusion_view.occlude", refuse)
    steering = Steering(scale={feature: -3.0})
    test.session_state["steering_state"].change(steering)
    test.run()
    assert not test.exception and not test.error
    steered = found.steered(steering)
    np.testing.assert_allclose(frame(test)["reward_change"], steered.reward_change, atol=1e-5)
    np.testing.assert_allclose(frame(test)["z_sum"], -3 * found.activation_sum(feature), atol=1e-4)
    other = next(i for i in test.selectbox("traced").options if not i.startswith(f"#{feature}"))
    test.selectbox("traced").set_value(int(re.match(r"#(\d+)", other)[1])).run()  # type: ignore[index]
    assert not test.exception
    assert len(frame(test)) == len(found)


@pytest.mark.slow
def test_lines_and_groups_of_words_are_other_pieces(run_page: Run) -> None:
    test = run_page("explain.py")
    for piece, unit in (("words", "words"), ("line", "lines")):
        (group,) = [part for part in test.button_group if part.key == "occlusion_unit"]
        group.set_value(piece).run()
        if unit == "words":
            test.number_input(key="occlusion_words").set_value(9).run()
        pressed(test)
        scorer = load_engine(default_choice()).scorer
        found = occlude(scorer, test.session_state["comparison"].conversations()[0], unit=unit, words=9)
        assert len(frame(test)) == len(found)
    assert not any(b.key == "occlusion_go" for b in test.button)


def test_what_is_undefined_is_said_once() -> None:
    none = Agreement(float("nan"), 3, "attribution is the same for all")
    lines = _agreement_lines([("reward", Agreement(-0.5, 4)), ("sum", none), ("largest", none)])
    assert lines == [
        "- reward: **−0.50 (n = 4)**",
        "- sum; largest: undefined (n = 3: attribution is the same for all)",
    ]
