"""Every registered row shape x every command, the reward function and what pages read: taken with the answers that the
example holds, or refused in one line with the reason.

The commands run whole, on a tiny model that is loaded once; those that learn, which need more prompts, run up to
there.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from safetensors.torch import save_file

from app.session.comparison import Comparison, from_paste, from_upload
from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import RowError, SarmError
from sarm_core.score.scorer import Scorer
from sarm_core.ship.export import sae_tensors
from sarm_core.ship.trl_reward import SteeredReward
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, Message
from sarm_core.text.shapes import SHAPES, Fields, RowAnswers, Shape
from sarm_core.text.shapes.base import keys
from sarm_core.wish.labelled import LabelledPairs
from tests.sarm_core.tiny_models import random_sae, text_checkpoint

ASKED, GOOD, BAD = "Is it safe to reheat rice?", "Yes, if you cool it quickly first.", "No."
UNSURE = "I do not know."
RICE = "Rice can be reheated once if it was cooled quickly."


class Holds(NamedTuple):
    """What an example holds, written by hand: answers in their order, and (better, worse) by their numbers."""

    answers: tuple[str, ...] | tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...] = ()
    before: tuple[Message, ...] = (Message("user", ASKED),)


PAIR = Holds((GOOD, BAD), ((0, 1),))
HOLDS: dict[str, Holds] = {
    "messages": Holds((GOOD,)),
    "prompt-response": Holds((GOOD,)),
    "graded-response": Holds((GOOD, "No idea."), ((0, 1),)),
    "labelled": Holds((GOOD, UNSURE)),
    "preference": PAIR._replace(before=(Message("system", "You know about food."), Message("user", ASKED))),
    "right-wrong": Holds((GOOD, BAD, UNSURE, "Rice is a plant."), ((0, 1), (0, 2), (0, 3))),
    "answers": Holds((GOOD, "Yes.", BAD), ((0, 1), (0, 2), (1, 2))),
    "openai-preference": PAIR,
    "sharegpt": Holds((GOOD,)),
    "ultrafeedback": PAIR,
    "helpsteer2-preference": Holds((BAD, GOOD), ((1, 0),)),
    "helpsteer3": PAIR,
    "pku": PAIR,
    "llmbar": PAIR,
    "judgebench": PAIR,
    "arena": PAIR,
    "arena-table": PAIR,
    "judged-responses": PAIR,
    "best-of-k": PAIR,
    "token-ids": Holds(((1, 9906 % 256, 198, 2),), before=()),
    "token-pair": Holds(
        ((1, 9906 % 256, 198, 5297 % 256, 2), (1, 9906 % 256, 198, 2822 % 256, 2)), ((0, 1),), ()
    ),
    "text": Holds((RICE,), before=()),
    "toy": PAIR,
}


class Toy(Shape):
    """A shape that nobody has: one class, and no other line."""

    name = "toy"
    title = "toy pairs"
    source = "a test"
    needs = keys("frage gut schlecht")
    example: ClassVar = {"frage": ASKED, "gut": GOOD, "schlecht": BAD}

    def read(self, row: Fields) -> RowAnswers:
        prompt = row.prompt("frage")
        return RowAnswers.pair(row.answer(prompt, "gut"), row.answer(prompt, "schlecht"))


every_shape = pytest.mark.parametrize("shape", [*SHAPES, Toy()], ids=lambda shape: shape.name)


@pytest.fixture(autouse=True)
def with_toy(monkeypatch):
    """The toy beside the registered shapes."""
    monkeypatch.setattr("sarm_core.text.answers.SHAPES", [*SHAPES, Toy()])


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> Scorer:
    return load_sarm(text_checkpoint(tmp_path_factory.mktemp("model") / "tiny"), dtype="float32")


@pytest.fixture
def run(scorer, tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """A command on the model that is loaded already: "" when it took its input, the line it refused it with."""
    for name in ("score", "contrast", "evaluate", "perturb", "harvest", "learn"):
        monkeypatch.setattr(f"sarm_core.cli.{name}.loaded", lambda _options: scorer)

    def command(*arguments: object) -> str:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr().err.strip().splitlines()
        if not code:
            return ""
        assert code == 2 and len(said) == 1 and said[0].startswith("error: "), said
        return said[0]

    return command


def rows_of(shape: Shape) -> list[dict[str, Any]]:
    """Its example; token ids as this model's vocabulary has them."""
    rows = [shape.example] if isinstance(shape.example, Mapping) else list(shape.example)

    def small(value: Any) -> Any:
        return (
            [i % 256 for i in value]
            if isinstance(value, list) and all(type(i) is int for i in value)
            else value
        )

    token_ids = shape.name.startswith("token-")
    return [{key: small(value) if token_ids else value for key, value in row.items()} for row in rows]


