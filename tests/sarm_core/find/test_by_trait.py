"""Features by what they tell of answers: a planted one is found, shares are recounted pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from sarm_core.find.by_trait import Meant, TraitIndex
from sarm_core.harvest.pairwise import AnswerSet
from sarm_core.search import piece_vectors
from sarm_core.text.answer_traits import TRAITS, Trait, TraitTable

M = 30
TRAIT = (
    Trait("rude", "not rude", "insulting, hostile"),
    Trait("longer", "shorter", "long"),
    Trait("bullet list", "no bullet list", "bullets"),
)


def answers(seed: int = 0, prompts: int = 40, each: int = 4) -> AnswerSet:
    """Feature 3 is higher in rude answers, 4 lower in long ones, 5 has a value in one prompt only."""
    rng = np.random.default_rng(seed)
    n = prompts * each
    values = np.stack([rng.random(n) < 0.4, rng.integers(5, 90, n), rng.random(n) < 0.3], axis=1).astype(
        np.float32
    )
    z = rng.random((n, M)).astype(np.float32) * (rng.random((n, M)) < 0.3)
    z[:, 3] = values[:, 0] * 2 + rng.random(n) * 0.5
    z[:, 4] = 90 - values[:, 1]
    z[:, 5] = 0
    z[:each, 5] = values[:each, 0]
    group = np.repeat(np.arange(prompts), each)
    return AnswerSet(sparse.csr_matrix(z), TraitTable(TRAIT, values), group, [f"p{i}" for i in group])


@pytest.fixture(scope="module")
def index() -> TraitIndex:
    return TraitIndex(answers(), piece_vectors())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("rude", ["rude"]),
        ("RUDENESS", ["rude"]),
        ("hostile", ["rude"]),
        ("not rude", ["not rude"]),
        ("bullets", ["bullet list"]),
        ("no bullet list", ["no bullet list"]),
        ("without bullet lists", ["no bullet list"]),
        ("short", ["shorter"]),
        ("photosynthesis", []),
        ("漢字", []),
        ("", []),
        ("   ", []),
    ],
)
def test_words_mean_a_trait_or_its_opposite(index: TraitIndex, query: str, words: list[str]) -> None:
    assert [meant.words for meant in index.meant(query)] == words


def test_the_planted_feature_comes_first_and_its_opposite_for_the_opposite(index: TraitIndex) -> None:
    assert index.features(index.meant("rude"))[0].feature == 3
    assert index.features(index.meant("shorter"))[0].feature == 4
    assert 3 not in {hit.feature for hit in index.features(index.meant("not rude"))}
    # One prompt says nothing, however clear it is.
    assert 5 not in {hit.feature for hit in index.features(index.meant("rude"))}


@pytest.mark.parametrize("seed", range(3))
def test_a_share_is_that_of_a_count_pair_by_pair(seed: int) -> None:
    of = answers(seed, prompts=12, each=5)
    z = of.z.toarray()
    for hit in TraitIndex(of, piece_vectors()).features([Meant(0, 1, "rude", 1.0)]):
        right = pairs = 0.0
        for a, b in combinations(range(len(z)), 2):
            apart = of.traits.values[a, 0] - of.traits.values[b, 0]
            if of.group[a] == of.group[b] and apart:
                pairs += 1
                right += (np.sign(apart * (z[a, hit.feature] - z[b, hit.feature])) + 1) / 2
        assert hit.pairs == pairs
        assert hit.share == pytest.approx(right / pairs)
        assert 0.5 < hit.low < hit.share


def test_of_features_that_tell_nothing_few_are_found() -> None:
    rng = np.random.default_rng(1)
    of = answers()
    z = sparse.csr_matrix(rng.random((of.z.shape[0], 1000)).astype(np.float32))
    found = TraitIndex(AnswerSet(z, of.traits, of.group, of.prompt), piece_vectors()).features(
        [Meant(0, 1, "rude", 1.0)], limit=1000
    )
    assert len(found) <= 80  # about 5 %, one-sided


def test_a_trait_that_no_pair_differs_in_tells_nothing() -> None:
    of = answers()
    values = np.zeros_like(of.traits.values)
    index = TraitIndex(AnswerSet(of.z, TraitTable(TRAIT, values), of.group, of.prompt), piece_vectors())
    assert index.features([Meant(0, 1, "rude", 1.0)]) == []


def test_other_words_of_every_family_lead_to_their_trait_or_one_as_near() -> None:
    """So that a new family's words are words that a search knows."""
    traits = tuple(trait for family in TRAITS for trait in family.traits)
    of = answers()
    values = np.zeros((of.z.shape[0], len(traits)), dtype=np.float32)
    index = TraitIndex(AnswerSet(of.z, TraitTable(traits, values), of.group, of.prompt), piece_vectors())
    for place, trait in enumerate(traits):
        for words in filter(None, map(str.strip, trait.also.split(","))):
            if any(word in words.split() for word in ("no", "not", "never", "don't")):
                continue
            assert place in {meant.trait for meant in index.meant(words)}, (trait.more, words)
