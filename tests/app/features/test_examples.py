"""The texts of a feature: chats beside a quieter answer to the same prompt, tokens, and how strong each is in words."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.features.answer_chat import answer_of, answer_start
from app.features.example_view import CONTEXTS, example_html, examples_html, strength, window
from app.features.view import colour_scale, empty_bands, example_groups
from feature_db import Store
from feature_db.exchange.neuronpedia_import import import_folder
from feature_db.features.evidence import StoredExample, StoredText
from feature_db.features.same_prompt import QuietAnswer
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.store_builder import DEAD, HOSTILE_FEATURE, LABELLED

TURNS = [
    {"role": "user", "content": "Is <b>this</b> safe?"},
    {"role": "assistant", "content": "No.\n\nNever."},
]
PIECES = [
    "<|im_start|>",
    "user",
    "\n",
    "Is <b>this</b> safe?",
    "<|im_end|>",
    "\n",
    "No",
    ".\n\n",
    "Never",
    ".",
    "<|im_end|>",
]


def an_example(values: list[float] | None, turns: list[dict[str, str]] | None = None) -> StoredExample:
    """A text whose last token ends the turn."""
    z = (
        None
        if values is None
        else np.array([*[0.0] * (len(PIECES) - len(values)), *values], dtype=np.float32)
    )
    text = StoredText(7, "h", TURNS if turns is None else turns, None, PIECES, "a file", "safety")
    peak = len(PIECES) - 1 if z is None else int(np.argmax(np.abs(z)))
    return StoredExample(1, 0, "top", None, 0, "label", peak, 2.0, z, None, None, None, text)


def quiet(activation: float, words: str = "Yes, do it.", *, whole: bool = True) -> QuietAnswer:
    turns = [TURNS[0], {"role": "assistant", "content": words}]
    return QuietAnswer(StoredText(8, "i", turns, None, None, "another", None), activation, whole, False)


class Words(HTMLParser):
    """What a reader sees, and the tags it is in."""

    def __init__(self, markup: str):
        super().__init__()
        self.said, self.tags, self.style = "", list[str](), False
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.style = tag == "style"
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.style = False

    def handle_data(self, data: str) -> None:
        self.said += "" if self.style else data


def html_of(test: AppTest) -> str:
    return "".join(element.proto.body for element in test.get("html"))


# -- chats -----------------------------------------------------------------------------------------------------


def test_a_feature_of_the_end_is_plain_chat_with_one_mark_and_no_template_token() -> None:
    page = example_html(an_example([0, 0, 0, 0, 2.0]), "chat", scale=2.0, place=1)
    words = Words(page)
    assert "No.\n\nNever." in words.said and "Is <b>this</b> safe?" in words.said
    assert "im_end" not in page and "im_start" not in page and "<b>this" not in page
    assert page.count('class="end"') == 1 and 'title="scored here: z = 2"' in page
    assert page.count("background: rgba(") == 1, "the mark alone has a colour"


def test_a_feature_that_fires_inside_shades_its_tokens_and_only_those() -> None:
    page = example_html(an_example([0, 0, 1.0, 0, 0]), "chat", scale=2.0, place=1)
    assert re.findall(r"background: rgba[^>]*>([^<]*)<", page) == ["Never"]
    assert "scored here, where the feature is silent" in page
    assert "No.\n\nNever." in Words(page).said


def test_the_other_answer_to_the_prompt_stands_beside_it_with_how_silent_it_is() -> None:
    def how(answer: QuietAnswer) -> str:
        page = example_html(an_example([2.0]), "chat", scale=2.0, place=1, quiet=answer)
        assert (
            "Yes, do it." in Words(page).said
            and "answers two" in page
            and "of another source: another" in page
        )
        return re.findall(r'class="how"[^>]*>([^<]*)<', page)[-1]

    assert how(quiet(0.0)) == "Same prompt: silent here"
    assert how(quiet(0.0, whole=False)) == "Same prompt: silent at the end here"
    assert how(quiet(0.5)) == "Same prompt: weaker here"
    assert "answers two" not in example_html(an_example([2.0]), "chat", scale=2.0, place=1)


def test_long_prompts_fold_and_long_answers_scroll_and_both_are_whole() -> None:
    asked, said = "why " * 200, "because " * 400
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    page = example_html(an_example(None, turns), "chat", scale=2.0, place=1)
    assert asked.strip() in Words(page).said and said.strip() in Words(page).said
    assert '<details class="asked">' in page and 'tabindex="0"' in page
    code = [
        {"role": "user", "content": "why?\n\na = 1\nb = 2\nprint(a)"},
        {"role": "assistant", "content": "so"},
    ]
    assert '<details class="asked">' in example_html(an_example(None, code), "chat", scale=2.0, place=1)
    short = example_html(an_example(None), "chat", scale=2.0, place=1)
    assert '<details class="asked">' not in short and "tabindex" not in short


def test_a_window_of_a_foreign_store_is_shown_as_it_came() -> None:
    without = an_example([0, 0, 1.0, 0, 0], [])
    assert "Never" in Words(example_html(without, "chat", scale=2.0, place=1)).said
    one = [{"role": "text", "content": "No.\n\nNever."}]
    page = example_html(an_example([0, 0, 1.0, 0, 0], one), "chat", scale=2.0, place=1)
    assert "asked" not in page and re.findall(r"background: rgba[^>]*>([^<]*)<", page) == ["Never"]
    bare = replace(without, text=replace(without.text, tokens=None))
    assert "token ids only" in example_html(bare, "chat", scale=2.0, place=1)


def test_a_text_whose_tokens_do_not_spell_its_answer_is_shown_without_colours() -> None:
    other = [TURNS[0], {"role": "assistant", "content": "Something else."}]
    found = answer_of(an_example([0, 0, 1.0, 0, 0], other))
    assert found.inside is None and found.at_end is None and found.content == "Something else."


def test_figures_are_in_a_fold_and_strength_is_a_word() -> None:
    page = example_html(an_example([2.0]), "chat", scale=4.0, place=3)
    fold = page[page.index("<details>") : page.index("</details>")]
    assert "z = 2" in fold and "50% of max" in fold and "token 11 of 11" in fold
    assert "z = 2" not in Words(page.replace(fold, "")).said
    assert '<span class="word">strong</span>' in page
    assert [strength(z, 4.0) for z in (4, 2, 1.9, 1, 0.9, -1, 0)] == [
        *("strong", "strong", "medium", "medium", "weak", "negative", "silent")
    ]


def test_the_legend_explains_what_is_marked_and_nothing_else() -> None:
    inside, end = an_example([0, 0, 1.0, 0, 0]), an_example([2.0])
    assert "its largest" in examples_html([inside], "chat", scale=2.0)
    assert "its largest" not in examples_html([end], "chat", scale=2.0)
    assert "where the answer is scored" in examples_html([end], "chat", scale=2.0)
    assert "framed" in examples_html([end], "full", scale=2.0)


# -- pages -----------------------------------------------------------------------------------------------------


def test_the_feature_page_shows_chats_first_and_hostile_ones_as_text(run_page: Run, store_path: Path) -> None:
    page = html_of(run_page("feature.py", feature=str(HOSTILE_FEATURE)))
    assert 'class="said"' in page and "sarm-tokens" not in page and "im_start" not in page
    assert "&lt;script&gt;" in page and "<script" not in page and "<img" not in page


@pytest.mark.slow
def test_the_way_of_reading_is_kept_for_the_person(run_page: Run, store_path: Path) -> None:
    test = run_page("feature.py", feature="9")
    assert test.segmented_control(key="context").value == "chat"
    test.text_input(key="person").set_value("ann").run()
    test.segmented_control(key="context").set_value("long").run()
    assert not test.exception and "sarm-tokens" in html_of(test)
    test.number_input(key="feature").set_value(7).run()
    assert test.segmented_control(key="context").value == "long", "for the next feature as well"
    later = run_page("label.py", take="9")
    later.text_input(key="person").set_value("Ann").run()
    assert later.segmented_control(key="label_context").value == "long", "in a new session, on another page"
    other = run_page("feature.py", feature="9")
    assert other.segmented_control(key="context").value == "chat"
    by_link = run_page("feature.py", feature="9", context=CONTEXTS["full"])
    assert by_link.segmented_control(key="context").value == "full"


@pytest.mark.slow
def test_who_keeps_nothing_here_chooses_for_the_session(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(None, "chief", "admin")
        People(store).set_role("chief", "*", "reader")
    test = run_page("feature.py", feature="9")
    test.text_input(key="person").set_value("bo").run()
    test.segmented_control(key="context").set_value("short").run()
    test.number_input(key="feature").set_value(7).run()
    assert not test.exception and test.segmented_control(key="context").value == "short"
    with Store.open(store_path) as store:
        assert store.choice("bo", "evidence") is None


# -- groups and windows ----------------------------------------------------------------------------------------


def test_examples_of_a_band_lie_inside_its_limits_and_the_checking_part_stays_hidden(
    store_path: Path,
) -> None:
    with Store.open(store_path) as store:
        found = store.examples(LABELLED)
        aside = {example.id for example in store.examples(LABELLED, purpose="check")}
    with Store.open(store_path) as store:
        scale = colour_scale(store.feature(LABELLED).record, found)
    groups = example_groups(found, scale)
    assert [group.title for group in groups] == ["Strongest", "Strong", "Medium", "Random", "Silent"]
    for group in groups:
        assert not aside & {example.id for example in group.examples}
        if group.key in ("strong", "medium"):
            least, most = {"strong": (0.5, 1.0), "medium": (0.25, 0.5)}[group.key]
            assert all(least * scale <= example.activation <= most * scale for example in group.examples)
            assert f"({least * scale:.3g} to {most * scale:.3g})" in group.help


@pytest.mark.slow
def test_a_band_without_an_example_to_read_says_why(run_page: Run, store_path: Path) -> None:
    with Store.open(store_path) as store:
        everything = store.examples(LABELLED, purpose=None)
        scale = colour_scale(store.feature(LABELLED).record, everything)
    assert empty_bands(everything, scale) == "weak: no kept text" and empty_bands([], scale) == ""

    def is_strong(example: StoredExample) -> bool:
        return example.kind == "band" and strength(example.activation, scale) == "strong"

    n = sum(map(is_strong, everything))
    aside = [replace(example, purpose="check") if is_strong(example) else example for example in everything]
    assert empty_bands(aside, scale) == f"strong: {n} kept aside for testing labels; weak: no kept text"
    shown = run_page("feature.py", feature=str(LABELLED)).caption
    assert any(part.value == "Without an example here: weak: no kept text." for part in shown)


@pytest.mark.slow
def test_bins_of_a_file_are_shown_by_how_strong_their_texts_are(
    run_page: Run, store_path: Path, tmp_path: Path
) -> None:
    bins = [
        ("strong", 8.0, 9.0),
        ("strong too", 8.0, 9.0),
        ("weak", 2.0, 3.0),
        ("weaker", 1.0, 3.0),
        ("like it", 1.0001, 3.0),
    ]
    rows = [
        {"index": 9, "tokens": [said], "values": [high - 0.5], "binMin": low, "binMax": high}
        for said, low, high in bins
    ]
    batch = tmp_path / "m/1-s/activations/batch-0.jsonl.gz"
    batch.parent.mkdir(parents=True)
    batch.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    with Store.open(store_path) as store:
        import_folder(store, tmp_path / "m", same_model=True, replace=True)
        found = store.examples(9)
        groups = example_groups(found, colour_scale(store.feature(9).record, found))
    wanted = {"Strong": ["strong", "strong too"], "Medium": ["weak", "weaker", "like it"]}
    assert {
        group.title: sorted(example.text.tokens[0] for example in group.examples) for group in groups
    } == {title: sorted(own) for title, own in wanted.items()}
    for title, own in wanted.items():
        shown = html_of(run_page("feature.py", feature="9", examples=title))
        assert [said for said, _, _ in bins if f">{said}<" in shown] == [
            said for said, _, _ in bins if said in own
        ]


def test_windows_hold_the_peak_and_grow_with_the_context(store_path: Path) -> None:
    with Store.open(store_path) as store:
        found = [example for i in range(8) if i != DEAD for example in store.examples(i)]
    for example in found:
        tokens = example.text.tokens or []
        short, long, full = (window(example, context) for context in ("short", "long", "full"))
        assert (full.start, full.stop) == (0, len(tokens))
        start = answer_start(tokens, example.text.messages)
        assert start is not None
        assert "".join(tokens[start:]).startswith(str(example.text.messages[-1]["content"]))
        assert (long.start, long.stop) == (start, len(tokens))
        assert 0 <= short.start < short.stop <= len(tokens) and short.stop - short.start <= 41
        if example.peak_position is not None:
            assert short.start <= example.peak_position < short.stop


def test_one_colour_scale_makes_equal_activations_equal_colours(store_path: Path) -> None:
    with Store.open(store_path) as store:
        strong, weak = store.examples(LABELLED, "top")[:2]
    shades = [
        set(
            re.findall(
                r'rgba\(47, 125, 208, ([\d.]+)\)" title="z = 1"',
                example_html(example, "full", scale=4.0, place=1),
            )
        )
        for example in (
            type(strong)(**{**vars(strong), "values": np.ones_like(strong.values)}),
            type(weak)(**{**vars(weak), "values": np.ones_like(weak.values)}),
        )
    ]
    assert shades[0] == shades[1] and len(shades[0]) == 1
