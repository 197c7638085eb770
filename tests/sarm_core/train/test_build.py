"""`sarm build` end to end on a tiny backbone and a dictionary in a public format."""

import importlib
import json
import multiprocessing
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import optimize

from sarm_core import load_sae, load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import SarmError
from sarm_core.train import encoded_answers
from sarm_core.train.activations import Reader
from sarm_core.train.build import DOUBTFUL, BuildConfig, run_build
from sarm_core.train.data import read_pairs
from sarm_core.train.encoded_answers import Answers
from sarm_core.train.random_encoder import random_encoder
from tests.sarm_core.tiny_models import WIDTH, backbone, chatml, random_sae

GOOD = ["Yes, gladly.", "Of course: here it is.", "Sure! Let us see."]
BAD = ["No.", "Never! Go away...", "I can't."]
N_FEATURES = 96


def rows(n=150):
    """The polite answer is chosen, but in the rows 7 and 8: a pair and its opposite."""
    rng = np.random.default_rng(0)
    made = [
        {
            "prompt": f"Question {i:03d}: is it {rng.integers(100, 1000)}?",
            "chosen": GOOD[rng.integers(3)],
            "rejected": BAD[rng.integers(3)],
            "source": ("one", "two")[i % 2],
        }
        for i in range(n)
    ]
    made[7] = {**made[6], "chosen": made[6]["rejected"], "rejected": made[6]["chosen"]}
    return made


def dictionary(folder, width=WIDTH, seed=0):
    """A random dictionary as sparsify writes one, for the stream after two blocks."""
    generator = torch.Generator().manual_seed(seed)
    encoder = torch.randn(N_FEATURES, width, generator=generator)
    place = folder / "layers.1"
    place.mkdir(parents=True)
    tensors = {
        "encoder.weight": encoder,
        "encoder.bias": torch.randn(N_FEATURES, generator=generator) * 0.1,
        "W_dec": encoder.clone(),
        "b_dec": torch.randn(width, generator=generator) * 0.1,
    }
    save_file(tensors, place / "sae.safetensors")
    (place / "cfg.json").write_text(
        json.dumps({"d_in": width, "num_latents": N_FEATURES, "k": 8, "activation": "topk"})
    )
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    model = backbone("llama")
    model.save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    dictionary(folder / "sae")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return folder


def config(place, out, **changes):
    settings = {
        "pairs": [str(place / "pairs.jsonl")],
        "backbone": str(place / "tiny"),
        "sae": str(place / "sae" / "layers.1"),
        "out": str(out),
        "cache": str(place / "cache"),
    }
    return BuildConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def built(place):
    out = run_build(config(place, place / "sarm"))
    return out, json.loads((out / "report.json").read_text())


@pytest.mark.slow
def test_the_built_sarm_scores_what_its_report_says(place, built):
    out, report = built
    test = [pair for pair in read_pairs(place / "pairs.jsonl") if pair.split == "test"]
    scorer = load_sarm(out)
    margins = (
        scorer.score([p.chosen for p in test]).rewards - scorer.score([p.rejected for p in test]).rewards
    )
    np.testing.assert_allclose(margins, report["head"]["test_margins"], atol=1e-3, rtol=1e-3)
    assert report["head"]["test"]["all"]["accuracy"] == pytest.approx(np.mean(margins > 0))
    assert np.count_nonzero(scorer.head) == report["head"]["n_features"]
    assert scorer.checkpoint.shape.layer == 2 and scorer.n_features == N_FEATURES
    assert report["head"]["test"]["all"]["accuracy"] > 0.8
    card = (out / "README.md").read_text()
    assert f"| this SARM | {report['head']['test']['one']['accuracy']:.3f}" in card


