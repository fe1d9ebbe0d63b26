"""AdaFace: the margin stresses hard images where they are good, and easy ones where they are poor."""

import math
from typing import Any

import keras
from keras import ops

from fr_train.losses import margins
from fr_train.losses.arguments import require
from fr_train.losses.loss_layer import LossLayer
from fr_train.losses.margin_softmax import margin_softmax
from fr_train.model.heads import l2_norm

__all__ = ["AdaFace"]

Tensor = Any
EPSILON = 1e-3


@keras.saving.register_keras_serializable("fr_train")
class AdaFace(LossLayer):
    """The margin of `fr_train.losses.margins.adaptive`, with z = clip(h · (|x| − mean)/(std + 0.001), −1, 1).

    Mean and standard deviation (of a sample: B − 1; 0 in a batch of one) of |x| run, from 20 and 100 as in the authors' code, and
    are moved before they are used. As there, |x| is kept within [0.001, 100], and the gradient does not pass through it.

    Args:
        margin: m.
        h: how soon z reaches its ends; 0.333 means at 3 standard deviations.
        scale: s.
        momentum: part of mean and deviation that a step keeps.
        kwargs: of `keras.layers.Layer`.

    Reference:
        Kim et al. 2022, AdaFace: Quality Adaptive Margin for Face Recognition.
    """

    needs_embedding = True

    def __init__(
        self, *, margin: float = 0.4, h: float = 0.333, scale: float = 64.0, momentum: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require(0 <= margin < 1, "a margin in [0, 1)", margin)
        require(0 < h < math.inf, "a positive h", h)
        require(0 < scale < math.inf, "a positive scale", scale)
        require(0 <= momentum < 1, "a momentum in [0, 1)", momentum)
        self.margin, self.h, self.scale, self.momentum = margin, h, scale, momentum
        self.mean = self.add_state("mean", value=20.0)
        self.deviation = self.add_state("deviation", value=100.0)

    def call(self, labels: Tensor, logits: Tensor, embedding: Tensor, training: bool = False) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels, (B, C) cosines and (B, D) embeddings."""
        norm = ops.stop_gradient(ops.clip(l2_norm(embedding), EPSILON, 100.0))
        if training:
            mean = ops.mean(norm)
            count = ops.cast(ops.shape(norm)[0], "float32")
            deviation = ops.sqrt(ops.sum(ops.square(norm - mean)) / ops.maximum(count - 1.0, 1.0))
            for running, value in ((self.mean, mean), (self.deviation, deviation)):
                self.move(running, self.momentum * running + (1.0 - self.momentum) * value)
        quality = ops.clip(self.h * (norm - self.mean) / (self.deviation + EPSILON), -1.0, 1.0)
        return margin_softmax(
            labels,
            logits,
            scale=self.scale,
            margin=lambda target: margins.adaptive(target, quality=quality, margin=self.margin),
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "margin": self.margin,
            "h": self.h,
            "scale": self.scale,
            "momentum": self.momentum,
        }
