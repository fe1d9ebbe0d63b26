"""The InsightFace protocol: ten folds, the threshold from nine, the score on the tenth.

Everything here is counted, not looped: a pair with distance d is called "same" by every threshold t > d, so that one
histogram over the grid and its running sum give the counts for all thresholds and all folds at once. The counts are
integers, and the results equal those of the naive loops exactly.

Reference: `verification.py` of InsightFace; the protocol is LFW's "unrestricted" view 2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ProtocolError
from fr_eval.protocols.distances import Bools, Floats, normalise_rows

__all__ = ["FoldTar", "TenFold", "choose_num_folds", "find_right", "score_folds", "score_folds_pca", "tar_at_far_folds"]

ACCURACY_GRID = np.arange(0, 4, 0.01)
FAR_GRID = np.arange(0, 4, 0.001)


@dataclass(frozen=True)
class TenFold:
    """Accuracy over contiguous folds; the standard deviation has ddof 0.

    Attributes:
        accuracy_mean: mean over the folds.
        accuracy_std: standard deviation over the folds.
        accuracy_per_fold: the share of the held-out pairs told rightly.
        thresholds: the squared distance that the other folds chose for each fold.
    """

    accuracy_mean: float
    accuracy_std: float
    accuracy_per_fold: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class FoldTar:
    """TAR at a FAR over contiguous folds, the threshold from the others; the standard deviation has ddof 0.

    Attributes:
        target: the FAR that was asked for.
        tar_mean: mean share of the held-out "same" pairs that are accepted.
        tar_std: its standard deviation over the folds.
        far_mean: mean share of the held-out "different" pairs that are accepted.
        num_folds: folds that hold pairs of both kinds, which the means are over.
    """

    target: float
    tar_mean: float
    tar_std: float
    far_mean: float
    num_folds: int


@dataclass(frozen=True)
class _Counts:
    """Accepted pairs per fold and threshold, shape (F, T), and pairs per fold, shape (F,)."""

    accepted_same: npt.NDArray[np.int64]
    accepted_different: npt.NDArray[np.int64]
    same: npt.NDArray[np.int64]
    different: npt.NDArray[np.int64]


def choose_num_folds(num_pairs: int, num_folds: int) -> int:
    """Gives the number of folds that so many pairs allow: `num_folds`, or one a pair where there are fewer.

    Raises:
        ProtocolError: fewer than two pairs or folds.
    """
    if num_folds < 2:
        raise ProtocolError(f"expected at least 2 folds; received {num_folds}")
    if num_pairs < 2:
        raise ProtocolError(f"{num_pairs} pair cannot be split into folds; at least 2 pairs are needed")
    return min(num_folds, num_pairs)


def score_folds(distances: Floats, issame: Bools, *, num_folds: int = 10) -> TenFold:
    """Scores each fold with the threshold that is best on the others.

    Thresholds 0, 0.01, …, 3.99; "same" iff d < t; of equally good thresholds the first.

    Args:
        distances: squared distances, float64, shape (P,).
        issame: bool, shape (P,).
        num_folds: contiguous folds, as scikit-learn's `KFold` without shuffle cuts them.

    Returns:
        The accuracies.
    """
    counts = _count(distances, issame, num_folds, ACCURACY_GRID)
    return _summarise([_score_one(counts, fold) for fold in range(num_folds)])


def find_right(distances: Floats, issame: Bools, folds: TenFold) -> Bools:
    """Finds the pairs that are told rightly, each at the threshold of its fold.

    Args:
        distances: squared distances, float64, shape (P,), that `folds` is of.
        issame: bool, shape (P,).
        folds: what `score_folds` gave.

    Returns:
        Bool, shape (P,).
    """
    # From the grid again: as texts say them, thresholds are rounded.
    thresholds = ACCURACY_GRID[np.rint(np.array(folds.thresholds) * 100).astype(int)]
    right: Bools = (distances < thresholds[_assign_folds(len(distances), len(thresholds))]) == issame
    return right


def score_folds_pca(
    embeddings: npt.NDArray[np.floating], issame: Bools, *, num_components: int, num_folds: int = 10
) -> TenFold:
    """Scores each fold after a PCA that is fitted on the embeddings of the other folds.

    Args:
        embeddings: shape (2·P, D), not yet normalised.
        issame: bool, shape (P,).
        num_components: dimensions that are kept.
        num_folds: contiguous folds.

    Returns:
        The accuracies.

    Raises:
        ProtocolError: more components than the training folds can give.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415  scikit-learn takes a second to import

    rows = normalise_rows(embeddings)
    num_pairs = len(issame)
    fold_of_pair = _assign_folds(num_pairs, num_folds)
    fewest = 2 * int(num_pairs - np.bincount(fold_of_pair).max())
    if not 1 <= num_components <= min(rows.shape[1], fewest):
        raise ProtocolError(
            f"PCA to {num_components} dimensions: expected 1 to {min(rows.shape[1], fewest)}, as the embeddings have "
            f"{rows.shape[1]} and the training folds {fewest} rows"
        )
    scores = []
    for fold in range(num_folds):
        training = np.repeat(fold_of_pair != fold, 2)
        # InsightFace stacks the first images of all training pairs, then the second ones.
        stacked = np.concatenate([rows[0::2][training[0::2]], rows[1::2][training[1::2]]])
        # Named, because the automatic choice may fall on a randomised solver. An eighth of the time of "full" for rows of 512.
        pca = PCA(n_components=num_components, svd_solver="covariance_eigh").fit(stacked)
        reduced = normalise_rows(pca.transform(rows))
        distances = np.sum(np.square(reduced[0::2] - reduced[1::2]), axis=1)
        scores.append(_score_one(_count(distances, issame, num_folds, ACCURACY_GRID), fold))
    return _summarise(scores)


