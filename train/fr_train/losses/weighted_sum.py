"""Sums of losses: the one form in which training calls any of them, alone or together.

Every loss says as attributes of its class what it needs:

    needs_head             logits (B, C) of a head
    needs_embedding        the embedding (B, D), not normalised; norms are taken of it
    normalizes_embedding   whether the head's logits are to be cosines (True) or x · W/|W|
    batches                any, balanced (several images of each class) or triplets (anchor, positive, negative, anchor, …)

A loss of one tensor and no state is a `keras.losses.Loss`, so that `compile(loss=…)` takes it; the others are layers,
`fr_train.losses.loss_layer`.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

from fr_train.losses.arguments import require
from fr_train.losses.loss_layer import LossLayer

__all__ = ["WeightedSum", "given_losses"]

Tensor = Any
BATCHES = ("any", "balanced", "triplets")  # each satisfies the ones before


@keras.saving.register_keras_serializable("fr_train")
class WeightedSum(LossLayer):
    """w1·L1 + w2·L2 + … of a batch.

    Args:
        terms: the losses.
        weights: of each; None is 1.
        kwargs: of `keras.layers.Layer`.

    Attributes:
        needs_head, needs_embedding: whether any term does.
        normalizes_embedding: what the head is to do.
        batches: what satisfies all terms.

    Raises:
        ValueError: if there is no term, a weight is not positive, or terms want different logits of the one head.

    Example:
        Training calls any loss so:

        >>> loss = WeightedSum([CenterLoss(num_classes, 512), ArcFace()], weights=[0.01, 1.0])
        >>> head = CosineHead(num_classes, normalize_embedding=loss.normalizes_embedding)
        >>> losses = loss(labels, embedding=x, logits=head(x), training=True)  # (B,) float32, whose mean is the loss

        Under `fit`, on any backend, labels are an input of the model and the losses are its output:

        >>> images, labels = keras.Input((112, 112, 3)), keras.Input((), dtype="int32")
        >>> x = network(images)
        >>> model = keras.Model([images, labels], loss(labels, embedding=x, logits=head(x)))
        >>> model.compile("adam", loss=given_losses)
        >>> model.fit([x_train, y_train], y_train)
    """

    def __init__(self, terms: Sequence[Any], *, weights: Sequence[float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        weights = [1.0] * len(terms) if weights is None else [float(weight) for weight in weights]
        require(len(terms) >= 1, "at least one loss", "none")
        require(len(weights) == len(terms), f"{len(terms)} weights", f"{len(weights)}")
        require(all(0 < weight < math.inf for weight in weights), "positive weights", weights)
        wanted = {term.normalizes_embedding for term in terms if term.needs_head}
        require(len(wanted) < 2, "losses on cosines, or softmax, of one head", "both")
        self.terms, self.weights_of_terms = list(terms), weights
        self.needs_head = bool(wanted)
        self.needs_embedding = any(term.needs_embedding for term in terms)
        self.normalizes_embedding = wanted != {False}
        self.batches = max((term.batches for term in terms), key=BATCHES.index)

    def call(
        self,
        labels: Tensor,
        embedding: Tensor | None = None,
        logits: Tensor | None = None,
        columns: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        """Gives (B,) float32, whose mean is the loss.

        Args:
            labels: (B,) integers.
            embedding: (B, D), if `needs_embedding`.
            logits: (B, C) of the head, if `needs_head`.
            columns: (B,) where among the logits the labels are, if these are of some classes only; None is at the labels.
            training: whether running means and centers move.
        """
        total = 0.0
        for term, weight in zip(self.terms, self.weights_of_terms, strict=True):
            places = labels if columns is None or not term.needs_head else columns
            total += weight * _call(term, places, embedding, logits, training=training)
        return total

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        terms = [keras.saving.serialize_keras_object(term) for term in self.terms]
        return {**super().get_config(), "terms": terms, "weights": self.weights_of_terms}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WeightedSum":
        """Makes it from its arguments."""
        terms = [keras.saving.deserialize_keras_object(term) for term in config["terms"]]
        return cls(**{**config, "terms": terms})


@keras.saving.register_keras_serializable("fr_train")
def given_losses(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The loss of a model whose output is the losses already."""
    del y_true
    return y_pred


def _call(term: Any, labels: Tensor, embedding: Tensor, logits: Tensor, *, training: bool) -> Tensor:
    if isinstance(term, keras.losses.Loss):
        return term.call(labels, logits if term.needs_head else embedding)
    needed = {"logits": logits} if term.needs_head else {}
    needed |= {"embedding": embedding} if term.needs_embedding else {}
    return term(labels, **needed, training=training)
