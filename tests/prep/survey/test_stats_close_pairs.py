from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_prep.errors import SourceError
from fr_prep.survey import close_pairs
from fr_prep.survey.close_pairs import Closeness, find_close_pairs
from fr_prep.survey.fingerprints import Fingerprints
from fr_prep.workers.pool import LocalPool

BITS = st.sets(st.integers(0, 319), max_size=14)


def fingerprints(hashes, problems=()):
    hashes = np.array(hashes, dtype=np.uint64).reshape(-1, 5)
    digests = np.arange(2 * len(hashes), dtype=np.uint64).reshape(-1, 2)
    return Fingerprints(digests=digests, hashes=hashes, problems=dict.fromkeys(problems, "broken"))


def flip(words, bits):
    words = list(words)
    for bit in bits:
        words[bit // 64] ^= 1 << bit % 64
    return words


def count_bits(first, second):
    differing = [int(a) ^ int(b) for a, b in zip(first, second, strict=True)]
    return differing[0].bit_count(), sum(word.bit_count() for word in differing[1:])


def search(images, others=None, *, closeness, num_workers=1):
    with LocalPool(num_workers) as pool:
        found = find_close_pairs(images, others, closeness=closeness, pool=pool, quiet=True)
    columns = (found.first, found.second, found.coarse, found.fine)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def compare_all(images, others=None, *, closeness):
    """The naive search: every pair."""
    left = images.hashes.tolist()
    right = left if others is None else others.hashes.tolist()
    found = []
    for i in range(len(left)):
        for j in range(len(right)):
            coarse, fine = count_bits(left[i], right[j])
            broken = i in images.problems or j in (images if others is None else others).problems
            if (others is not None or i < j) and coarse <= closeness.coarse and fine <= closeness.fine and not broken:
                found.append((i, j, coarse, fine))
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


@given(
    st.lists(st.tuples(st.integers(0, 2), BITS), max_size=25),
    st.integers(0, 63),
    st.integers(0, 40),
    st.sets(st.integers(0, 24), max_size=2),
)
@settings(deadline=None, max_examples=80)
def test_the_search_finds_what_comparing_all_pairs_finds(members, coarse, fine, broken):
    centres = np.random.default_rng(0).integers(0, 1 << 63, (3, 5)).tolist()
    hashes = [flip(centres[centre], bits) for centre, bits in members]
    images = fingerprints(hashes, [row for row in broken if row < len(hashes)])
    closeness = Closeness(coarse, fine)
    assert search(images, closeness=closeness) == compare_all(images, closeness=closeness)


@given(
    st.lists(BITS, max_size=15),
    st.lists(BITS, max_size=15),
    st.integers(0, 12),
    st.sampled_from([0, 6, 256]),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_the_search_between_two_sets_finds_what_comparing_all_pairs_finds(first, second, coarse, fine, broken):
    images = fingerprints([flip([7] * 5, bits) for bits in first], [0] if broken and first else ())
    others = fingerprints([flip([7] * 5, bits) for bits in second], [1] if broken and len(second) > 1 else ())
    closeness = Closeness(coarse, fine)
    assert search(images, others, closeness=closeness) == compare_all(images, others, closeness=closeness)


@pytest.mark.parametrize("num_bands", range(4, 13))
def test_no_number_of_bands_misses_a_pair(num_bands, monkeypatch):
    monkeypatch.setattr(close_pairs, "_estimate_log_cost", lambda bands, *_: abs(bands - num_bands))
    every_way = [[0] * 5, *(flip([0] * 5, bits) for bits in combinations(range(0, 64, 6), 4))]
    found = search(fingerprints(every_way), closeness=Closeness(4, 0))
    assert [pair for pair in found if pair[0] == 0] == [(0, row, 4, 0) for row in range(1, len(every_way))]


def test_chunks_change_nothing(monkeypatch):
    images = fingerprints([flip([3] * 5, {row % 64}) for row in range(150)])
    expected = search(images, closeness=Closeness(2, 256))
    assert len(expected) == 150 * 149 / 2
    monkeypatch.setattr(close_pairs, "CHUNK_PAIRS", 7)
    assert search(images, closeness=Closeness(2, 256)) == expected


def test_workers_change_nothing():
    hashes = [flip([5] * 5, {row % 64, row % 7, 64 + row}) for row in range(200)]
    closeness = Closeness(2, 2)
    alone = search(fingerprints(hashes), closeness=closeness)
    assert alone
    assert search(fingerprints(hashes), closeness=closeness, num_workers=3) == alone


def test_many_hashes_are_sorted_in_more_bands_than_few():
    few, many = (len(close_pairs._make_masks(6, count, count)) for count in (1000, 5_000_000))
    assert few < many <= close_pairs.MAX_TABLES


def test_each_table_leaves_out_as_many_bands_as_bits_may_differ():
    for distance in range(17):
        masks = close_pairs._make_masks(distance, 1_000_000, 1_000_000)
        assert len(set(masks.tolist())) == len(masks)


def test_bits_are_counted_alike_with_every_numpy(monkeypatch):
    words = np.array([[0, 1, 3], [(1 << 64) - 1, 1 << 63, 0x0F0F]], dtype=np.uint64)
    expected = [[0, 1, 2], [64, 1, 8]]
    assert close_pairs._count_bits(words).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert close_pairs._count_bits(words).tolist() == expected


def test_too_many_pairs_are_refused_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(close_pairs, "MAX_PAIRS", 100)
    with pytest.raises(SourceError, match=r"at most 100 near-duplicate pairs.*Lower --distance"):
        search(fingerprints([[9] * 5] * 200), closeness=Closeness())


@pytest.mark.parametrize(("coarse", "fine"), [(-1, 0), (64, 0), (0, -1), (0, 257)])
def test_distances_without_sense_are_refused(coarse, fine):
    with pytest.raises(ValueError, match="expected distances"):
        Closeness(coarse, fine)
