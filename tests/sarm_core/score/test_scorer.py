"""The three-line Python door: rows in, rewards with their features out."""

import json
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarm_core import Reader, RowError, SarmError, Steering, load_sarm
from sarm_core.errors import CheckpointError
from sarm_core.text.answers import conversation_of
from sarm_core.text.rows import Conversation, Message
from tests.sarm_core.tiny_models import KINDS, chatml, reference_checkpoint

QUESTION = "Is it safe to mix them?"
ANSWERS = ["Yes, if the room is aired.", "No! Never do that...", "I can't help with that.", "Yes."]
ROWS = [{"prompt": QUESTION, "response": answer} for answer in ANSWERS]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    folder = reference_checkpoint(tmp_path_factory.mktemp("model") / "c", tokenizer=chatml())
    return load_sarm(folder, device="cpu", dtype="float32")


def test_every_shape_of_a_row_gives_the_same_reward(scorer):
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWERS[0]}]
    ids = scorer.tokens([ROWS[0]])[0].input_ids
    same = [
        ROWS[0],
        {"question": QUESTION, "answer": ANSWERS[0]},
        {"messages": turns},
        {"messages": turns[:1], "response": ANSWERS[0]},
        {"input_ids": ids.tolist()},
        {"input_ids": ids},
        conversation_of(ROWS[0]),
        Conversation(messages=(Message("user", QUESTION), Message("assistant", ANSWERS[0]))),
    ]
    rewards = scorer.score(same).rewards
    np.testing.assert_allclose(rewards, rewards[0], atol=1e-5)


def test_rows_given_in_python_are_read_as_those_of_a_file_and_said(scorer, tmp_path):
    turns = [
        {"role": "user", "content": QUESTION, "at": "noon"},
        {"role": "assistant", "content": ANSWERS[0]},
    ]
    rows = [{**ROWS[0], "id": 7, "tags": ["a"]}, {"messages": turns}]
    scored = scorer.score(rows)
    (said,) = scored.said
    assert (
        "a prompt and its response (1 rows); messages (1 rows)" in said
        and "not used: id, tags, turn.at" in said
    )
    assert scored.steered(Steering()).said == scored.said
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = Reader()
    for _, row in reader.rows(tmp_path / "in.jsonl"):
        reader.answers(row)
    assert tuple(reader.said()) == scored.said
    with pytest.raises(RowError, match="row 2: 'context' may belong to the conversation"):
        scorer.score([ROWS[0], {**ROWS[1], "context": "The room is small."}])
    left_out = scorer.score([{**ROWS[0], "context": "The room is small."}], reader=Reader(ignore=["context"]))
    assert left_out.rewards[0] == pytest.approx(scored.rewards[0], abs=1e-5)
    with pytest.raises(RowError, match="not an object but a list"):
        scorer.score([turns])


def test_the_contract_of_a_scored_result(scorer):
    scored = scorer.score(ROWS)
    assert len(scored) == 4 and scored.rewards.dtype == np.float32 and scored.rewards.shape == (4,)
    assert scored.matrix.csr.shape == (4, scorer.n_features) and scored.matrix.head.shape == (64,)
    assert len({float(r) for r in scored.rewards}) == 4
    for i in range(4):
        assert scored.contributions(i)[1].sum() == pytest.approx(scored.rewards[i], abs=1e-5)
        margin = scored.rewards[i] - scored.rewards[0]
        assert scored.difference(i, 0)[1].sum() == pytest.approx(margin, abs=1e-5)


def test_steering_a_scored_result_needs_no_model(scorer):
    scored = scorer.score(ROWS)
    ids, values = scored.contributions(0)
    silenced = scored.steered(Steering(scale={int(ids[0]): 0.0}))
    assert silenced.rewards[0] == pytest.approx(scored.rewards[0] - values[0], abs=1e-5)
    with pytest.raises(SarmError, match="feature 64 does not exist"):
        scored.steered(Steering(scale={64: 0.0}))


def test_order_and_company_of_rows_do_not_matter(scorer):
    together = scorer.score(ROWS).rewards
    backwards = scorer.score(ROWS[::-1]).rewards[::-1]
    alone = np.concatenate([scorer.score([row]).rewards for row in ROWS])
    apart = scorer.score(ROWS, share_prefixes=False).rewards
    for other in (backwards, alone, apart):
        np.testing.assert_allclose(other, together, atol=1e-5)


