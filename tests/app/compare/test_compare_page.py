"""Compare and steer as a whole page on the embedded model; what needs a browser is in tests/browser."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.session.comparison import corpus, from_corpus
from app.session.engine import default_choice, load_engine
from app.session.session import FIRST_EXAMPLE
from app.session.steering_state import SteeringState
from sarm_core.steering import Steering
from tests.app.demo_pages import Open, address, checked, demo_env, open_page, submit

__all__ = ["demo_env", "open_page"]

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{1}{2}$ **b** [a](http://x) ![](http://x/y) :red[c] `d` \\"


def steering(test: AppTest) -> SteeringState:
    return test.session_state["steering_state"]


def steer(test: AppTest, feature: int, scale: float) -> AppTest:
    """What the sliders' callback does when the mouse is released."""
    steering(test).change(steering(test).current.with_scale(feature, scale))
    return checked(test.run())


def sides(test: AppTest) -> tuple[int, int]:
    return test.session_state["left"], test.session_state["right"]


def texts(test: AppTest) -> list[str]:
    return [answer.text for answer in test.session_state["comparison"].answers]


def paste(test: AppTest, prompt: str, answers: str) -> AppTest:
    test.text_area("paste_prompt").set_value(prompt)
    test.text_area("paste_answers").set_value(answers)
    return submit(test, "paste", "Compare")


@pytest.mark.slow
def test_a_first_visit_shows_an_example_with_sliders_and_what_decides(open_page: Open) -> None:
    test = open_page("compare.py")
    assert texts(test) == [answer.text for answer in from_corpus(FIRST_EXAMPLE).answers]
    assert 1 <= len(steering(test).panel) <= 4
    assert any(" is above " in part.value for part in test.markdown)
    assert any("sum to the margin" in part.value for part in test.caption)
    assert address(test)["a"] == f"example:{FIRST_EXAMPLE}"
    assert not test.error and not test.warning


@pytest.mark.slow
def test_the_sides_and_the_threshold_stay_when_a_slider_is_released(open_page: Open) -> None:
    test = open_page("compare.py")
    test.selectbox("right").set_value(2).run()
    test.slider("at_least").set_value(35).run()
    chosen = sides(test)
    for scale in (-3.0, 0.0, 5.0):
        test = steer(test, steering(test).panel[0], scale)
        assert sides(test) == chosen
        assert test.slider("at_least").value == 35


@pytest.mark.slow
def test_a_link_opens_the_same_answers_panel_steering_and_choices(open_page: Open) -> None:
    first = open_page("compare.py")
    first = paste(first, "Which is it?", "It is the first.\n---\nIt is the second, of course.\n---\nNeither.")
    steering(first).add([7])
    first = steer(first, 7, 0.25)
    first.selectbox("left").set_value(1).run()
    first.selectbox("right").set_value(2).run()
    first.slider("at_least").set_value(20).run()
    second = open_page("compare.py", **address(first))
    assert second.session_state["comparison"] == first.session_state["comparison"]
    assert steering(second).panel == steering(first).panel
    assert steering(second).current == steering(first).current == Steering(scale={7: 0.25})
    assert sides(second) == (1, 2)
    assert second.slider("at_least").value == 20
    assert address(second) == address(first)
    assert not steering(second).can_undo


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"a": "example:no-such"}, "no such example"),
        ({"a": "zzzzzzzzzz"}, "session is not in this store"),
        ({"s": '{"panel": [1], "steering": {"1": ["*", 2'}, "cannot be read"),
        ({"s": '{"panel": [999999], "steering": {}}'}, "another model"),
        ({"s": '{"panel": [1], "steering": {"1": ["*", 2.0]}}', "m": "00000000"}, "another model"),
        ({"a": f"example:{FIRST_EXAMPLE}", "l": "77", "r": "-1", "t": "9999", "u": "<b>"}, ""),
        ({"l": "²", "t": "1e9", "e": "999999999999999999"}, ""),
    ],
)
def test_a_link_that_cannot_be_opened_says_why_and_still_shows_a_page(
    open_page: Open, query: dict[str, str], says: str
) -> None:
    test = open_page("compare.py", **query)
    said = [part.value for part in test.warning]
    assert len(said) == bool(says)
    assert all(says.replace("'", "") in text.replace("\\", "").replace("'", "") for text in said)
    assert any(" is above " in part.value for part in test.markdown)
    assert not steering(test).current


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "answers", "says"),
    [
        ("", "a\n---\nb", "prompt is empty"),
        ("q", "\n---\n", "no answer"),
        ("q", "\n---\n".join("abcdefghij" * 6), ""),
    ],
)
def test_a_paste_that_cannot_be_used_says_why_and_keeps_the_page(
    open_page: Open, prompt: str, answers: str, says: str
) -> None:
    test = open_page("compare.py")
    before = texts(test)
    if not says:
        answers = "\n---\n".join(map(str, range(51)))
        says = "51 answers"
    test = paste(test, prompt, answers)
    assert says in test.error[0].value.replace("\\", "")
    assert texts(test) == before
    assert test.text_area("paste_answers").value == answers
    test = paste(test, "q", "good\n---\nbetter")
    assert texts(test) == ["good", "better"]
    assert not test.error


