"""`sarm study` end to end on a tiny backbone: what its table says, against `build`, an oracle, and itself resumed."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from sarm_core.__main__ import main
from sarm_core.bootstrap import KeptDraws
from sarm_core.score.encoder import Encoder
from sarm_core.train import study as study_module
from sarm_core.train.activations import Corpus, Reader, Taken, collect
from sarm_core.train.build import BuildConfig, run_build
from sarm_core.train.data import Parts, prompt_key, read_pairs
from sarm_core.train.study_arms import natural_mix
from tests.sarm_core.tiny_models import backbone, chatml

GOOD = ["Yes, gladly.", "Of course: here it is.", "Sure! Let us see."]
BAD = ["No.", "Never! Go away...", "I can't."]
ARMS = ["sarm", "scalar_head", "random_encoder", "token_sae", "length"]
SEEDS = [0, 3]
SPLIT = {"validation": 0.2, "test": 0.3}


def rows(n=150):
    """The polite answer is chosen in four rows of five."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(n):
        answers = [GOOD[rng.integers(3)], BAD[rng.integers(3)]]
        chosen, rejected = answers[::-1] if i % 5 == 0 else answers
        prompt = f"Question {i // 2:03d}: is it?"
        made.append(
            {"prompt": prompt, "chosen": chosen, "rejected": rejected, "source": ("one", "two")[i % 2]}
        )
    return made


def styled(n=14):
    return [
        {
            "prompt": f"Question {i}?",
            "chosen": [f"{answer} {i}" for answer in GOOD],
            "rejected": [f"{answer} {i}" for answer in BAD],
            "domain": "chat",
        }
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    for name, made in (("pairs", rows()), ("bench", styled())):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return folder


def written(place, out, **changes):
    settings = {
        "backbone": str(place / "tiny"),
        "layer": 2,
        "backbone_dtype": "float32",
        "n_features": 48,
        "k": 6,
        "data": [str(place / "pairs.jsonl")],
        "pairs": [str(place / "pairs.jsonl")],
        "benchmarks": {"rm-bench": str(place / "bench.jsonl"), "pairs": [str(place / "pairs.jsonl")]},
        "seeds": SEEDS,
        "split": SPLIT,
        "resamples": 300,
        "tokens_per_text": 4,
        "steps": 8,
        "batch": 32,
        "cache": str(place / "cache"),
        "out": str(out),
        **changes,
    }
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(settings))
    return str(file)


@pytest.fixture(scope="module")
def done(place):
    out = place / "out"
    assert main(["study", written(place, out)]) == 0
    return out


@pytest.fixture(scope="module")
def found(done):
    return json.loads((done / "study.json").read_text())


def head(out, arm, seed=None):
    name = arm if seed is None else f"{arm}-seed-{seed}"
    return json.loads((out / "heads" / f"{name}.json").read_text())["heads"]["ridge"]


@pytest.mark.slow
def test_every_arm_and_seed_is_in_table_plot_and_rows(done, found):
    table, page = (done / "study.md").read_text(), (done / "study.html").read_text()
    for arm in ARMS:
        pairs = found["arms"][arm]["heads"]["ridge"]["pairs"]["all"]
        said = f"{pairs['value']:.3f} [{pairs['low']:.3f}, {pairs['high']:.3f}]"
        assert f"| {arm} | {said} |" in table and arm in page
        assert len(pairs["seeds"]) == (1 if arm in ("scalar_head", "length") else 2)
    assert 'src="http' not in page
    with (done / "study.csv").open() as file:
        read = {
            (row["arm"], row["head"], row["measure"], row["score"], row["seed"]): row["value"]
            for row in csv.DictReader(file)
        }
    for i, seed in enumerate(SEEDS):
        total = found["arms"]["token_sae"]["heads"]["ridge"]["benchmarks"]["rm-bench"]["total"]
        assert float(read["token_sae", "ridge", "rm-bench", "total", str(seed)]) == total["seeds"][i]
    assert found["schema"] == "sarm-study/1" and found["versions"]["torch"] and found["seeds"] == SEEDS
    assert [file["name"] for file in found["files"]["benchmarks/rm-bench"]] == ["bench.jsonl"]
    assert len(found["files"]["pairs"][0]["sha256"]) == 64
    test = {
        p.chosen for p in read_pairs(done.parent / "pairs.jsonl", None, Parts(0.3, 0.2)) if p.split == "test"
    }
    trained_on = 75 - len(
        {prompt_key(chosen) for chosen in test}
    )  # every prompt is one of the benchmark's too
    assert found["benchmarks"]["pairs"] == {"items": 150, "prompts": 75, "prompts_trained_on": trained_on}
    digests = [
        d for arm in ("sarm", "random_encoder", "token_sae") for d in found["arms"][arm]["dictionaries"]
    ]
    assert len(set(digests)) == 6


