"""Losses: pure functions of `keras.ops`, and thin serialisable classes around them. `weighted_sum` tells how they are called."""

from fr_train.losses.adaface import AdaFace
from fr_train.losses.center import CenterLoss
from fr_train.losses.curricularface import CurricularFace
from fr_train.losses.magface import MagFace
from fr_train.losses.margin_softmax import AirFace, ArcFace, CombinedMargin, CosFace, NormalizedSoftmax, Softmax
from fr_train.losses.triplet_losses import BatchHardTriplet, OfflineTriplet, SemiHardTriplet
from fr_train.losses.weighted_sum import WeightedSum, given_losses

__all__ = [
    "AdaFace",
    "AirFace",
    "ArcFace",
    "BatchHardTriplet",
    "CenterLoss",
    "CombinedMargin",
    "CosFace",
    "CurricularFace",
    "MagFace",
    "NormalizedSoftmax",
    "OfflineTriplet",
    "SemiHardTriplet",
    "Softmax",
    "WeightedSum",
    "given_losses",
]