@pytest.mark.slow
def test_one_answer_alone_is_scored_and_asks_for_a_second(open_page: Open) -> None:
    test = paste(open_page("compare.py"), "q", "only one")
    assert texts(test) == ["only one"]
    assert any("second answer" in part.value for part in test.info)


@pytest.mark.slow
def test_hostile_text_reaches_no_markdown(open_page: Open) -> None:
    test = paste(open_page("compare.py"), HOSTILE, f"{HOSTILE} one\n---\n{HOSTILE} two")
    assert texts(test) == [f"{HOSTILE} one", f"{HOSTILE} two"]
    for part in [*test.markdown, *test.caption, *test.error, *test.warning]:
        assert "onerror" not in part.value or "\\<img" in part.value
    assert any(part.value == HOSTILE for part in test.text)


@pytest.mark.slow
def test_sliders_follow_the_answers_but_for_those_that_steer(open_page: Open) -> None:
    test = open_page("compare.py")
    first = list(steering(test).panel)
    test.selectbox("example").set_value(list(corpus())[40]).run()
    assert steering(checked(test)).panel != first
    kept = list(steering(test).panel)
    test = steer(test, kept[0], 2.0)
    test.selectbox("example").set_value(list(corpus())[20]).run()
    assert steering(checked(test)).panel[0] == kept[0], "what steers stays"
    assert steering(test).panel != kept and len(steering(test).panel) == 4, "the others follow"
    reloaded = open_page("compare.py", **address(test))
    test.selectbox("example").set_value(list(corpus())[30]).run()
    reloaded.selectbox("example").set_value(list(corpus())[30]).run()
    assert steering(checked(reloaded)).panel == steering(checked(test)).panel, (
        "a reload makes no slider stale"
    )


@pytest.mark.slow
def test_the_sliders_that_decide_here_replace_those_that_steer_nothing(open_page: Open) -> None:
    test = open_page("compare.py")
    deciding = list(steering(test).panel)
    silent = next(i for i in range(4608) if i not in deciding)
    for i in deciding:
        steering(test).remove(i)
    steering(test).add([silent, 7])
    test = steer(test, 7, 0.5)
    test.selectbox("example").set_value(list(corpus())[20]).run()
    assert steering(checked(test)).panel == [silent, 7], "sliders of one's own stay"
    test.button("decide_here").click().run()
    here = steering(checked(test)).panel
    assert here[0] == 7 and silent not in here and len(here) == 5
    fresh = open_page("compare.py", a=f"example:{list(corpus())[20]}")
    assert here[1:] == [i for i in steering(fresh).panel if i != 7]


@pytest.mark.slow
def test_a_feature_is_added_from_the_search_or_by_its_number_and_a_wrong_one_is_refused(
    open_page: Open,
) -> None:
    test = open_page("compare.py")
    before = list(steering(test).panel)
    offered = [int(option.split()[0][1:]) for option in test.multiselect("add_search").options]
    assert not set(offered) & set(before)
    test.multiselect("add_search").set_value([offered[0]]).run()
    assert steering(checked(test)).panel == [*before, offered[0]]
    assert test.multiselect("add_search").value == []
    silent = next(i for i in range(4608) if i not in offered and i not in before)
    for typed in (f"#{silent}", "4608", "-1", "refusal"):
        test.multiselect("add_search").set_value([typed]).run()
        assert len(checked(test).warning) == (typed[0] != "#")
    assert steering(test).panel == [*before, offered[0], silent]


@pytest.mark.slow
def test_a_group_is_made_from_the_panel_and_a_nameless_one_refused(open_page: Open) -> None:
    test = open_page("compare.py")
    panel = list(steering(test).panel)
    test = submit(test, "group", "Make group")
    assert "needs a name" in test.error[0].value
    test.text_input("group_name_0").set_value(HOSTILE[:40])
    test.multiselect("group_members_0").set_value(panel[:2])
    test = submit(test, "group", "Make group")
    groups = steering(test).current.groups
    assert [set(group.features) for group in groups.values()] == [set(panel[:2])]
    assert not test.error


@pytest.mark.slow
def test_the_store_may_be_taken_away_while_the_page_is_open(open_page: Open, demo_env: Path) -> None:
    test = open_page("compare.py")
    for path in demo_env.iterdir():
        path.unlink()
    test = paste(test, "q", "one\n---\nthe other one")
    assert texts(test) == ["one", "the other one"]
    assert list(demo_env.glob("*.db"))


@pytest.mark.slow
def test_the_page_says_where_the_model_missing_is_to_be_chosen(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SARM_MODEL", str(tmp_path / "gone*away"))
    test = open_page("compare.py")
    assert len(test.error) == 1
    assert "gone" in test.error[0].value
    assert not any(" is above " in part.value for part in test.markdown)


@pytest.mark.slow
def test_both_texts_stand_beside_each_other_shaded_by_the_feature_that_decides(open_page: Open) -> None:
    closed = open_page("compare.py")
    assert not token_texts(closed)
    test = open_page("compare.py", a=f"example:{FIRST_EXAMPLE}", l="1", r="3", v="Texts side by side")
    left, right = sides(test)
    decisive = int(test.dataframe[0].value["feature"].iloc[0])
    assert test.session_state["shaded"] == decisive
    drawn = [html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "", text)) for text in token_texts(test)]
    for shown, side in zip(drawn, (left, right), strict=True):
        assert texts(test)[side] in shown.replace("↵\n", "\n")
    engine = load_engine(default_choice())
    scored = engine.score("sides", test.session_state["comparison"].conversations())
    for text, side in zip(token_texts(test), (left, right), strict=True):
        z = dict(zip(*(part.tolist() for part in scored.matrix.activations(side)), strict=True))
        framed = re.search(r'class="scored"[^>]*title="z = ([^"]+)"', text)
        assert float(framed[1]) == pytest.approx(z.get(decisive, 0.0), abs=2e-3)  # type: ignore[index]
    other = int(test.dataframe[0].value["feature"].iloc[2])
    test = checked(test.selectbox("shaded").set_value(other).run())
    assert address(test)["h"] == str(other)


@pytest.mark.slow
def test_a_feature_or_view_that_a_link_makes_up_is_left_aside(open_page: Open) -> None:
    test = open_page("compare.py", a=f"example:{FIRST_EXAMPLE}", h="99999", v="<b>Nothing</b>")
    assert address(test)["v"] == "Bars"
    test = open_page("compare.py", a=f"example:{FIRST_EXAMPLE}", h="99999", v="Texts side by side")
    assert test.session_state["shaded"] == int(test.dataframe[0].value["feature"].iloc[0])


