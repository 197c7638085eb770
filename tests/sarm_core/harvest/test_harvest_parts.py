"""The parts of the harvest against plain Python: places, bins, reservoirs, pair counts, statistics, state."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.harvest.accumulator import Accumulator
from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.bins import log_bin, lower_edge, priorities
from sarm_core.harvest.cofiring import Partners, PositionSample
from sarm_core.harvest.places import Entries, Places
from sarm_core.harvest.samples import SilentPool, peaks
from sarm_core.harvest.selection import KINDS, select
from sarm_core.harvest.settings import HarvestSettings
from sarm_core.harvest.statistics import FeatureStatistics

M = 12


def chunk_of(
    number: int, texts: list[list[dict[int, float]]], first: int, digests: list[int]
) -> ChunkActivity:
    """A chunk from {feature: z} of each position of each text."""
    positions = [position for text in texts for position in text]
    entries = [sorted(position.items()) for position in positions]
    return ChunkActivity(
        number,
        first + len(texts),
        10 * len(texts),
        np.arange(first, first + len(texts)),
        np.array(digests, dtype=np.uint64),
        np.array([i for i, text in enumerate(texts) for _ in text], dtype=np.int32),
        np.array([j for text in texts for j in range(len(text))], dtype=np.int32),
        np.cumsum([0, *map(len, entries)]),
        np.array([f for row in entries for f, _ in row], dtype=np.int32),
        np.array([z for row in entries for _, z in row], dtype=np.float32),
    )


def random_chunks(seed: int, n_chunks: int = 6, size: int = 9) -> list[ChunkActivity]:
    rng = np.random.default_rng(seed)
    out = []
    for number in range(n_chunks):
        texts = [
            [
                {
                    int(f): float(np.float32(rng.normal(0.5, 2.0 ** rng.integers(-3, 4))))
                    for f in rng.choice(M, 4, False)
                }
                for _ in range(rng.integers(1, 4))
            ]
            for _ in range(size)
        ]
        digests = rng.integers(0, 2**63, size).tolist()
        out.append(chunk_of(number, texts, number * size, digests))
    return out


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=60),
    st.integers(1, 4),
    st.lists(st.integers(1, 20), min_size=1, max_size=8),
)
def test_places_hold_the_best_distinct_texts_however_they_are_offered(offers, size, cuts):
    """Ties go to the smaller digest; the oracle sorts everything at once."""
    places = Places(4, size)
    at = 0
    for cut in [*cuts, len(offers)]:
        part = offers[at : at + cut]
        at += cut
        group, key, digest = (np.array(c) for c in zip(*part, strict=True)) if part else ([], [], [])
        n = len(part)
        places.offer(
            Entries(
                np.array(group, dtype=np.int64),
                np.array(key, dtype=np.float64),
                np.array(digest, dtype=np.uint64),
                np.arange(n),
                np.zeros(n, np.float32),
                np.zeros(n, np.int32),
            )
        )
    for group in range(4):
        best = {}
        for g, key, digest in offers:
            if g == group:
                best[digest] = min(key, best.get(digest, 99))
        wanted = sorted((key, digest) for digest, key in best.items())[:size]
        held = places.held(np.array([group]))
        assert list(zip(held.key.tolist(), held.digest.tolist(), strict=True)) == wanted


@given(st.floats(2.0**-100, 2.0**100, width=32), st.sampled_from([1, 2, 4]))
def test_a_bin_holds_what_lies_between_its_edges(z, per_octave):
    i = int(log_bin(np.array([z]), per_octave)[0])
    assert lower_edge(i, per_octave) <= z < lower_edge(i + 1, per_octave)


@pytest.mark.parametrize("per_octave", [1, 2, 4])
def test_an_edge_falls_in_the_bin_above_it(per_octave):
    indices = np.arange(-200, 200)
    edges = np.array([lower_edge(int(i), per_octave) for i in indices])
    np.testing.assert_array_equal(log_bin(edges, per_octave), indices)
    np.testing.assert_allclose(edges, 2.0 ** (indices / per_octave), rtol=1e-15)


def test_priorities_are_uniform_and_unrelated_between_features_and_seeds():
    digests = np.arange(20_000, dtype=np.uint64)
    columns = [priorities(s, np.full(len(digests), f), digests) for s, f in ((0, 0), (0, 1), (1, 0), (-1, 0))]
    for column in columns:
        assert abs(column.mean() - 0.5) < 0.01 and column.min() >= 0 and column.max() < 1
        np.testing.assert_allclose(np.histogram(column, 10, (0, 1))[0], 2000, atol=200)
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_statistics_with_negative_tiny_and_huge_activations(seed):
    rng = np.random.default_rng(seed)
    positions = [{0: float(np.float32(z))} for z in rng.choice([-3, -1e-9, 1e-9, 1e-4, 0.7, 9e4], 200)]
    chunk = chunk_of(0, [[p] for p in positions], 0, list(range(200)))
    statistics = FeatureStatistics(M)
    statistics.update(chunk)
    z = np.array([p[0] for p in positions])
    found = statistics.histogram(0)
    np.testing.assert_array_equal(found.counts, np.histogram(z, found.edges)[0])
    assert found.counts.sum() == 200 and found.counts[0] == (z < 0).sum() and found.edges[1] == 0
    assert statistics.mean(0) == pytest.approx(z.mean())
    assert statistics.histogram(1) is None and statistics.mean(1) is None


def all_pairs(chunks) -> Counter:
    counts: Counter = Counter()
    for chunk in chunks:
        for a, b in zip(chunk.indptr, chunk.indptr[1:], strict=False):
            counts.update(combinations(chunk.features[a:b].tolist(), 2))
    return counts


def pairs_of(partners: Partners) -> dict[tuple[int, int], int]:
    return {(i, j): n for i in range(M) for j, n in partners.of(i)}


def both_ways(counts: Counter) -> dict[tuple[int, int], int]:
    return {(i, j): n for (a, b), n in counts.items() for i, j in ((a, b), (b, a))}


def test_pairs_are_counted_at_every_position_while_the_sample_has_room():
    chunks = random_chunks(1)
    sample = PositionSample(M, 10_000, 0)
    for chunk in chunks:
        sample.update(chunk)
    partners = sample.partners(M)
    assert len(sample) == sum(len(chunk.position_text) for chunk in chunks)
    assert pairs_of(partners) == both_ways(all_pairs(chunks))
    fired = Counter(f for chunk in chunks for f in chunk.features.tolist())
    assert partners.firing.tolist() == [fired[i] for i in range(M)]


@pytest.mark.parametrize("block", [1, 30, 4_000_000])
def test_partners_are_the_most_frequent_whatever_block_they_are_counted_in(block, monkeypatch):
    monkeypatch.setattr("sarm_core.harvest.cofiring.BLOCK_PAIRS", block)
    chunks = random_chunks(2)
    sample = PositionSample(M, 10_000, 0)
    for chunk in chunks:
        sample.update(chunk)
    done: list[int] = []
    partners = sample.partners(3, done.append)
    wanted = both_ways(all_pairs(chunks))
    for i in range(M):
        mine = sorted((-n, j) for (a, j), n in wanted.items() if a == i)
        assert partners.of(i) == [(j, -n) for n, j in mine[:3]]
    assert sum(done) == M and (len(done) > 1) == (block < 4_000_000)


@pytest.mark.slow
def test_a_full_sample_is_uniform_bounded_and_independent_of_the_chunks():
    chunks = random_chunks(2, n_chunks=12)
    texts = [(chunk, i) for chunk in chunks for i in range(len(chunk.ordinals))]
    single = [part_of(chunk, i, number) for number, (chunk, i) in enumerate(texts)]
    positions = sum(len(chunk.position_text) for chunk in chunks)
    size, taken = 40, Counter()
    for seed in range(60):
        whole, cut = (PositionSample(M, size, seed) for _ in range(2))
        for chunk in chunks:
            whole.update(chunk)
            assert sum(len(keys) for keys in (whole.keys, *(k for k, _ in whole._waiting))) <= size * 5 // 4
        for chunk in single:
            cut.update(chunk)
        assert len(whole) == len(cut) == size
        one, other = whole.state(), cut.state()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
        taken.update(whole.keys.tolist())
        # Exact over what it holds: each position has 4 features, so 12 pairs counted from both sides.
        assert sum(pairs_of(whole.partners(M)).values()) == 12 * size
    assert len(taken) == 60 * size
    firing = Counter(f for chunk in chunks for f in chunk.features.tolist())
    mean = np.mean([sampled_firing(chunks, size, seed) for seed in range(200)], axis=0)
    np.testing.assert_allclose(mean, [firing[i] * size / positions for i in range(M)], rtol=0.1)


def sampled_firing(chunks: list[ChunkActivity], size: int, seed: int) -> np.ndarray:
    sample = PositionSample(M, size, seed)
    for chunk in chunks:
        sample.update(chunk)
    return sample.partners(1).firing


def part_of(chunk: ChunkActivity, text: int, number: int) -> ChunkActivity:
    """One text of a chunk as a chunk of its own."""
    where = np.flatnonzero(chunk.position_text == text)
    entries = slice(int(chunk.indptr[where[0]]), int(chunk.indptr[where[-1] + 1]))
    return ChunkActivity(
        number,
        number + 1,
        10,
        chunk.ordinals[[text]],
        chunk.digests[[text]],
        np.zeros(len(where), dtype=np.int32),
        chunk.position_token[where],
        chunk.indptr[where[0] : where[-1] + 2] - chunk.indptr[where[0]],
        chunk.features[entries],
        chunk.values[entries],
    )


@pytest.mark.slow
def test_the_silent_pool_is_a_uniform_sample_with_what_fired():
    chunks = random_chunks(3)
    fired = {}
    for chunk in chunks:
        found = peaks(chunk)
        for ordinal in chunk.ordinals:
            fired[int(ordinal)] = set(found.group[found.ordinal == ordinal].tolist())
    taken: Counter = Counter()
    for seed in range(300):
        pool = SilentPool(10, seed)
        for chunk in chunks:
            pool.update(chunk, peaks(chunk))
        assert len(pool.texts) == 10
        for _, ordinal, features in pool.texts.values():
            assert set(features.tolist()) == fired[ordinal]
            taken[ordinal] += 1
    expected = 300 * 10 / len(fired)
    assert len(taken) == len(fired)
    assert max(abs(n - expected) for n in taken.values()) < 5 * expected**0.5


@pytest.mark.parametrize("cut", range(7))
def test_a_restored_accumulator_goes_on_as_if_nothing_had_happened(cut):
    chunks = random_chunks(4)
    settings = HarvestSettings(top=3, per_band=2, random=2, pool=7, pair_positions=30)
    whole, first, second = (Accumulator(M, settings) for _ in range(3))
    for chunk in chunks:
        whole.update(chunk)
    for chunk in chunks[:cut]:
        first.update(chunk)
    second.restore(first.state())
    for chunk in chunks[cut:]:
        second.update(chunk)
    one, other = whole.state(), second.state()
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_every_feature_keeps_silent_texts_for_several_tests_of_a_label():
    accumulator = Accumulator(M, HarvestSettings())
    for chunk in random_chunks(5, n_chunks=30):
        accumulator.update(chunk)
    kept = select(accumulator, HarvestSettings())
    silent = kept.kind == KINDS.index("silent")
    for feature in range(M):
        mine = silent & (kept.feature == feature)
        assert (mine & kept.check).sum() == (mine & ~kept.check).sum() == 20


def test_chunks_out_of_turn_are_refused():
    accumulator = Accumulator(M, HarvestSettings())
    with pytest.raises(ValueError, match="chunk 1 came when 0 was due"):
        accumulator.update(random_chunks(0)[1])
