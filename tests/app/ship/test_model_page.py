"""The model page on the embedded model: facts, and switching without ever losing a working model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.ship.model_card import card_text
from feature_db import Store
from sarm_core.steering import Steering
from tests.app.demo_pages import Open, checked, demo_env, open_page, submit
from tests.sarm_core.tiny_models import CHATML, byte_tokenizer, chatml, reference_checkpoint

__all__ = ["demo_env", "open_page"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model, with a tokenizer, in a folder whose name is Markdown."""
    return reference_checkpoint(
        tmp_path_factory.mktemp("models") / "a_tiny_model_*x*", n_features=64, k=6, tokenizer=chatml()
    )


def switch_to(test: AppTest, source: str) -> AppTest:
    test.text_input("switch_source").set_value(source)
    return submit(test, "switch", "Load")


def shown(test: AppTest) -> dict[str, str]:
    table = test.table[0].value
    return dict(
        zip(table.iloc[:, 0], (str(value).replace("\\", "") for value in table.iloc[:, 1]), strict=True)
    )


@pytest.mark.slow
def test_the_facts_are_the_models_own(open_page: Open, demo_env: Path) -> None:
    test = open_page("model.py")
    facts = shown(test)
    (fingerprint,) = [code.value for code in test.code if re.fullmatch("[0-9a-f]{64}", code.value)]
    assert facts["Source"] == "demo"
    assert Path(facts["Feature store"]) == demo_env / f"{fingerprint[:16]}.db"
    assert Path(facts["Feature store"]).is_file()
    figures = {metric.label: metric.value for metric in test.metric}
    with Store.open(facts["Feature store"]) as store:
        suggested = store.value("SELECT count(DISTINCT feature) FROM suggestions")
        assert store.value("SELECT count(*) FROM current_labels") == 0
    assert figures["Labelled"] == "none" and figures["Suggested"] == f"{suggested / 4608:.1%}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", ["/no/such/folder", "", "  ", "*bold* [x](http://y)", "\x00", ".", "/etc/passwd"]
)
def test_a_wrong_checkpoint_gives_one_line_and_keeps_the_model(open_page: Open, source: str) -> None:
    test = open_page("model.py")
    before = shown(test)
    test = switch_to(test, source)
    assert len(test.error) == 1
    assert "\n" not in test.error[0].value
    assert "Traceback" not in test.error[0].value
    assert shown(checked(test.run())) == before


@pytest.mark.slow
def test_another_model_takes_over_and_what_belonged_to_the_old_one_goes(open_page: Open, tiny: Path) -> None:
    test = open_page("compare.py")
    test.session_state["steering_state"].change(Steering(scale={4000: 0.0}))
    checked(test.run())
    answers = test.session_state["comparison"]
    test.switch_page("app_pages/model.py")
    test = switch_to(checked(test.run()), str(tiny))
    assert shown(test)["Source"] == str(tiny)
    assert "Now using" in test.success[0].value
    test.switch_page("app_pages/compare.py")
    test = checked(test.run())
    assert test.session_state["comparison"] == answers
    state = test.session_state["steering_state"]
    assert not state.current
    assert all(i < 64 for i in state.panel)
    assert not test.error


@pytest.mark.slow
def test_a_model_that_reads_no_text_says_so_on_the_compare_page(open_page: Open, tmp_path: Path) -> None:
    wordless = reference_checkpoint(tmp_path / "wordless", n_features=64, k=6)
    test = switch_to(open_page("model.py"), str(wordless))
    assert shown(test)["Reads text"].startswith("no")
    test.switch_page("app_pages/compare.py")
    test = checked(test.run())
    assert len(test.error) == 1
    assert "tokenizer" in test.error[0].value


def read_of(test: AppTest) -> tuple[list[str], str, list[str]]:
    """The default system prompt, the text of the tokens beside it, and which part each belongs to."""
    table = next(frame.value for frame in test.dataframe if "Token" in frame.value)
    assert table["Id"].map(lambda i: i >= 0).all()
    return (
        [code.value for code in test.code if "<|im_start|>" in code.value],
        "".join(table["Token"]).replace("↵", "\n"),
        list(table["Part"]),
    )


@pytest.mark.slow
def test_a_default_system_prompt_is_shown_beside_the_tokens_that_hold_it(
    open_page: Open, tiny: Path, tmp_path: Path
) -> None:
    (shown_text,), tokens, parts = read_of(open_page("model.py"))
    assert "You are a helpful AI assistant named SmolLM" in shown_text
    assert tokens.startswith(shown_text) and tokens.count("Hello.") == tokens.count("Hi.") == 1
    assert parts[-1] == "scored" and parts.count("scored") == 1 and "answer" in parts

    texts, tokens, _ = read_of(switch_to(open_page("model.py"), str(tiny)))
    assert not texts and "system" not in tokens  # a template that adds none

    kind = "**bold** <b>x</b> :red[y]"
    template = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\n"
        + kind
        + "<|im_end|>\n{% endif %}"
        + CHATML
    )
    tokenizer = byte_tokenizer(template, ["<|im_start|>", "<|im_end|>"], eos="<|im_end|>")
    hostile = reference_checkpoint(tmp_path / "hostile", n_features=64, k=6, tokenizer=tokenizer)
    test = switch_to(open_page("model.py"), str(hostile))
    (shown_text,), tokens, _ = read_of(test)
    assert kind in shown_text and kind in tokens
    assert not any("**bold**" in part.value for part in [*test.markdown, *test.caption])


def test_a_hostile_model_card_brings_no_image_and_no_header() -> None:
    card = (
        "---\nlicense: x\n---\n# Card\n\n![track](http://x/y.png) and ![again][ref]\n\n[ref]: http://x/z.png"
    )
    assert card_text(card).startswith("# Card")
    assert "![" not in card_text(card).replace("\\![", "")
    assert card_text("--- no header") == "--- no header"
