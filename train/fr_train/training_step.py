"""One training step: embeddings, cosines, loss, gradients, update, compiled as one graph."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

__all__ = ["TrainingStep"]


class TrainingStep:
    """The parts that are trained, and the step that trains them.

    Args:
        network: images → embeddings.
        head: embeddings → cosines, built.
        loss: labels and cosines → mean loss.
        optimizer: built for the trainable variables of both.
    """

    def __init__(self, network: Any, head: Any, loss: Any, optimizer: Any) -> None:
        self.network = network
        self.head = head
        self.loss = loss
        self.optimizer = optimizer
        self.trainable = trainable_variables(network, head)
        # XLA makes convolutions on CPU many times slower, so it stays off.
        self._run = tf.function(self._step, jit_compile=False, reduce_retracing=True)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[float, float]:
        """Does one step.

        Args:
            images: (B, H, W, 3) uint8.
            labels: (B,) int32.

        Returns:
            Mean loss, and the part of the batch whose class has the greatest cosine.
        """
        loss, accuracy = self._run(images, labels)
        return float(loss), float(accuracy)

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            cosine = self.head(self.network(images, training=True))
            loss = self.loss(labels, cosine)
            total = tf.add_n([loss, *self.network.losses])
        self.optimizer.apply(tape.gradient(total, self.trainable), self.trainable)
        correct = tf.argmax(cosine, axis=1, output_type=tf.int32) == labels
        return loss, tf.reduce_mean(tf.cast(correct, tf.float32))

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.learning_rate)

    def variables(self) -> Mapping[str, Any]:
        """All that a checkpoint must hold, by a name that is the same in every run of a config."""
        parts = {
            "network": self.network.variables,
            "head": self.head.variables,
            "optimizer": self.optimizer.variables,
        }
        return {
            f"{part}/{number:04d}/{variable.path}": variable
            for part, variables in parts.items()
            for number, variable in enumerate(variables)
        }


def trainable_variables(network: Any, head: Any) -> list[Any]:
    """The variables that are trained, in the order in which the optimizer keeps its slots."""
    return [*network.trainable_variables, *head.trainable_variables]
