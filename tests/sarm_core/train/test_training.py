"""Both training stages end to end on a tiny backbone, and the head against an independent optimiser."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import RowError, SarmError
from sarm_core.model.backbone import native_bfloat16
from sarm_core.model.checkpoint import Shape, open_checkpoint, read_sae
from sarm_core.model.sae import JumpReLU, TopK, standardise
from sarm_core.text.answers import conversation_of
from sarm_core.text.rows import Conversation, Message
from sarm_core.train.activations import Corpus, Reader, Taken, collect
from sarm_core.train.cuts import scored_after_cuts
from sarm_core.train.data import read_pairs, read_texts, split_of
from sarm_core.train.positions import Positions, PositionWriter
from sarm_core.train.reward import RewardConfig, accuracy
from sarm_core.train.runs import read_config, run_reward
from sarm_core.train.sae import train_sae
from sarm_core.train.sae_config import SAEConfig
from sarm_core.train.sae_figures import measure
from sarm_core.train.sae_run import run_sae
from tests.sarm_core.tiny_models import KINDS, WIDTH, backbone, chatml, reference_checkpoint

GOOD = ["Yes, gladly.", "Of course: here it is.", "Sure! Let us see."]
BAD = ["No.", "Never! Go away...", "I can't."]


def preferences(n=80):
    """Rows in which the polite answer is always the chosen one."""
    rng = np.random.default_rng(0)
    return [
        {
            "prompt": f"Question {i:03d}: is it {rng.integers(100, 1000)}?",
            "chosen": GOOD[rng.integers(3)],
            "rejected": BAD[rng.integers(3)],
            "source": "planted",
        }
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny backbone that has a tokenizer, and a file of planted preferences."""
    folder = tmp_path_factory.mktemp("training")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in preferences()))
    return folder


def sae_config(place, out, **changes):
    settings = {
        "backbone": str(place / "tiny"),
        "layer": 2,
        "n_features": 48,
        "k": 6,
        "data": [str(place / "pairs.jsonl")],
        "tokens_per_text": 4,
        "steps": 60,
        "batch": 64,
        "cache": str(place / "cache"),
        "out": str(out),
    }
    return SAEConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def stage1(place):
    return run_sae(sae_config(place, place / "sae"))


# -- stage 1 ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def collected(place, cache, *, tokens_per_text=4, **more):
    corpus = Corpus([place / "pairs.jsonl"])
    return collect(Reader(str(place / "tiny"), 2), corpus, Taken(tokens_per_text, **more), cache)


def test_stage_1_writes_an_sae_and_a_report_that_agree_with_each_other(place, stage1):
    sae = read_sae(stage1 / "sae.safetensors", Shape(2, 48, TopK(6)))
    norms = sae.decoder.weight.norm(dim=0)
    torch.testing.assert_close(norms, torch.ones(48), atol=2e-3, rtol=0)
    report = json.loads((stage1 / "report.json").read_text())
    assert report["config"]["k"] == 6
    positions = collected(place, place / "cache")
    stated = report["reconstruction"]["test/scored"]
    again = measure(sae, positions, split="test", kind="scored")
    texts = list(read_texts(place / "pairs.jsonl"))
    assert again.n == stated["n"] == sum(text.split == "test" for text in texts)
    assert again.variance_unexplained == pytest.approx(stated["variance_unexplained"], abs=0.02)


@pytest.mark.slow
def test_training_explains_more_variance_than_the_initial_sae(place):
    positions = collected(place, place / "cache")

    def unexplained(steps):
        config = sae_config(place, "unused", steps=steps)
        return measure(train_sae(positions, config, log=False), positions, split="test", kind="token")

    assert unexplained(150).variance_unexplained < 0.75 * unexplained(1).variance_unexplained


def written(folder, h, kind="scored"):
    """Positions of the train part, all of one kind."""
    with PositionWriter(folder, h.shape[1], {}).opened() as writer:
        writer.append(("train", kind), h)
        writer.commit(len(h))
    return Positions(folder)


def test_the_measured_variance_is_the_textbook_one(place, tmp_path):
    rng = np.random.default_rng(0)
    h = rng.normal(size=(200, WIDTH)).astype(np.float16)
    data = written(tmp_path / "positions", h)
    sae = train_sae(data, sae_config(place, "unused", mix={"scored": 1.0}, steps=20), log=False)
    report = measure(sae, data, split="train", kind="scored")
    wide = h.astype(np.float64)
    x = (wide - wide.mean(1, keepdims=True)) / (wide.std(1, ddof=1, keepdims=True) + 1e-6)
    with torch.no_grad():
        x_hat = sae(torch.from_numpy(x).float())[0].double().numpy()
    wanted = ((x_hat - x) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert report.variance_unexplained == pytest.approx(wanted, rel=1e-3)
    assert report.normalised_mse == pytest.approx(
        np.mean(((x_hat - x) ** 2).mean(1) / (x**2).mean(1)), rel=1e-3
    )


@pytest.mark.slow
def test_a_seed_decides_the_run(place, tmp_path, stage1):
    again = run_sae(sae_config(place, tmp_path / "again"))
    other = run_sae(sae_config(place, tmp_path / "other", seed=1))
    weights = [load_file(folder / "sae.safetensors") for folder in (stage1, again, other)]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name])
    assert not torch.equal(weights[0]["encoder.weight"], weights[2]["encoder.weight"])


