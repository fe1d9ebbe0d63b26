"""Softmax cross-entropy over scaled cosines, with a margin on the target that depends on its cosine alone.

Labels are integers; no one-hot is ever made. Keras hands labels to a loss as float32, which is exact up to 16,777,216 classes.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fr_train.losses import margins
from fr_train.losses.arguments import require
from fr_train.losses.target_softmax import split_target, target_softmax

__all__ = ["AirFace", "ArcFace", "CombinedMargin", "CosFace", "NormalizedSoftmax", "Softmax", "margin_softmax"]

Tensor = Any
PACKAGE = "fr_train"


def margin_softmax(
    labels: Tensor, cosine: Tensor, *, scale: float, margin: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """−log softmax(s · logits)_y, where the logits are the cosines with the margin on the target's.

    Args:
        labels: (B,) integers.
        cosine: (B, C) cosines of all classes.
        scale: s.
        margin: (B,) float32 cosines of the targets → what takes their place; None leaves them.

    Returns:
        (B,) float32 losses.
    """
    logits, target = split_target(labels, cosine)
    return target_softmax(labels, logits, margin(target) if margin else target, scale=scale)


class _MarginSoftmax(keras.losses.Loss):
    """Shared form of the losses here; the attributes are those of every loss, see `fr_train.losses.weighted_sum`."""

    needs_head: bool = True
    needs_embedding: bool = False
    normalizes_embedding: bool = True
    batches: str = "any"

    def __init__(self, *, scale: float, name: str, reduction: str = "mean") -> None:
        super().__init__(name=name, reduction=reduction)
        require(0 < scale < math.inf, "a positive scale", scale)
        self.scale = scale

    def margin(self, target: Tensor) -> Tensor:
        """What takes the place of the targets' cosines; (B,) → (B,) float32."""
        return target

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels and (B, C) cosines."""
        return margin_softmax(ops.reshape(y_true, (-1,)), y_pred, scale=self.scale, margin=self.margin)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {"scale": self.scale, "name": self.name, "reduction": self.reduction}


@keras.saving.register_keras_serializable(PACKAGE)
class Softmax(_MarginSoftmax):
    """Plain softmax over x · W/|W|: weights normalised, embeddings not, no scale."""

    normalizes_embedding = False

    def __init__(self, *, name: str = "softmax", reduction: str = "mean") -> None:
        super().__init__(scale=1.0, name=name, reduction=reduction)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {"name": self.name, "reduction": self.reduction}


@keras.saving.register_keras_serializable(PACKAGE)
class NormalizedSoftmax(_MarginSoftmax):
    """Softmax over s · cos θ.

    Args:
        scale: s.
        name: of the loss.
        reduction: of Keras.

    Reference:
        Wang et al. 2017, NormFace: L2 Hypersphere Embedding for Face Verification.
    """

    def __init__(self, *, scale: float = 64.0, name: str = "normalized_softmax", reduction: str = "mean") -> None:
        super().__init__(scale=scale, name=name, reduction=reduction)


class _AngularMargin(_MarginSoftmax):
    """A margin of some radians."""

    def __init__(self, *, margin_radians: float, **options: Any) -> None:
        super().__init__(**options)
        require(0 <= margin_radians < math.pi / 2, "a margin from 0 to π/2 radians", margin_radians)
        self.margin_radians = margin_radians

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "margin_radians": self.margin_radians}


@keras.saving.register_keras_serializable(PACKAGE)
class ArcFace(_AngularMargin):
    """Additive angular margin; see `fr_train.losses.margins.additive_angular`.

    Args:
        margin_radians: m.
        scale: s.
        name: of the loss.
        reduction: of Keras.

    Example:
        >>> images = keras.Input((112, 112, 3))
        >>> model = keras.Model(images, CosineHead(num_classes)(network(images)))
        >>> model.compile("adam", loss=ArcFace(), metrics=["sparse_categorical_accuracy"])
        >>> model.fit(x, labels)
    """

    def __init__(
        self, *, margin_radians: float = 0.5, scale: float = 64.0, name: str = "arcface", reduction: str = "mean"
    ) -> None:
        super().__init__(margin_radians=margin_radians, scale=scale, name=name, reduction=reduction)

    def margin(self, target: Tensor) -> Tensor:
        """cos(θ + m), with the fallback beyond π."""
        return margins.additive_angular(target, margin_radians=self.margin_radians)


@keras.saving.register_keras_serializable(PACKAGE)
class AirFace(_AngularMargin):
    """Margin that falls evenly with the angle; see `fr_train.losses.margins.linear_angular`.

    Args:
        margin_radians: m.
        scale: s.
        name: of the loss.
        reduction: of Keras.
    """

    def __init__(
        self, *, margin_radians: float = 0.4, scale: float = 64.0, name: str = "airface", reduction: str = "mean"
    ) -> None:
        super().__init__(margin_radians=margin_radians, scale=scale, name=name, reduction=reduction)

    def margin(self, target: Tensor) -> Tensor:
        """1 − 2(θ + m)/π."""
        return margins.linear_angular(target, margin_radians=self.margin_radians)


@keras.saving.register_keras_serializable(PACKAGE)
class CosFace(_MarginSoftmax):
    """Additive cosine margin; see `fr_train.losses.margins.additive_cosine`.

    Args:
        margin: m.
        scale: s.
        name: of the loss.
        reduction: of Keras.
    """

    def __init__(
        self, *, margin: float = 0.35, scale: float = 64.0, name: str = "cosface", reduction: str = "mean"
    ) -> None:
        super().__init__(scale=scale, name=name, reduction=reduction)
        require(0 <= margin < 2, "a margin in [0, 2)", margin)
        self.margin_cosine = margin

    def margin(self, target: Tensor) -> Tensor:
        """cos θ − m."""
        return margins.additive_cosine(target, margin=self.margin_cosine)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "margin": self.margin_cosine}


@keras.saving.register_keras_serializable(PACKAGE)
class CombinedMargin(_MarginSoftmax):
    """cos(m1·θ + m2) − m3; see `fr_train.losses.margins.combined`.

    Args:
        m1: factor of the angle.
        m2: added to the angle, in radians.
        m3: subtracted from the cosine.
        scale: s.
        name: of the loss.
        reduction: of Keras.
    """

    def __init__(
        self,
        *,
        m1: float = 0.9,
        m2: float = 0.15,
        m3: float = 0.4,
        scale: float = 64.0,
        name: str = "combined_margin",
        reduction: str = "mean",
    ) -> None:
        super().__init__(scale=scale, name=name, reduction=reduction)
        holds = 0 < m1 < math.inf and 0 <= m2 < math.inf and 0 <= m3 < math.inf
        require(holds, "m1 > 0, m2 ≥ 0 and m3 ≥ 0", f"{m1}, {m2} and {m3}")
        self.m1, self.m2, self.m3 = m1, m2, m3

    def margin(self, target: Tensor) -> Tensor:
        """cos(m1·θ + m2) − m3, with the fallback beyond π."""
        return margins.combined(target, m1=self.m1, m2=self.m2, m3=self.m3)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "m1": self.m1, "m2": self.m2, "m3": self.m3}
