"""Heads: the class weights, and the cosines of embeddings with them. Margins are the losses' affair."""

from typing import Any

import keras
from keras import ops

__all__ = ["CosineHead", "l2_normalize"]

Tensor = Any
EPSILON = 1e-12


def l2_normalize(vectors: Tensor, *, axis: int = -1) -> Tensor:
    """x / |x| in float32; a zero vector stays zero, and its gradient finite."""
    vectors = ops.cast(vectors, "float32")
    squares = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, EPSILON))


@keras.saving.register_keras_serializable("fr_train")
class CosineHead(keras.layers.Layer):
    """Cosines of embeddings with one weight vector a class.

    The weights are stored as (C, D), a row a class, so that rows of single classes can be read and updated.

    Args:
        num_classes: C.
        normalize_embedding: False gives x · W/|W| instead of the cosine.
    """

    def __init__(self, num_classes: int, *, normalize_embedding: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 2:
            raise ValueError(f"expected at least 2 classes, received {num_classes}")
        self.num_classes = num_classes
        self.normalize_embedding = normalize_embedding

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Makes the weights for embeddings of shape (B, D)."""
        self.class_weights = self.add_weight(
            name="class_weights",
            shape=(self.num_classes, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            autocast=False,
        )

    def call(self, embedding: Tensor) -> Tensor:
        """Gives (B, C) float32 for embeddings (B, D)."""
        rows = l2_normalize(self.class_weights)
        vectors = l2_normalize(embedding) if self.normalize_embedding else ops.cast(embedding, "float32")
        return ops.matmul(vectors, ops.transpose(rows))

    def compute_output_shape(self, input_shape: tuple[int | None, int]) -> tuple[int | None, int]:
        """(B, C)."""
        return (input_shape[0], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "normalize_embedding": self.normalize_embedding,
        }