@pytest.mark.slow
def test_a_batch_wide_dictionary_is_saved_with_a_threshold_that_keeps_k_on_average(place, tmp_path):
    """And stage 2 goes on with it."""
    out = run_sae(sae_config(place, tmp_path / "sae", kind="batch-topk", steps=150, log_every=50))
    sae = read_sae(out / "sae.safetensors", Shape(2, 48, JumpReLU()))
    positions = collected(place, place / "cache")
    active = []
    for kind in ("scored", "sentence", "token"):
        (h,) = positions.spread(("test", kind), 10_000)
        active.append(np.diff(sae.encode(standardise(torch.from_numpy(h))).csr().indptr))
    assert len(set(np.concatenate(active).tolist())) > 1  # not the same number everywhere
    assert np.mean([counts.mean() for counts in active]) == pytest.approx(6, rel=0.35)
    sarm = run_reward(reward_config(place, tmp_path / "sarm", sae=str(out)))
    assert open_checkpoint(sarm).shape.sae.kind == "jumprelu"


def test_a_head_on_the_reconstruction_is_reported_beside_one_on_x(place, tmp_path):
    out = run_sae(sae_config(place, tmp_path / "sae", pairs=[str(place / "pairs.jsonl")]))
    heads = json.loads((out / "report.json").read_text())["heads"]
    n = sum(pair.split == "test" for pair in read_pairs(place / "pairs.jsonl"))
    assert heads["x"]["n"] == heads["x_hat"]["n"] == n
    assert heads["x"]["accuracy"] >= 0.9 and heads["x_hat"]["accuracy"] >= 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_cut_answers_have_the_activation_of_a_shorter_answer_or_are_refused(kind, tmp_path):
    model = open_checkpoint(reference_checkpoint(tmp_path / kind, kind)).build(
        dtype=torch.float32, device="cpu"
    )
    rng = np.random.default_rng(0)
    sequences = [rng.integers(2, 300, n).astype(np.int32) for n in (30, 12, 21)]
    cuts = [np.array([3, 11, 27]), np.array([5]), np.array([0, 1, 18, 19])]
    if kind in ("gemma2", "qwen3", "mistral"):  # windows would see past the cuts
        with pytest.raises(SarmError, match="full attention"):
            scored_after_cuts(model, sequences, cuts, token_budget=64)
        return
    got = scored_after_cuts(model, sequences, cuts, token_budget=64)
    wanted = []
    with torch.inference_mode():
        for sequence, where in zip(sequences, cuts, strict=True):
            for cut in where:
                ids = torch.from_numpy(np.append(sequence[: cut + 1], sequence[-1]).astype(np.int64))
                wanted.append(model.hidden(ids[None])[0, -1].numpy())
    np.testing.assert_allclose(got, np.array(wanted), atol=1e-4)


@pytest.mark.slow
def test_cut_texts_join_the_training_positions(place, tmp_path):
    positions = collected(place, tmp_path, cut_texts=20, cuts_per_text=3)
    assert 0 < positions.count("train", ["cut"]) <= 60
    out = run_sae(
        sae_config(
            place,
            tmp_path / "out",
            cut_texts=20,
            mix={"scored": 0.5, "cut": 0.5},
            steps=5,
            cache=str(tmp_path),
        )
    )
    assert (out / "sae.safetensors").exists()


# -- stage 2 ---------------------------------------------------------------------------------------------


def reward_config(place, out, **changes):
    settings = {
        "sae": str(place / "sae"),
        "data": [str(place / "pairs.jsonl")],
        "cache": str(place / "cache"),
        "decays": [1e-3, 1e-1],
        "out": str(out),
    }
    return RewardConfig(**{**settings, **changes})