@pytest.mark.slow
def test_a_paired_interval_is_that_of_prompts_redrawn_one_by_one(place, done, found):
    """Over both seeds, for both arms the same prompts: against a loop over resamples and pairs."""
    test = [p for p in read_pairs(place / "pairs.jsonl", None, Parts(0.3, 0.2)) if p.split == "test"]
    test = [p for p in test if p.chosen != p.rejected]
    prompts = sorted({prompt_key(p.chosen) for p in test})
    draws = KeptDraws(np.zeros(len(prompts), dtype=np.int64), 300, 0).counts
    for other in ("scalar_head", "random_encoder"):
        outcomes = []  # of each pair: the seeds' mean of right or not, ours less theirs
        for i in range(len(test)):
            mean = 0.0
            for seed in SEEDS:
                theirs = head(done, other, None if other == "scalar_head" else seed)
                ours = head(done, "sarm", seed)
                mean += ((ours["test_margins"][i] > 0) - (theirs["test_margins"][i] > 0)) / len(SEEDS)
            outcomes.append(mean)
        means = []
        for r in range(300):
            drawn = [
                (value, draws[prompts.index(prompt_key(p.chosen)), r])
                for value, p in zip(outcomes, test, strict=True)
            ]
            means.append(sum(v * n for v, n in drawn) / sum(n for _, n in drawn))
        stated = found["differences"][other]["pairs"]["all"]
        assert stated["value"] == pytest.approx(np.mean(outcomes))
        assert [stated["low"], stated["high"]] == pytest.approx(np.quantile(means, [0.025, 0.975]))


