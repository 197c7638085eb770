"""The page Evaluate over a tiny real model: what it shows is what the engine computes."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.find.found import find_in_upload
from app.prove.evaluation import (
    evaluate_corpus,
    evaluate_upload,
    flip_comparison,
    flip_file,
    score_names,
    score_rows,
)
from app.prove.report import report
from sarm_core.__main__ import main
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.errors import RowError, SarmError
from sarm_core.find.sides import from_pairs
from sarm_core.prove.corpus import CORPUS_SETS
from sarm_core.steering import Steering

ROOT = Path(__file__).parents[3]

torch.set_num_threads(1)
PAIR = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


def page(name):
    script = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
    script.run()
    script.switch_page(f"app_pages/{name}.py").run()
    assert not script.exception
    return script


def button(script, key):
    return next(b for b in script.button if b.key == key)


def test_a_bad_upload_is_named_as_the_person_named_it(engine):
    bad = PAIR + b'{"prompt": "p", "chosen": "a"}\n'
    with pytest.raises(RowError, match=r"^mine<1>\.jsonl, row 2: no 'rejected'"):
        find_in_upload(engine, [("mine<1>.jsonl", bad)], from_pairs, "x")
    with pytest.raises(RowError, match=r"^\.\./\.\./b\.jsonl, row 1: "):
        evaluate_upload(engine, [("a.jsonl", PAIR), ("../../b.jsonl", b"{}")], "pairs")


@pytest.mark.slow
def test_flips_are_exactly_the_pairs_whose_order_changed_and_open_with_their_texts(engine):
    of = evaluate_corpus(engine, "refusals")
    load = np.abs(of.matrix.csr.toarray() * of.matrix.head).sum(0)
    steering = Steering(scale={int(i): -2.0 for i in np.argsort(-load)[:2]})
    found = of.outcome(steering)
    before, after = of.matrix.rewards, steering.rewards(of.matrix)
    right, wrong = of.benchmark.chosen, of.benchmark.rejected
    changed = (before[right] > before[wrong]) != (after[right] > after[wrong])
    assert changed.any()
    assert sorted(found.comparison.flips["item"]) == np.flatnonzero(changed).tolist()
    for _, flip in found.comparison.flips.iterrows():
        comparison, left, other = flip_comparison(of, flip)
        item = int(flip["item"])
        assert comparison.answers[left].text == of.benchmark.conversations[right[item]].answer
        assert comparison.answers[other].text == of.benchmark.conversations[wrong[item]].answer
        scored = engine.scorer.score(comparison.conversations())
        margin = float(scored.rewards[left] - scored.rewards[other])
        assert margin == pytest.approx(flip["margin_before"], abs=1e-4)
    table = score_rows(found, score_names(of)).set_index("score")
    assert table.loc["total", "after"] == pytest.approx((after[right] > after[wrong]).mean())


def test_token_ids_cannot_be_opened_and_say_so(engine):
    rows = (
        b'{"chosen_input_ids": [5, 6], "rejected_input_ids": [7]}\n'
        b'{"chosen_input_ids": [9], "rejected_input_ids": [8]}\n'
    )
    of = evaluate_upload(engine, [("ids.jsonl", rows)], "pairs")
    active = np.unique(of.matrix.csr.indices)
    found = of.outcome(Steering(scale={int(i): -1.0 for i in active}))
    assert len(found.comparison.flips) == 2
    with pytest.raises(SarmError, match="without text"):
        flip_comparison(of, found.comparison.flips.iloc[0])


def test_what_find_encoded_evaluate_does_not_encode_again(engine, monkeypatch):
    """A person's own pairs, with a row more in front, from one page to the other."""
    rows = b"".join(
        f'{{"prompt": "p{n}", "chosen": "yes {n}", "rejected": "no {n}"}}\n'.encode() for n in range(5)
    )
    find_in_upload(engine, [("mine.jsonl", rows)], from_pairs, "x")
    read = []
    encode = type(engine.scorer.encoder).encode

    def counting(self, sequences, *args, **how):
        read.extend(sequences)
        return encode(self, sequences, *args, **how)

    monkeypatch.setattr(type(engine.scorer.encoder), "encode", counting)
    of = evaluate_upload(engine, [("mine.jsonl", PAIR + rows)], "pairs")
    assert len(of.matrix) == 12 and len(read) == 2


@pytest.mark.slow
def test_evaluate_page_shows_before_and_after_and_what_moved(engine):
    script = page("evaluate")
    button(script, "eval_go").click().run()
    assert not script.exception and not script.error
    assert any("No steering is in force" in box.value for box in script.info)
    of = script.session_state["evaluated"]
    load = np.abs(of.matrix.csr.toarray() * of.matrix.head).sum(0)
    strongest = int(np.argmax(load))
    held = script.session_state["steering_state"]
    held.add([strongest])
    script.run()
    (box,) = [n for n in script.number_input if n.key.startswith(f"strip_feature_{strongest}_")]
    box.set_value(-2.0).run()
    assert not script.exception and not script.error
    assert script.session_state["steering_state"].current == Steering(scale={strongest: -2.0})
    found = of.outcome(Steering(scale={strongest: -2.0}))
    shown = {metric.label: metric.value for metric in script.metric}
    total = found.comparison.after.total
    assert shown["Total, steered"] == f"{total:.1%}"
    assert shown["Decisions won"] == str(int((found.comparison.flips["direction"] == "won").sum()))
    (scores,) = [frame.value for frame in script.dataframe if "verdict" in frame.value.columns]
    np.testing.assert_allclose(scores["after"], score_rows(found, score_names(of))["after"])
    button(script, "strip_undo").click().run()
    assert not script.exception
    assert not script.session_state["steering_state"].current
    (box,) = [n for n in script.number_input if n.key.startswith(f"strip_feature_{strongest}_")]
    assert box.value == 1.0