def test_no_rows_is_an_empty_result(scorer):
    assert scorer.score([]).rewards.shape == (0,)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "a"}, "row 2: has 'prompt' but no 'response'"),
        ({"input_ids": [3, 300]}, "row 2: token id 300 is outside the vocabulary of 300"),
        (Conversation(), "row 2: the conversation is empty"),
        (Conversation(input_ids=()), "row 2: the conversation is empty"),
    ],
)
def test_a_bad_row_is_named_by_its_place(scorer, row, words):
    with pytest.raises(RowError, match=words) as caught:
        scorer.score([ROWS[0], row, {"also": "bad"}])
    assert caught.value.row == 2


def test_a_turn_the_template_refuses_is_named_by_its_place(tmp_path):
    tokenizer = chatml()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        + tokenizer.chat_template
    )
    scorer = load_sarm(reference_checkpoint(tmp_path / "c", tokenizer=tokenizer))
    system = {"messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]}
    with pytest.raises(RowError, match=r"row 3: .*no system turns"):
        scorer.score([*ROWS[:2], system])


def test_truncation_is_reported_and_keeps_the_answer(scorer, tmp_path):
    short = load_sarm(scorer.checkpoint.folder, dtype="float32", max_length=12)
    row = {"prompt": QUESTION * 5, "response": "Yes."}
    scored = short.score([row, {"prompt": "a", "response": "b"}])
    whole = scorer.tokens([row])[0]
    assert scored.n_cut[0] == len(whole) - 12
    np.testing.assert_array_equal(scored.sequences[0].input_ids, whole.input_ids[-12:])
    assert load_sarm(scorer.checkpoint.folder, max_length=10_000).max_length == 512  # the positions it has
    with pytest.raises(CheckpointError, match="max_length is -5"):
        load_sarm(scorer.checkpoint.folder, max_length=-5)


def test_a_trace_lines_up_with_its_text_and_ends_in_the_score(scorer):
    scored = scorer.score([ROWS[0]])
    ids, z = scored.matrix.activations(0)
    trace = scorer.trace(ROWS[0], ids.tolist())
    assert trace.activations.shape == (len(trace.pieces), len(ids))
    np.testing.assert_allclose(trace.activations[-1], z, atol=1e-5)
    assert "".join(trace.pieces[trace.answer_start :]).startswith(ANSWERS[0])
    for wrong in (-1, 64):
        with pytest.raises(SarmError, match=f"feature {wrong} does not exist"):
            scorer.trace(ROWS[0], [wrong])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_text_scores_on_every_architecture(kind, tmp_path):
    scorer = load_sarm(reference_checkpoint(tmp_path / kind, kind, tokenizer=chatml()), dtype="float32")
    scored = scorer.score(ROWS)
    assert len({float(r) for r in scored.rewards}) == 4
    np.testing.assert_allclose(
        scored.rewards, [scorer.score([row], share_prefixes=False).rewards[0] for row in ROWS], atol=1e-5
    )


def test_bfloat16_keeps_the_head_in_float32_and_stays_close(scorer):
    half = load_sarm(scorer.checkpoint.folder, dtype="bfloat16")
    assert half.dtype == torch.bfloat16 and half.head.dtype == np.float32
    scored = half.score(ROWS)
    sums = [scored.contributions(i)[1].sum() for i in range(4)]
    np.testing.assert_allclose(scored.rewards, sums, atol=1e-5)
    assert half.fingerprint == scorer.fingerprint


def test_activations_that_overflow_are_refused_with_a_remedy(tmp_path):
    folder = reference_checkpoint(tmp_path / "c")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"] *= torch.inf
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SarmError, match="load the model with dtype float32"):
        load_sarm(folder).score([{"input_ids": [3, 4]}])


def test_threads_that_share_a_scorer_get_their_own_results(scorer):
    wanted = {i: scorer.score([row]).rewards[0] for i, row in enumerate(ROWS)}
    wrong = []

    def work(i):
        for _ in range(5):
            if not np.isclose(scorer.score([ROWS[i]]).rewards[0], wanted[i], atol=1e-5):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
