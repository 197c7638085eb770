"""The report: shares that add up, pairs with a part to play, two dictionaries of which one is the other shuffled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from safetensors.torch import load_file, save_file
from scipy import sparse

from sarm_core.dictionary.answers import other_on
from sarm_core.dictionary.beside import beside
from sarm_core.dictionary.look import Bounds, Known, look
from sarm_core.dictionary.side import Side, check_comparable, stored_conversations
from sarm_core.dictionary.words import headline, sections
from sarm_core.dictionary.written import as_html, as_json, as_markdown, checked
from sarm_core.errors import RowError, SarmError
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.score.scorer import Scorer, load_sarm
from tests.sarm_core.tiny_models import backbone, chatml, reference_checkpoint

ROOT = Path(__file__).parents[3]
M = 64
TITLES = {"pairs": "names that hold on pairs", "example": "examples only", "none": "no name"}
HOSTILE = "<script>alert(1)</script> | **b**"
ROWS = [
    {"prompt": f"Is it {i}?", "response": f"Yes, it is {i}, and no, it is not {i % 7}."} for i in range(24)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dictionaries")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    return load_sarm(str(reference_checkpoint(folder / "one", n_features=M, k=6, tokenizer=chatml())))


@pytest.fixture(scope="module")
def side(scorer: Scorer) -> Side:
    return Side.of_scorer(scorer, scorer.score(ROWS).matrix.csr)


@pytest.fixture(scope="module")
def shuffled(scorer: Scorer, folder: Path) -> tuple[Scorer, np.ndarray]:
    """The same dictionary in another order, its last 16 features replaced; and which of its features each one is."""
    order = torch.randperm(M, generator=torch.Generator().manual_seed(5))
    source = Path(scorer.checkpoint.folder)
    reference_checkpoint(folder / "two", n_features=M, k=6, tokenizer=chatml())
    tensors = load_file(source / "model.safetensors")
    for name in ("sae.latent_bias", "sae.encoder.weight"):
        tensors[name] = tensors[name][order].contiguous()
    for name in ("sae.decoder.weight", "score.weight"):
        tensors[name] = tensors[name][:, order].contiguous()
    tensors["sae.decoder.weight"][:, -16:] = torch.randn(16, 16, generator=torch.Generator().manual_seed(9))
    save_file(tensors, folder / "two" / "model.safetensors")
    return load_sarm(str(folder / "two")), order.numpy()


def known(**kinds: list[int]) -> Known:
    of = {feature: kind for kind, features in kinds.items() for feature in features}
    return Known(of, TITLES, lambda features: dict.fromkeys(features, HOSTILE))


def test_shares_of_the_mass_add_up_to_all_of_it(side: Side):
    report = look(side, known(pairs=list(range(20)), example=list(range(20, 40))), answers="made up")
    kinds = report["mass"]["kinds"]
    assert sum(part["share"] for part in kinds) == pytest.approx(1)
    assert [part["features"] for part in kinds] == [20, 20, 24]
    z = side.z.toarray().astype(np.float64)
    mass = np.abs(z * side.head).sum(axis=0)
    assert report["mass"]["total"] == pytest.approx(mass.sum())
    assert kinds[0]["share"] == pytest.approx(mass[:20].sum() / mass.sum())
    assert report["mass"]["largest"][0]["feature"] == int(mass.argmax())


def test_doubles_splits_and_what_fires_together_are_told_apart(side: Side):
    decoder = torch.eye(6)[:, [0, 0, 1, 1, 2, 3]]
    decoder[4, 1] = 0.2
    z = np.zeros((80, 6), dtype=np.float32)
    z[:20, [0, 1]] = 1.0  # one direction, the same answers
    z[20:35, 2] = z[35:50, 3] = 1.0  # one direction, other answers
    z[60:70, [4, 5]] = 1.0  # directions of their own, the same answers
    made = replace(side, decoder=decoder, head=np.ones(6), z=sparse.csr_matrix(z))
    kinds = look(made, answers="made up")["pairs"]["kinds"]
    found = {kind: [(row["left"], row["right"]) for row in part["rows"]] for kind, part in kinds.items()}
    assert found == {"double": [(0, 1)], "split": [(2, 3)], "together": [(4, 5)], "unseen": []}
    assert kinds["double"]["rows"][0]["cosine"] == pytest.approx(1 / np.sqrt(1.04))
    assert kinds["together"]["rows"][0]["cosine"] == 0
    assert kinds["split"]["rows"][0]["pmi"] is None
    z[4:20, 0] = 0
    seldom = look(replace(made, z=sparse.csr_matrix(z)), answers="made up")["pairs"]["kinds"]
    assert seldom["unseen"]["pairs"] == 1 and seldom["double"]["pairs"] == 0


def test_dense_always_on_and_dead_go_by_the_harvest_where_it_is_known(side: Side):
    density = np.full(M, 0.05)
    density[[3, 4, 5, 6]] = 0, 0.5, 0.995, np.nan
    report = look(side, Known(density=density, positions=1000), answers="made up")["density"]
    assert [report[kind]["features"] for kind in ("dense", "always", "dead")] == [1, 1, 1]
    assert report["of"] == "1,000 harvested positions" and report["unknown"] == 1
    own = look(side, answers="made up")["density"]
    assert own["of"] == "24 answers" and own["dead"]["features"] == int((side.fires == 0).sum())


def test_a_shuffled_dictionary_is_recognised_and_what_was_replaced_is_only_in_one(
    scorer: Scorer, side: Side, shuffled: tuple[Scorer, np.ndarray]
):
    other, order = shuffled
    check_comparable(scorer.checkpoint, other.checkpoint)
    right = other_on(scorer, other, [_of(row) for row in ROWS], use_cache=False)
    found = beside(side, right, bounds=Bounds(cosine=0.95, correlation=0.95, rows=M))
    left, there = found["sides"]
    assert left["direction"]["features"] == there["direction"]["features"] == M - 16
    place = {int(feature): at for at, feature in enumerate(order)}
    for row in left["matched_rows"]:
        if row["cosine"] >= 0.95:
            assert row["nearest"] == place[row["feature"]]
        if row["correlation"] >= 0.99999:
            assert row["alike"] == place[row["feature"]]
    # The encoder was not touched: by activation even the replaced ones are found, where they fire often enough.
    often = int((side.fires >= 5).sum())
    assert left["activation"]["features"] == there["activation"]["features"] >= often - 1
    for part in (left, there):
        assert part["matched"]["features"] + part["only"]["features"] == M
        assert part["matched"]["share"] + part["only"]["share"] == pytest.approx(1)


def _of(row: dict[str, str]):
    return stored_conversations(
        [[{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]]
    )[0]


def test_another_place_another_backbone_and_other_tokens_are_one_line(scorer: Scorer, folder: Path):
    deeper = reference_checkpoint(folder / "deeper", layer=3, n_features=M, k=6, tokenizer=chatml())
    with pytest.raises(
        SarmError, match=r"2 blocks give .* 3 give: two dictionaries are compared at one place"
    ):
        check_comparable(scorer.checkpoint, open_checkpoint(deeper))
    strange = reference_checkpoint(
        folder / "strange", n_features=M, k=6, tokenizer=chatml(), model=backbone("llama", seed=7)
    )
    with pytest.raises(SarmError, match="read different backbones"):
        check_comparable(scorer.checkpoint, open_checkpoint(strange))
    template = chatml()
    template.chat_template = template.chat_template.replace("\n", " ")
    other = load_sarm(
        str(reference_checkpoint(folder / "template", n_features=M, k=6, tokenizer=template, seed=0))
    )
    with pytest.raises(SarmError, match="makes other tokens of the answers"):
        other_on(scorer, other, [_of(ROWS[0])])


def test_the_checkpoint_alone_gives_the_same_side(scorer: Scorer, side: Side):
    alone = Side.of_checkpoint(scorer.checkpoint).on(side.z)
    assert alone.fingerprint == side.fingerprint
    np.testing.assert_array_equal(alone.mass, side.mass)
    assert torch.equal(alone.decoder, side.decoder)
    with pytest.raises(SarmError, match="has 64 features, but the activations are of 3"):
        alone.on(sparse.csr_matrix((2, 3)))


def test_every_file_holds_the_report_and_no_name_becomes_markup(side: Side):
    report = look(side, known(pairs=[0, 1]), answers="made up")
    report["against"] = beside(side, side, known())
    again = json.loads(as_json(report))
    assert checked(again, "report.json") == again
    schema = json.loads((ROOT / "docs" / "schemas" / "dictionary.schema.json").read_text(encoding="utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(again)] == []
    assert headline(again) == headline(report) and "100" in headline(report)
    page, text = as_html(report), as_markdown(report)
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "<script>" not in text.replace("\\<script\\>", "") and "\\| \\*\\*b" in text
    tables = [table for section in sections(report) for table in section.tables]
    assert len({table.key for table in tables}) == len(tables)
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    again["mass"]["total"] = "much"
    with pytest.raises(SarmError, match=r"report.json: mass.total must be a number"):
        checked(again, "report.json")
    with pytest.raises(SarmError, match="format must be 'sarm-dictionary/1'"):
        checked({"format": "x"}, "report.json")
    with pytest.raises(SarmError, match="must be an object"):
        checked([], "report.json")


def test_no_answers_and_no_reward_are_said(side: Side):
    empty = look(side.on(sparse.csr_matrix((0, M), dtype=np.float32)), known(), answers="none")
    assert headline(empty).startswith("No feature moves the reward of the 0 answers")
    assert empty["density"]["unknown"] == M
    assert checked(json.loads(as_json(empty)), "x")
    with pytest.raises(RowError, match="token ids or plain text"):
        stored_conversations([[{"role": "text", "content": "x"}]])
