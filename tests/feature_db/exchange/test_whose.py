"""Names of models as Neuronpedia and the Hub write them: one model's are known as such, two models' are told apart."""

from __future__ import annotations

import itertools

import pytest

from feature_db import ModelRecord
from feature_db.errors import StoreError
from feature_db.exchange.whose import check_model

SAME = [
    ("meta-llama/Llama-3.1-8B", "llama3.1-8b"),
    ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1-8b-it"),
    ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3-8b-it"),
    ("meta-llama/Llama-3.3-70B-Instruct", "llama3.3-70b-it"),
    ("meta-llama/Llama-2-7b-hf", "llama2-7b"),
    ("google/gemma-2-2b", "gemma-2-2b"),
    ("google/gemma-2-2b-it", "gemma-2-2b-it"),
    ("google/gemma-2-9b", "gemma-2-9b"),
    ("google/gemma-2b", "gemma-2b"),
    ("google/gemma-3-12b-it", "gemma-3-12b-it"),
    ("openai-community/gpt2", "gpt2-small"),
    ("openai-community/gpt2-medium", "gpt2-medium"),
    ("EleutherAI/pythia-70m-deduped", "pythia-70m-deduped"),
    ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-it"),
    ("Qwen/Qwen3-1.7B", "qwen3-1.7b"),
    ("Qwen/Qwen3-1.7B-Base", "qwen3-1.7b-base"),
    ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "deepseek-r1-distill-llama-8b"),
    ("models/gemma-22b", "gemma-22b"),
    ("models/Llama-3-18B", "llama3-18b"),
    ("models/Llama-31-8B", "llama31-8b"),
]


def store_of(name: str, **info: object) -> ModelRecord:
    return ModelRecord(fingerprint="f" * 16, name=name, n_features=64, info=info)


def check(model: ModelRecord, name: str) -> None:
    check_model(model, name, 15, "file", same_model=False)


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_one_model_is_known_under_both_names(ours, theirs):
    check(store_of(ours, layer=15), theirs)
    check(store_of("a SARM", layer=15, backbone=ours), theirs)
    check(store_of("a SARM", layer=15, backbone=f"/data/{ours}/"), ours.rpartition("/")[2].upper())


def test_no_two_models_are_taken_for_one():
    """Other sizes, versions, families, and those that were tuned."""
    for (ours, _), (other, theirs) in itertools.permutations(SAME, 2):
        for name in (other, theirs):
            with pytest.raises(StoreError, match="say --same-model"):
                check(store_of(ours, layer=15), name)


def test_the_layer_counts_as_well():
    with pytest.raises(StoreError, match="layer 16, this store"):
        check_model(store_of("google/gemma-2-2b", layer=15), "gemma-2-2b", "16-res", "file", same_model=False)