def conversations(shape: Shape) -> list[Conversation]:
    """What the example holds by hand, not by the reader."""
    held = HOLDS[shape.name]
    return [
        Conversation(input_ids=answer)
        if isinstance(answer, tuple)
        else Conversation(messages=(*held.before, Message("assistant", answer)))
        for answer in held.answers
    ]


def plain(conversation: Conversation, key: str = "") -> dict[str, Any]:
    """The conversation in the plainest row there is, as one side of a pair where a key is given."""
    if conversation.messages is None:
        return {f"{key}_input_ids" if key else "input_ids": list(conversation.input_ids or ())}
    return {key or "messages": conversation.as_dicts()}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def plain_pairs(shape: Shape) -> list[dict[str, Any]]:
    """The example's pairs as rows that state one each."""
    texts = conversations(shape)
    return [plain(texts[a], "chosen") | plain(texts[b], "rejected") for a, b in HOLDS[shape.name].pairs]


def rewards(path: Path) -> list[float]:
    return [json.loads(line)["reward"] for line in path.read_text().splitlines()]


def test_the_table_says_what_each_example_holds():
    assert sorted(HOLDS) == sorted([*(shape.name for shape in SHAPES), "toy"])


def test_score_gives_every_example_the_rewards_of_the_plain_messages(run, scorer, tmp_path):
    """One file of all shapes, which are told apart row by row."""
    out, shapes = tmp_path / "out.jsonl", [*SHAPES, Toy()]
    source = write(tmp_path / "in.jsonl", [row for shape in shapes for row in rows_of(shape)])
    assert run("score", source, "--out", out, "--no-cache") == ""
    wanted = scorer.score([text for shape in shapes for text in conversations(shape)]).rewards
    assert rewards(out) == pytest.approx(wanted.tolist(), abs=1e-5)
    toy = write(tmp_path / "toy.jsonl", rows_of(shapes[-1]))
    assert run("score", toy, "--out", out, "--no-cache", "--format", "toy") == ""
    assert rewards(out) == pytest.approx(wanted[-2:].tolist(), abs=1e-5)
    assert "'toy', which needs frage + gut" in run("score", source, "--out", out, "--format", "toy")


