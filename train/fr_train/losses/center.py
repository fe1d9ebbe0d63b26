"""Center loss: embeddings are drawn to the center of their class, and the center to them."""

import math
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
from keras import ops

from fr_data.files import whole_file
from fr_train.devices.model_parallel import class_rows, count_rows
from fr_train.errors import CheckpointError
from fr_train.losses.arguments import require
from fr_train.losses.loss_layer import LossLayer
from fr_train.model.rows import set_rows, take_rows

__all__ = ["CenterLoss"]

Tensor = Any


@keras.saving.register_keras_serializable("fr_train")
class CenterLoss(LossLayer):
    """The mean over D of (x − c_y)², times a factor, with the centers as they were before the batch.

    In training, each row of the batch then moves its center: c_y −= alpha·(c_y − x) / (1 + rows with that label).

    Args:
        num_classes: C.
        embedding_size: D.
        alpha: part of the way that a center goes.
        factor: of the loss.
        kwargs: of `keras.layers.Layer`.

    Attributes:
        centers: (C, D) float32 variable, zero at first; the optimizer does not train it.

    Reference:
        Wen et al. 2016, A Discriminative Feature Learning Approach for Deep Face Recognition.
    """

    needs_head = False
    needs_embedding = True

    def __init__(
        self, num_classes: int, embedding_size: int, *, alpha: float = 0.5, factor: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        holds = num_classes >= 1 and embedding_size >= 1
        require(holds, "at least 1 class and 1 value an embedding", f"{num_classes} and {embedding_size}")
        require(0 <= alpha <= 1, "an alpha from 0 to 1", alpha)
        require(0 < factor < math.inf, "a positive factor", factor)
        self.num_classes, self.embedding_size = num_classes, embedding_size
        self.alpha, self.factor = alpha, factor
        self.centers = self.add_state("centers", (count_rows(num_classes), embedding_size))

    def call(self, labels: Tensor, embedding: Tensor, training: bool = False) -> Tensor:
        """Gives (B,) float32 losses for (B,) labels and (B, D) embeddings."""
        labels, embedding = ops.cast(labels, "int32"), ops.cast(embedding, "float32")
        centers = take_rows(self.centers, labels)
        offsets = centers - embedding
        if training:
            # Rows of one label all write the same: the center after the steps of all of them.
            same = ops.cast(labels[:, None] == labels[None, :], "float32")
            steps = self.alpha / (1.0 + ops.sum(same, axis=1, keepdims=True)) * ops.matmul(same, offsets)
            moved = ops.where(ops.isfinite(steps), centers - steps, centers)  # as `move` does
            set_rows(self.centers, labels, ops.stop_gradient(moved))
        return self.factor * ops.mean(ops.square(offsets), axis=1)

    def load_centers(self, path: Path) -> None:
        """Takes the centers from a `centers.npy`.

        Args:
            path: (C, D) floats.

        Raises:
            CheckpointError: if the file is missing or damaged, or holds anything else.
        """
        try:
            centers = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise CheckpointError(f"{path}: expected an array of centers, it cannot be read: {error}.") from error
        shape = (self.num_classes, self.embedding_size)
        if not isinstance(centers, np.ndarray) or centers.shape != shape or centers.dtype.kind != "f":
            received = f"{centers.dtype} of shape {centers.shape}" if isinstance(centers, np.ndarray) else "an archive"
            raise CheckpointError(
                f"{path}: expected floats of shape {shape}, a center a class, received {received}. "
                "Give the centers of a run with these classes and this embedding size."
            )
        if not np.isfinite(centers).all():
            row = int(np.flatnonzero(~np.isfinite(centers).all(axis=1))[0])
            raise CheckpointError(f"{path}: the center of class {row} is not finite. Give centers of an earlier epoch.")
        class_rows(self.centers).assign(centers.astype(np.float32))

    def save_centers(self, path: Path) -> None:
        """Write the centers as (C, D) float32.

        Raises:
            OutputError: they cannot be written; an older file is then untouched.
        """
        with whole_file(path) as draft:
            np.save(draft, np.asarray(class_rows(self.centers)), allow_pickle=False)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "embedding_size": self.embedding_size,
            "alpha": self.alpha,
            "factor": self.factor,
        }
