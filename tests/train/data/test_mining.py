"""Offline mining against plain loops."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_train.data import mining
from fr_train.data.mining import find_admissible, mine_triplets, pick_rows

LABELS = np.array([3, 0, 3, 1, 0, 3, 2, 1])  # a class of one


def unit(rows, *, size=4, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, size))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def naive(vectors, labels, margin):
    """{(a, p): admissible negatives} for all pairs of a class, the first row as the anchor."""
    return {
        (a, p): [
            n
            for n in range(len(labels))
            if labels[n] != labels[a] and vectors[a] @ vectors[p] - vectors[a] @ vectors[n] < margin
        ]
        for a in range(len(labels))
        for p in range(a + 1, len(labels))
        if labels[a] == labels[p]
    }


def found_sets(vectors, labels, margin):
    return {
        (anchor, int(p)): np.flatnonzero(row).tolist()
        for anchor, positives, admissible in find_admissible(vectors, labels, margin=margin)
        for p, row in zip(positives, admissible, strict=True)
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 1000), st.floats(-0.5, 1.5))
def test_the_admissible_sets_are_those_of_a_loop(labels, seed, margin):
    vectors, labels = unit(len(labels), seed=seed), np.array(labels, dtype=np.int64)
    assert found_sets(vectors, labels, margin) == naive(vectors, labels, margin)


def test_the_size_of_the_blocks_changes_nothing(monkeypatch):
    vectors = unit(8)
    whole = found_sets(vectors, LABELS, 0.2), mine_triplets(vectors, LABELS, seed=1).rows.tolist()
    monkeypatch.setattr(mining, "BLOCK_VALUES", 20)  # two rows at a time
    assert (found_sets(vectors, LABELS, 0.2), mine_triplets(vectors, LABELS, seed=1).rows.tolist()) == whole


def test_one_admissible_negative_is_kept_for_each_pair_that_has_any():
    vectors = unit(40, seed=3)
    labels = np.arange(40) % 8
    expected = naive(vectors, labels, -0.6)
    mined = mine_triplets(7.5 * vectors.astype(np.float32), labels, margin=-0.6, seed=5)
    assert [tuple(row[:2]) for row in mined.rows.tolist()] == [pair for pair, found in expected.items() if found]
    assert all(negative in expected[anchor, positive] for anchor, positive, negative in mined.rows.tolist())
    assert (mined.num_pairs, mined.num_unusable) == (len(expected), 0)
    assert 10 < len(mined.rows) < 70
    assert mined.describe().startswith(f"{len(mined.rows)} triplets of 80 pairs; {80 - len(mined.rows)} pairs had no")


def test_every_admissible_negative_is_kept_about_as_often():
    vectors, labels = unit(12, seed=1), np.array([0, 0, *range(1, 11)])
    (admissible,) = naive(vectors, labels, 0.6).values()
    kept = [int(mine_triplets(vectors, labels, margin=0.6, seed=seed).rows[0, 2]) for seed in range(1500)]
    shares = np.bincount(kept, minlength=12)[admissible] / 1500
    assert 3 < len(admissible) < 10
    np.testing.assert_allclose(shares, 1 / len(admissible), atol=0.04)
    assert set(kept) == set(admissible)


def test_rows_that_are_not_finite_or_zero_are_left_out_and_counted():
    clean = unit(8)
    spoilt = np.insert(clean, [0, 3, 8], [[np.nan] * 4, [0.0] * 4, [np.inf] * 4], axis=0)
    labels = np.insert(LABELS, [0, 3, 8], [3, 0, 1])
    mined, expected = mine_triplets(spoilt, labels, seed=2), mine_triplets(clean, LABELS, seed=2)
    where = np.flatnonzero(np.isfinite(spoilt).all(axis=1) & spoilt.any(axis=1))
    np.testing.assert_array_equal(mined.rows, where[expected.rows])
    assert (mined.num_unusable, mined.num_pairs) == (3, expected.num_pairs)


@pytest.mark.parametrize("embeddings", [np.empty((0, 4)), np.full((8, 4), np.nan)])
def test_where_nothing_is_usable_nothing_is_mined(embeddings):
    mined = mine_triplets(embeddings, LABELS[: len(embeddings)], seed=0)
    assert (mined.rows.shape, mined.num_pairs, mined.num_unusable) == ((0, 3), 0, len(embeddings))


def test_the_same_seed_mines_the_same_and_another_epoch_something_else():
    vectors, labels = unit(60, seed=4), np.arange(60) % 6
    first, again, later = (mine_triplets(vectors, labels, seed=[7, epoch]).rows for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)


def test_classes_and_images_are_picked_with_replacement_only_where_there_are_fewer():
    labels = np.repeat([4, 9, 2, 7], [5, 2, 6, 1])
    rows = pick_rows(labels, num_classes=4, images_per_class=3, seed=1).reshape(4, 3)
    assert labels[rows].tolist() == [[2] * 3, [4] * 3, [7] * 3, [9] * 3]
    assert [len(set(row)) for row in rows[:2].tolist()] == [3, 3]
    assert len(set(rows[2].tolist())) == 1


def test_all_classes_and_all_images_come_in_turn():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(6), 4))
    picked = [pick_rows(labels, num_classes=2, images_per_class=2, seed=[1, epoch]) for epoch in range(60)]
    assert all(len(set(labels[rows].tolist())) == 2 for rows in picked)
    assert set(np.concatenate(picked).tolist()) == set(range(24))
    np.testing.assert_array_equal(picked[3], pick_rows(labels, num_classes=2, images_per_class=2, seed=[1, 3]))


def test_images_without_a_class_are_never_picked_and_all_classes_are_where_there_are_fewer():
    labels = np.array([-1, 1, -1, 0, 1, -1])
    rows = pick_rows(labels, num_classes=200, images_per_class=2, seed=0)
    assert labels[rows].tolist() == [0, 0, 1, 1]


def test_what_cannot_be_picked_or_mined_is_refused():
    with pytest.raises(ValueError, match="2 or more"):
        pick_rows(LABELS, num_classes=1, images_per_class=2, seed=0)
    with pytest.raises(ValueError, match="received none"):
        pick_rows(np.array([-1, -1]), num_classes=2, images_per_class=2, seed=0)
    with pytest.raises(ValueError, match=r"\(8, 4\) and \(7,\)"):
        mine_triplets(unit(8), LABELS[:7], seed=0)


def test_mining_loads_no_framework():
    code = "import sys, fr_train.data.mining; sys.exit(any(m.split('.')[0] in ('tensorflow', 'keras') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