def test_its_features_are_those_of_the_public_dictionary(place, built):
    reader = Reader(str(place / "tiny"), 2, torch.float32)
    pair = next(read_pairs(place / "pairs.jsonl"))
    (sequence,) = reader.format.tokens([pair.chosen])
    h = reader.encoder.hidden([sequence.input_ids], [np.array([sequence.scored])])
    wanted = load_sae(place / "sae" / "layers.1").features(h)
    got = load_sarm(built[0]).score([pair.chosen]).matrix.csr
    np.testing.assert_allclose(got.toarray(), wanted.toarray(), atol=1e-4)


@pytest.mark.slow
def test_what_the_own_saeleaves_unexplained_is_said(place, built, tmp_path, capsys):
    """Against the formula in NumPy, over every answer; a dictionary of other vectors is called one."""
    reader = Reader(str(place / "tiny"), 2, torch.float32)
    sides = [side for pair in read_pairs(place / "pairs.jsonl") for side in (pair.chosen, pair.rejected)]
    sequences = reader.format.tokens(list(dict.fromkeys(sides)))
    h = reader.encoder.hidden([s.input_ids for s in sequences], [np.array([s.scored]) for s in sequences])
    own_sae = load_sae(place / "sae" / "layers.1")
    decoder, bias = (t.detach().double().numpy() for t in (own_sae.sae.decoder.weight, own_sae.sae.pre_bias))
    x_hat = own_sae.features(h).toarray().astype(np.float64) @ decoder.T + bias
    left = ((x_hat - h) ** 2).sum() / ((h - h.mean(0, dtype=np.float64)) ** 2).sum()
    assert built[1]["unexplained"] == pytest.approx(left, rel=1e-4)
    assert f"misses h by {left:,.1f} times its variance" in (built[0] / "README.md").read_text()
    run_build(config(place, tmp_path / "foreign", cache=str(tmp_path / "cache")))
    assert left > 1 and "more than their mean would" in capsys.readouterr().err
    z = own_sae.features(h).toarray()
    own = tmp_path / "layers.1"
    shutil.copytree(place / "sae" / "layers.1", own)
    fitted = np.linalg.lstsq(z, h - bias.astype(np.float32), rcond=None)[0]
    save_file(
        {**load_file(own / "sae.safetensors"), "W_dec": torch.from_numpy(fitted).contiguous()},
        own / "sae.safetensors",
    )
    out = run_build(config(place, tmp_path / "own", sae=str(own), cache=str(tmp_path / "cache")))
    left = json.loads((out / "report.json").read_text())["unexplained"]
    assert left < 1 and f"leaves {left:.1%} of the variance of h" in (out / "README.md").read_text()
    assert "more than their mean would" not in capsys.readouterr().err


def test_the_curve_runs_from_few_features_to_all_with_every_figure(built):
    _, report = built
    used = [point["n_features"] for point in report["curve"]]
    assert used[0] <= 3 and used[-1] == max(used) and report["curve"][-1]["how"] == "ridge"
    assert report["head"]["n_features"] in used
    assert {point["how"] for point in report["curve"][:-1]} <= {"l1", "relaxed"}
    best = min(point["validation_loss"] for point in report["curve"])
    assert report["head"]["validation_loss"] <= best + 0.05
    assert set(report["baselines"]) == {"all_features", "scalar_head", "random_encoder", "length"}
    for found in report["baselines"].values():
        assert found["test"]["all"]["n"] == report["pairs"]["test"]


def test_a_pair_and_its_opposite_are_listed(place, built):
    out, report = built
    listed = [json.loads(line) for line in (out / DOUBTFUL).read_text().splitlines()]
    found = {row["row"] for row in listed if row["why"] == "contradicts"}
    assert found == {7, 8} and report["pairs"]["contradicting"] == 2
    assert all(row["file"] == str(place / "pairs.jsonl") and row["probability"] < 0.1 for row in listed[2:])


