import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_prep.plan.verification_pairs import PairSample, sample_pairs


def check(labels: np.ndarray, sample: PairSample, *, num_pairs: int, num_folds: int) -> None:
    """What every sample must keep to."""
    first, second, same = sample.first, sample.second, sample.same
    assert len(first) == len(second) == len(same) == num_pairs
    assert ((labels[first] == labels[second]) == same).all()
    assert same.reshape(num_folds, 2, -1)[:, 0].all()
    assert not same.reshape(num_folds, 2, -1)[:, 1].any()
    assert len({frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}) == num_pairs
    assert (first != second).all()
    people = [
        set(labels[np.stack([first, second])].reshape(2, num_folds, -1)[:, fold].reshape(-1))
        for fold in range(num_folds)
    ]
    shared = sum(map(len, people)) > len(set().union(*people))
    if sample.has_disjoint_folds:
        assert not shared


def test_a_sample_keeps_its_pairs_for_ever():
    sample = sample_pairs(np.repeat(np.arange(6), 4), num_pairs=12, num_folds=2, seed=3)
    pairs = [sample.first.tolist(), sample.second.tolist(), sample.same.astype(int).tolist()]
    assert list(map(list, zip(*pairs, strict=True))) == GOLDEN_PAIRS
    assert sample.has_disjoint_folds


GOLDEN_PAIRS = [
    [5, 6, 1],
    [12, 13, 1],
    [10, 11, 1],
    [5, 9, 0],
    [7, 15, 0],
    [11, 15, 0],
    [2, 3, 1],
    [20, 23, 1],
    [16, 18, 1],
    [23, 19, 0],
    [0, 16, 0],
    [21, 3, 0],
]


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=60),
    num_folds=st.integers(1, 6),
    per_kind=st.integers(1, 12),
    seed=st.integers(0, (1 << 63) - 1),
)
def test_pairs_are_balanced_distinct_and_true_whatever_the_set(counts, num_folds, per_kind, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)) * 7 - 3, counts))
    num_pairs = 2 * per_kind * num_folds
    num_same = sum(count * (count - 1) // 2 for count in counts)
    num_different = len(labels) * (len(labels) - 1) // 2 - num_same
    if min(num_same, num_different) < per_kind * num_folds:
        with pytest.raises(
            ValueError, match=rf"expected at least {per_kind * num_folds:,} pairs of the (same|different) kind"
        ):
            sample_pairs(labels, num_pairs=num_pairs, num_folds=num_folds, seed=seed)
        return
    sample = sample_pairs(labels, num_pairs=num_pairs, num_folds=num_folds, seed=seed)
    check(labels, sample, num_pairs=num_pairs, num_folds=num_folds)
    again = sample_pairs(labels, num_pairs=num_pairs, num_folds=num_folds, seed=seed)
    assert (sample.first == again.first).all()
    assert (sample.second == again.second).all()


def test_every_pair_that_there_is_can_be_drawn():
    labels = np.array([0, 0, 0, 1, 1])  # 4 same pairs, 6 different ones
    sample = sample_pairs(labels, num_pairs=8, num_folds=1)
    check(labels, sample, num_pairs=8, num_folds=1)
    same = {frozenset(pair) for pair in zip(sample.first[:4].tolist(), sample.second[:4].tolist(), strict=True)}
    assert same == {frozenset(pair) for pair in ((0, 1), (0, 2), (1, 2), (3, 4))}


def test_another_seed_gives_other_pairs():
    labels = np.repeat(np.arange(50), 4)
    one, two = (sample_pairs(labels, num_pairs=40, seed=seed) for seed in (0, 1))
    assert (one.first != two.first).any()


def test_folds_are_disjoint_where_people_allow_it_and_shared_where_not():
    many, few = np.repeat(np.arange(100), 5), np.repeat(np.arange(8), 20)
    assert sample_pairs(many, num_pairs=200).has_disjoint_folds
    shared = sample_pairs(few, num_pairs=200)
    check(few, shared, num_pairs=200, num_folds=10)
    assert not shared.has_disjoint_folds


def test_people_take_turns_however_many_images_one_of_them_has():
    labels = np.repeat(np.arange(101), [1000] + [2] * 100)
    sample = sample_pairs(labels, num_pairs=200, num_folds=1)
    assert np.bincount(labels[sample.first[:100]], minlength=101).max() == 1
    more = sample_pairs(labels, num_pairs=400, num_folds=1)  # the 100 give one pair each, and have no more
    assert np.bincount(labels[more.first[:200]], minlength=101).tolist() == [100] + [1] * 100
    assert np.bincount(labels[np.concatenate([more.first[200:], more.second[200:]])], minlength=101).max() < 20


def test_every_image_has_its_chance():
    labels = np.repeat(np.arange(10), 10)
    met = np.zeros(100, dtype=int)
    for seed in range(60):
        sample = sample_pairs(labels, num_pairs=20, num_folds=1, seed=seed)
        np.add.at(met, np.concatenate([sample.first, sample.second]), 1)
    # 60 × 40 places for 100 images: 24 each. A multinomial strays beyond 24 ± 20 in one of ten thousand cases.
    assert met.min() > 4
    assert met.max() < 44


def test_a_million_people_are_no_burden():
    labels = np.arange(1_000_000) // 2
    sample = sample_pairs(labels, num_pairs=6000)
    check(labels, sample, num_pairs=6000, num_folds=10)


@pytest.mark.parametrize(("num_pairs", "num_folds"), [(0, 10), (30, 10), (21, 1), (20, 0), (-20, 10)])
def test_numbers_that_cannot_be_balanced_are_refused(num_pairs, num_folds):
    with pytest.raises(ValueError, match="expected a multiple of"):
        sample_pairs(np.repeat(np.arange(50), 4), num_pairs=num_pairs, num_folds=num_folds)


@pytest.mark.parametrize(
    ("labels", "kind"), [(np.zeros(50), "different"), (np.arange(50), "same"), (np.zeros(0), "same")]
)
def test_too_few_pairs_of_a_kind_are_an_error_that_counts_them(labels, kind):
    with pytest.raises(ValueError, match=rf"10 pairs of the {kind} kind.*give 0"):
        sample_pairs(labels.astype(np.int64), num_pairs=20)
