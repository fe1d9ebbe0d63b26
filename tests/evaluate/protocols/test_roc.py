from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fr_eval.protocols.roc import FARS, compute_roc, is_measurable, tar_at_fars


def naive_tar_at_far(distances, issame, target):
    same, different = distances[issame], distances[~issame]
    best = 0.0
    for threshold in [*np.unique(distances), np.inf]:
        if np.sum(different < threshold) / len(different) <= target:
            best = max(best, np.sum(same < threshold) / len(same))
    return best


PAIRS = st.lists(st.tuples(st.integers(0, 30).map(lambda n: n / 10), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_tar_at_far_equals_the_loop_over_all_thresholds(pairs):
    distances, issame = np.array([d for d, _ in pairs]), np.array([same for _, same in pairs])
    for far, tar in tar_at_fars(distances, issame, (0.5, 0.25, 0.1, 1 / 3, 1.0)).items():
        if tar is None:
            assert np.sum(~issame) < 1 / far
        else:
            assert tar == pytest.approx(naive_tar_at_far(distances, issame, far), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_auc_and_eer_lie_where_they_must(pairs):
    distances, issame = np.array([d for d, _ in pairs]), np.array([same for _, same in pairs])
    roc = compute_roc(distances, issame)
    assert roc.auc == pytest.approx(roc_auc_score(issame, -distances))
    # The point (EER, 1 - EER) lies on a piece of the curve; sampled finely, some point of the curve is close to it.
    steps = np.linspace(0, 1, 2_001)
    far = np.concatenate([a + steps * (b - a) for a, b in pairwise(roc.far)])
    tar = np.concatenate([a + steps * (b - a) for a, b in pairwise(roc.tar)])
    assert np.hypot(far - roc.eer, tar - (1 - roc.eer)).min() < 1e-3


def test_perfect_useless_and_reversed_scores_have_known_rates():
    issame = np.array([True, True, False, False])
    perfect = compute_roc(np.array([0.1, 0.2, 0.3, 0.4]), issame)
    assert (perfect.auc, perfect.eer) == (1, 0)
    constant = compute_roc(np.full(4, 0.5), issame)
    assert (constant.auc, constant.eer) == (0.5, 0.5)
    reverse = compute_roc(np.array([0.3, 0.4, 0.1, 0.2]), issame)
    assert (reverse.auc, reverse.eer) == (0, 1)


def test_the_equal_error_rate_lies_between_points_of_the_curve():
    # One of four of each kind lies on the wrong side: FAR 1/4 and TAR 3/4.
    distances = np.array([0.1, 0.2, 0.3, 0.6, 0.5, 0.7, 0.8, 0.9])
    assert compute_roc(distances, np.arange(8) < 4).eer == pytest.approx(0.25)


def test_a_far_needs_as_many_different_pairs_as_its_inverse():
    assert [is_measurable(1_000, far) for far in FARS] == [True, True, True, False, False, False]
    assert not is_measurable(999, 1e-3)
    assert is_measurable(1_000_000, 1e-6)
    distances, issame = np.linspace(0, 4, 100), np.arange(100) < 50
    assert tar_at_fars(distances, issame) == {1e-1: 1.0, 1e-2: None, 1e-3: None, 1e-4: None, 1e-5: None, 1e-6: None}