@pytest.mark.slow
def test_its_figures_are_those_of_build_on_the_same_dictionary(place, tmp_path):
    """In tenths, as `build` splits, with ties; the random directions of one seed are build's own."""
    out = tmp_path / "study"
    tenths = {"validation": 0.1, "test": 0.1}
    tied = [
        {"prompt": f"Tie {i}?", "response_1": GOOD[i % 3], "response_2": BAD[i % 3], "winner": "tie"}
        for i in range(40)
    ]
    (tmp_path / "ties.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tied))
    files = [str(place / "pairs.jsonl"), str(tmp_path / "ties.jsonl")]
    changes = {
        "pairs": files,
        "ties": "half",
        "split": tenths,
        "seeds": [1],
        "seed": 1,
        "resamples": 2000,
        "benchmarks": {},
    }
    assert main(["study", written(place, out, **changes)]) == 0
    sarm = run_build(
        BuildConfig(
            pairs=files,
            ties="half",
            backbone=str(place / "tiny"),
            sae=str(out / "stage1" / "sarm-seed-1"),
            out=str(tmp_path / "sarm"),
            seed=1,
            cache=str(place / "cache"),
        )
    )
    report = json.loads((sarm / "report.json").read_text())
    found = json.loads((out / "study.json").read_text())
    arms = found["arms"]
    assert found["pairs"]["ties"] == report["pairs"]["ties"] == 40
    assert 0 < found["pairs"]["ties_half"] == report["pairs"]["ties_half"] < 40
    assert (
        f"40 more pairs are ties: {found['pairs']['ties_half']} counted as half"
        in (out / "study.md").read_text()
    )
    few = arms["sarm"]["heads"]["few"]["train_accuracy"]["value"]
    assert few == pytest.approx(report["head"]["train_accuracy"])
    wanted = {
        ("sarm", "few"): report["head"],
        ("sarm", "ridge"): report["baselines"]["all_features"],
        ("scalar_head", "ridge"): report["baselines"]["scalar_head"],
        ("random_encoder", "few"): report["baselines"]["random_encoder"],
        ("length", "ridge"): report["baselines"]["length"],
    }
    for (arm, which), said in wanted.items():
        for source, row in said["test"].items():
            got = arms[arm]["heads"][which]["pairs"][source]
            assert (got["value"], got["n"]) == (pytest.approx(row["accuracy"]), row["n"]), (arm, source)
            assert (got["low"], got["high"]) == (row["low"], row["high"])
    assert arms["sarm"]["heads"]["few"]["n_features"]["seeds"] == [report["head"]["n_features"]]


@pytest.mark.slow
def test_a_stopped_study_goes_on_to_the_same_bytes_and_reads_and_trains_nothing_again(
    place, done, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "study"
    real, trained = study_module.train_into, []

    def train(config, *given, **how):
        trained.append(config.out.rsplit("/", 1)[-1])
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(config, *given, **how)

    def read(*_args, **_how):
        raise AssertionError("the backbone ran")

    monkeypatch.setattr(study_module, "train_into", train)
    monkeypatch.setattr(Encoder, "hidden", read)
    assert main(["study", written(place, out)]) == 130
    assert "--resume goes on from here" in capsys.readouterr().err and not (out / "study.json").exists()
    assert main(["study", written(place, out)]) == 2  # not over what is there
    assert main(["study", written(place, out, k=5), "--resume"]) == 2
    assert "was begun with k 6, not 5" in capsys.readouterr().err
    assert main(["study", written(place, out), "--resume"]) == 0
    assert trained == ["sarm-seed-0", "token_sae-seed-0", "sarm-seed-3", "sarm-seed-3", "token_sae-seed-3"]
    for name in ("study.json", "study.md", "study.csv", "study.html"):
        assert (out / name).read_bytes() == (done / name).read_bytes(), name


@pytest.mark.slow
def test_arms_share_their_parts_and_none_learns_from_the_test_part(place, done, found):
    pairs = list(read_pairs(place / "pairs.jsonl", None, Parts(0.3, 0.2)))
    for part in ("train", "validation", "test"):
        assert found["pairs"][part] == sum(p.split == part and p.chosen != p.rejected for p in pairs)
    for arm in ARMS:
        file = next((done / "heads").glob(f"{arm}*.json"))
        of = json.loads(file.read_text())["heads"]["ridge"]
        assert len(of["test_margins"]) == found["pairs"]["test"]
    texts = [side for p in pairs for side in (p.chosen, p.rejected)]
    stage1 = json.loads((done / "stage1" / "sarm-seed-0" / "report.json").read_text())
    assert stage1["reconstruction"]["test/scored"]["n"] == sum(
        p.split == "test" for p in pairs for _ in range(2)
    )
    mix = json.loads((done / "stage1" / "token_sae-seed-0" / "report.json").read_text())["config"]["mix"]
    assert stage1["n_texts"] == len(texts)
    assert sum(mix.values()) == pytest.approx(1) and mix["scored"] < mix["token"]


@pytest.mark.slow
def test_a_token_level_mix_has_the_shares_of_all_tokens(place, tmp_path):
    """Where every token is collected, the shares are the counts; where two a text are, it is the same mix."""
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(30)))
    reader, corpus = Reader(str(place / "tiny"), 2, torch.float32), Corpus([tmp_path / "few.jsonl"])
    every, two = (collect(reader, corpus, Taken(n), tmp_path / "cache") for n in (1000, 2))
    n = every.count("train")
    shares = {kind: every.counts["train", kind] / n for kind in ("scored", "sentence", "token")}
    assert two.counts["train", "token"] < every.counts["train", "token"]
    for positions in (every, two):
        assert natural_mix(reader, corpus, positions) == pytest.approx(shares)


