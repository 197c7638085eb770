"""The check of an export reads the folder again: it holds for what was written, and fails for anything else."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sarm_core import Steering, load_sarm
from sarm_core.ship.check import ExportCheck, check_export, export_layout, exported_bytes, trial
from sarm_core.ship.layouts import LAYOUTS
from sarm_core.text.answers import conversation_of
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

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


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_written_holds_and_has_the_size_that_was_said(layout, scorer, answered, tmp_path):
    rows, scored, steering = answered
    folder = export_layout(scorer.checkpoint, steering, tmp_path / "out", layout)
    check = check_export(folder, layout, trial(scorer, rows, steering))
    assert check.holds and check.error <= 1e-5 and check.dtype == "float32"
    np.testing.assert_allclose(check.reloaded, scored.steered(steering).rewards, atol=1e-5)
    written = 0
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as opened:
            written += sum(opened.get_tensor(name).nbytes for name in opened.keys())  # noqa: SIM118
    assert written == pytest.approx(exported_bytes(scorer.checkpoint), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "file"), [("own", "sarm.safetensors"), ("auto", "model.safetensors")])
def test_a_folder_with_another_head_does_not_hold(layout, file, scorer, answered, tmp_path):
    rows, _, steering = answered
    folder = export_layout(scorer.checkpoint, steering, tmp_path / "out", layout)
    tensors = load_file(folder / file)
    tensors["score.weight"] = tensors["score.weight"] * 1.001
    save_file(tensors, folder / file, metadata={"format": "pt"})
    assert not check_export(folder, layout, trial(scorer, rows, steering)).holds


@pytest.mark.slow
def test_rows_of_token_ids_check_a_model_without_a_tokenizer(tmp_path):
    scorer = load_sarm(reference_checkpoint(tmp_path / "source"), dtype="float32")
    rows = [conversation_of({"input_ids": ids}) for ids in ([3, 5, 8, 13], [2, 7, 1])]
    for layout in LAYOUTS:
        folder = export_layout(scorer.checkpoint, Steering(), tmp_path / layout, layout)
        assert check_export(folder, layout, trial(scorer, rows, Steering())).holds


def test_each_reward_has_its_own_room():
    wanted, sizes = np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32)

    def check(wanted, reloaded, sizes, **more):
        return ExportCheck(wanted, np.asarray(reloaded, np.float32), "float32", sizes, **more)

    for bad in (np.nan, np.inf, 2.0 + 1e-4):
        assert not check(wanted, [1.0, bad], sizes).holds
    assert check(wanted, wanted + np.float32(1e-5), sizes).holds
    assert not check(wanted, wanted, sizes, same_head=False).holds
    # A large reward has room for rounding, and gives none of it to the small one beside it.
    both = np.array([500.0, 1.0], np.float32)
    assert check(both, both + np.float32([1e-3, 0]), both).holds
    worse = check(both, both + np.float32([1e-3, 1e-3]), both)
    assert not worse.holds and worse.error == pytest.approx(1e-3, rel=1e-2) and worse.allowed == 1e-5
    # What cancels to a small reward was rounded while it was large.
    assert check(wanted, wanted + np.float32(1e-3), np.array([500.0, 500.0], np.float32)).holds


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_precision_is_checked_as_closely(layout, dtype, scorer, answered, tmp_path):
    rows, _, steering = answered
    half = load_sarm(scorer.checkpoint.source, dtype=dtype)
    folder = export_layout(half.checkpoint, steering, tmp_path / "out", layout)
    check = check_export(folder, layout, trial(half, rows, steering))
    assert check.holds and check.dtype == dtype and check.error <= 1e-5


def test_the_weights_are_compared_also_where_no_answer_shows_them(scorer, answered, tmp_path):
    rows, scored, _ = answered
    silent = sorted(set(range(scorer.n_features)) - set(scored.matrix.csr.indices.tolist()))[0]
    asked = trial(scorer, rows, Steering(scale={silent: 3.0}))
    assert (asked.n_fired, asked.n_steered) == (0, 1)
    folder = export_layout(scorer.checkpoint, Steering(), tmp_path / "out", "own")
    check = check_export(folder, "own", asked)
    assert check.error <= check.allowed and not check.same_head and not check.holds