@pytest.mark.slow
def test_a_number_of_features_is_kept_to_and_nothing_is_read_again(place, built, tmp_path, monkeypatch):
    def run(*_args, **_how):
        raise AssertionError("the backbone ran")

    monkeypatch.setattr("sarm_core.score.encoder.Encoder.hidden_parts", run)
    out = run_build(config(place, tmp_path / "five", features=5))
    assert np.count_nonzero(load_sarm(out).head) == 5
    with pytest.raises(SarmError, match=r"--features 97: no more than \d+ features ever differ"):
        run_build(config(place, tmp_path / "many", features=97))
    assert not (tmp_path / "many").exists()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_stopped(place, tmp_path, monkeypatch):
    reader = Reader(str(place / "tiny"), 2, torch.float32)
    sides = [side for pair in read_pairs(place / "pairs.jsonl") for side in (pair.chosen, pair.rejected)]
    reached = []

    def stop(done, _total):
        reached.append(done)
        if done >= 48:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Answers(reader, sides, tmp_path, progress=stop)
    read = []
    parts = reader.encoder.hidden_parts
    monkeypatch.setattr(
        reader.encoder, "hidden_parts", lambda ids, *rest: read.append(len(ids)) or parts(ids, *rest)
    )
    answers = Answers(reader, sides, tmp_path)
    assert sum(read) == len(answers) - reached[-1] and 48 <= reached[-1] < len(answers)
    whole = Answers(reader, sides, tmp_path / "anew")
    np.testing.assert_allclose(answers.hidden(), whole.hidden(), atol=1e-5)
    np.testing.assert_array_equal(answers.row_of, whole.row_of)


@pytest.mark.slow
def test_what_is_planned_together_changes_no_answer(place, tmp_path, monkeypatch):
    """Also where a window ends between the two answers of a pair, and where every answer was read before."""
    reader = Reader(str(place / "tiny"), 2, torch.float32)
    sides = [side for pair in read_pairs(place / "pairs.jsonl") for side in (pair.chosen, pair.rejected)]
    whole = Answers(reader, sides, tmp_path / "whole")
    monkeypatch.setattr(encoded_answers, "CHUNK", 16)
    monkeypatch.setattr(encoded_answers, "WINDOW", 37)
    said = []
    parts = Answers(reader, sides, tmp_path / "parts", progress=lambda *at: said.append(at))
    assert said[-1] == (len(set(sides)), len(set(sides))) and said == sorted(said)
    np.testing.assert_allclose(parts.hidden(), whole.hidden(), atol=1e-5)
    for name in ("row_of", "n_tokens", "n_cut"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    (sequence,) = reader.format.tokens([sides[0]])
    alone = reader.encoder.hidden([sequence.input_ids], [np.array([sequence.scored])])
    np.testing.assert_allclose(whole.hidden([whole.row_of[0]]), alone, atol=1e-5)


KILLED = {
    "while it reads": ("sarm_core.train.kept_rows", "KeptRows.add", 4),
    "while it fits": ("sarm_core.train.head_fit", "Part.gradient", 40),
    "while it writes": ("sarm_core.train.build", "build_card", 1),
}
"""A function, and at which of its calls the process is killed."""


def killed_in(module, name, call, words, calls):
    """What a process runs: the command, until it kills itself with signal 9; `calls` gets a byte a call."""
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, last)

    def counted(*given, **stated):
        with open(calls, "ab") as file:
            file.write(bytes([len(given[1]) if name == "KeptRows.add" else 0]))
        if Path(calls).stat().st_size == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **stated)

    setattr(owner, last, counted)
    torch.set_num_threads(1)
    main(words)