@pytest.mark.slow
def test_long_texts_are_cut_to_the_positions_that_the_backbone_has_and_so_they_are_scored(tmp_path):
    """GPT-2's positions are learned: one more is an index that is not there."""
    small = backbone("gpt2")
    positions = small.config.max_position_embeddings
    small.save_pretrained(tmp_path / "gpt2")
    chatml().save_pretrained(tmp_path / "gpt2")
    rows = preferences(60)
    rows[5]["chosen"] = "word " * positions + rows[5]["chosen"]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_sae(
        sae_config(tmp_path, tmp_path / "sae", backbone=str(tmp_path / "gpt2"), steps=3, max_length=10**6)
    )
    out = run_reward(reward_config(tmp_path, tmp_path / "sarm"))
    assert open_checkpoint(out).max_length == positions == load_sarm(out).checkpoint.limit()
    shorter = sae_config(tmp_path, tmp_path / "s", backbone=str(tmp_path / "gpt2"), steps=3, max_length=64)
    run_sae(shorter)
    out = run_reward(reward_config(tmp_path, tmp_path / "short", sae=str(tmp_path / "s")))
    assert open_checkpoint(out).max_length == 64


@pytest.mark.slow
def test_mode_0_gives_a_checkpoint_that_prefers_what_was_planted(place, stage1, tmp_path):
    out = run_reward(reward_config(place, tmp_path / "sarm", name="tiny"))
    scorer = load_sarm(out, dtype="bfloat16")
    rows = preferences(200)[100:]
    chosen = scorer.score([{"prompt": r["prompt"], "response": r["chosen"]} for r in rows]).rewards
    rejected = scorer.score([{"prompt": r["prompt"], "response": r["rejected"]} for r in rows]).rewards
    assert np.mean(chosen > rejected) > 0.85
    report = json.loads((out / "report.json").read_text())["stage2"]
    for entry in (report, report["scalar_head"], report["random_encoder"]):
        assert entry["test"]["all"]["n"] == sum(
            split_of(p.chosen) == "test" for p in read_pairs(place / "pairs.jsonl")
        )
    card = (out / "README.md").read_text()
    assert "# tiny" in card and f"{report['test']['all']['accuracy']:.3f}" in card


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["last-special-token", "last-token"])
def test_mode_0_reports_what_the_written_checkpoint_really_scores(place, stage1, tmp_path, rule):
    """Also where the token that an ordinary reward model scores is scored: the line break after the end of the turn."""
    out = run_reward(reward_config(place, tmp_path / "sarm", scored_token=rule))
    report = json.loads((out / "report.json").read_text())["stage2"]
    test = [pair for pair in read_pairs(place / "pairs.jsonl") if pair.split == "test"]
    dtype = json.loads((stage1 / "report.json").read_text())["config"]["backbone_dtype"]
    assert dtype == ("bfloat16" if native_bfloat16() else "float32")
    scorer = load_sarm(out, dtype=dtype)
    chosen = scorer.score([pair.chosen for pair in test]).rewards
    rejected = scorer.score([pair.rejected for pair in test]).rewards
    np.testing.assert_allclose(chosen - rejected, report["test_margins"], atol=0.05, rtol=0.05)
    (tokens,) = scorer.tokens([test[0].chosen])
    assert tokens.pieces()[-1] == {"last-special-token": "<|im_end|>", "last-token": "\n"}[rule]


def test_a_scored_token_that_is_none_is_refused_before_the_work(place, stage1, tmp_path):
    with pytest.raises(SarmError, match=r"scored token '<end>' is not in the tokenizer's vocabulary"):
        run_sae(sae_config(place, tmp_path / "sae", scored_token="<end>"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_stage_2_scores_the_token_that_stage_1_read(place, tmp_path):
    run_sae(sae_config(place, tmp_path / "sae", scored_token="last-token", steps=2))
    out = run_reward(reward_config(place, tmp_path / "sarm", sae=str(tmp_path / "sae")))
    assert open_checkpoint(out).rule == "last-token"


def test_accuracy_counts_ties_as_wrong_with_wilsons_interval():
    from scipy.stats import binomtest

    margins = np.array([1.0] * 60 + [-1.0] * 30 + [0.0] * 10)
    result = accuracy(margins)
    interval = binomtest(60, 100).proportion_ci(method="wilson")
    assert (result.n, result.accuracy, result.ties) == (100, 0.6, 10)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


# -- data ------------------------------------------------------------------------------------------------


@given(st.text(min_size=1), st.text(), st.text())
def test_a_prompt_is_in_one_part_whatever_its_answers(prompt, answer, more):
    one = Conversation(messages=(Message("user", prompt), Message("assistant", answer)))
    other = Conversation(
        messages=(
            Message("system", "s"),
            Message("user", prompt),
            Message("assistant", more),
            Message("user", "go on"),
            Message("assistant", answer),
        )
    )
    assert split_of(one) == split_of(other)


@pytest.mark.slow
def test_about_a_tenth_is_held_out_for_each_part():
    parts = [split_of(conversation_of({"prompt": f"p{i}", "response": "a"})) for i in range(3000)]
    for part in ("validation", "test"):
        assert 0.08 < parts.count(part) / 3000 < 0.12


def test_corpus_rows_make_pairs_of_different_quality_that_weigh_one_together(tmp_path):
    row = {
        "prompt": "p",
        "category": "code",
        "answers": [{"text": f"a{q}{i}", "quality": q} for q in (1, 2, 3) for i in range(2)],
    }
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    pairs = list(read_pairs(tmp_path / "c.jsonl"))
    assert len(pairs) == 12 and sum(p.weight for p in pairs) == pytest.approx(1.0)
    assert all(p.chosen.answer[1] > p.rejected.answer[1] for p in pairs)
    assert len(list(read_texts(tmp_path / "c.jsonl"))) == 6


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "answers": "text"},
        {"prompt": "p", "answers": [1]},
        {"prompt": "p", "answers": [{"text": "a"}, {"text": "b"}]},
        {"prompt": "p", "answers": [{"text": "a", "quality": "x"}]},
        {"prompt": "p", "chosen": "a"},
    ],
)
def test_a_bad_training_row_names_file_and_row(tmp_path, row):
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    with pytest.raises(RowError, match=r"c\.jsonl, row 1"):
        list(read_pairs(tmp_path / "c.jsonl"))