def token_texts(test: AppTest) -> list[str]:
    """HTML of the token views on the page."""
    bodies = (str(getattr(part.proto, "body", "")) for part in test.get("html"))
    return [body for body in bodies if "sarm-tokens" in body]


@pytest.mark.slow
def test_answers_that_were_left_out_are_told_once_above_those_that_are_there(open_page: Open) -> None:
    test = paste(open_page("compare.py"), "q", "one\n---\n\n---\nthe other one\n---\none")
    assert texts(test) == ["one", "the other one"]
    assert [part.value for part in test.info if "1 empty and 1 repeated answers were left out" in part.value]
    assert not [part.value for part in checked(test.run()).info if "left out" in part.value]


@pytest.mark.slow
def test_a_steering_file_dropped_among_the_answers_is_sent_to_its_place(open_page: Open) -> None:
    test = open_page("compare.py")
    steering_file = Steering(scale={3: 2.0}).to_json().encode()
    test = checked(test.file_uploader("upload_0").upload("mine.json", steering_file).run())
    assert "a steering" in test.error[0].value and "Load" in test.error[0].value
    test = checked(test.file_uploader("upload_0").upload("wrong.json", b'{"prompt": "p"}').run())
    assert "row 1" in test.error[0].value and "Load" not in test.error[0].value


@pytest.mark.slow
def test_a_file_of_foreign_columns_is_asked_for_and_gives_the_rewards_of_known_ones(open_page: Open) -> None:
    rows = [
        ("Is it safe?", "Yes, if the room is aired.", "No! Never.", "Be brief.", "7"),
        ("Is it safe?", "Ask a doctor, please.", "No idea, sorry", "Be brief.", "8"),
    ]

    def table(*names: str) -> bytes:
        with io.StringIO(newline="") as out:
            csv.writer(out).writerows([names, *rows])
            return out.getvalue().encode()

    def rewards(test: AppTest) -> dict[str, float]:
        comparison = test.session_state["comparison"]
        scored = load_engine(default_choice()).scorer.score(comparison.conversations())
        return dict(zip(texts(test), scored.rewards.tolist(), strict=True))

    known = table("prompt", "chosen", "rejected", "system", "nr")
    test = checked(open_page("compare.py").file_uploader("upload_0").upload("known.csv", known).run())
    wanted = rewards(test)
    assert set(wanted) == {text for row in rows for text in row[1:3]}

    foreign = table("frage", "gut", "schlecht", "rolle", "nr")
    test = open_page("compare.py")
    before = texts(test)
    test = checked(test.file_uploader("upload_0").upload("fremd.csv", foreign).run())
    assert texts(test) == before and "nothing to score" in test.error[0].value
    shown = test.selectbox("upload_as_prompt").options
    assert "frage: Is it safe?" in shown and "nr: 7" in shown  # a column with its first value

    test.selectbox("upload_as_prompt").set_value("frage")
    test.selectbox("upload_as_chosen").set_value("schlecht")
    test = submit(test, "upload_columns", "Read with these columns")
    assert texts(test) == before and "rejected" in test.error[0].value  # half a mapping: the form stays

    test.selectbox("upload_as_chosen").set_value("gut")
    test.selectbox("upload_as_rejected").set_value("schlecht")
    test.selectbox("upload_as_system").set_value("rolle")
    test = submit(test, "upload_columns", "Read with these columns")
    assert not test.error and not [box for box in test.selectbox if box.key == "upload_as_prompt"]
    assert rewards(test) == pytest.approx(wanted, abs=1e-5)

    without = open_page("compare.py")
    without = checked(without.file_uploader("upload_0").upload("fremd.csv", foreign).run())
    for part, column in {"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}.items():
        without.selectbox(f"upload_as_{part}").set_value(column)
    without = submit(without, "upload_columns", "Read with these columns")
    assert rewards(without) != pytest.approx(wanted, abs=1e-2)  # the system prompt was part of them