@pytest.mark.slow
def test_a_build_that_is_killed_anywhere_ends_as_one_that_is_not(place, built, tmp_path, monkeypatch):
    forking = multiprocessing.get_context("forkserver")
    preloaded = ["tests.sarm_core.train.test_build", "transformers.models.llama.modeling_llama"]
    forking.set_forkserver_preload(preloaded)
    reader = Reader(str(place / "tiny"), 2, torch.float32)
    made = config(place, tmp_path / "out" / "sarm", cache=str(tmp_path / "cache"))
    words = ["build", *made.pairs, "--backbone", made.backbone, "--sae", made.sae, "--out", made.out]
    words += ["--cache", made.cache, "--name", "sarm"]
    for when, where in KILLED.items():
        calls = tmp_path / when
        process = forking.Process(target=killed_in, args=(*where, words, str(calls)))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL and calls.stat().st_size == where[2], when
        assert not Path(made.out).exists(), when
        if when == "while it reads":  # what the passes before gave is kept, all but the last
            assert len(reader.kept(tmp_path / "cache")) == sum(calls.read_bytes()[:-1]) > 0

    def run(*_args, **_how):
        raise AssertionError("the backbone ran")

    monkeypatch.setattr("sarm_core.score.encoder.Encoder.hidden_parts", run)
    out, report = run_build(made), built[1]
    again = json.loads((out / "report.json").read_text())
    assert again["head"]["n_features"] == report["head"]["n_features"]
    assert again["head"]["penalty"] == report["head"]["penalty"]
    # Passes of other company round otherwise. The head that is taken hardly misses a training pair, so how long it is
    # hangs on that rounding (a tenth on some processors); where it points, and the penalised fits, do not.
    losses = [
        [fit["validation_loss"] for fit in found["curve"] if fit["how"] == "l1"] for found in (again, report)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3, atol=1e-4)
    heads = [load_file(folder / "sarm.safetensors")["score.weight"].flatten() for folder in (out, built[0])]
    assert torch.nn.functional.cosine_similarity(*heads, dim=0) > 0.999
    listed = [
        [(row["why"], row["row"]) for row in map(json.loads, (folder / DOUBTFUL).read_text().splitlines())]
        for folder in (out, built[0])
    ]
    assert listed[0] == listed[1]