# -- settings --------------------------------------------------------------------------------------------


def test_settings_come_from_yaml_and_the_command_line(tmp_path):
    (tmp_path / "c.yaml").write_text("data: [a.jsonl]\nlr: 5e-4\ndecays: [1e-3, 0.1]\nmode: 1\n")
    config = read_config(RewardConfig, tmp_path / "c.yaml", ["epochs=7", "lr=1e-5", "name=x y"])
    assert (config.lr, config.epochs, config.name, config.decays) == (1e-5, 7, "x y", [1e-3, 0.1])


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("data: [a]", ["depth=3"], "unknown setting 'depth'; known: backbone"),
        ("- a", [], "expected settings"),
        ("- a", ["k=3"], "expected settings"),
        ("data: a.jsonl", [], "data is 'a.jsonl', not a list"),
        ("data: [1]", [], "not a list of texts"),
        ("data: [a]\nsteps: 1.5", [], "steps is 1.5, not a whole number"),
        ("data: [a]\nsteps: true", [], "steps is True, not a whole number"),
        ("data: [a]\nlr: fast", [], "lr is 'fast', not a number"),
        ("data: [a]", ["k"], "k is None, not a whole number"),
        ("data: [a]\nout: 5", [], "out is 5, not a text"),
        ("data: [a]\nmix: 5", [], "mix is 5, not a mapping"),
        ("layer: 2", [], "data is empty"),
        ("a: [", [], "cannot be read as YAML"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path, text, changes, words):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SarmError) as caught:
        read_config(SAEConfig, tmp_path / "c.yaml", changes)
    assert words in str(caught.value) and str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_existing_output_is_refused_before_the_work_and_not_after(place, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    for run, config in ((run_sae, sae_config), (run_reward, reward_config)):
        with pytest.raises(SarmError, match="already exists"):
            run(config(place, tmp_path / "out", data=["never read"]))


def test_too_few_prompts_are_refused_with_a_remedy(place, stage1, tmp_path):
    (tmp_path / "few.jsonl").write_text(json.dumps(preferences()[0]))
    for run, config in ((run_sae, sae_config), (run_reward, reward_config)):
        with pytest.raises(SarmError, match=r"falls in the .* part.*give more prompts"):
            run(config(place, tmp_path / "out", data=[str(tmp_path / "few.jsonl")]))


@pytest.mark.slow
def test_the_commands_run_a_yaml_file(place, tmp_path, capsys):
    (tmp_path / "sae.yaml").write_text(
        f"backbone: {place / 'tiny'}\nlayer: 2\nn_features: 32\nk: 4\nsteps: 3\nbatch: 16\n"
        f"data: [{place / 'pairs.jsonl'}]\ncache: {tmp_path / 'cache'}\n"
    )
    assert (
        main(["train-sae", str(tmp_path / "sae.yaml"), f"out={tmp_path / 'sae'}", "tokens_per_text=0"]) == 0
    )
    (tmp_path / "reward.yaml").write_text(
        f"sae: {tmp_path / 'sae'}\ndata: [{place / 'pairs.jsonl'}]\ncache: {tmp_path / 'cache'}\n"
        f"decays: [0.1]\nout: {tmp_path / 'sarm'}\n"
    )
    assert main(["train-reward", str(tmp_path / "reward.yaml")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'sae'}\n{tmp_path / 'sarm'}\n"
    assert load_sarm(tmp_path / "sarm").n_features == 32
    assert main(["train-reward", str(tmp_path / "reward.yaml"), "mode=5", f"out={tmp_path / 'x'}"]) == 2
    assert "mode 5 is not available" in capsys.readouterr().err
    assert main(["train-reward", str(tmp_path / "reward.yaml"), "sae=nowhere", f"out={tmp_path / 'x'}"]) == 2
    assert "run train-sae first" in capsys.readouterr().err
