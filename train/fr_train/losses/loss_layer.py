"""The form of losses that keep a state, or look at the embedding and its cosines at once."""

from typing import Any

import keras
from keras import ops

__all__ = ["LossLayer"]

Tensor = Any


class LossLayer(keras.layers.Layer):
    """A loss that is a layer: its state is saved, restored and updated with the model that holds it, under every backend.

    The call takes labels (B,) and what the loss needs of `embedding` (B, D) and `logits` (B, C), and gives (B,) float32 losses.
    The state changes in training only. The attributes are those of every loss, see `fr_train.losses.weighted_sum`.
    """

    needs_head: bool = True
    needs_embedding: bool = False
    normalizes_embedding: bool = True
    batches: str = "any"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # float32 under any policy
        self.built = True

    def add_state(self, name: str, shape: tuple[int, ...] = (), *, value: float = 0.0) -> Any:
        """Adds a float32 variable that is not trained."""
        initializer = keras.initializers.Constant(value)
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, dtype="float32", trainable=False, autocast=False
        )

    @staticmethod
    def move(state: Any, value: Tensor) -> None:
        """Sets a state, but not to what is no number: a batch that is skipped for that must not spoil the next ones."""
        state.assign(ops.where(ops.isfinite(value), value, ops.convert_to_tensor(state)))

    def compute_output_shape(self, labels_shape: tuple[int | None, ...], **_: Any) -> tuple[int | None, ...]:
        """(B,)."""
        return labels_shape[:1]
