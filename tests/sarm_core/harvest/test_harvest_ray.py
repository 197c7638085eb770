"""The Ray engine gives the local engine's store, and says what to install when Ray is absent."""

from __future__ import annotations

import importlib.util
import json

import pytest

from sarm_core import load_sarm
from sarm_core.cli.stores import harvest_into
from sarm_core.errors import RowError, SarmError
from sarm_core.harvest.harvest import HarvestSettings
from sarm_core.harvest.ray_engine import run_on_ray
from tests.sarm_core.harvest.harvest_corpus import content, write_corpus, write_model

SETTINGS = HarvestSettings(top=5, chunk_texts=10)
HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_sarm(write_model(tmp_path_factory.mktemp("model")), dtype="float32")


@pytest.mark.ray
@pytest.mark.skipif(not HAS_RAY, reason="the optional extra [ray] is not installed")
def test_ray_gives_the_same_store(scorer, tmp_path):
    corpus = write_corpus(tmp_path / "corpus.jsonl", n=80)
    harvest_into(tmp_path / "local.db", scorer, [corpus], SETTINGS)
    harvest_into(tmp_path / "ray.db", scorer, [corpus], SETTINGS, engine=run_on_ray(scorer, workers=2))
    assert content(tmp_path / "ray.db") == content(tmp_path / "local.db")


@pytest.mark.ray
@pytest.mark.skipif(not HAS_RAY, reason="the optional extra [ray] is not installed")
def test_a_bad_row_is_one_line_with_ray_too(scorer, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"prompt": "a", "response": "b."}) + "\n{not json\n")
    with pytest.raises(RowError, match="row 2: not valid JSON"):
        harvest_into(tmp_path / "s.db", scorer, [path], SETTINGS, engine=run_on_ray(scorer, workers=1))


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_remedy_is_named(scorer):
    with pytest.raises(SarmError, match=r"pip install .*\[ray\].*--engine local"):
        run_on_ray(scorer, workers=1)
