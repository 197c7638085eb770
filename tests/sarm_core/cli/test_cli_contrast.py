"""`sarm contrast`: the table against plain loops and the reference figures, and its refusals."""

import csv
import json
import re

import numpy as np
import pytest

from sarm_core import load_sarm
from sarm_core.__main__ import main
from tests.sarm_core.tiny_models import backbone, chatml, reference_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint with a ChatML tokenizer."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tokenizer = chatml()
    return reference_checkpoint(
        folder, model=backbone("llama", vocabulary=len(tokenizer)), tokenizer=tokenizer
    )


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)

    def ids():
        return rng.integers(2, 290, rng.integers(4, 20)).tolist()

    return [{"chosen_input_ids": ids(), "rejected_input_ids": ids(), "n": i} for i in range(n)]


def run(tmp_path, *arguments):
    return main(["contrast", *map(str, arguments), "--cache", str(tmp_path / "cache"), "--resamples", "50"])


def table(path):
    with path.open(newline="") as file:
        return {int(row["feature"]): row for row in csv.DictReader(file)}


def test_scores_are_the_reference_ones(golden, tmp_path):
    folder, expected = golden
    wanted, examples = expected["contrast"], [e["input_ids"] for e in expected["examples"]]
    rows = [
        {"chosen_input_ids": examples[c], "rejected_input_ids": examples[j]}
        for c, j in zip(wanted["chosen"], wanted["rejected"], strict=True)
    ]
    source = write(tmp_path / "in.jsonl", rows)
    assert run(tmp_path, source, "--model", folder, "--dtype", "float32", "--out", tmp_path / "o.csv") == 0
    found = table(tmp_path / "o.csv")
    for feature, score in wanted["scores"].items():
        assert float(found[int(feature)]["s"]) == pytest.approx(score, rel=1e-3, abs=1e-4)


def test_table_agrees_with_plain_loops_over_the_scored_answers(model, tmp_path):
    rows = pairs(7)
    complement = [{"input_ids": row["chosen_input_ids"]} for row in pairs(5, seed=9)]
    source, other = write(tmp_path / "in.jsonl", rows), write(tmp_path / "c.jsonl", complement)
    arguments = [source, "--model", model, "--complement", other, "--out", tmp_path / "o.csv"]
    assert run(tmp_path, *arguments) == 0
    scorer = load_sarm(model)

    def z(key, of):
        return scorer.score([{"input_ids": row[key]} for row in of]).matrix.csr.toarray().astype(float)

    chosen, rejected = z("chosen_input_ids", rows), z("rejected_input_ids", rows)
    t = z("input_ids", complement).sum(0)
    c, j = chosen.sum(0), rejected.sum(0)
    found = table(tmp_path / "o.csv")
    assert set(found) == set(
        np.flatnonzero((chosen != 0).any(0) | (rejected != 0).any(0) | (t != 0)).tolist()
    )
    sizes = []
    for i, row in found.items():
        s = (c[i] - j[i]) / (c[i] + j[i] + (c + j).mean())
        assert float(row["s"]) == pytest.approx(s, rel=1e-4, abs=1e-6)
        assert float(row["w"]) == pytest.approx(float(scorer.head[i]), rel=1e-6)
        assert float(row["complement_sum"]) == pytest.approx(t[i], abs=1e-4)
        assert float(row["freq_difference"]) == pytest.approx(
            (chosen[:, i] != 0).mean() - (rejected[:, i] != 0).mean()
        )
        assert row["opposes_head"] == ("true" if s * scorer.head[i] < 0 else "false")
        sizes.append(abs(s))
    assert sizes == sorted(sizes, reverse=True)


def test_suspicious_pairs_are_ranked_and_the_cleaned_set_is_a_part_of_the_file(model, tmp_path):
    rows = pairs(10)
    source = write(tmp_path / "in.jsonl", rows)
    ranked, cleaned = tmp_path / "r.jsonl", tmp_path / "c.jsonl"
    outputs = ["--suspicious", ranked, "--cleaned", cleaned, "--drop", "0.2", "--top", "3"]
    assert run(tmp_path, source, "--model", model, "--out", tmp_path / "o.csv", *outputs) == 0
    assert len(table(tmp_path / "o.csv")) == 3
    listed = [json.loads(line) for line in ranked.read_text().splitlines()]
    concepts = [row["suspicion"]["concept"] for row in listed]
    assert concepts == sorted(concepts) and len(listed) == 10
    assert all(rows[row["suspicion"]["row"] - 1]["n"] == row["n"] for row in listed)
    kept = [json.loads(line) for line in cleaned.read_text().splitlines()]
    dropped = {row["n"] for row in listed[:2]}
    assert kept == [row for row in rows if row["n"] not in dropped]


