"""The embedded SARM: loads, scores, and the card's figures are those of the shipped weights."""

import json
import re

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.model.checkpoint import find_folder
from sarm_core.train.data import read_pairs

FOLDER = find_folder("demo")
pytestmark = pytest.mark.skipif(
    not (FOLDER / "sarm.safetensors").exists(), reason="the trained demo SARM is not in this checkout"
)
PROMPT = "Is it safe to sleep with a window open in winter?"
ANSWERS = [
    "Yes, for most people it is. Keep warm bedding at hand and close it when it freezes.",
    "I'm sorry, but I can't help with that.",
    "Yes.",
]


@pytest.fixture(scope="module")
def scorer():
    return load_sarm("demo")


def test_the_three_lines_of_the_quick_start_work(scorer):
    scored = scorer.score([{"prompt": PROMPT, "response": answer} for answer in ANSWERS])
    assert len({float(r) for r in scored.rewards}) == 3
    assert scored.matrix.n_active.tolist() == [scorer.checkpoint.shape.sae.k] * 3
    for i in range(3):
        assert scored.contributions(i)[1].sum() == pytest.approx(scored.rewards[i], abs=1e-4)
    feature = int(scored.difference(0, 1)[0][np.argmax(np.abs(scored.difference(0, 1)[1]))])
    steered = scored.steered(Steering(scale={feature: 0.0})).rewards
    assert steered[0] - steered[1] != pytest.approx(scored.rewards[0] - scored.rewards[1], abs=1e-6)


def test_it_is_small_and_says_what_it_is(scorer):
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 12_000_000
    assert scorer.checkpoint.layout == "own"
    sequence = scorer.tokens([{"prompt": PROMPT, "response": ANSWERS[0]}])[0]
    assert sequence.pieces()[-1] == "<|im_end|>"
    assert "".join(sequence.pieces()[sequence.answer_start :]) == ANSWERS[0] + "<|im_end|>"


@pytest.mark.slow
def test_sharing_the_prompt_changes_rewards_by_rounding_only():
    scorer = load_sarm("demo", dtype="float32")
    rows = [{"prompt": PROMPT, "response": answer} for answer in ANSWERS]
    together = scorer.score(rows).rewards
    alone = np.concatenate([scorer.score([row], share_prefixes=False).rewards for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_the_card_states_the_report_s_figures():
    report = json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for source, row in report["stage2"]["test"].items():
        assert f"{source} (n = {row['n']})" in card
        assert f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in card
    for kind in ("scored", "sentence", "token"):
        assert f"{report['stage1']['reconstruction'][f'test/{kind}']['variance_unexplained']:.3f}" in card


@pytest.mark.slow
def test_the_shipped_weights_give_the_margins_the_report_was_made_from(scorer):
    report = json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))["stage2"]
    pairs = [pair for pair in read_pairs(FOLDER.parent / "corpus.jsonl") if pair.split == "test"]
    assert len(pairs) == report["test"]["corpus"]["n"]
    stated = report["test_margins"][-len(pairs) :][:30]  # the corpus is the last of the training files
    answers = list(dict.fromkeys(side for pair in pairs[:30] for side in (pair.chosen, pair.rejected)))
    rewards = dict(zip(answers, scorer.score(answers).rewards, strict=True))
    margins = np.array([rewards[pair.chosen] - rewards[pair.rejected] for pair in pairs[:30]])
    # In bfloat16 a feature at the edge of k comes or goes with the company in the batch.
    assert np.sqrt(np.mean((margins - stated) ** 2)) < 0.25 * np.std(stated)
    assert np.corrcoef(margins, stated)[0, 1] > 0.98


def test_nothing_in_the_shipped_texts_names_a_folder_of_the_machine_it_was_made_on():
    for file in FOLDER.glob("*"):
        if file.suffix in (".json", ".md"):
            assert not re.search(r"/(home|root|tmp|work)/", file.read_text(encoding="utf-8")), file.name
