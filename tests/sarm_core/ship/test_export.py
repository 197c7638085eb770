"""An exported checkpoint scores plainly as the original scores steered."""

import json
import stat

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.errors import CheckpointError, SarmError, SteeringError
from sarm_core.model.checkpoint import open_checkpoint
from sarm_core.ship.export import export
from sarm_core.steering import Group
from tests.sarm_core.tiny_models import KINDS, chatml, reference_checkpoint

ROWS = [{"input_ids": [3, 5, 8, 13, 21, 34]}, {"input_ids": [2, 7, 1]}, {"input_ids": [9] * 30}]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["own", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_export_of_scales_and_groups_gives_the_steered_rewards(kind, layout, tmp_path):
    source = reference_checkpoint(tmp_path / "source", kind)
    scored = load_sarm(source, dtype="float32").score(ROWS)
    ids, _ = scored.matrix.activations(0)
    steering = Steering(
        scale={int(ids[0]): -1.5, int(ids[1]): 0.0},
        groups={"style": Group((int(ids[1]), int(ids[2]), int(ids[3])), 3.0)},
    )
    steered = scored.steered(steering).rewards
    assert not np.allclose(steered, scored.rewards, atol=1e-3)
    target = export(open_checkpoint(source), steering, tmp_path / "target", layout)
    exported = load_sarm(target, dtype="float32")
    np.testing.assert_allclose(exported.score(ROWS).rewards, steered, atol=1e-5)
    assert exported.fingerprint != load_sarm(source).fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_export_of_nothing_keeps_the_fingerprint_and_only_the_first_blocks(kind, tmp_path):
    source = open_checkpoint(reference_checkpoint(tmp_path / "source", kind, layer=2))
    for layout in ("own", "reference"):
        target = open_checkpoint(export(source, Steering(), tmp_path / layout, layout))
        assert target.fingerprint() == source.fingerprint()
        written = list((tmp_path / layout).rglob("*.safetensors"))
        assert (
            sum(p.stat().st_size for p in written)
            < (tmp_path / "source" / "model.safetensors").stat().st_size
        )


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["own", "reference"])
def test_the_tokenizer_travels_along(layout, tmp_path):
    source = reference_checkpoint(tmp_path / "source", tokenizer=chatml())
    rows = [{"prompt": "Is it safe?", "response": "Yes, if the room is aired."}]
    wanted = load_sarm(source, dtype="float32").score(rows).rewards
    target = export(open_checkpoint(source), Steering(), tmp_path / "target", layout)
    np.testing.assert_allclose(load_sarm(target, dtype="float32").score(rows).rewards, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("steering", "error", "words"),
    [
        (Steering(set={3: 1.0}), SteeringError, "no head weight can express"),
        (Steering(offset={3: 1.0}), SteeringError, "would need a bias"),
        (Steering(scale={64: 2.0}), SteeringError, "feature 64 does not exist"),
    ],
)
def test_what_cannot_be_folded_writes_nothing(steering, error, words, tmp_path):
    source = open_checkpoint(reference_checkpoint(tmp_path / "source"))
    with pytest.raises(error, match=words):
        export(source, steering, tmp_path / "target")
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_an_existing_folder_is_never_written_into(tmp_path):
    source = open_checkpoint(reference_checkpoint(tmp_path / "source"))
    before = (tmp_path / "source" / "model.safetensors").read_bytes()
    with pytest.raises(SarmError, match="already exists"):
        export(source, Steering(), tmp_path / "source")
    assert (tmp_path / "source" / "model.safetensors").read_bytes() == before
    with pytest.raises(CheckpointError, match="layout 'odd' is not known"):
        export(source, Steering(), tmp_path / "odd", "odd")
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


@pytest.mark.slow
def test_what_is_written_is_readable_by_others_and_free_of_remote_code(tmp_path):
    folder = reference_checkpoint(tmp_path / "source")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}}))
    target = export(open_checkpoint(folder), Steering(), tmp_path / "target", "reference")
    assert stat.S_IMODE(target.stat().st_mode) & 0o055 == 0o055
    written = json.loads((target / "config.json").read_text())
    assert "auto_map" not in written
    assert written["sarm_param"]["sae_source_layer"] == 2
