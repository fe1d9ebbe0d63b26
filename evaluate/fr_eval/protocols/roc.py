"""The receiver operating characteristic over the whole set: curve, AUC, equal error rate, and TAR at fixed FARs."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_eval.protocols.distances import Bools, Floats

__all__ = ["FARS", "Roc", "compute_roc", "count_admitted", "is_measurable", "tar_at_fars"]

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True, eq=False)
class Roc:
    """The curve of accepted pairs as the threshold grows.

    Attributes:
        far: float64, shape (K,), ascending from 0 to 1: the share of "different" pairs that are accepted.
        tar: float64, shape (K,), ascending from 0 to 1: the share of "same" pairs that are accepted.
        auc: area under it.
        eer: the rate at which FAR = 1 − TAR, on the straight line between the curve's points.
    """

    far: Floats = field(repr=False)
    tar: Floats = field(repr=False)
    auc: float
    eer: float


def compute_roc(distances: Floats, issame: Bools) -> Roc:
    """Gives the ROC of distances, where a small one says "same".

    Args:
        distances: float64, shape (P,).
        issame: bool, shape (P,), with both kinds.

    Returns:
        The curve, without the points that lie on a straight line between others.
    """
    from sklearn.metrics import auc, roc_curve  # noqa: PLC0415  scikit-learn takes a second to import

    far, tar, _ = roc_curve(issame, -distances)
    return Roc(far, tar, float(auc(far, tar)), _equal_error_rate(far, tar))


def is_measurable(num_different: int, far: float) -> bool:
    """Whether so many "different" pairs can show a FAR: at least 1/FAR of them, one accepted pair being the smallest step."""
    # The quotient of a FAR such as 1e-3 may lie a rounding error beside the whole number.
    return num_different >= round(1 / far, 6)


def count_admitted(num_different: int, far: float) -> int:
    """Gives how many of so many "different" pairs a FAR lets in."""
    return int(np.flatnonzero(np.arange(num_different + 1) / num_different <= far)[-1])


def tar_at_fars(distances: Floats, issame: Bools, fars: tuple[float, ...] = FARS) -> dict[float, float | None]:
    """Measures the greatest TAR over the whole set whose FAR is at most each target.

    Args:
        distances: float64, shape (P,).
        issame: bool, shape (P,), with both kinds.
        fars: the targets.

    Returns:
        TAR by FAR; None where the "different" pairs are fewer than 1/FAR.
    """
    same, different = np.sort(distances[issame]), np.sort(distances[~issame])
    return {far: _tar_at_far(same, different, far) if is_measurable(len(different), far) else None for far in fars}


def _tar_at_far(same: Floats, different: Floats, far: float) -> float:
    """Gives the TAR of sorted distances, at the greatest threshold whose FAR is at most `far`."""
    num_admitted = count_admitted(len(different), far)
    if num_admitted == len(different):
        return 1.0
    # "Same" iff d < t: with t at the next "different" pair, that pair and its equals stay outside.
    return float(np.searchsorted(same, different[num_admitted], side="left") / len(same))


def _equal_error_rate(far: Floats, tar: Floats) -> float:
    """Gives the rate where FAR and FRR = 1 − TAR cross."""
    gap: npt.NDArray[np.float64] = far - (1 - tar)  # ascends from -1 to 1
    after = int(np.flatnonzero(gap >= 0)[0])
    before = after - 1
    step = -gap[before] / (gap[after] - gap[before])
    return float(far[before] + step * (far[after] - far[before]))