@pytest.mark.parametrize("with_prompt", [True, False])
def test_copies_of_a_pair_do_not_vote_for_its_label(model, tmp_path, with_prompt):
    rows = pairs(10)
    if with_prompt:
        texts = [(f"question {i}", f"yes, {i * 'so '}it is", f"no {i}") for i in range(10)]
        rows = [{"prompt": p, "chosen": c, "rejected": r, "n": n} for n, (p, c, r) in enumerate(texts)]

    def concept(rows):
        source, ranked = write(tmp_path / "in.jsonl", rows), tmp_path / "r.jsonl"
        outputs = ["--out", tmp_path / "o.csv", "--suspicious", ranked]
        assert run(tmp_path, source, "--model", model, *outputs) == 0
        listed = [json.loads(line) for line in ranked.read_text().splitlines()]
        return {row["suspicion"]["concept"] for row in listed if row["n"] == 0}

    (alone,) = concept(rows)
    (with_copies,) = concept([*rows, rows[0], rows[0]])
    assert alone and with_copies == pytest.approx(alone, rel=1e-6)


@pytest.mark.slow
def test_two_files_one_bias_and_two_styles(model, tmp_path, capsys):
    texts = [
        {"prompt": f"question {i}", "response": f"Yes, it is number {i}. It may be **safe** to try."}
        for i in range(6)
    ]
    source = write(tmp_path / "in.jsonl", texts)
    other = write(tmp_path / "other.jsonl", [{**row, "response": "No!"} for row in texts[:4]])
    common = ["--model", model, "--out"]
    assert run(tmp_path, source, *common, tmp_path / "two.csv", "--against", other) == 0
    assert "6 against 4 answers of 6 prompts" in capsys.readouterr().err
    assert all(row["stability"] == "" for row in table(tmp_path / "two.csv").values())
    assert run(tmp_path, source, *common, tmp_path / "bias.csv", "--bias", "refusal-wording") == 0
    assert "6 pairs of 6 prompts" in capsys.readouterr().err
    styles = [
        {
            "id": i,
            "prompt": f"p{i}",
            "chosen": ["a", "b b", f"c {i}"],
            "rejected": ["x", "y y", "# z"],
            "domain": "chat",
        }
        for i in range(3)
    ]
    bench = write(tmp_path / "rm.jsonl", styles)
    assert run(tmp_path, bench, *common, tmp_path / "s.csv", "--styles", "markdown/plain") == 0
    assert "6 pairs of 3 prompts" in capsys.readouterr().err


def folder_of(path, texts):
    path.mkdir()
    for name, text in texts.items():
        (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.slow
def test_two_folders_of_texts_are_what_their_texts_as_rows_are(model, tmp_path, capsys):
    """Each file is one answer, in the order of names; what is no text file takes no part."""
    one = folder_of(
        tmp_path / "calm",
        {f"{n}.txt": f"All is well, number {n}.\n" for n in range(10)} | {"x.py": "no", ".hidden.txt": "no"},
    )
    two = folder_of(
        tmp_path / "alarmed",
        {f"{n}.md": f"\ufeff# Stop!\n\nDanger {n}!" for n in range(7)} | {"same.txt": "# Stop!\n\nDanger 3!"},
    )
    (two / "deeper.txt").mkdir()
    common = ["--model", model, "--out"]
    assert run(tmp_path, one, *common, tmp_path / "f.csv", "--against", two) == 0
    assert "10 against 7 answers of 17 prompts" in capsys.readouterr().err

    def rows(texts):
        return [{"messages": [{"role": "assistant", "content": text}]} for text in texts]

    left = write(tmp_path / "l.jsonl", rows(f"All is well, number {n}." for n in range(10)))
    right = write(tmp_path / "r.jsonl", rows(f"# Stop!\n\nDanger {n}!" for n in range(7)))
    assert run(tmp_path, left, *common, tmp_path / "r.csv", "--against", right) == 0
    assert "17 of 17 answers were read from the cache" in capsys.readouterr().err
    found = table(tmp_path / "f.csv")
    assert found == table(tmp_path / "r.csv")
    # texts that nothing precedes are not answers to one prompt: drawn apart, they leave an interval
    assert any(float(row["s_low"]) < float(row["s_high"]) for row in found.values())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, r"other: there is no \.txt or \.md file in it"),
        (
            {"a.txt": "fine", "b.txt": b"caf\xe9"},
            r"b\.txt: not valid UTF-8 at byte 4: save the file as UTF-8",
        ),
        ({"a.txt": "fine", "b.md": " \n"}, r"b\.md: the file holds no text"),
        ({"a.txt": '{"prompt": "p", "response": "r"}\n'}, r"a\.txt: holds rows, not one text: .*\.jsonl"),
        ({"a.txt": "x" * 10_000_001}, r"a\.txt: the text is larger than 10 MB"),
    ],
)
def test_a_folder_that_holds_no_set_of_texts_is_refused_by_name(model, tmp_path, capsys, texts, message):
    one, two = folder_of(tmp_path / "one", {"a.txt": "text"}), folder_of(tmp_path / "other", texts)
    assert run(tmp_path, one, "--model", model, "--out", tmp_path / "o.csv", "--against", two) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and re.search(message, error)
    assert not (tmp_path / "o.csv").exists()


