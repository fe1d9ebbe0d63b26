"""Heads: the class weights, and the cosines of embeddings with them. Margins are the losses' affair."""

from typing import Any

import keras
from keras import ops

__all__ = ["CosineHead", "SubCenterHead", "l2_norm", "l2_normalize"]

Tensor = Any
EPSILON = 1e-12


def l2_norm(vectors: Tensor, *, axis: int = -1, keepdims: bool = False) -> Tensor:
    """|x| in float32, at least 1e-6, so that its gradient is finite at a zero vector."""
    squares = ops.sum(ops.square(ops.cast(vectors, "float32")), axis=axis, keepdims=keepdims)
    return ops.sqrt(ops.maximum(squares, EPSILON))


def l2_normalize(vectors: Tensor, *, axis: int = -1) -> Tensor:
    """x / |x| in float32; a zero vector stays zero, and its gradient finite."""
    vectors = ops.cast(vectors, "float32")
    squares = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, EPSILON))


@keras.saving.register_keras_serializable("fr_train")
class CosineHead(keras.layers.Layer):
    """Cosines of embeddings with one weight vector a class.

    The weights are stored as (C, D), a row a class, so that rows of single classes can be read and updated.
    All of it is float32 under any policy.

    Args:
        num_classes: C.
        normalize_embedding: False gives x · W/|W| instead of the cosine.
        kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, num_classes: int, *, normalize_embedding: bool = True, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        if num_classes < 2:
            raise ValueError(f"expected at least 2 classes, received {num_classes}")
        self.num_classes = num_classes
        self.normalize_embedding = normalize_embedding

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Makes the weights for embeddings of shape (B, D)."""
        self.class_weights = self.add_weight(
            name="class_weights",
            shape=self._weights_shape(input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            autocast=False,
        )

    def _weights_shape(self, embedding_size: int) -> tuple[int, ...]:
        return (self.num_classes, embedding_size)

    def call(self, embedding: Tensor) -> Tensor:
        """Gives (B, C) float32 for embeddings (B, D)."""
        rows = l2_normalize(ops.reshape(self.class_weights, (-1, self.class_weights.shape[-1])))
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


@keras.saving.register_keras_serializable("fr_train")
class SubCenterHead(CosineHead):
    """Cosines with the nearest of several weight vectors a class, so that noisy images find a center of their own.

    The weights are stored as (C, K, D).

    Args:
        num_classes: C.
        num_subcenters: K.
        normalize_embedding: False gives x · W/|W| instead of the cosine.
        kwargs: of `keras.layers.Layer`.

    Reference:
        Deng et al. 2020, Sub-center ArcFace: Boosting Face Recognition by Large-scale Noisy Web Faces.
    """

    def __init__(self, num_classes: int, *, num_subcenters: int = 3, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        if num_subcenters < 1:
            raise ValueError(f"expected at least 1 sub-center, received {num_subcenters}")
        self.num_subcenters = num_subcenters

    def _weights_shape(self, embedding_size: int) -> tuple[int, ...]:
        return (self.num_classes, self.num_subcenters, embedding_size)

    def call(self, embedding: Tensor) -> Tensor:
        """Gives (B, C) float32, the greatest over the sub-centers, for embeddings (B, D)."""
        cosine = ops.reshape(super().call(embedding), (-1, self.num_classes, self.num_subcenters))
        return ops.max(cosine, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "num_subcenters": self.num_subcenters}
