"""A training step on several devices, of one machine or of many: what one device would do with the whole batch."""

from typing import Any

import tensorflow as tf

from fr_train.data.tensors import to_tensor
from fr_train.devices.replicas import Replicas
from fr_train.step.base import StepResult
from fr_train.step.tensorflow import TrainingStep

__all__ = ["ReplicatedStep"]

Tensor = Any


class ReplicatedStep(TrainingStep):
    """The step of TensorFlow on all devices at once; its variables must have been made within `replicas.scope()`.

    Each device embeds its part of the batch. Where a loss looks at rows by themselves, each scores its own; a loss that
    compares rows, or keeps running figures of them, is computed from all embeddings, on every device. Gradients are averaged.

    Args:
        parts: see `fr_train.step.base.Step`.
        replicas: the devices.
        options: see `fr_train.step.base.Step`.
    """

    def __init__(self, *parts: Any, replicas: Replicas, **options: Any) -> None:
        self._replicas = replicas
        super().__init__(*parts, **options)
        self._couples_rows = self.loss.batches != "any" or bool(self.loss.variables)
        # Gradients are summed before they are clipped and looked at, so the optimizer need not do it.
        self.optimizer._all_reduce_sum_gradients = list

    def __call__(self, images: Any, labels: Any, *, interrupted: bool = False) -> StepResult:
        """Does one step; see `fr_train.step.base.Step`."""
        images = self._replicas.split(to_tensor(images))
        return StepResult(*self._run_together(images, to_tensor(labels), tf.constant(float(interrupted))))

    def settle(self) -> None:
        """Averages the running figures of batch normalisation, which each device has of its own part of the batches."""
        self._average_figures()

    @tf.function(autograph=False)
    def _run_together(self, images: Any, labels: Tensor, interrupted: Tensor) -> tuple[Tensor, ...]:
        run = self._replicas.strategy.run
        gradients, *result = run(self._differentiate, args=(images, labels))
        losses, accuracy, is_finite = self._replicas.first(result)

        def update() -> Tensor:
            if self.optimizer.gradient_accumulation_steps:  # whose branches must not lie within `run`
                return self._update(self._replicas.first(gradients))
            run(self._update, args=(gradients,))
            return tf.constant(0)

        tf.cond(is_finite, update, lambda: tf.constant(0))
        return losses, accuracy, is_finite, self._replicas.sum(interrupted) > 0

    @tf.function(autograph=False)
    def _average_figures(self) -> None:
        def average() -> None:
            for variable in self.network.non_trainable_variables:
                if variable.dtype.startswith("float"):
                    context = tf.distribute.get_replica_context()
                    variable.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(variable.value)))

        self._replicas.strategy.run(average)

    def _share(self, embedding: Tensor, labels: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        context = tf.distribute.get_replica_context()
        if self._couples_rows:
            return context.all_gather(embedding, axis=0), labels, columns
        size, replica = tf.shape(embedding)[0], context.replica_id_in_sync_group
        mine = slice(replica * size, (replica + 1) * size)
        return embedding, labels[mine], columns[mine]

    def _reduce(self, gradients: list[Any], losses: Tensor, accuracy: Tensor) -> tuple[list[Any], Tensor, Tensor]:
        context = tf.distribute.get_replica_context()
        places = [place for place, gradient in enumerate(gradients) if gradient is not None]
        present = [tf.convert_to_tensor(gradients[place]) for place in places]
        gradients = list(gradients)
        for place, mean in zip(places, context.all_reduce(tf.distribute.ReduceOp.MEAN, present), strict=True):
            gradients[place] = mean
        if self._couples_rows:
            return gradients, losses, accuracy
        losses = context.all_gather(losses, axis=0)
        return gradients, losses, context.all_reduce(tf.distribute.ReduceOp.MEAN, accuracy)

    def _agree(self, is_finite: Tensor) -> Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~is_finite, tf.float32)) == 0
