"""Features by what they tell of an answer: the store's answers, measured once and kept beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import streamlit as st
from scipy import sparse

from feature_db import Store
from feature_db.features.text_search import examples_version
from sarm_core.demo import CORPUS
from sarm_core.errors import SarmError
from sarm_core.files import whole_file
from sarm_core.find.by_trait import TraitIndex
from sarm_core.harvest.pairwise import AnswerSet
from sarm_core.harvest.suggest_pairs import answer_set, tags_in
from sarm_core.search import piece_vectors
from sarm_core.text.answer_traits import TRAITS, Trait, TraitTable

__all__ = ["trait_index"]

FORMAT = 1


def trait_index(store: Store) -> TraitIndex | None:
    """The index of this store's answers, made once for its texts; None where no two of them answer one prompt."""
    return _index(str(store.path), examples_version(store), store)


@st.cache_resource(max_entries=4, show_spinner="Reading what the answers are like, once")
def _index(path: str, version: tuple[int, int], _store: Store) -> TraitIndex | None:
    answers = _answers(_store, Path(f"{path}.traits.npz"), version)
    return None if answers is None else TraitIndex(answers, piece_vectors())


def _answers(store: Store, file: Path, version: tuple[int, int]) -> AnswerSet | None:
    """As `answer_set`; from `file`, a cache that is made anew when it is absent, damaged or of other texts."""
    named = [[trait.more, trait.less, trait.also] for family in TRAITS for trait in family.traits]
    tags = hashlib.sha256(CORPUS.read_bytes()).hexdigest() if CORPUS.is_file() else ""
    key = json.dumps([FORMAT, store.model.fingerprint, version, named, tags])
    try:
        with np.load(file, allow_pickle=False) as held:
            if str(held["key"]) == key:
                traits = tuple(Trait(*words) for words in json.loads(str(held["traits"])))
                shape = (len(held["values"]), store.model.n_features)
                z = sparse.csr_matrix((held["z"], held["features"], held["indptr"]), shape=shape)
                z.check_format(full_check=True)
                prompts = [str(number) for number in held["prompt"].tolist()]
                return AnswerSet(z, TraitTable(traits, held["values"]), held["group"], prompts)
    except (OSError, ValueError, KeyError, EOFError, TypeError):
        pass
    found = answer_set(store, tags_in([CORPUS]), words=False)
    if found is not None and not store.looks_only:
        _keep(file, key, found)
    return found


def _keep(file: Path, key: str, found: AnswerSet) -> None:
    """A place that cannot be written costs the next start the reading."""
    places = {prompt: number for number, prompt in enumerate(dict.fromkeys(found.prompt))}
    traits = [[trait.more, trait.less, trait.also] for trait in found.traits.traits]
    try:
        with whole_file(file, binary=True, durable=False) as target:
            np.savez(
                target,
                key=key,
                traits=json.dumps(traits),
                values=found.traits.values,
                group=found.group,
                prompt=np.array([places[prompt] for prompt in found.prompt], dtype=np.int64),
                z=found.z.data,
                features=found.z.indices,
                indptr=found.z.indptr,
            )
    except (OSError, SarmError):
        return
