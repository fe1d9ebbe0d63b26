"""How sure a model's figures are, and whether two models differ on one set of pairs.

Intervals are percentiles of bootstrap figures. BCa, which corrects them for skew, needs the jackknife, and that fails for order
statistics such as the threshold of TAR at FAR (Efron and Tibshirani, 1993, section 11.6).

Pairs count as independent. Where people or images come in several pairs, the figures are less sure than the interval says.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fr_eval.errors import ProtocolError
from fr_eval.protocols.bootstrap import Resamples
from fr_eval.protocols.distances import Floats

__all__ = ["Comparison", "Confidence", "Difference", "Interval", "compare", "measure_confidence"]


@dataclass(frozen=True)
class Interval:
    """Where a figure lies at the level that was asked for; both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Confidence:
    """Intervals of one model's figures on one set. None is "not available".

    Attributes:
        level: such as 0.95.
        num_resamples: sets that were drawn.
        accuracy: of the share of pairs told rightly at the folds' thresholds, which stay as they are.
        tars: of TAR by FAR; None where TAR cannot be measured, or FAR admits too few pairs for a bootstrap.
        auc: of the area under the curve; None where it is the same in all resamples, as that of kinds that do not overlap.
        eer: of the equal error rate; None likewise.
    """

    level: float
    num_resamples: int
    accuracy: Interval
    tars: dict[float, Interval | None]
    auc: Interval | None
    eer: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON stores it. FARs become texts such as "1e-03"."""
        return {**asdict(self), "tars": _name_fars(asdict(self)["tars"])}


@dataclass(frozen=True)
class Difference:
    """By how much the second model's figure is above the first's.

    Attributes:
        value: on the set itself.
        interval: of the differences on equal resamples; None where they are all the same.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """Two models on one set of pairs.

    Attributes:
        level: of the intervals, such as 0.95.
        num_resamples: sets that were drawn.
        only_first: pairs that the first model alone tells rightly, each model at its folds' thresholds.
        only_second: pairs that the second alone tells rightly.
        p_value: of McNemar's exact test, two-sided: how likely so uneven a division is between models that err equally often.
        accuracy: difference of the shares of pairs told rightly.
        tars: difference of TAR by FAR; None where one of them has no interval.
        auc: difference of the areas.
        eer: difference of the equal error rates.
    """

    level: float
    num_resamples: int
    only_first: int
    only_second: int
    p_value: float
    accuracy: Difference
    tars: dict[float, Difference | None]
    auc: Difference
    eer: Difference

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON stores it. FARs become texts such as "1e-03"."""
        return {**asdict(self), "tars": _name_fars(asdict(self)["tars"])}


def measure_confidence(resamples: Resamples, *, level: float = 0.95) -> Confidence:
    """Gives the intervals of a model's figures.

    Rates of which all resamples agree, as where no pair is told wrongly, get the exact binomial interval of Clopper and
    Pearson in place of one of no width.

    Args:
        resamples: the figures of drawn sets.
        level: the share of sets whose interval should hold the true figure, above 0 and below 1.

    Returns:
        The intervals.
    """
    figures = resamples.verification

    def bound(values: Floats, rate: float, num_pairs: int) -> Interval:
        return _percentiles(values, level) or _clopper_pearson(round(rate * num_pairs), num_pairs, level)

    return Confidence(
        level=level,
        num_resamples=len(resamples.accuracy),
        accuracy=bound(resamples.accuracy, float(resamples.right.mean()), figures.num_pairs),
        tars={
            far: bound(resamples.tars[far], tar, figures.num_same)
            if tar is not None and far in resamples.tars
            else None
            for far, tar in figures.tars.items()
        },
        auc=_percentiles(resamples.auc, level),
        eer=_percentiles(resamples.eer, level),
    )


def compare(first: Resamples, second: Resamples, *, level: float = 0.95) -> Comparison:
    """Compares two models on the same pairs.

    Args:
        first: figures of drawn sets.
        second: the other model's, of as many sets and the same seed.
        level: of the intervals, above 0 and below 1.

    Returns:
        McNemar's test on the pairs told rightly, and differences with paired bootstrap intervals.

    Raises:
        ProtocolError: the pairs or the draws are not the same.
    """
    one, other = first.verification, second.verification
    if not np.array_equal(one.issame, other.issame):
        raise ProtocolError(
            f"expected two models on the same pairs; received {one.num_pairs} and {other.num_pairs} pairs with other truths"
        )
    if (first.seed, len(first.accuracy)) != (second.seed, len(second.accuracy)):
        raise ProtocolError("expected equal draws; received resamples of different number or seed")

    def subtract(before: float, after: float, values: Floats) -> Difference:
        return Difference(after - before, _percentiles(values, level))

    tars: dict[float, Difference | None] = dict.fromkeys(one.tars)
    for far, values in first.tars.items():
        before, after = one.tars[far], other.tars[far]
        if before is not None and after is not None:
            tars[far] = subtract(before, after, second.tars[far] - values)
    only_first = int((first.right & ~second.right).sum())
    only_second = int((second.right & ~first.right).sum())
    return Comparison(
        level=level,
        num_resamples=len(first.accuracy),
        only_first=only_first,
        only_second=only_second,
        p_value=_mcnemar(only_first, only_second),
        accuracy=subtract(float(first.right.mean()), float(second.right.mean()), second.accuracy - first.accuracy),
        tars=tars,
        auc=subtract(one.roc.auc, other.roc.auc, second.auc - first.auc),
        eer=subtract(one.roc.eer, other.roc.eer, second.eer - first.eer),
    )


def _percentiles(values: Floats, level: float) -> Interval | None:
    """Gives the middle part of the values; None where they are all the same, which says nothing of the spread."""
    if values.min() == values.max():
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _clopper_pearson(num_hits: int, num: int, level: float) -> Interval:
    """Gives the exact interval of a rate of `num_hits` in `num` (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.special import betaincinv  # noqa: PLC0415  SciPy takes a while to import

    low = betaincinv(num_hits, num - num_hits + 1, (1 - level) / 2) if num_hits else 0.0
    high = betaincinv(num_hits + 1, num - num_hits, (1 + level) / 2) if num_hits < num else 1.0
    return Interval(float(low), float(high))


def _mcnemar(only_first: int, only_second: int) -> float:
    """Gives the exact two-sided p: twice the binomial tail of the smaller of both, at most 1 (McNemar, Psychometrika 12, 1947)."""
    from scipy.special import bdtr  # noqa: PLC0415  SciPy takes a while to import

    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def _name_fars(tars: dict[float, Any]) -> dict[str, Any]:
    return {f"{far:.0e}": tar for far, tar in tars.items()}
