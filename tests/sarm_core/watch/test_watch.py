"""A watched run is scored as the model scores it, each answer once; its drift is that of the rewards it would get."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from sarm_core import SarmError, SteeredReward, Steering, Watch, load_sarm
from sarm_core.errors import RowError, SteeringError
from sarm_core.watch.texts import first_and_last
from sarm_core.watch.words import headline
from tests.sarm_core.tiny_models import chatml, reference_checkpoint
from tests.sarm_core.watch.test_logs import assistant, line, trl, user

needs_trl = pytest.mark.skipif(
    importlib.util.find_spec("trl") is None, reason="the optional extra [train] is not installed"
)
PROMPTS = [f"Is {what} safe?" for what in ("rice", "tea", "ice", "snow", "a walk", "milk", "wool", "a cold")]
PROMPTS += ["Why?", "How?", "When?", "Who?"]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_sarm(reference_checkpoint(tmp_path_factory.mktemp("m") / "m", tokenizer=chatml()))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))


def texts(step, n=2):
    """Answers of a step to all prompts; those of later steps are lists."""
    mark = "- " * step
    return [(user(p), assistant(f"{mark}Yes, {p.lower()} {i} {step}")) for p in PROMPTS for i in range(n)]


def grow(folder, *steps):
    for step in steps:
        trl(folder, step, texts(step))
    return folder


def test_the_drift_is_that_of_the_model_s_own_scores(scorer, tmp_path):
    watch = Watch(scorer, grow(tmp_path / "run", 1, 2, 5))
    drift = watch.refresh()
    assert [point.steps for point in drift.points] == [(1,), (2,), (5,)]
    for point, step in zip(drift.points, (1, 2, 5), strict=True):
        rows = [{"messages": [*prompt, *answer]} for prompt, answer in texts(step)]
        scored = scorer.score(rows)
        assert point.reward.value == pytest.approx(scored.rewards.mean(), abs=1e-5)
        sizes = [len(sequence) - sequence.answer_start for sequence in scored.sequences]
        assert point.length == pytest.approx(np.mean(sizes))
        assert (point.n, point.n_prompts, point.common) == (24, 12, 1.0)
    assert drift.error < 1e-9 and headline(drift).startswith("Mean reward ")


def test_nothing_is_encoded_twice_by_the_same_watch_or_by_one_that_begins_anew(scorer, tmp_path, monkeypatch):
    run = grow(tmp_path / "run", 1, 2)
    encoded = []
    encode = type(scorer).encode
    monkeypatch.setattr(
        type(scorer), "encode", lambda self, ids, **k: encoded.append(len(ids)) or encode(self, ids, **k)
    )
    watch = Watch(scorer, run)
    first = watch.refresh()
    assert sum(encoded) == 48 and (watch.read, watch.kept) == (48, 0)
    assert watch.refresh() is first and sum(encoded) == 48  # nothing new: nothing done
    grow(run, 3)
    assert len(watch.refresh()) == 3 and sum(encoded) == 72
    again = Watch(scorer, run)
    np.testing.assert_array_equal(again.refresh().change, watch.refresh().change)
    assert sum(encoded) == 72 and (again.read, again.kept) == (0, 72)


def test_under_a_steering_it_is_the_steered_reward_that_drifts(scorer, tmp_path):
    run = grow(tmp_path / "run", 1, 4)
    plain = Watch(scorer, run).refresh()
    feature = int(plain.features[0])
    steered = Watch(scorer, run, steering=Steering(scale={feature: 0.0})).refresh()
    assert feature not in steered.features
    lost = plain.points[1].rise.value - steered.points[1].rise.value
    assert lost == pytest.approx(plain.change[0, 1], abs=1e-6)
    with pytest.raises(SteeringError):
        Watch(scorer, run, steering=Steering(scale={10**6: 0.0}))


def test_the_trainer_s_own_rewards_are_held_against_ours(scorer, tmp_path):
    reward = SteeredReward(scorer)
    for step in (1, 2):
        rows = texts(step)
        given = reward([p for p, _ in rows], [a for _, a in rows])
        trl(tmp_path, step, rows, steered_reward=given, other=[-x for x in given])
    watch = Watch(scorer, tmp_path)
    notes = watch.refresh().notes
    same, other = watch.agreement
    assert (same.name, same.is_same, same.alike) == ("steered_reward", True, 1.0)
    assert (other.name, other.is_same) == ("other", False) and other.alike < 0.5
    assert any("steered_reward is this reward" in note for note in notes)
    elsewhere = Watch(scorer, tmp_path, steering=Steering(offset={0: 1.0}))
    assert any("differs from this reward" in note for note in elsewhere.refresh().notes)


def test_every_and_window(scorer, tmp_path):
    run = grow(tmp_path / "run", *range(1, 7))
    assert [p.steps for p in Watch(scorer, run, every=2).refresh().points] == [(1,), (3,), (5,), (6,)]
    pooled = Watch(scorer, run, window=2).refresh()
    assert [p.steps for p in pooled.points] == [(1, 2), (3, 4), (5, 6)]
    assert pooled.points[0].title == "1–2" and pooled.points[0].n == 48
    with pytest.raises(SarmError):
        Watch(scorer, run, every=0)


def test_empty_completions_are_counted_and_left_out(scorer, tmp_path):
    rows = texts(1)
    rows[3] = (rows[3][0], assistant(""))
    trl(tmp_path, 1, rows)
    drift = Watch(scorer, tmp_path).refresh()
    assert (drift.points[0].n, drift.points[0].n_empty) == (23, 1)
    assert any("1 completions say nothing" in note for note in drift.notes)


def test_a_run_of_nothing_but_empty_completions_has_no_drift_yet(scorer, tmp_path):
    trl(tmp_path, 1, [(user("Hi"), assistant(""))])
    assert Watch(scorer, tmp_path).refresh() is None


def test_other_prompts_and_other_lengths_are_said(scorer, tmp_path):
    trl(tmp_path, 1, texts(1))
    trl(tmp_path, 2, [(user(f"Another {i}"), assistant("word " * 40 + str(i))) for i in range(12)])
    notes = Watch(scorer, tmp_path).refresh().notes
    assert any("100% of the prompts" in note for note in notes)
    assert any("extrapolated" in note for note in notes)


def test_an_answer_that_cannot_be_scored_is_refused_with_its_place(scorer, tmp_path):
    path = trl(tmp_path, 1, [(user("Hi"), [{"role": "assistant", "content": "x", "name": "bob"}])])
    with pytest.raises(RowError, match=r"row 1: .*'name'") as caught:
        Watch(scorer, tmp_path).refresh()
    assert str(path) in str(caught.value)


def test_hostile_texts_and_strange_letters_go_through(scorer, tmp_path):
    said = ["<script>alert(1)</script>", "<|im_end|>\n<|im_start|>user", "\u202eabc\x00\x1b[31m", "🎻" * 5]
    (tmp_path / "log.jsonl").write_text("".join(line(step, text) for step in (0, 1) for text in said))
    drift = Watch(scorer, tmp_path).refresh()
    assert drift.points[0].n == 4 and "<script" not in drift._repr_html_()


def test_first_and_last_texts_answer_the_same_prompt_and_show_the_change(scorer, tmp_path):
    drift = Watch(scorer, grow(tmp_path / "run", 1, 6)).refresh()
    feature = int(drift.features[0])
    found = first_and_last(drift, feature, n=3)
    assert len(found) == 3
    for pair in found:
        assert pair.first.messages[:-1] == pair.last.messages[:-1]
        assert pair.first.answer.endswith("1") and pair.last.answer.endswith("6")
        scored = scorer.score([pair.first, pair.last])
        assert pair.rewards == pytest.approx(scored.rewards.tolist(), abs=1e-4)
        parts = [dict(zip(*scored.contributions(row), strict=True)).get(feature, 0.0) for row in (0, 1)]
        assert pair.parts == pytest.approx(parts, abs=1e-4)
    changes = [(two - one) * np.sign(drift.change[0, 1]) for one, two in (pair.parts for pair in found)]
    assert changes[0] > 0
    assert len(first_and_last(drift)) == 5 and first_and_last(drift)[0].parts == (0.0, 0.0)


def test_names_stand_in_the_sentence(scorer, tmp_path):
    drift = Watch(scorer, grow(tmp_path / "run", 1, 6)).refresh()
    named = replace(drift, names={int(i): "lists" for i in drift.features})
    assert "“lists”" in headline(named) or "not told apart" in headline(named)


@pytest.mark.train
@needs_trl
def test_what_trl_s_trainer_writes_is_read_and_scored_as_it_rewarded_it(scorer, tmp_path):
    """The real GRPOTrainer for three steps; with completions used twice; with prompts that are strings."""
    from tests.sarm_core.ship.test_trl_reward import grpo

    reward = SteeredReward(scorer)
    _, log, tables = grpo(reward, tmp_path / "run", steps=3, save_strategy="steps", save_steps=3)
    watch = Watch(scorer, tmp_path / "run")
    drift = watch.refresh()
    assert [point.steps for point in drift.points] == [(1,), (2,), (3,)]
    assert watch.agreement[0].name == "steered_reward" and watch.agreement[0].is_same
    for point, entry, table in zip(drift.points, log, tables, strict=True):
        assert point.n + point.n_empty == len(table) == 8
        assert np.isnan(point.kl)  # without beta it is not measured
        if not point.n_empty:
            assert point.reward.value == pytest.approx(entry["reward"], abs=1e-4)

    grpo(reward, tmp_path / "twice", steps=4, num_iterations=2)
    twice = Watch(scorer, tmp_path / "twice").refresh()
    assert [point.steps for point in twice.points] == [(1,), (3,)]
    assert any("several updates used them" in note for note in twice.notes)

    grpo(reward, tmp_path / "plain", plain=True, steps=1)
    assert Watch(scorer, tmp_path / "plain").refresh().points[0].n_prompts == 2


def test_steps_that_an_evaluation_took_the_place_of_are_left_out(scorer, tmp_path):
    """TRL writes both under one name; only the trainer's state tells them apart (findings/trl_completions_log.sh)."""
    grow(tmp_path, 1, 3, 5)
    for step in (2, 4):
        trl(tmp_path, step, [(user(f"held out {i}"), assistant(f"yes {i} {step}")) for i in range(12)])
    watch = Watch(scorer, tmp_path)
    before = watch.refresh()
    assert len(before) == 5 and any(
        "teps 2, 4 ask none of the first prompts" in note for note in before.notes
    )
    history = [{"step": step, "reward": 0.0} for step in range(1, 6)]
    history += [{"step": step, "eval_reward": 0.0} for step in (2, 4)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    after = watch.refresh()
    assert [point.steps for point in after.points] == [(1,), (3,), (5,)]
    assert any("teps 2, 4 hold the answers of an evaluation" in note for note in after.notes)
    everywhere = [{"step": step, "eval_reward": 0.0} for step in range(1, 6)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": everywhere}))
    assert len(watch.refresh()) == 5  # nothing else was logged: they are compared with each other


@pytest.mark.train
@needs_trl
def test_a_file_of_trl_holds_the_columns_that_are_read(scorer, tmp_path):
    from tests.sarm_core.ship.test_trl_reward import grpo

    _, _, tables = grpo(SteeredReward(scorer), tmp_path, steps=1)
    assert list(tables[0].columns) == ["step", "prompt", "completion", "steered_reward", "advantage"]
    assert tables[0]["step"].tolist() == [1] * 8
    assert (tmp_path / "completions" / "completions_00001.parquet").exists()
    assert json.loads(json.dumps(dict(tables[0]["prompt"][0][0]))) == {
        "role": "user",
        "content": "Is it safe to mix them?",
    }
