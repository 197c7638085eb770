"""A file is brought once, and everything is done on it: table, slice, Compare, Find, a reload, in a real browser."""

import json

import pytest

from sarm_core import load_sarm
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.score.encoded import encode_once
from sarm_core.text.answers import answer_to
from tests.browser.conftest import ROOT, ROW_HEIGHT
from tests.sarm_core.tiny_models import text_checkpoint

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="document.title=1"> $x$ **b** :red[r]'
ROWS = [
    {
        "prompt": f"{HOSTILE} question {i}",
        "chosen": f"good answer {i} " * (1 + i % 3),
        "rejected": f"bad {i} " * (1 + i % 5),
        "subset": HOSTILE if i % 2 else "plain",
        "rater": f"<b>{i % 3}</b>",
    }
    for i in range(40)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return text_checkpoint(tmp_path_factory.mktemp("model") / "tiny", n_features=256, k=16)


@pytest.fixture(scope="module")
def margins(model):
    scorer = load_sarm(model)
    sides = [[answer_to(row["prompt"], row[side]) for row in ROWS] for side in ("chosen", "rejected")]
    better, worse = (scorer.score(side).rewards for side in sides)
    return better - worse


@pytest.fixture(scope="module")
def address(app_server, model, tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    answers = [answer.conversation for answer in corpus_answers()]
    encode_once(load_sarm(model), answers, folder=root / "cache" / "encoded")
    env = {"SARM_MODEL": model, "SARM_DATA": root / "data", "SARM_CACHE": root / "cache"}
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def choose(app, key, text):
    app.page.locator(f".st-key-{key} input").click()
    app.page.get_by_role("option").filter(has_text=text).first.click()
    app.finished()


def bring(app, file):
    app.page.locator("input[type=file]").set_input_files(str(file))
    app.page.locator(".st-key-bring_go button").first.click()
    app.finished()


def open_row(app, row):
    box = app.page.locator("[data-testid=stDataFrame] canvas").first.bounding_box()
    app.page.mouse.click(box["x"] + 30, box["y"] + ROW_HEIGHT * row + ROW_HEIGHT / 2)
    app.finished()
    app.page.get_by_role("heading", name="Compare and steer").wait_for()
    app.finished()


def test_a_file_is_brought_once_and_worked_on_from_table_to_find(address, margins, new_page, tmp_path):
    wrong = [i for i in sorted(range(len(ROWS)), key=lambda i: (margins[i], i)) if margins[i] < 0]
    assert 10 < len(wrong) < 39, "the tiny model is in two minds"
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    app = new_page(width=1280, height=1300)
    page = app.page
    page.set_default_timeout(60_000)
    app.open(f"{address}/datasets")
    bring(app, file)
    page.locator(".st-key-d_score button").first.click()
    page.get_by_text(f"agrees with {sum(margins > 0)}").wait_for()
    app.finished()
    page.locator(".st-key-data_sets_all button").first.click()
    app.finished()
    bring(app, file)
    page.get_by_text("This file is kept already").wait_for()
    page.get_by_text(f"agrees with {sum(margins > 0)}").wait_for()

    choose(app, "d_verdict", "disagrees")
    choose(app, "d_sort", "most against the label first")
    page.get_by_text(f"{len(wrong)} prompts in this slice").wait_for()
    table = page.url
    assert "dv=disagrees" in table and "do=worst" in table
    open_row(app, 2)
    assert page.get_by_text(f"question {wrong[1]}", exact=False).count()
    page.get_by_text(f"2 of {len(wrong)} (the model disagrees)").wait_for()
    page.locator(".st-key-walk_next button").click()
    page.get_by_text(f"3 of {len(wrong)} (the model disagrees)").wait_for()
    app.finished()
    page.reload()
    app.finished()
    page.get_by_text(f"3 of {len(wrong)} (the model disagrees)").wait_for()
    assert page.get_by_text(f"question {wrong[2]}", exact=False).count()
    assert page.locator(".answer").count() == 2

    app.open(table)
    app.finished()
    page.get_by_role("link", name="Find features in these prompts").click()
    app.finished()
    page.get_by_text("were chosen because the model disagrees").wait_for()
    page.locator(".st-key-find_go button").click()
    page.get_by_role("heading", name=f"{len(wrong)} of 40 prompts").wait_for()
    app.finished()
    assert "run=" in page.url
    page.reload()
    app.finished()
    page.get_by_role("heading", name=f"{len(wrong)} of 40 prompts").wait_for()
    page.get_by_role("link", name="Kept as a run").click()
    app.finished()
    page.get_by_text("1 run is kept").wait_for()
    assert page.title() != "1" and not [line for line in app.errors if "Failed to load resource" not in line]
