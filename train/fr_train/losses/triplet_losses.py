"""Triplet losses as Keras classes, for models that end in the embedding; the formulas are in `fr_train.losses.triplets`."""

import math
from typing import Any

import keras
from keras import ops

from fr_train.losses import triplets
from fr_train.losses.arguments import require

__all__ = ["BatchHardTriplet", "OfflineTriplet", "SemiHardTriplet"]

Tensor = Any
PACKAGE = "fr_train"


class _Triplet(keras.losses.Loss):
    """Shared form of the losses here; the attributes are those of every loss, see `fr_train.losses.weighted_sum`."""

    needs_head: bool = False
    needs_embedding: bool = True
    normalizes_embedding: bool = True
    batches: str = "balanced"

    def __init__(self, *, margin: float, name: str, reduction: str = "mean") -> None:
        super().__init__(name=name, reduction=reduction)
        require(0 <= margin < math.inf, "a margin of 0 or more", margin)
        self.margin = margin

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {"margin": self.margin, "name": self.name, "reduction": self.reduction}


@keras.saving.register_keras_serializable(PACKAGE)
class OfflineTriplet(_Triplet):
    """Triplets that were mined before; see `fr_train.losses.triplets.offline_triplet` and `fr_train.data.mining`.

    Args:
        margin: of the cosines.
        name: of the loss.
        reduction: of Keras.
    """

    batches = "triplets"

    def __init__(self, *, margin: float = 0.2, name: str = "triplet_offline", reduction: str = "mean") -> None:
        super().__init__(margin=margin, name=name, reduction=reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Gives (3T,) float32 for embeddings (3T, D) in the order anchor, positive, negative, …; labels are not looked at."""
        return triplets.offline_triplet(y_pred, margin=self.margin)


class _OnlineTriplet(_Triplet):
    """Triplets that are chosen in the batch."""

    def __init__(self, *, distance: str, **options: Any) -> None:
        super().__init__(**options)
        known = triplets.DISTANCES
        require(distance in known, f"one of {', '.join(known)} as distance", repr(distance))
        self.distance = distance

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "distance": self.distance}


@keras.saving.register_keras_serializable(PACKAGE)
class SemiHardTriplet(_OnlineTriplet):
    """Semi-hard negatives in the batch; see `fr_train.losses.triplets.semi_hard_triplet`.

    Args:
        margin: of the distances.
        distance: `l2`, `squared_l2` or `cosine`.
        name: of the loss.
        reduction: of Keras.
    """

    def __init__(
        self, *, margin: float = 1.0, distance: str = "l2", name: str = "triplet_semi_hard", reduction: str = "mean"
    ) -> None:
        super().__init__(margin=margin, distance=distance, name=name, reduction=reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Gives (B,) float32 for (B,) labels and (B, D) embeddings."""
        labels = ops.reshape(y_true, (-1,))
        return triplets.semi_hard_triplet(labels, y_pred, margin=self.margin, distance=self.distance)


@keras.saving.register_keras_serializable(PACKAGE)
class BatchHardTriplet(_OnlineTriplet):
    """Hardest positive and negative in the batch; see `fr_train.losses.triplets.batch_hard_triplet`.

    Args:
        margin: of the distances.
        distance: `cosine`, `l2` or `squared_l2`.
        name: of the loss.
        reduction: of Keras.
    """

    def __init__(
        self,
        *,
        margin: float = 0.35,
        distance: str = "cosine",
        name: str = "triplet_batch_hard",
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin=margin, distance=distance, name=name, reduction=reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Gives (B,) float32 for (B,) labels and (B, D) embeddings."""
        labels = ops.reshape(y_true, (-1,))
        return triplets.batch_hard_triplet(labels, y_pred, margin=self.margin, distance=self.distance)
