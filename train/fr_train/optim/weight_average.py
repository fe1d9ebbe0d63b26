"""A running average of weights, which often scores better than the weights themselves (Polyak and Juditsky 1992)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

__all__ = ["WeightAverage"]


class WeightAverage:
    """average = m · average + (1 − m) · weight after each step, with a smaller m over the first ones; it lasts through all phases.

    Args:
        weights: Keras variables.
        momentum: m, in (0, 1).

    Attributes:
        variables: the averages, then the number of steps.
    """

    def __init__(self, weights: Sequence[Any], *, momentum: float) -> None:
        self._weights = list(weights)
        self._trained = set(map(id, self._weights))
        self._momentum = momentum
        self._averages = [
            keras.Variable(ops.copy(weight), trainable=False, dtype="float32", name="average")
            for weight in self._weights
        ]
        self._steps = keras.Variable(0.0, trainable=False, dtype="float32", name="average_steps")

    @property
    def variables(self) -> list[Any]:
        """What a checkpoint must hold."""
        return [*self._averages, self._steps]

    def follow_only(self, trained: Sequence[Any]) -> None:
        """From now on moves the averages of these weights alone: where others are frozen, so are their averages."""
        self._trained = set(map(id, trained))

    def follow(self) -> None:
        """Moves the averages; part of a training step."""
        self._steps.assign_add(1.0)
        momentum = ops.minimum(self._momentum, self._steps / (10.0 + self._steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            if id(weight) in self._trained:
                average.assign(momentum * average + (1.0 - momentum) * weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the averages in the weights' place while it is entered."""
        kept = [ops.copy(weight) for weight in self._weights]
        for average, weight in zip(self._averages, self._weights, strict=True):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, kept, strict=True):
                weight.assign(value)