def tar_at_far_folds(distances: Floats, issame: Bools, target: float, *, num_folds: int = 10) -> FoldTar | None:
    """Measures TAR with, for each fold, the greatest threshold whose FAR on the other folds is at most the target.

    Thresholds 0, 0.001, …, 3.999. InsightFace interpolates the threshold instead, over repeated FARs, which current SciPy
    refuses.

    Args:
        distances: squared distances, float64, shape (P,).
        issame: bool, shape (P,).
        target: the FAR, above 0 and at most 1.
        num_folds: contiguous folds.

    Returns:
        The means; None where no fold holds pairs of both kinds.
    """
    counts = _count(distances, issame, num_folds, FAR_GRID)
    tars, fars = [], []
    for fold in range(num_folds):
        training_different = counts.different.sum() - counts.different[fold]
        if not (counts.same[fold] and counts.different[fold] and training_different):
            continue
        training_accepted = counts.accepted_different.sum(axis=0) - counts.accepted_different[fold]
        # Never empty: at threshold 0 nothing is accepted. FAR grows with the threshold, so the last index is the greatest.
        index = np.flatnonzero(training_accepted / training_different <= target)[-1]
        tars.append(counts.accepted_same[fold, index] / counts.same[fold])
        fars.append(counts.accepted_different[fold, index] / counts.different[fold])
    if not tars:
        return None
    return FoldTar(target, float(np.mean(tars)), float(np.std(tars)), float(np.mean(fars)), len(tars))


def _assign_folds(num_pairs: int, num_folds: int) -> npt.NDArray[np.int64]:
    """Gives the fold of each pair: contiguous, the first `num_pairs % num_folds` folds one larger, as `KFold` does."""
    sizes = np.full(num_folds, num_pairs // num_folds)
    sizes[: num_pairs % num_folds] += 1
    return np.repeat(np.arange(num_folds), sizes)


def _count(distances: Floats, issame: Bools, num_folds: int, grid: Floats) -> _Counts:
    """Counts the accepted pairs of each kind for every fold and threshold of the grid."""
    fold = _assign_folds(len(distances), num_folds)
    # The first threshold that is greater than d accepts the pair, and so do all after it.
    first = np.searchsorted(grid, distances, side="right")
    width = len(grid) + 1  # the last column is for pairs that no threshold accepts

    def accepted(kind: Bools) -> npt.NDArray[np.int64]:
        histogram = np.bincount(fold[kind] * width + first[kind], minlength=num_folds * width)
        return np.cumsum(histogram.reshape(num_folds, width)[:, :-1], axis=1)

    return _Counts(
        accepted(issame),
        accepted(~issame),
        np.bincount(fold[issame], minlength=num_folds),
        np.bincount(fold[~issame], minlength=num_folds),
    )


def _score_one(counts: _Counts, fold: int) -> tuple[float, float]:
    """Gives one fold's accuracy and threshold."""
    right = counts.accepted_same + (counts.different[:, np.newaxis] - counts.accepted_different)
    index = int(np.argmax(right.sum(axis=0) - right[fold]))  # argmax takes the first of equals
    return float(right[fold, index] / (counts.same[fold] + counts.different[fold])), float(ACCURACY_GRID[index])


def _summarise(scores: list[tuple[float, float]]) -> TenFold:
    accuracies = tuple(accuracy for accuracy, _ in scores)
    thresholds = tuple(round(threshold, 2) for _, threshold in scores)
    return TenFold(float(np.mean(accuracies)), float(np.std(accuracies)), accuracies, thresholds)
