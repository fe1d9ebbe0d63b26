"""Softmax cross-entropy over scaled cosines, with a margin on the target. Labels are integers; no one-hot is ever made."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fr_train.losses import margins

__all__ = ["ArcFace", "CombinedMargin", "CosFace", "NormalizedSoftmax", "Softmax", "margin_softmax"]

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
    labels = ops.cast(labels, "int32")  # Keras hands labels over as float32
    logits = ops.cast(cosine, "float32")
    if margin is not None:
        target = ops.squeeze(ops.take_along_axis(logits, labels[:, None], axis=1), axis=1)
        places = ops.stack([ops.arange(ops.shape(labels)[0], dtype="int32"), labels], axis=1)
        logits = ops.scatter_update(logits, places, margin(target))
    return ops.sparse_categorical_crossentropy(labels, logits * scale, from_logits=True)


class _MarginSoftmax(keras.losses.Loss):
    """Shared form of the losses here.

    Attributes:
        normalizes_embedding: whether the head is to give cosines, or x · W/|W| with the embedding as it is.
    """

    normalizes_embedding = True

    def __init__(self, *, scale: float, name: str, reduction: str = "mean") -> None:
        super().__init__(name=name, reduction=reduction)
        if scale <= 0:
            raise ValueError(f"expected a positive scale, received {scale}")
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

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels and (B, C) logits."""
        return margin_softmax(ops.reshape(y_true, (-1,)), y_pred, scale=1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {"name": self.name, "reduction": self.reduction}


@keras.saving.register_keras_serializable(PACKAGE)
class NormalizedSoftmax(_MarginSoftmax):
    """Softmax over s · cos θ.

    Reference:
        Wang et al. 2017, NormFace: L2 Hypersphere Embedding for Face Verification.
    """

    def __init__(self, *, scale: float = 64.0, name: str = "normalized_softmax", reduction: str = "mean") -> None:
        super().__init__(scale=scale, name=name, reduction=reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels and (B, C) cosines."""
        return margin_softmax(ops.reshape(y_true, (-1,)), y_pred, scale=self.scale)


@keras.saving.register_keras_serializable(PACKAGE)
class ArcFace(_MarginSoftmax):
    """Additive angular margin; see `fr_train.losses.margins.additive_angular`.

    Args:
        margin_radians: m.
        scale: s.
    """

    def __init__(
        self, *, margin_radians: float = 0.5, scale: float = 64.0, name: str = "arcface", reduction: str = "mean"
    ) -> None:
        super().__init__(scale=scale, name=name, reduction=reduction)
        if not 0 <= margin_radians < 1.6:
            raise ValueError(f"expected a margin from 0 to π/2 radians, received {margin_radians}")
        self.margin_radians = margin_radians

    def margin(self, target: Tensor) -> Tensor:
        """cos(θ + m), with the fallback beyond π."""
        return margins.additive_angular(target, margin_radians=self.margin_radians)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "margin_radians": self.margin_radians}


@keras.saving.register_keras_serializable(PACKAGE)
class CosFace(_MarginSoftmax):
    """Additive cosine margin; see `fr_train.losses.margins.additive_cosine`.

    Args:
        margin: m.
        scale: s.
    """

    def __init__(
        self, *, margin: float = 0.35, scale: float = 64.0, name: str = "cosface", reduction: str = "mean"
    ) -> None:
        super().__init__(scale=scale, name=name, reduction=reduction)
        if not 0 <= margin < 2:
            raise ValueError(f"expected a margin in [0, 2), received {margin}")
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
        if m1 <= 0 or m2 < 0 or m3 < 0:
            raise ValueError(f"expected m1 > 0, m2 ≥ 0 and m3 ≥ 0, received {m1}, {m2} and {m3}")
        self.m1, self.m2, self.m3 = m1, m2, m3

    def margin(self, target: Tensor) -> Tensor:
        """cos(m1·θ + m2) − m3, with the fallback beyond π."""
        return margins.combined(target, m1=self.m1, m2=self.m2, m3=self.m3)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "m1": self.m1, "m2": self.m2, "m3": self.m3}
