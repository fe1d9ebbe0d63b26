"""The original recipe's own figure: the best accuracy over thresholds that are chosen on the same pairs."""

from dataclasses import dataclass

import numpy as np

from fr_eval.protocols.distances import Bools, Floats

__all__ = ["RecipeFigure", "score_recipe"]

MAX_CANDIDATES = 300


@dataclass(frozen=True)
class RecipeFigure:
    """The recipe's maximum accuracy. It is optimistic: the threshold was chosen on the pairs that it is measured on.

    Attributes:
        accuracy: the share of all pairs told rightly.
        threshold: the cosine above which a pair is called "same".
    """

    accuracy: float
    threshold: float


def score_recipe(scores: Floats, issame: Bools) -> RecipeFigure:
    """Gives the recipe's own figure.

    The candidates are the 300 highest scores of "different" pairs, from the top down; accuracy(v) = (number of "same" with
    s > v + number of "different" with s ≤ v) / P; the first best one wins, so that ties keep the higher threshold.

    Args:
        scores: cosines, float64, shape (P,); the recipe embeds without a mirrored image.
        issame: bool, shape (P,), with both kinds.

    Returns:
        The figure.
    """
    same, different = np.sort(scores[issame]), np.sort(scores[~issame])
    candidates = different[::-1][:MAX_CANDIDATES]
    right = len(same) - np.searchsorted(same, candidates, side="right")
    right += np.searchsorted(different, candidates, side="right")
    best = int(np.argmax(right))  # argmax takes the first of equals
    return RecipeFigure(float(right[best] / len(scores)), float(candidates[best]))
