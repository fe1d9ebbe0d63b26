"""One training step: embeddings, logits, loss, gradients, update, compiled as one graph."""

from typing import Any

import keras
import tensorflow as tf

from fr_train.data.tensors import to_tensor
from fr_train.step.base import Step, StepResult
from fr_train.step.cpu.accelerate import accelerate

__all__ = ["TrainingStep"]

Tensor = Any


class TrainingStep(Step):
    """The step under TensorFlow.

    Args:
        parts: see `Step`.
        xla: compile by XLA.
        options: see `Step`.
    """

    def __init__(self, *parts: Any, xla: bool = False, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._trained = self.network if xla else accelerate(self.network)
        # XLA makes convolutions on a CPU many times slower.
        self._run = tf.function(self._step, jit_compile=xla, reduce_retracing=True, autograph=False)

    def __call__(self, images: Any, labels: Any, *, interrupted: bool = False) -> StepResult:
        """Does one step; see `Step`."""
        losses, accuracy, is_finite = self._run(to_tensor(images), to_tensor(labels))
        return StepResult(losses, accuracy, is_finite, interrupted)

    def _step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradients, losses, accuracy, is_finite = self._differentiate(images, labels)
        tf.cond(is_finite, lambda: self._update(gradients), lambda: tf.constant(0))
        return losses, accuracy, is_finite

    def _differentiate(self, images: Tensor, labels: Tensor) -> tuple[list[Any], Tensor, Tensor, Tensor]:
        """Gives the gradients of the trainable variables; the losses, the accuracy, and whether all are numbers."""
        columns = self.sample.read(labels, self.optimizer.iterations) if self.sample else labels
        before = [tf.identity(figure.value) for figure in self._figures]
        head = self.sample or self.head
        with tf.GradientTape() as tape:
            embedding, labels, columns = self._share(self._trained(images, training=True), labels, columns)
            logits = head(embedding) if head is not None else None
            losses = self.loss(labels, embedding=embedding, logits=logits, columns=columns, training=True)
            total = tf.add_n([tf.reduce_mean(losses), *self._trained.losses])
            scaled = self.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, self._trainable)
        gradients, losses, accuracy = self._reduce(gradients, losses, self._accuracy(logits, columns))
        is_finite = tf.math.is_finite(tf.reduce_sum(losses)) & tf.math.is_finite(total)
        if not isinstance(
            self.optimizer, keras.optimizers.LossScaleOptimizer
        ):  # which deals with infinite gradients itself
            present = [gradient for gradient in gradients if gradient is not None]
            is_finite &= tf.math.is_finite(tf.linalg.global_norm(present))
        for figure in self._figures:
            is_finite &= tf.reduce_all(tf.math.is_finite(figure.value))
        is_finite = self._agree(is_finite)
        for figure, value in zip(self._figures, before, strict=True):
            figure.assign(tf.where(is_finite, figure.value, value))
        return gradients, losses, accuracy, is_finite

    def _share(self, embedding: Tensor, labels: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gives what the losses look at: the rows that this device scores."""
        return embedding, labels, columns

    def _reduce(self, gradients: list[Any], losses: Tensor, accuracy: Tensor) -> tuple[list[Any], Tensor, Tensor]:
        """Gives gradients, losses and accuracy of the whole batch."""
        return gradients, losses, accuracy

    def _agree(self, is_finite: Tensor) -> Tensor:
        """Gives whether all is finite on all devices."""
        return is_finite

    def _update(self, gradients: list[Any]) -> Tensor:
        self.optimizer.apply(gradients, self._trainable)
        if self.sample is not None:
            self.sample.write()
        if self.average is not None:
            self.average.follow()
        return tf.constant(0)

    @staticmethod
    def _accuracy(logits: Tensor | None, labels: Tensor) -> Tensor:
        if logits is None:
            return tf.constant(float("nan"))
        return tf.reduce_mean(tf.cast(tf.argmax(logits, axis=1, output_type=tf.int32) == labels, tf.float32))
