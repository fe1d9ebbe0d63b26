"""Resamples of a verification set, and the figures of each.

Pairs are drawn with replacement, "same" and "different" ones apart, so that a resample has as many of each kind as the set. It is a
count a pair: on sorted distances, running sums of the counts are the resample's whole curve, and nothing is sorted or
thresholded again.

Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_eval.protocols.distances import Bools, Floats
from fr_eval.protocols.folds import find_right
from fr_eval.protocols.roc import count_admitted
from fr_eval.protocols.verification import Verification

__all__ = ["MIN_ADMITTED", "Resamples", "resample"]

# Below this many admitted "different" pairs, resamples of the few smallest distances spread less than new sets would: in
# simulations, intervals of 95 % hold the truth in 72 % of sets with 1, in 89 % with 3, and in 94 % with 10.
MIN_ADMITTED = 10

_BLOCK_VALUES = 2**23  # counts that are held at a time

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Resamples:
    """A model's figures on R sets drawn from one; those of two models on equal pairs, size and seed are of equal sets.

    Attributes:
        verification: the figures of the set itself.
        seed: of the draw.
        right: which pairs are told rightly at the folds' thresholds, shape (P,).
        accuracy: the share of such pairs, shape (R,). The folds' thresholds stay as they are.
        tars: TAR by FAR, shape (R,), where the set can show it and FAR admits at least `MIN_ADMITTED` pairs.
        auc: area under the curve, shape (R,).
        eer: equal error rate, shape (R,).
    """

    verification: Verification
    seed: int
    right: Bools = field(repr=False)
    accuracy: Floats = field(repr=False)
    tars: dict[float, Floats] = field(repr=False)
    auc: Floats = field(repr=False)
    eer: Floats = field(repr=False)


def resample(verification: Verification, *, num_resamples: int = 2_000, seed: int = 0) -> Resamples:
    """Draws sets of pairs and measures each.

    Args:
        verification: a model's figures on a set.
        num_resamples: R, sets to draw.
        seed: the draw depends on it and on the truths alone.

    Returns:
        The figures of each set; they equal those of `fr_eval.protocols.roc` on its pairs.
    """
    distances, issame = verification.distances, verification.issame
    right = find_right(distances, issame, verification.best_protocol)
    same, different = _Kind.sort(distances, right, issame), _Kind.sort(distances, right, ~issame)
    accuracy, auc, eer = (np.empty(num_resamples) for _ in range(3))
    admitted = {
        far: number
        for far, tar in verification.tars.items()
        if tar is not None and (number := count_admitted(different.size, far)) >= MIN_ADMITTED
    }
    tars = {far: np.empty(num_resamples) for far in admitted}
    start = 0
    for same_counts, different_counts in _draw(same, different, num_resamples, seed):
        rows = slice(start, start := start + len(same_counts))
        accuracy[rows] = (same_counts @ same.right + different_counts @ different.right) / len(distances)
        curve = _Curves.sum_up(same, different, same_counts, different_counts)
        auc[rows] = curve.measure_auc(different_counts)
        eer[rows] = curve.measure_eer()
        for far, number in admitted.items():
            tars[far][rows] = curve.measure_tar(number)
    return Resamples(verification, seed, right, accuracy, tars, auc, eer)


@dataclass(frozen=True, eq=False)
class _Kind:
    """The n pairs of one kind.

    Attributes:
        distances: sorted, shape (n,).
        right: which are told rightly, 0 or 1 in the order of the distances, shape (n,).
        ranks: the place in that order of each pair of the set, shape (n,).
    """

    distances: Floats
    right: Ints
    ranks: Ints

    @property
    def size(self) -> int:
        return len(self.distances)

    @classmethod
    def sort(cls, distances: Floats, right: Bools, kind: Bools) -> "_Kind":
        order = np.argsort(distances[kind], kind="stable")
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order))
        return cls(distances[kind][order], right[kind][order].astype(np.int32), ranks)


def _draw(same: _Kind, different: _Kind, num_resamples: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Yields blocks of resamples: how often each pair is drawn, in the order of the distances, (B, n) of each kind."""
    generators = np.random.default_rng(seed).spawn(2)
    block = max(1, _BLOCK_VALUES // (same.size + different.size))
    for start in range(0, num_resamples, block):
        counts = []
        for generator, kind in zip(generators, (same, different), strict=True):
            block_counts = np.empty((min(block, num_resamples - start), kind.size), np.int32)
            for row in block_counts:
                # Drawn as pairs of the set and then ranked, so that two models get the same pairs.
                drawn = generator.integers(kind.size, size=kind.size, dtype=np.int32)
                row[:] = np.bincount(kind.ranks[drawn], minlength=kind.size)
            counts.append(block_counts)
        yield counts[0], counts[1]


@dataclass(frozen=True, eq=False)
class _Curves:
    """The curves of B resamples.

    Attributes:
        same, different: pairs of the set.
        same_sums, different_sums: how many drawn pairs lie among the first k, shape (B, n + 1).
    """

    same: _Kind
    different: _Kind
    same_sums: Ints
    different_sums: Ints

    @classmethod
    def sum_up(cls, same: _Kind, different: _Kind, same_counts: Ints, different_counts: Ints) -> "_Curves":
        return cls(same, different, _running_sums(same_counts), _running_sums(different_counts))

    def measure_tar(self, num_admitted: int) -> Floats:
        """Gives the share of "same" pairs below the first "different" pair that must stay outside."""
        outside = (self.different_sums[:, 1:] <= num_admitted).sum(axis=1)
        below = np.searchsorted(self.same.distances, self.different.distances[outside], side="left")
        return self._take(self.same_sums, below) / self.same.size

    def measure_auc(self, different_counts: Ints) -> Floats:
        """Gives the chance that a "same" pair lies below a "different" one, equals counted half."""
        columns = [np.searchsorted(self.same.distances, self.different.distances, side) for side in ("left", "right")]
        sums = [np.einsum("ij,ij->i", different_counts, self.same_sums[:, c], dtype=np.int64) for c in columns]
        areas: Floats = (sums[0] + sums[1]) / (2 * self.same.size * self.different.size)
        return areas

    def measure_eer(self) -> Floats:
        """Gives the rate where FAR = 1 − TAR, by bisection: the gap between both grows along the curve."""
        levels = np.unique(np.concatenate([self.same.distances, self.different.distances]))
        first_same = np.append(0, np.searchsorted(self.same.distances, levels, side="right"))
        first_different = np.append(0, np.searchsorted(self.different.distances, levels, side="right"))

        def measure(point: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
            far = self._take(self.different_sums, first_different[point]) / self.different.size
            return far, far - 1 + self._take(self.same_sums, first_same[point]) / self.same.size

        before = np.zeros(len(self.same_sums), np.int64)  # the gap is negative here,
        after = np.full_like(before, len(levels))  # and not negative here
        while (after - before > 1).any():
            middle = (before + after) // 2
            negative = measure(middle)[1] < 0
            before, after = np.where(negative, middle, before), np.where(negative, after, middle)
        (far, gap), (next_far, next_gap) = measure(before), measure(after)
        rates: Floats = far - gap / (next_gap - gap) * (next_far - far)
        return rates

    @staticmethod
    def _take(sums: Ints, columns: npt.NDArray[np.int64]) -> Ints:
        return np.take_along_axis(sums, columns[:, np.newaxis], axis=1)[:, 0]


def _running_sums(counts: Ints) -> Ints:
    """Gives the sums of the first 0 … n counts, shape (B, n + 1)."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), np.int32)
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums
