"""MagFace: the longer an embedding, the larger its margin; good images are drawn outwards."""

import math
from typing import Any

import keras
from keras import ops

from fr_train.losses import margins
from fr_train.losses.arguments import require
from fr_train.losses.loss_layer import LossLayer
from fr_train.losses.margin_softmax import margin_softmax
from fr_train.model.heads import l2_norm

__all__ = ["MagFace"]

Tensor = Any


@keras.saving.register_keras_serializable("fr_train")
class MagFace(LossLayer):
    """ArcFace with a margin that is linear in a = |x|, plus λ·(a/u² + 1/a), which is least at a = u.

    As in the authors' code a is kept within [l, u] for both, so that beyond it neither moves the length.

    Args:
        shortest: l.
        longest: u.
        margin_shortest: radians at l.
        margin_longest: radians at u.
        regularizer: λ.
        scale: s.
        kwargs: of `keras.layers.Layer`.

    Reference:
        Meng et al. 2021, MagFace: A Universal Representation for Face Recognition and Quality Assessment.
    """

    needs_embedding = True

    def __init__(
        self,
        *,
        shortest: float = 10.0,
        longest: float = 110.0,
        margin_shortest: float = 0.45,
        margin_longest: float = 0.8,
        regularizer: float = 35.0,
        scale: float = 64.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require(0 < shortest < longest < math.inf, "0 < shortest < longest", f"{shortest} and {longest}")
        holds = 0 <= margin_shortest <= margin_longest < math.pi / 2
        require(holds, "0 ≤ margin_shortest ≤ margin_longest < π/2", f"{margin_shortest} and {margin_longest}")
        require(0 <= regularizer < math.inf, "a regularizer of 0 or more", regularizer)
        require(0 < scale < math.inf, "a positive scale", scale)
        self.shortest, self.longest = shortest, longest
        self.margin_shortest, self.margin_longest = margin_shortest, margin_longest
        self.regularizer, self.scale = regularizer, scale

    def call(self, labels: Tensor, logits: Tensor, embedding: Tensor) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels, (B, C) cosines and (B, D) embeddings."""
        norm = ops.clip(l2_norm(embedding), self.shortest, self.longest)
        slope = (self.margin_longest - self.margin_shortest) / (self.longest - self.shortest)
        margin = self.margin_shortest + slope * (norm - self.shortest)
        losses = margin_softmax(
            labels,
            logits,
            scale=self.scale,
            margin=lambda target: margins.additive_angular(target, margin_radians=margin),
        )
        return losses + self.regularizer * (norm / self.longest**2 + 1.0 / norm)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "shortest": self.shortest,
            "longest": self.longest,
            "margin_shortest": self.margin_shortest,
            "margin_longest": self.margin_longest,
            "regularizer": self.regularizer,
            "scale": self.scale,
        }