def test_a_folder_alone_is_no_file_of_pairs_but_has_biases(model, tmp_path, capsys):
    one = folder_of(tmp_path / "one", {f"{n}.txt": f"It may be {n}." for n in range(3)})
    common = ["--model", model, "--out", tmp_path / "o.csv"]
    assert run(tmp_path, one, *common) == 2
    assert capsys.readouterr().err.startswith(
        f"error: {one}: is a folder of texts: name the other one with --against"
    )
    assert run(tmp_path, one, *common, "--bias", "certainty", "--complement", one) == 0
    assert "3 pairs of 3 prompts" in capsys.readouterr().err


@pytest.mark.slow
def test_bias_pairs_that_lost_different_parts_of_the_prompt_are_left_out(model, tmp_path, capsys):
    """The longer version loses more of a long prompt: that would be found as a feature of the bias."""
    texts = [{"prompt": "word " * (3 + 30 * (i % 2)), "response": f"It is number {i}."} for i in range(6)]
    source = write(tmp_path / "in.jsonl", texts)
    fits = write(tmp_path / "fits.jsonl", texts[::2])
    scorer = load_sarm(model)
    limit = str(max(map(len, scorer.tokens(texts[::2]))) + 60)
    arguments = ["--model", model, "--bias", "flattery", "--out"]
    assert run(tmp_path, fits, *arguments, tmp_path / "fits.csv") == 0
    capsys.readouterr()
    assert run(tmp_path, source, *arguments, tmp_path / "all.csv", "--max-length", limit) == 0
    said = capsys.readouterr().err
    assert "3 pairs of 1 prompts" in said
    assert (
        f"3 of 6 pairs were left out: their two versions lost different parts of the prompt to the limit of {limit}"
        in said
    )
    wanted, found = table(tmp_path / "fits.csv"), table(tmp_path / "all.csv")
    assert {i: float(row["s"]) for i, row in found.items()} == pytest.approx(
        {i: float(row["s"]) for i, row in wanted.items()}, abs=1e-4
    )
    long = write(tmp_path / "long.jsonl", texts[1::2])
    assert run(tmp_path, long, *arguments, tmp_path / "none.csv", "--max-length", limit) == 2
    assert "none of the 3 pairs can be compared" in capsys.readouterr().err
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_file(model, tmp_path):
    source = write(tmp_path / "in.jsonl", pairs(6))
    for name in ("a", "b"):
        assert run(tmp_path, source, "--model", model, "--seed", "4", "--out", tmp_path / f"{name}.csv") == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("rows", "extra", "message"),
    [
        ([{"prompt": "p", "chosen": "a"}], [], r"in\.jsonl, row 1: no 'rejected'"),
        ([{"chosen_input_ids": [1], "rejected_input_ids": [999999]}], [], r"in\.jsonl, row 1: .*vocabulary"),
        ([{"chosen_input_ids": [1], "rejected_input_ids": [2]}], ["--cleaned", "OUT"], "same name"),
        (
            [{"chosen_input_ids": [1], "rejected_input_ids": [2]}],
            ["--cleaned", "c.jsonl", "--drop", "0.99"],
            "leaves none",
        ),
        ([{"prompt": "p", "response": "a"}], ["--bias", "lists", "--suspicious", "S"], "labels of pairs"),
        ([{"prompt": "p", "response": "a"}], ["--styles", "plain"], "two styles as A/B"),
        ([{"prompt": "p", "response": "a"}], ["--against", "nothing.jsonl"], "nothing.jsonl: cannot be read"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(model, tmp_path, capsys, rows, extra, message):
    source, out = write(tmp_path / "in.jsonl", rows), tmp_path / "o.csv"
    extra = [str(out) if word == "OUT" else word for word in extra]
    assert run(tmp_path, source, "--model", model, "--out", out, *extra) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert captured.out == ""
    assert re.search(message, captured.err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_pairs_that_share_a_prompts_grades_weigh_one_together(model, tmp_path, capsys):
    """As the same pairs would as rows of their own, each plain prompt three times and each graded pair once."""
    plain = [{"prompt": f"p{i}", "chosen": f"good {i}", "rejected": "bad"} for i in range(2)]
    texts = [f"answer {q}" for q in range(3)]
    graded = {"prompt": "q", "answers": [{"text": text, "quality": q} for q, text in enumerate(texts)]}
    apart = [{"prompt": "q", "chosen": texts[a], "rejected": texts[b]} for a in range(3) for b in range(a)]
    found = {}
    for rows, said in (([*plain, graded], 1), ([*plain * 3, *apart], 0)):
        source = write(tmp_path / "in.jsonl", rows)
        assert run(tmp_path, source, "--model", model, "--out", tmp_path / "o.csv") == 0
        error = capsys.readouterr().err
        assert error.count("3 of 5 pairs share their prompt's grades with other pairs") == said
        found[said] = table(tmp_path / "o.csv")
    assert found[0].keys() == found[1].keys() and found[0]
    for feature, row in found[1].items():
        for name in ("mean_difference", "chosen_freq", "rejected_freq", "stability", "s"):
            assert float(row[name]) == pytest.approx(float(found[0][feature][name]), rel=1e-6, nan_ok=True), (
                name
            )
