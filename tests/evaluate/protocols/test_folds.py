import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from fr_eval.errors import ProtocolError
from fr_eval.protocols.folds import choose_num_folds, score_folds, score_folds_pca, tar_at_far_folds

# The published loops, one threshold and one fold at a time: what the counted versions must equal exactly.


def measure_accuracy(threshold, distances, issame):
    predicted = np.less(distances, threshold)
    right = np.sum(np.logical_and(predicted, issame)) + np.sum(np.logical_and(~predicted, ~issame))
    return float(right) / len(distances)


def naive_score_folds(distances_of_fold, issame, num_folds):
    thresholds = np.arange(0, 4, 0.01)
    accuracies, chosen = [], []
    for fold, (training, held_out) in enumerate(KFold(num_folds).split(issame)):
        distances = distances_of_fold(fold, training)
        scores = [measure_accuracy(threshold, distances[training], issame[training]) for threshold in thresholds]
        best = int(np.argmax(scores))
        accuracies.append(measure_accuracy(thresholds[best], distances[held_out], issame[held_out]))
        chosen.append(thresholds[best])
    return accuracies, chosen


def naive_pca(embeddings, issame, num_components, num_folds):
    rows = normalize(embeddings.astype(np.float64))

    def distances(_, training):
        first, second = rows[0::2], rows[1::2]
        pca = PCA(num_components, svd_solver="full").fit(np.concatenate([first[training], second[training]]))
        difference = normalize(pca.transform(first)) - normalize(pca.transform(second))
        return np.sum(np.square(difference), axis=1)

    return naive_score_folds(distances, issame, num_folds)


def naive_tar_at_far_folds(distances, issame, target, num_folds):
    tars, fars = [], []
    for training, held_out in KFold(num_folds).split(issame):
        negatives = distances[training][~issame[training]]
        same, different = distances[held_out][issame[held_out]], distances[held_out][~issame[held_out]]
        if not len(negatives) or not len(same) or not len(different):
            continue
        best = max(t for t in np.arange(0, 4, 0.001) if np.sum(negatives < t) / len(negatives) <= target)
        tars.append(np.sum(same < best) / len(same))
        fars.append(np.sum(different < best) / len(different))
    return tars, fars


# Values of the grids themselves, their neighbours, and values outside: where "<" and "<=" differ.
ON_GRID = st.integers(0, 399).map(lambda step: float(np.arange(0, 4, 0.01)[step]))
ON_FINE_GRID = st.integers(0, 3999).map(lambda step: float(np.arange(0, 4, 0.001)[step]))
NEAR_GRID = st.tuples(ON_GRID, st.sampled_from([-5.0, 5.0])).map(
    lambda pair: max(0.0, float(np.nextafter(*pair)))  # a squared distance is never below 0
)
DISTANCES = st.one_of(ON_GRID, ON_FINE_GRID, NEAR_GRID, st.floats(0, 4))
PAIRS = st.lists(st.tuples(DISTANCES, st.booleans()), min_size=4, max_size=40)


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.integers(2, 4))
def test_accuracy_equals_the_published_loops(pairs, num_folds):
    distances, issame = np.array([d for d, _ in pairs]), np.array([same for _, same in pairs])
    result = score_folds(distances, issame, num_folds=num_folds)
    accuracies, thresholds = naive_score_folds(lambda *_: distances, issame, num_folds)
    assert list(result.accuracy_per_fold) == accuracies
    assert np.allclose(result.thresholds, thresholds, atol=1e-9)
    assert result.accuracy_mean == np.mean(accuracies)
    assert result.accuracy_std == np.std(accuracies)


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.integers(2, 4), st.sampled_from([0.5, 0.25, 0.1, 1 / 3, 1e-3]))
def test_tar_at_far_equals_the_loops(pairs, num_folds, target):
    distances, issame = np.array([d for d, _ in pairs]), np.array([same for _, same in pairs])
    result = tar_at_far_folds(distances, issame, target, num_folds=num_folds)
    tars, fars = naive_tar_at_far_folds(distances, issame, target, num_folds)
    if not tars:
        assert result is None
    else:
        assert (result.tar_mean, result.tar_std) == (np.mean(tars), np.std(tars))
        assert (result.far_mean, result.num_folds) == (np.mean(fars), len(tars))


def test_pca_equals_the_loops():
    rng = np.random.default_rng(5)
    embeddings, issame = rng.normal(size=(120, 8)).astype(np.float32), rng.random(60) < 0.5
    embeddings[1::2][issame] += 2 * embeddings[0::2][issame]
    result = score_folds_pca(embeddings, issame, num_components=3, num_folds=5)
    assert list(result.accuracy_per_fold) == naive_pca(embeddings, issame, 3, 5)[0]
    assert score_folds_pca(embeddings, issame, num_components=3, num_folds=5) == result


@pytest.mark.parametrize("num_components", [0, 9, 97])
def test_more_components_than_there_can_be_are_refused(num_components):
    embeddings, issame = np.random.default_rng(5).normal(size=(120, 8)), np.arange(60) % 2 == 0
    with pytest.raises(ProtocolError, match="expected 1 to 8"):
        score_folds_pca(embeddings, issame, num_components=num_components, num_folds=5)


def test_a_pair_at_the_threshold_is_different():
    # Only the threshold 0.02 tells 0.01 from 0.02: d < t, not d <= t.
    distances, issame = np.array([0.01, 0.02] * 4), np.array([True, False] * 4)
    result = score_folds(distances, issame, num_folds=4)
    assert result.thresholds == (0.02,) * 4
    assert result.accuracy_mean == 1


def test_of_equal_thresholds_the_first_is_taken():
    distances, issame = np.array([0.505, 2.0] * 4), np.array([True, False] * 4)
    assert score_folds(distances, issame, num_folds=4).thresholds == (0.51,) * 4


def test_folds_are_no_more_than_pairs():
    assert choose_num_folds(6, 10) == 6
    assert choose_num_folds(60, 10) == 10
    with pytest.raises(ProtocolError, match="at least 2 folds"):
        choose_num_folds(10, 1)
    with pytest.raises(ProtocolError, match="at least 2 pairs"):
        choose_num_folds(1, 10)


@pytest.mark.benchmark
def test_ten_folds_of_2800_pairs_take_a_small_part_of_the_loops_time():
    import time

    rng = np.random.default_rng(0)
    issame = rng.random(2_800) < 0.5
    distances = rng.normal(np.where(issame, 0.8, 2.0), 0.3).clip(0, 4)
    start = time.perf_counter()
    counted = score_folds(distances, issame)
    middle = time.perf_counter()
    accuracies, _ = naive_score_folds(lambda *_: distances, issame, 10)
    assert list(counted.accuracy_per_fold) == accuracies
    assert middle - start < (time.perf_counter() - middle) / 5
