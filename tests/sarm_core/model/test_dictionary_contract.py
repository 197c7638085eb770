"""What holds for every format of dictionaries: damage is one line, no setting a traceback, no code is run."""

import json
import os

import numpy as np
import pytest
import torch

from sarm_core import load_sae
from sarm_core.errors import CheckpointError
from tests.sarm_core.model.test_dictionaries import (
    FILES,
    MADE,
    D,
    M,
    copied,
    refusal,
    tensors_of,
    write,
)

# -- one contract for every format -----------------------------------------------------------------------

ONE = {name.split("/")[0]: name for name in MADE if "matryoshka" not in name and "standard" not in name}
"""A fixture of each format."""


@pytest.fixture(params=sorted(ONE))
def fixture(request, tmp_path):
    return copied(ONE[request.param], tmp_path)


def test_damage_is_one_line_with_the_file(fixture):
    folder, file = fixture
    good = tensors_of(file)
    floats = sorted(name for name, tensor in good.items() if tensor.is_floating_point() and tensor.ndim)
    for name in floats:
        without = {other: tensor for other, tensor in good.items() if other != name}
        write(without, file)
        assert str(file if file.exists() else folder) in (line := refusal(folder)) or str(folder) in line, (
            name
        )
        for value in (float("nan"), float("-inf")):
            spoilt = good[name].clone(memory_format=torch.contiguous_format)
            spoilt.view(-1)[-1] = value
            write({**good, name: spoilt}, file)
            assert f"{name} holds infinity or NaN" in refusal(folder)
        write({**good, name: torch.cat([good[name], good[name][:1]])}, file)
        assert "has shape" in (line := refusal(folder)) or "its config states" in line, name
        write({**good, name: good[name].to(torch.int32)}, file)
        assert f"{name} is not stored as floating point" in refusal(folder)
    write(good, file)
    assert load_sae(folder).n_features == M
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert str(file) in refusal(folder)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    assert str(file) in refusal(folder)


STRANGE = (
    None,
    True,
    -1,
    0,
    1e400,
    float("nan"),
    "",
    "x",
    "8",
    [],
    [1],
    {},
    {"in": [], "hook_name": [3]},
    10**30,
)


@pytest.mark.slow
def test_no_setting_whatever_it_is_ends_in_a_traceback(fixture):
    folder, _ = fixture
    for place in sorted(folder.rglob("*.json")):
        good = json.loads(place.read_text())
        for section in [good, *(value for value in good.values() if isinstance(value, dict))]:
            for key in list(section):
                kept = section[key]
                for value in STRANGE:
                    section[key] = value
                    place.write_text(json.dumps(good))
                    try:
                        assert load_sae(folder).n_features == M
                    except CheckpointError as error:
                        assert "\n" not in str(error) and str(folder) in str(error)
                section[key] = kept
        place.write_text(json.dumps(good))
    assert load_sae(folder).n_features == M


def test_half_precision_is_read_in_float32(fixture):
    folder, file = fixture
    good = tensors_of(file)
    half = {n: t.half() if t.is_floating_point() and t.ndim else t for n, t in good.items()}
    write(half, file)
    h = np.load(folder / "expected.npz")["h"]
    found = load_sae(folder)
    assert {parameter.dtype for parameter in found.sae.parameters()} == {torch.float32}
    write({n: t.float() if t.dtype == torch.float16 else t for n, t in half.items()}, file)
    np.testing.assert_array_equal(found.features(h).toarray(), load_sae(folder).features(h).toarray())


def test_a_torch_file_that_would_run_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-run"),)

    names = ("W_enc", "W_dec", "b_enc", "b_dec")
    torch.save({name: Evil() for name in names}, tmp_path / "layer3.sae.pt")
    assert "layer3.sae.pt: " in refusal(tmp_path / "layer3.sae.pt", k=5)
    np.savez(tmp_path / "params.npz", **{name: np.array([Evil()]) for name in (*names, "threshold")})
    assert "params.npz: " in refusal(tmp_path / "params.npz")
    assert not (tmp_path / "was-run").exists()


def test_h_of_another_width_and_no_h_at_all():
    loaded = load_sae(FILES / "saelens" / "topk_inference")
    with pytest.raises(ValueError, match=r"h has shape \[2, 9\], not \[n, 8\]"):
        loaded.features(np.zeros((2, 9), np.float32))
    assert loaded.features(np.zeros((0, D), np.float32)).shape == (0, M)


def test_a_folder_without_any_says_what_is_read(tmp_path):
    with pytest.raises(CheckpointError, match="no dictionary that is known here") as caught:
        load_sae(tmp_path)
    line = str(caught.value)
    assert "Qwen-Scope" in line
    with pytest.raises(CheckpointError, match="no such folder"):
        load_sae(tmp_path / "nothing" / "here" / "at all")
