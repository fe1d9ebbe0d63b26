"""One training step: embeddings, logits, loss, gradients, update, compiled as one graph."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from fr_train.accelerate import accelerate
from fr_train.weight_average import WeightAverage

__all__ = ["StepResult", "TrainingStep"]


class StepResult(NamedTuple):
    """What a step gives; tensors, so that nobody waits for them before they are looked at.

    Attributes:
        losses: (B,) float32, of each row.
        accuracy: part of the batch whose class has the greatest logit without margin; NaN without a head.
        is_finite: whether loss and gradients were numbers; where not, no weight was changed.
    """

    losses: tf.Tensor
    accuracy: tf.Tensor
    is_finite: tf.Tensor


class TrainingStep:
    """The parts that are trained, and the step that trains them.

    Args:
        network: images → embeddings.
        head: embeddings → logits, built; None where the loss needs none.
        loss: a `WeightedSum`.
        optimizer: built for `trainable`.
        trainable: the variables that are trained.
        schedule: the optimizer's learning rate.
        average: a running average of weights that follows the steps.
        xla: compile by XLA.
    """

    def __init__(
        self,
        network: Any,
        head: Any,
        loss: Any,
        optimizer: Any,
        *,
        trainable: list[Any],
        schedule: Any,
        average: WeightAverage | None = None,
        xla: bool = False,
    ) -> None:
        self.network, self.head, self.loss, self.optimizer = network, head, loss, optimizer
        self.schedule, self.average, self._trainable = schedule, average, trainable
        self._trained = network if xla else accelerate(network)
        # XLA makes convolutions on a CPU many times slower.
        self._run = tf.function(self._step, jit_compile=xla, reduce_retracing=True)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """Does one step.

        Args:
            images: (B, H, W, 3) uint8.
            labels: (B,) int32.
        """
        return StepResult(*self._run(images, labels))

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            embedding = self._trained(images, training=True)
            logits = self.head(embedding) if self.head is not None else None
            losses = self.loss(labels, embedding=embedding, logits=logits, training=True)
            total = tf.add_n([tf.reduce_mean(losses), *self._trained.losses])
            scaled = self.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, self._trainable)
        is_finite = tf.math.is_finite(total)
        if not isinstance(
            self.optimizer, keras.optimizers.LossScaleOptimizer
        ):  # which deals with infinite gradients itself
            present = [gradient for gradient in gradients if gradient is not None]
            is_finite &= tf.math.is_finite(tf.linalg.global_norm(present))
        tf.cond(is_finite, lambda: self._update(gradients), lambda: tf.constant(0))
        return losses, self._accuracy(logits, labels), is_finite

    def _update(self, gradients: list[Any]) -> tf.Tensor:
        self.optimizer.apply(gradients, self._trainable)
        if self.average is not None:
            self.average.follow()
        return tf.constant(0)

    @staticmethod
    def _accuracy(logits: tf.Tensor | None, labels: tf.Tensor) -> tf.Tensor:
        if logits is None:
            return tf.constant(float("nan"))
        return tf.reduce_mean(tf.cast(tf.argmax(logits, axis=1, output_type=tf.int32) == labels, tf.float32))

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule(self.num_done()))

    def num_done(self) -> int:
        """The number of steps, as the schedule counts them: without those that were skipped."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return int(optimizer.iterations) * (optimizer.gradient_accumulation_steps or 1)

    def variables(self) -> Mapping[str, Any]:
        """All that a checkpoint must hold, by a name that is the same in every run of a config."""
        parts = {
            "network": self.network.variables,
            "head": self.head.variables if self.head is not None else [],
            "loss": self.loss.variables,
            "optimizer": self.optimizer.variables,
            "schedule": self.schedule.variables,
            "average": self.average.variables if self.average else [],
        }
        return {
            f"{part}/{number:04d}/{variable.path}": variable
            for part, variables in parts.items()
            for number, variable in enumerate(variables)
        }