COMMANDS: dict[str, tuple[object, ...]] = {
    "contrast": ("contrast", "--resamples", 0),
    "evaluate": ("evaluate", "pairs", "--resamples", 0),
    "perturb": ("perturb", "--rule", "greeting"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_pairs_give_every_example_the_figures_of_plain_pairs(command, run, tmp_path):
    """One file of all shapes that state pairs; rows that are graded each are compared when all are read.

    Where a prompt states several, they weigh one together, which no plain pair says: see the tests of weights.
    """
    shapes = [shape for shape in (*SHAPES, Toy()) if len(HOLDS[shape.name].pairs) == 1]
    shapes.sort(key=lambda shape: shape.name == "graded-response")
    several = [shape for shape in SHAPES if len(HOLDS[shape.name].pairs) > 1]
    weighted = write(tmp_path / "several.jsonl", [row for shape in several for row in rows_of(shape)])
    assert run(*COMMANDS[command], weighted, "--out", tmp_path / "c", "--no-cache") == ""
    if command == "evaluate":
        assert read_figures(tmp_path / "c")[0] == sum(len(HOLDS[shape.name].pairs) for shape in several)
    source = write(tmp_path / "in.jsonl", [row for shape in shapes for row in rows_of(shape)])
    plainly = write(tmp_path / "plain.jsonl", [row for shape in shapes for row in plain_pairs(shape)])
    for file, out in ((source, "a"), (plainly, "b")):
        assert run(*COMMANDS[command], file, "--out", tmp_path / out, "--no-cache") == ""
    assert read_figures(tmp_path / "a") == read_figures(tmp_path / "b")


@every_shape
def test_commands_on_pairs_refuse_a_shape_without_them(shape, run, tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of(shape))
    for name, arguments in COMMANDS.items():
        if HOLDS[shape.name].pairs:
            continue
        refused = run(*arguments, source, "--out", tmp_path / name, "--no-cache")
        if shape.name == "labelled" and name == "contrast":  # two sets, which are no pairs
            assert refused == "" and (tmp_path / name).exists()
        else:
            assert "row 1" in refused and ("chosen" in refused or "pairs it has none" in refused), refused
            assert not (tmp_path / name).exists()


@every_shape
def test_learn_reads_every_pair_and_asks_for_more_prompts(shape, run, tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of(shape))
    refused = run("learn", source, "--out", tmp_path / "s.json", "--no-cache")
    if not HOLDS[shape.name].pairs:
        assert "row 1" in refused and ("chosen" in refused or "pairs it has none" in refused), refused
        return
    assert "of 1 prompts are left" in refused
    read, texts = LabelledPairs.read([source]), conversations(shape)
    ordered = [(read.answers[a], read.answers[b]) for a, b in read.pairs[~read.tied]]
    assert ordered == [(texts[a], texts[b]) for a, b in HOLDS[shape.name].pairs]
    assert read.weights.sum() == pytest.approx(1)


def read_figures(path: Path) -> Any:
    """The figures of a result without what names its files, weights and versions."""
    text = path.read_text()
    if not text.startswith("{"):
        return list(csv.reader(text.splitlines()))
    report = json.loads(text)
    if "plain" in report:
        for flip in report["plain"]["flips"]:
            del flip["file"], flip["row"], flip["id"]  # several pairs may come from one row
        return report["plain"], report["pairs"]
    return report["items"], report["decisions"], report["nan"], report["tied"]


@pytest.mark.slow
def test_harvest_keeps_the_texts_of_every_example(run, tmp_path):
    db, shapes = tmp_path / "store.db", [*SHAPES, Toy()]
    source = write(tmp_path / "in.jsonl", [row for shape in shapes for row in rows_of(shape)])
    assert run("harvest", source, "--db", db, "--positions", "scored") == ""
    with closing(sqlite3.connect(db)) as store:
        kept = store.execute("SELECT messages, token_ids FROM texts").fetchall()
    wanted = {text for shape in shapes for text in conversations(shape)}
    turns = [[(turn["role"], turn["content"]) for turn in json.loads(messages)] for messages, _ in kept]
    # A plain text is kept as one, and not as somebody's turn.
    assert sorted(filter(None, turns)) == sorted(
        [(turn.role if text.messages[1:] else "text", turn.content) for turn in text.messages]
        for text in wanted
        if text.messages
    )
    ids = [tuple(np.frombuffer(ids, np.int32)) for messages, ids in kept if not json.loads(messages)]
    assert sorted(ids) == sorted(text.input_ids for text in wanted if text.input_ids)


@pytest.fixture(scope="module")
def stage1(tmp_path_factory) -> Path:
    """What `train-reward` asks for of stage 1."""
    folder = tmp_path_factory.mktemp("sae")
    save_file(
        {name.removeprefix("sae."): tensor for name, tensor in sae_tensors(random_sae(64, 6)).items()},
        folder / "sae.safetensors",
    )
    config = {"layer": 2, "n_features": 64, "k": 6, "backbone": "nowhere"}
    (folder / "report.json").write_text(json.dumps({"config": config}))
    return folder


@every_shape
def test_training_reads_the_same_texts_and_pairs(shape, run, tmp_path, stage1, monkeypatch):
    from sarm_core.train import activations, data

    seen: dict[str, list[Any]] = {}
    for module, name in ((activations, "read_texts"), (data, "read_pairs")):
        really = getattr(module, name)

        def reading(*given: Any, kept: str = name, really: Any = really, **how: Any) -> Any:
            seen[kept] = list(really(*given, **how))
            return iter(seen[kept])

        monkeypatch.setattr(module, name, reading)
    source = write(tmp_path / "in.jsonl", rows_of(shape))
    for command, other in (("train-sae", ""), ("train-reward", f"sae: {stage1}\n")):
        config = tmp_path / f"{command}.yaml"
        config.write_text(f"data: [{source}]\nout: {tmp_path / 'out'}\n{other}")
        refused = run(command, config)
        pairs = command == "train-reward"
        if pairs and not HOLDS[shape.name].pairs:
            assert "row 1" in refused and ("chosen" in refused or "pairs it has none" in refused), refused
        else:
            assert f"no {'pair' if pairs else 'text'} falls in the" in refused
    texts = conversations(shape)
    assert [text.conversation for text in seen["read_texts"]] == texts
    pairs_there = HOLDS[shape.name].pairs
    if pairs_there:
        assert [(pair.chosen, pair.rejected) for pair in seen["read_pairs"]] == [
            (texts[a], texts[b]) for a, b in pairs_there
        ]
        assert sum(pair.weight for pair in seen["read_pairs"]) == pytest.approx(1)


@every_shape
def test_the_reward_function_gives_the_same_rewards_or_names_the_column(shape, scorer):
    """TRL hands over the prompt, a completion and what else the row holds."""
    texts = conversations(shape)
    if texts[0].messages is None or not HOLDS[shape.name].before:
        return  # nothing that a policy could have been asked
    row = rows_of(shape)[0]
    prompt = ASKED if row.get("prompt") == ASKED else [Message("user", ASKED).as_dict()]
    # A column of the name `completions` cannot be handed over: it is the trainer's own.
    columns = {
        key: [value] * len(texts) for key, value in row.items() if key not in ("prompt", "completions")
    }
    completions = [
        text.answer if isinstance(prompt, str) else [text.messages[-1].as_dict()] for text in texts
    ]
    reward = SteeredReward(scorer)
    try:
        found = reward([prompt] * len(texts), completions, **columns)
    except RowError as error:
        assert "\n" not in str(error) and any(repr(key) in str(error) for key in columns)
        found = SteeredReward(scorer, ignore=list(columns))([prompt] * len(texts), completions, **columns)
    wanted = scorer.score(texts).rewards
    assert found == pytest.approx(wanted.tolist(), abs=1e-5)


@every_shape
def test_uploads_and_pasted_rows_hold_the_same_answers_or_say_why_not(shape):
    data = "".join(json.dumps(row) + "\n" for row in rows_of(shape))
    held = HOLDS[shape.name]
    for read in (lambda: from_upload(data.encode(), "in.jsonl"), lambda: [from_paste("", data)]):
        if not held.before:
            with pytest.raises((RowError, SarmError), match=r"token ids have no text|without a prompt"):
                read()
            continue
        (found,) = read()
        assert isinstance(found, Comparison) and found.conversations() == conversations(shape)
    if held.before:
        with pytest.raises(SarmError, match="which hold their own prompt"):
            from_paste(ASKED, data)


def test_a_pasted_answer_may_be_json():
    for answer in ('{"reply": "yes"}', "[1, 2]", "{", '{"name": "f", "arguments": {}}'):
        assert from_paste(ASKED, answer).conversations()[0].answer == answer
    rows = [{"prompt": prompt, "response": "yes"} for prompt in "ab"]
    with pytest.raises(SarmError, match="rows of 2 prompts"):
        from_paste("", "\n".join(map(json.dumps, rows)))


@every_shape
def test_the_reader_finds_what_the_table_says(shape):
    rows = [("in", number, row) for number, row in enumerate(rows_of(shape), 1)]
    texts = conversations(shape)
    assert [a.conversation for _, _, row in rows for a in Reader().answers(row).answers] == texts
    pairs = list(Reader().pairs_of(rows, lambda _error: None))
    assert {(p.chosen, p.rejected) for p in pairs} == {
        (texts[a], texts[b]) for a, b in HOLDS[shape.name].pairs
    }
    assert np.isclose(sum(p.weight for p in pairs), bool(pairs))
