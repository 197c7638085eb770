"""The check of an export reads the folder again: it holds for what was written, and fails for anything else."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_models import chatml, reference_checkpoint

from sarm_core import Steering, load_sarm
from sarm_core.export_check import LAYOUTS, ExportCheck, check_export, export_layout, exported_bytes, trial
from sarm_core.rows import conversation_of

TEXTS = [
    {"prompt": "Is it safe?", "response": "Yes, if the room is aired."},
    {"prompt": "Is it safe?", "response": "I'm sorry, I can't help with that.\n\nThank you."},
]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_sarm(
        reference_checkpoint(tmp_path_factory.mktemp("model") / "source", tokenizer=chatml()), dtype="float32"
    )


@pytest.fixture(scope="module")
def answered(scorer):
    rows = [conversation_of(row) for row in TEXTS]
    scored = scorer.score(rows)
    ids, _ = scored.matrix.activations(0)
    steering = Steering(scale={int(ids[0]): -1.5, int(ids[1]): 0.0, int(ids[2]): 3.0})
    assert not np.allclose(scored.steered(steering).rewards, scored.rewards, atol=1e-3)
    return rows, scored, steering


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_written_holds_and_has_the_size_that_was_said(layout, scorer, answered, tmp_path):
    rows, scored, steering = answered
    folder = export_layout(scorer.checkpoint, steering, tmp_path / "out", layout)
    check = check_export(folder, layout, trial(scorer, rows, scored, steering))
    assert check.holds and check.error <= 1e-5 and check.dtype == "float32"
    np.testing.assert_allclose(check.reloaded, scored.steered(steering).rewards, atol=1e-5)
    written = 0
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as opened:
            written += sum(opened.get_tensor(name).nbytes for name in opened.keys())  # noqa: SIM118
    assert written == pytest.approx(exported_bytes(scorer.checkpoint), rel=0.02)


@pytest.mark.parametrize(("layout", "file"), [("own", "sarm.safetensors"), ("auto", "model.safetensors")])
def test_a_folder_with_another_head_does_not_hold(layout, file, scorer, answered, tmp_path):
    rows, scored, steering = answered
    folder = export_layout(scorer.checkpoint, steering, tmp_path / "out", layout)
    tensors = load_file(folder / file)
    tensors["score.weight"] = tensors["score.weight"] * 1.001
    save_file(tensors, folder / file, metadata={"format": "pt"})
    assert not check_export(folder, layout, trial(scorer, rows, scored, steering)).holds


def test_rows_of_token_ids_check_a_model_without_a_tokenizer(tmp_path):
    scorer = load_sarm(reference_checkpoint(tmp_path / "source"), dtype="float32")
    rows = [conversation_of({"input_ids": ids}) for ids in ([3, 5, 8, 13], [2, 7, 1])]
    scored = scorer.score(rows)
    for layout in LAYOUTS:
        folder = export_layout(scorer.checkpoint, Steering(), tmp_path / layout, layout)
        assert check_export(folder, layout, trial(scorer, rows, scored, Steering())).holds


def test_a_reward_that_is_no_number_never_holds_and_large_rewards_get_float32_room():
    wanted = np.array([1.0, 2.0], np.float32)
    assert not ExportCheck(wanted, np.array([1.0, np.nan], np.float32), "float32").holds
    assert ExportCheck(wanted, wanted + np.float32(1e-6), "float32").holds
    large = np.array([500.0], np.float32)
    assert ExportCheck(large, large + np.float32(1e-3), "float32").holds
    assert not ExportCheck(large, large + np.float32(2e-2), "float32").holds
