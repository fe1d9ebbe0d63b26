"""Heads: the class weights, and the cosines of embeddings with them. Margins are the losses' affair."""

from typing import Any

import keras
from keras import ops

from fr_train.devices.model_parallel import PaddedRows, count_rows, hide_padding

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


def class_logits(vectors: Tensor, weights: Tensor) -> Tensor:
    """x · W/|W|, (B, C) float32: the logits of vectors (B, D) and class weights (C, D), both float32.

    Products are divided by |W|, not the weights, and the gradient is said, so that of arrays as large as weights or logits few are
    made: left to automatic differentiation, normalised weights and their gradient are eight more passes over (C, D).
    """

    @ops.custom_gradient
    def divided(vectors: Tensor, weights: Tensor) -> Any:
        squares = ops.sum(ops.square(weights), axis=-1)
        inverse = ops.rsqrt(ops.maximum(squares, EPSILON))
        # As a batch of one: by a transposed matrix oneDNN then multiplies in nine tenths of the time.
        logits = ops.matmul(vectors[None], ops.swapaxes(weights[None], 1, 2))[0] * inverse

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            upstream = upstream * inverse
            whole = ops.matmul(ops.transpose(upstream), vectors)
            along = ops.sum(whole * weights, axis=-1) * ops.where(squares > EPSILON, ops.square(inverse), 0.0)
            return ops.matmul(upstream, weights), whole - along[:, None] * weights

        return logits, gradient

    return divided(vectors, weights)


@keras.saving.register_keras_serializable("fr_train")
class CosineHead(keras.layers.Layer):
    """Cosines of embeddings with one weight vector a class.

    The weights are stored as (C, D), a row a class, so that rows of single classes can be read and updated.
    All of it is float32 under any policy.

    Args:
        num_classes: C.
        normalize_embedding: False gives x · W/|W| instead of the cosine.
        initializer: of the weights; None is normal with a deviation of 0.01.
        kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, num_classes: int, *, normalize_embedding: bool = True, initializer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if num_classes < 2:
            raise ValueError(f"expected at least 2 classes, received {num_classes}")
        self.num_classes = num_classes
        self.normalize_embedding = normalize_embedding
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Makes the weights for embeddings of shape (B, D)."""
        self.class_weights = self.add_weight(
            name="class_weights",
            shape=self._weights_shape(input_shape[-1]),
            initializer=PaddedRows(self.initializer or keras.initializers.RandomNormal(stddev=0.01), self.num_classes),
            dtype="float32",
            autocast=False,
        )

    def _weights_shape(self, embedding_size: int) -> tuple[int, ...]:
        return (count_rows(self.num_classes), embedding_size)

    def call(self, embedding: Tensor) -> Tensor:
        """Gives (B, C) float32 for embeddings (B, D); over several devices with columns that no image is nearest to behind them."""
        return hide_padding(self.logits(embedding, self.class_weights), self.num_classes)

    def logits(self, embedding: Tensor, class_weights: Tensor) -> Tensor:
        """The same for the weights of some classes, (N, ...) as the layer's; gives (B, N)."""
        vectors = l2_normalize(embedding) if self.normalize_embedding else ops.cast(embedding, "float32")
        rows = ops.reshape(class_weights, (-1, class_weights.shape[-1]))  # a tensor, also where it was a variable
        return class_logits(vectors, rows)

    def compute_output_shape(self, input_shape: tuple[int | None, int]) -> tuple[int | None, int]:
        """(B, C)."""
        return (input_shape[0], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "normalize_embedding": self.normalize_embedding,
            "initializer": keras.initializers.serialize(self.initializer) if self.initializer else None,
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
        return (count_rows(self.num_classes), self.num_subcenters, embedding_size)

    def logits(self, embedding: Tensor, class_weights: Tensor) -> Tensor:
        """The greatest over the sub-centers: (B, N) float32 for embeddings (B, D) and weights (N, K, D)."""
        cosine = ops.reshape(super().logits(embedding, class_weights), (-1, *class_weights.shape[:2]))
        return ops.max(cosine, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {**super().get_config(), "num_subcenters": self.num_subcenters}
