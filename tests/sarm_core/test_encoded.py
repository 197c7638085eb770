"""Answers kept on disk: the same numbers without the model, and never the wrong ones."""

import numpy as np
import pytest
from tiny_models import reference_checkpoint

from sarm_core import encoded as module
from sarm_core import load_sarm
from sarm_core.encoded import encode_once
from sarm_core.errors import RowError
from sarm_core.rows import Conversation


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_sarm(reference_checkpoint(tmp_path_factory.mktemp("model") / "tiny"), dtype="float32")


@pytest.fixture
def answers():
    rng = np.random.default_rng(3)
    return [
        Conversation(input_ids=tuple(rng.integers(2, 300, rng.integers(3, 30)).tolist())) for _ in range(11)
    ]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 4)


def refuse(*_, **__):
    raise AssertionError("the model ran")


def dense(found):
    return found.matrix.csr.toarray()


def test_second_pass_gives_the_same_activations_without_the_model(
    scorer, answers, tmp_path, small_parts, monkeypatch
):
    first = encode_once(scorer, answers, folder=tmp_path)
    plain = scorer.score(answers)
    np.testing.assert_allclose(dense(first), plain.matrix.csr.toarray(), atol=1e-5)
    monkeypatch.setattr(type(scorer), "score", refuse)
    second = encode_once(scorer, answers, folder=tmp_path)
    np.testing.assert_array_equal(dense(second), dense(first))
    np.testing.assert_array_equal(second.matrix.rewards, first.matrix.rewards)
    assert (first.reused, second.reused) == (0, 11)


def test_interrupted_work_goes_on_at_the_last_whole_part(scorer, answers, tmp_path, small_parts):
    def stop(done, total):
        if done > 0.5 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_once(scorer, answers, folder=tmp_path, progress=stop)
    assert not list(tmp_path.rglob("*.tmp"))
    again = encode_once(scorer, answers, folder=tmp_path)
    assert again.reused in (4, 8)
    np.testing.assert_allclose(dense(again), scorer.score(answers).matrix.csr.toarray(), atol=1e-5)


@pytest.mark.parametrize("damage", ["cut", "changed", "not a file of ours"])
def test_a_damaged_part_is_noticed_and_encoded_anew(scorer, answers, tmp_path, damage):
    wanted = dense(encode_once(scorer, answers, folder=tmp_path))
    (path,) = tmp_path.rglob("*.npz")
    body = path.read_bytes()
    if damage == "cut":
        path.write_bytes(body[: len(body) // 2])
    elif damage == "changed":
        with np.load(path) as file:
            arrays = dict(file)
        arrays["data"] = arrays["data"] + 1
        np.savez(path, **arrays)
    else:
        path.write_bytes(b"something else")
    again = encode_once(scorer, answers, folder=tmp_path)
    np.testing.assert_allclose(dense(again), wanted, atol=1e-6)
    assert again.reused == 0 and "damaged" in again.notes[0]
    assert encode_once(scorer, answers, folder=tmp_path).reused == 11


def test_pickled_arrays_are_never_loaded(scorer, answers, tmp_path):
    encode_once(scorer, answers, folder=tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    with np.load(path) as file:
        arrays = dict(file)

    class Trap:
        def __reduce__(self):
            return (refuse, ())

    arrays["data"] = np.array([Trap()], dtype=object)
    np.savez(path, **arrays)
    assert encode_once(scorer, answers, folder=tmp_path).reused == 0


def test_another_model_order_or_length_limit_does_not_reuse(scorer, answers, tmp_path):
    encode_once(scorer, answers, folder=tmp_path)
    assert encode_once(scorer, answers[::-1], folder=tmp_path).reused == 0
    folder = scorer.checkpoint.folder
    short = load_sarm(folder, dtype="float32", max_length=5)
    found = encode_once(short, answers, folder=tmp_path)
    assert found.reused == 0 and found.n_cut.max() > 0
    other = load_sarm(reference_checkpoint(tmp_path / "other", seed=5), dtype="float32")
    again = encode_once(other, answers, folder=tmp_path)
    assert again.reused == 0
    np.testing.assert_allclose(dense(again), other.score(answers).matrix.csr.toarray(), atol=1e-5)


def test_a_folder_that_cannot_be_written_is_a_note(scorer, answers, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    found = encode_once(scorer, answers, folder=blocked)
    assert len(found.matrix) == 11 and len(found.notes) == 1 and "cannot be written" in found.notes[0]


def test_a_bad_row_is_named_before_the_model_runs(scorer, answers, tmp_path, small_parts, monkeypatch):
    monkeypatch.setattr(type(scorer), "score", refuse)
    bad = [*answers[:9], Conversation(input_ids=(3, 5_000_000)), *answers[9:]]
    places = [("a.jsonl", number) for number in range(1, len(bad) + 1)]
    with pytest.raises(RowError, match=r"a\.jsonl, row 10: .*vocabulary"):
        encode_once(scorer, bad, places=places, folder=tmp_path)
    assert not list(tmp_path.rglob("*.npz"))
