"""CurricularFace: hard classes count little at first, and more as training goes on."""

import math
from typing import Any

import keras
from keras import ops

from fr_train.losses import margins
from fr_train.losses.arguments import require
from fr_train.losses.loss_layer import LossLayer
from fr_train.losses.target_softmax import split_target, target_softmax

__all__ = ["CurricularFace"]

Tensor = Any


@keras.saving.register_keras_serializable("fr_train")
class CurricularFace(LossLayer):
    """ArcFace whose other cosines c become c·(t + c) where they are above the target's after its margin.

    t is a running mean of the targets' cosines, moved before it is used.

    Args:
        margin_radians: m.
        scale: s.
        momentum: part of t that a step keeps.
        kwargs: of `keras.layers.Layer`.

    Reference:
        Huang et al. 2020, CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition.
    """

    def __init__(
        self, *, margin_radians: float = 0.5, scale: float = 64.0, momentum: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require(0 <= margin_radians < math.pi / 2, "a margin from 0 to π/2 radians", margin_radians)
        require(0 < scale < math.inf, "a positive scale", scale)
        require(0 <= momentum < 1, "a momentum in [0, 1)", momentum)
        self.margin_radians, self.scale, self.momentum = margin_radians, scale, momentum
        self.mean_target = self.add_state("mean_target")

    def call(self, labels: Tensor, logits: Tensor, training: bool = False) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels and (B, C) cosines."""
        logits, target = split_target(labels, logits)
        if training:
            mean = ops.mean(ops.stop_gradient(target))
            self.move(self.mean_target, self.momentum * self.mean_target + (1.0 - self.momentum) * mean)
        hardened = margins.additive_angular(target, margin_radians=self.margin_radians)
        others = ops.where(logits > hardened[:, None], logits * (self.mean_target + logits), logits)
        return target_softmax(labels, others, hardened, scale=self.scale)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "margin_radians": self.margin_radians,
            "scale": self.scale,
            "momentum": self.momentum,
        }
