"""A head for very many classes: a step reads, trains and writes those of a sample alone (PartialFC)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fr_train.model.class_order import mix
from fr_train.model.class_sample import draw_sample
from fr_train.model.rows import set_rows, take_rows

__all__ = ["SampledHead", "draw_weights"]

Tensor = Any
BLOCK_ROWS = 1 << 16


def draw_weights(head: Any) -> None:
    """Gives a head built with zeros such weights as it has otherwise, drawn in blocks: at once they take thrice their memory."""
    num_rows, *shape = head.class_weights.shape
    for start in range(0, num_rows, BLOCK_ROWS):
        rows = ops.arange(start, min(start + BLOCK_ROWS, num_rows), dtype="int32")
        set_rows(head.class_weights, rows, keras.initializers.RandomNormal(stddev=0.01)((len(rows), *shape)))


class SampledHead:
    """The weights of a sample of classes, as a variable that any optimizer trains which looks at each value by itself.

    A step begins with `read`, which draws the sample and fetches its rows of weights and of the optimizer's slots; the optimizer
    then moves these, decay and all, and `write` puts them back. Other rows are not looked at, so they do not decay either.

    Args:
        head: a built head, which holds the weights of all classes.
        size: S, the classes in a sample, at most C; see `fr_train.model.class_sample.count_sample`.
        seed: numbers of 32 bits; with the step's number they say which classes are drawn.

    Attributes:
        rows: (S, ...) the sample's weights, instead of the head's to be given to the optimizer.
        classes: (S,) int32 variable, the sample.
        slots: the optimizer's slots of all classes, which a checkpoint must hold.

    Reference:
        An et al. 2022, Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by Partial FC.
    """

    def __init__(self, head: Any, *, size: int, seed: Sequence[int]) -> None:
        if size > head.num_classes:
            raise ValueError(f"size: expected at most {head.num_classes}, the classes of the head, received {size}")
        self._head, self._seed = head, tuple(seed)
        shape = (size, *head.class_weights.shape[1:])
        self.rows = keras.Variable("zeros", shape=shape, dtype="float32", name="sampled_class_weights")
        self.slots: list[Any] = []
        self._slots_of_rows: list[Any] = []
        self.classes = keras.Variable("zeros", shape=(size,), dtype="int32", trainable=False, name="sampled_classes")

    @property
    def trainable_variables(self) -> list[Any]:
        """The rows, unless the head is frozen."""
        return [self.rows] if self._head.trainable else []

    @property
    def passing_variables(self) -> list[Any]:
        """What is filled anew in each step, so that no checkpoint needs it."""
        return [self.rows, *self._slots_of_rows]

    def add_slots(self, optimizer: Any) -> None:
        """Makes slots of all classes.

        Args:
            optimizer: built, also for `trainable_variables`.
        """
        prefix = f"{self.rows.path.replace('/', '_')}_"  # as Keras names slots
        self._slots_of_rows = [variable for variable in optimizer.variables if variable.name.startswith(prefix)]
        shape = self._head.class_weights.shape
        self.slots = [
            keras.Variable(
                "zeros", shape=shape, dtype=slot.dtype, trainable=False, name=slot.name.removeprefix("sampled_")
            )
            for slot in self._slots_of_rows
        ]

    def read(self, labels: Tensor, step: Tensor) -> Tensor:
        """Draws and fetches the sample of a step.

        Args:
            labels: (B,) integers.
            step: its number.

        Returns:
            The columns of the labels among the logits, (B,) int32.
        """
        key = ops.zeros((), dtype="uint32")
        for word in (*self._seed, step):
            key = mix(ops.bitwise_xor(key, ops.cast(word, "uint32")))
        num_classes, size = self._head.num_classes, self.rows.shape[0]
        classes, columns = draw_sample(labels, num_classes=num_classes, size=size, key=key)
        self.classes.assign(classes)
        for part, whole in self._pairs():
            part.assign(take_rows(whole, classes))
        return columns

    def __call__(self, embedding: Tensor) -> Tensor:
        """Gives the logits of the sample, (B, S) float32, for embeddings (B, D)."""
        return self._head.logits(embedding, self.rows)

    def write(self) -> None:
        """Puts the sample's rows back."""
        for part, whole in self._pairs() if self._head.trainable else ():
            set_rows(whole, self.classes, part)

    def _pairs(self) -> list[tuple[Any, Any]]:
        wholes = [self._head.class_weights, *self.slots]
        return list(zip(self.passing_variables, wholes, strict=True))