def test_a_subset_with_any_name_can_be_chosen_and_one_prompt_gets_no_verdict(engine):
    rows = [("hh/harmless/test", f"p{i}") for i in range(12)] + [("a>b", "alone")]
    content = "\n".join(
        json.dumps({"prompt": p, "chosen": f"good {p}", "rejected": f"bad {p}", "subset": name})
        for name, p in rows
    ).encode()
    of = evaluate_upload(engine, [("in.jsonl", content)], "pairs")
    assert set(score_names(of)) == {"total", "hh/harmless/test", "a>b"}
    found = of.outcome(Steering(scale={int(i): -1.0 for i in np.unique(of.matrix.csr.indices)}))
    table = score_rows(found, score_names(of)).set_index("score")
    assert table.loc["a>b", "verdict"] == "few prompts (1): no interval" and np.isnan(table.loc["a>b", "low"])
    assert table.loc["hh/harmless/test", "verdict"] in ("better", "worse", "not told apart")


def by_hand(conversations, before, after):
    """Pairs of answers to one prompt, and those whose order changed, in plain loops."""
    pairs = [
        (i, j)
        for j, two in enumerate(conversations)
        for i, one in enumerate(conversations[:j])
        if one.messages[:-1] == two.messages[:-1]
    ]
    return len(pairs), sum(np.sign(before[i] - before[j]) != np.sign(after[i] - after[j]) for i, j in pairs)


@pytest.mark.slow
def test_the_corpus_s_other_answers_change_their_order_and_page_report_and_command_line_say_how_many(
    engine, tmp_path
):
    name = next(iter(CORPUS_SETS))
    of = evaluate_corpus(engine, name)
    steering = Steering(scale={int(i): -1.0 for i in np.unique(of.matrix.csr.indices)[::2]})
    steering.write(tmp_path / "s.json")
    found = of.outcome(steering).moved_elsewhere
    own = set(of.benchmark.conversations)
    others = [answer.conversation for answer in corpus_answers() if answer.conversation not in own]
    scored = engine.scorer.score(others)
    n, flipped = by_hand(others, scored.rewards, scored.steered(steering).rewards)
    assert (found.n, found.n_pairs) == (len(others), n) and flipped > 0
    assert found.n_flipped == pytest.approx(flipped, abs=2), "a batch of other answers rounds otherwise"
    said = json.loads(report(of, steering, engine))["complement"]
    assert said["collateral"] == found.to_dict() and said["pairing"] == "any two answers to one prompt"
    arguments = ["evaluate", "corpus", "refusals", "--model", str(engine.choice.source), "--resamples", "0"]
    arguments += ["--steering", str(tmp_path / "s.json"), "--out", str(tmp_path / "o.json")]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "o.json").read_text())["complement"]["collateral"] == found.to_dict()


def test_a_complement_file_of_one_s_own_is_paired_as_it_says(engine):
    rows = [{"prompt": f"q {i % 4}", "response": f"this is answer {i * 7}"} for i in range(20)]
    answers = "\n".join(map(json.dumps, rows)).encode()
    of = evaluate_upload(engine, [("in.jsonl", PAIR * 2)], "pairs", complement=("mine.jsonl", answers))
    steering = Steering(scale={int(i): -1.0 for i in np.unique(of.complement.matrix.csr.indices)})
    found = of.outcome(steering).moved_elsewhere
    assert (found.n, found.n_pairs, found.n_flipped) == (20, 4 * 10, 40), "all rewards change their sign"
    assert (
        of.complement.pairing == "any two answers to one prompt"
        and of.experiment.complement.asked == "mine.jsonl"
    )
    pairs = evaluate_upload(engine, [("in.jsonl", PAIR)], "pairs", complement=("own.jsonl", PAIR))
    assert pairs.complement.pairs.tolist() == [[0, 1]] and pairs.complement.pairing == "the file's own pairs"
    with pytest.raises(SarmError, match=r"bad\.jsonl"):
        evaluate_upload(engine, [("in.jsonl", PAIR)], "pairs", complement=("bad.jsonl", b"{}"))


def test_all_flipped_items_are_in_the_files_and_no_text_in_them_is_a_formula(engine):
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "plain"]
    content = "\n".join(
        json.dumps({"prompt": f"{text} {i}", "chosen": f"{text} good {i}", "rejected": f"bad {i * 3}"})
        for i, text in enumerate(texts * 4)
    ).encode()
    of = evaluate_upload(engine, [("in.jsonl", content)], "pairs")
    found = of.outcome(Steering(scale={int(i): -1.0 for i in np.unique(of.matrix.csr.indices)}))
    flips = found.comparison.flips
    assert len(flips) == 24, "the whole sign is turned"
    rows = [json.loads(line) for line in flip_file(of, found, "jsonl").splitlines()]
    assert [row["id"] for row in rows] == flips["id"].tolist()
    assert [row["right_answer"] for row in rows] == [
        of.benchmark.conversations[i].answer for i in flips["right"]
    ]
    table = list(csv.DictReader(io.StringIO(flip_file(of, found, "csv"), newline="")))
    for row, cells in zip(rows, table, strict=True):
        assert cells["right_answer"].removeprefix("'") == row["right_answer"]
        assert not cells["right_answer"].startswith(tuple("=+-@\t")) and not cells["prompt"].startswith(
            tuple("=+-@\t")
        )
        assert float(cells["margin_after"]) == pytest.approx(row["margin_after"]), "numbers stay numbers"