def test_several_processes_are_refused(place, tmp_path, monkeypatch, capsys):
    """Each would train all of it."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["study", written(place, tmp_path / "out")]) == 2
    assert "study is one process" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_setting_that_is_stated_twice_is_refused(place, tmp_path, capsys):
    """YAML itself would take the later one without a word."""
    file = written(place, tmp_path / "out")
    for again, name in (("k: 3", "k"), ("mix: {token: 1, token: 2}", "token")):
        with open(file) as opened:
            text = opened.read()
        (tmp_path / "twice.yaml").write_text(f"{again}\n{text}")
        assert main(["study", str(tmp_path / "twice.yaml")]) == 2
        said = capsys.readouterr().err
        assert f"{name!r} stands on line 1 already" in said and said.count("\n") == 1


@pytest.mark.slow
def test_a_dictionary_at_hand_takes_the_place_of_training_one(place, done, tmp_path, capsys):
    """With no text: only random directions depend on the seed, and the sarm arm is what the trained one was."""
    sae = done / "stage1" / "sarm-seed-0"
    changes = {"sae": str(sae), "data": [], "arms": ["sarm", "scalar_head", "random_encoder"]}
    out = tmp_path / "given"
    assert main(["study", written(place, out, **changes)]) == 0
    arms = json.loads((out / "study.json").read_text())["arms"]
    assert arms["sarm"]["seeds"] is None and arms["random_encoder"]["seeds"] == SEEDS
    assert head(out, "sarm") == head(done, "sarm", 0)
    assert head(out, "random_encoder", 0) == head(done, "random_encoder", 0)
    assert not (out / "stage1").exists() and "1 of 4: heads of sarm" in capsys.readouterr().err
    sarm = run_build(
        BuildConfig(
            pairs=[str(place / "pairs.jsonl")],
            backbone=str(place / "tiny"),
            sae=str(sae),
            out=str(tmp_path / "sarm"),
            cache=str(place / "cache"),
        )
    )
    assert main(["study", written(place, tmp_path / "again", **{**changes, "sae": str(sarm)})]) == 0
    assert head(tmp_path / "again", "sarm") == head(out, "sarm")


@pytest.mark.slow
def test_a_damaged_file_of_heads_is_named(place, done, tmp_path, capsys):
    shutil.copytree(done, tmp_path / "study")
    file = tmp_path / "study" / "heads" / "length.json"
    file.write_text(file.read_text()[:100])
    words = ["study", written(place, tmp_path / "study"), "--resume"]
    assert main(words) == 2
    assert "length.json: damaged" in capsys.readouterr().err
    file.unlink()
    assert main(words) == 0
    assert (tmp_path / "study" / "study.md").read_bytes() == (done / "study.md").read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ["sarm", "oracle"]}, "arms names 'oracle'"),
        ({"arms": ["token_sae"]}, "list each once, sarm among them"),
        ({"seeds": []}, "seeds is []"),
        ({"seeds": [1, 1]}, "list different whole numbers"),
        ({"seeds": [0.5]}, "seeds: 0.5 is not a whole number"),
        ({"split": {"test": 0.5}}, "give the shares of validation and test"),
        ({"split": {"test": 0.5, "validation": 0.5}}, "nothing is left to train on"),
        ({"split": {"test": "half", "validation": 0.1}}, "split: the share of test is 'half'"),
        ({"resamples": 5}, "resamples is 5: it must be at least 100"),
        ({"pairs": []}, "pairs is empty"),
        ({"data": []}, "data is empty: sarm needs texts"),
        ({"tokens_per_text": 0}, "token_sae has no tokens to learn from"),
        ({"token_mix": {"words": 1}}, "token_mix names 'words'"),
        ({"benchmarks": {"arena": "x.jsonl"}}, "unknown benchmark 'arena'"),
        ({"benchmarks": {"rm-bench": []}}, "benchmarks: rm-bench is []"),
        ({"benchmarks": {"rm-bench": "absent.jsonl"}}, "absent.jsonl"),
        ({"k": [3, 6]}, "k is [3, 6], not a whole number"),
        ({"banana": 1}, "out.yaml, line 3: unknown setting 'banana'"),
        ({"features": -1}, "features is -1"),
        ({"backbone": "absent"}, "absent"),
        ({"data": ["few.jsonl"]}, "few.jsonl"),
        ({"sae": "absent"}, "absent"),
        ({"sae": "absent", "data": []}, "data is empty: token_sae needs texts"),
        pytest.param({"sae": "DONE"}, "n_features is 40, but", marks=pytest.mark.slow),
        pytest.param({"sae": "DONE", "layer": 1}, "layer", marks=pytest.mark.slow),
    ],
)
def test_settings_that_no_study_can_have_are_one_line_before_the_backbone_runs(
    place, request, tmp_path, capsys, changes, said
):
    if changes.get("sae") == "DONE":
        sae = request.getfixturevalue("done") / "stage1" / "sarm-seed-0"
        changes = {"n_features": 40, **changes, "sae": str(sae)}
        capsys.readouterr()
    assert main(["study", written(place, tmp_path / "out", **changes)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and said in errors[0]
    assert not (tmp_path / "out").exists()