def test_random_directions_are_as_many_at_a_time(place):
    from sarm_core.model.sae import JumpReLU

    h = np.random.default_rng(0).normal(size=(300, WIDTH)).astype(np.float32)
    for kind in (6, JumpReLU()):
        sae = random_sae(64, kind)
        made = random_encoder(sae, h, 0)
        x = sae.inputs(torch.from_numpy(h))
        counts = [len(each.encode(x).ids) / len(x) for each in (sae, made)]
        assert counts[1] == pytest.approx(counts[0], rel=0.05)
        assert not torch.allclose(made.encoder.weight, sae.encoder.weight)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layer": 3}, "layer"),
        ({"backbone": "wide"}, r"reads vectors of 16 numbers, the backbone's are 24 wide"),
        (
            {"pairs": "few"},
            r"no pair falls in the (train|validation|test) part .* give more prompts, 50 or so",
        ),
        ({"scored_token": "<end>"}, "scored token '<end>' is not in the tokenizer's vocabulary"),
        ({"dtype": "int8"}, "dtype 'int8' is not known"),
        ({"sae": "deep"}, "the SAE reads block 9, but this backbone has 4 blocks"),
        ({"backbone": "absent"}, "no such folder"),
    ],
)
def test_what_does_not_belong_together_is_one_line_and_nothing_is_written(
    place, tmp_path, capsys, changes, reason
):
    from transformers import LlamaConfig, LlamaModel

    if changes.get("backbone") == "wide":
        sizes = {"hidden_size": 24, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3}
        LlamaModel(LlamaConfig(vocab_size=300, **sizes)).save_pretrained(tmp_path / "wide")
        changes = {"backbone": str(tmp_path / "wide")}
    if changes.get("sae") == "deep":
        changes = {"sae": str(dictionary(tmp_path / "sae").rename(tmp_path / "sae" / "layers.8"))}
    if changes.get("pairs") == "few":
        (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()[:1]))
        changes = {"pairs": [str(tmp_path / "few.jsonl")]}
    made = config(place, tmp_path / "out", **changes)
    words = ["build", *made.pairs, "--backbone", made.backbone, "--sae", made.sae, "--out", made.out]
    words += ["--cache", str(tmp_path / "cache"), "--dtype", made.dtype]
    words += ["--layer", str(made.layer)] if made.layer else []
    words += ["--scored-token", made.scored_token] if made.scored_token else []
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and len([line for line in said.err.splitlines() if line.startswith("error")]) == 1
    assert re.search(reason, said.err)
    assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_ties_are_counted_and_half_of_them_a_win_each_at_the_optimum(place, tmp_path):
    """The head is where an independent solver ends, on features of the built SARM, with each tie as two half pairs."""
    tied = [
        {"prompt": f"Tie {i}?", "response_1": GOOD[i % 3], "response_2": BAD[i % 3], "winner": "tie"}
        for i in range(60)
    ]
    (tmp_path / "ties.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tied))
    files = [str(place / "pairs.jsonl"), str(tmp_path / "ties.jsonl")]
    reports = {}
    for ties in ("out", "half"):
        out = run_build(config(place, tmp_path / ties, pairs=files, ties=ties, features=5))
        reports[ties] = json.loads((out / "report.json").read_text())
    found = reports["half"]["head"]
    assert reports["out"]["pairs"]["ties"] == reports["half"]["pairs"]["ties"] == 60
    half = reports["half"]["pairs"]["ties_half"]
    assert reports["out"]["pairs"]["ties_half"] == 0 < half < 60
    assert f"60 more are ties: the {half} of them to fit on counted" in (out / "README.md").read_text()
    assert "60 more are ties and were left out" in (tmp_path / "out" / "README.md").read_text()
    for name in ("pairs", "train", "validation", "test"):
        assert reports["out"]["pairs"][name] == reports["half"]["pairs"][name]
    for name in ("n", "prompts"):
        assert found["test"]["all"][name] == reports["out"]["head"]["test"]["all"][name]
    doubtful = [json.loads(line) for line in (out / DOUBTFUL).read_text().splitlines()]
    assert all(row["file"] == files[0] for row in doubtful)  # a tie calls neither answer the better one

    scorer = load_sarm(out)
    train = [p for path in files for p in read_pairs(path, ties=True) if p.split == "train"]
    z = [scorer.score([getattr(p, side) for p in train]).matrix.csr for side in ("chosen", "rejected")]
    used = np.flatnonzero(scorer.head)
    d = (z[0] - z[1])[:, used].toarray().astype(float)
    differs = np.array([p.chosen != p.rejected for p in train])
    is_tie = np.array([p.tie for p in train])
    assert (is_tie & differs).sum() == half

    def objective(w):
        margins = d[differs] @ w
        once, twice = np.logaddexp(0, -margins), np.logaddexp(0, margins)
        loss = np.where(is_tie[differs], (once + twice) / 2, once).mean()
        return loss + found["decay"] / 2 * w @ w

    other = optimize.minimize(objective, np.zeros(len(used)), method="BFGS", options={"gtol": 1e-7})
    assert found["how"] == "relaxed"
    np.testing.assert_allclose(scorer.head[used], other.x, rtol=2e-3, atol=2e-3)
    margins = d[~is_tie] @ scorer.head[used]
    assert found["train_accuracy"] == pytest.approx((margins[differs[~is_tie]] > 0).mean())


@pytest.mark.slow
def test_the_command_prints_the_report_as_json_and_nothing_else(place, built, tmp_path, capsys):
    out = tmp_path / "sarm"
    words = [
        "build",
        str(place / "pairs.jsonl"),
        "--backbone",
        str(place / "tiny"),
        "--out",
        str(out),
        "--json",
    ]
    assert main([*words, "--sae", str(place / "sae" / "layers.1"), "--cache", str(place / "cache")]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["head"] == built[1]["head"]  # the same seed, the same SARM
    assert "features put" in said.err
