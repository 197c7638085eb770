"""A model of which everything but the weights is at hand: the same numbers, and never those of other weights."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sarm_core import load_sarm
from sarm_core.errors import CheckpointError, RowError
from sarm_core.score.encoded import encode_once, is_encoded
from sarm_core.score.kept_sarm import KeptSarm, _place, keep, load_or_kept, open_kept
from sarm_core.text.rows import Conversation
from tests.sarm_core.tiny_models import reference_checkpoint

ROOT = Path(__file__).parents[3]
CPU = {"device": "cpu", "dtype": "float32"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    return reference_checkpoint(tmp_path / "model")


@pytest.fixture
def scorer(folder):
    scorer = load_sarm(folder, **CPU)
    assert keep(scorer, str(folder), **CPU)
    return scorer


ANSWERS = [Conversation(input_ids=(5, 6, 7)), Conversation(input_ids=(5, 6, 9, 11))]


def test_the_first_load_keeps_what_the_second_needs(folder):
    first = load_or_kept(str(folder), **CPU)
    assert not isinstance(first, KeptSarm)
    second = load_or_kept(str(folder), **CPU)
    assert isinstance(second, KeptSarm)
    assert second.facts == first.facts
    assert np.array_equal(second.head, first.head)
    assert not second.is_loaded


def test_encoded_answers_need_no_weights_and_others_load_them(folder, scorer):
    encode_once(scorer, ANSWERS)
    kept = open_kept(str(folder), **CPU)
    assert is_encoded(kept, ANSWERS)
    found = encode_once(kept, ANSWERS)
    assert found.reused == 2
    assert not kept.is_loaded
    assert np.array_equal(
        found.matrix.rewards, scorer.encode([np.array(a.input_ids) for a in ANSWERS]).rewards
    )
    new = [*ANSWERS, Conversation(input_ids=(8, 9))]
    assert not is_encoded(kept, new)
    assert len(encode_once(kept, new).matrix) == 3
    assert kept.is_loaded
    assert kept.seconds_to_load > 0


def test_what_the_scorer_refuses_is_refused(folder, scorer):
    kept = open_kept(str(folder), **CPU)
    with pytest.raises(RowError, match="outside the vocabulary"):
        encode_once(kept, [Conversation(input_ids=(10**6,))])


@pytest.mark.parametrize("change", ["touched", "longer", "added", "removed"])
def test_a_changed_file_is_loaded_anew(folder, scorer, change):
    config = folder / "config.json"
    if change == "touched":
        os.utime(config, ns=(1, 1))
    elif change == "longer":
        config.write_text(config.read_text() + "\n")
    elif change == "added":
        (folder / "chat_template.jinja").write_text("{{ messages }}")
    else:
        config.unlink()
    assert open_kept(str(folder), **CPU) is None


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_a_damaged_or_absent_file_counts_as_none(folder, scorer, damage):
    place = _place(str(folder), **CPU)
    if damage is None:
        place.unlink()
    else:
        place.write_bytes(damage)
    assert open_kept(str(folder), **CPU) is None


def test_a_flipped_bit_in_the_head_counts_as_none(folder, scorer):
    place = _place(str(folder), **CPU)
    body = bytearray(place.read_bytes())
    body[-1] ^= 64
    place.write_bytes(bytes(body))
    assert open_kept(str(folder), **CPU) is None


def test_other_weights_under_the_same_name_size_and_time_are_found_out_on_loading(folder, scorer, tmp_path):
    other = reference_checkpoint(tmp_path / "other", seed=5)
    for path in sorted(folder.iterdir()):
        times = path.stat()
        if (other / path.name).stat().st_size != times.st_size:
            continue  # what is equally long can be mistaken
        shutil.copyfile(other / path.name, path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    kept = open_kept(str(folder), **CPU)
    assert kept is not None
    with pytest.raises(CheckpointError, match="not the one that was loaded before; open the page again"):
        kept.load()
    assert kept.stale
    assert open_kept(str(folder), **CPU) is None
    assert load_or_kept(str(folder), **CPU).fingerprint == load_sarm(other, **CPU).fingerprint


def test_another_device_or_dtype_is_another_model(folder, scorer):
    assert open_kept(str(folder), device="cpu", dtype="bfloat16") is None


def test_a_model_of_the_hub_is_asked_for_there_each_time(scorer):
    assert not keep(scorer, "someone/some-sarm", **CPU)


@pytest.mark.slow
def test_the_first_page_imports_neither_torch_nor_transformers(tmp_path):
    """In a process of its own, which no other test has imported anything into."""
    load_or_kept("demo")
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"at = AppTest.from_file({str(ROOT / 'app' / 'main.py')!r}, default_timeout=120).run()\n"
        "assert not at.exception and not at.error, (at.exception, at.error)\n"
        "assert any(b.label == 'What decides here' for b in at.button), [b.label for b in at.button]\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    env = {**os.environ, "SARM_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
