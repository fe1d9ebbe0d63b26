"""What a training step is under every backend: its result, its count, and the variables that a checkpoint holds."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import keras

from fr_train.devices.model_parallel import class_rows
from fr_train.model.sampled_head import SampledHead
from fr_train.optim.weight_average import WeightAverage

__all__ = ["Step", "StepResult"]

Tensor = Any


class StepResult(NamedTuple):
    """What a step gives; tensors, so that nobody waits for them before they are looked at.

    Attributes:
        losses: (B,) float32, of each row.
        accuracy: part of the batch whose class has the greatest logit without margin, of those in the sample where the head is
            sampled; NaN without a head.
        is_finite: whether loss, gradients and running figures were numbers; where not, none of these and no weight was changed.
        interrupted: whether any of the processes that train together is asked to end.
    """

    losses: Tensor
    accuracy: Tensor
    is_finite: Tensor
    interrupted: Tensor = False


class Step(ABC):
    """The parts that are trained; a backend's step trains them.

    Args:
        network: images → embeddings.
        head: embeddings → logits, built; None where the loss needs none.
        loss: a `WeightedSum`.
        optimizer: built for `trainable`.
        trainable: the variables that are trained.
        schedule: the optimizer's learning rate.
        sample: what trains the head by samples of its classes; its rows are then trained, not the head's weights.
        average: a running average of weights that follows the steps.
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
        sample: SampledHead | None = None,
        average: WeightAverage | None = None,
    ) -> None:
        self.network, self.head, self.loss, self.optimizer = network, head, loss, optimizer
        self.schedule, self.sample, self.average, self._trainable = schedule, sample, average, trainable
        self._figures = _running_figures(network)

    @abstractmethod
    def __call__(self, images: Any, labels: Any, *, interrupted: bool = False) -> StepResult:
        """Does one step.

        Args:
            images: (B, H, W, 3) uint8, on the host; of several processes each gives its part of the batch.
            labels: (B,) int32, likewise, but always of the whole batch.
            interrupted: whether this process is asked to end.
        """

    def averaged(self) -> AbstractContextManager[None]:
        """Puts the running average of the weights in their place while it is entered, if there is one: what is scored and saved."""
        return self.average.in_place() if self.average else nullcontext()

    def settle(self) -> None:  # noqa: B027  nothing to do on one device
        """Makes equal on all devices what each keeps by itself, before it is looked at or saved."""

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule(self.num_done()))

    def num_done(self) -> int:
        """The number of steps, as the schedule counts them: without those that were skipped."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return int(optimizer.iterations.numpy()) * (optimizer.gradient_accumulation_steps or 1)

    def variables(self) -> Mapping[str, Any]:
        """All that a checkpoint must hold, by a name that is the same in every run of a config."""
        return {name: class_rows(variable) for name, variable in self._name_variables().items()}

    def _name_variables(self) -> dict[str, Any]:
        passing = {id(variable) for variable in self.sample.passing_variables} if self.sample else ()
        parts = {
            "network": self.network.variables,
            "head": self.head.variables if self.head is not None else [],
            "loss": self.loss.variables,
            "optimizer": [variable for variable in self.optimizer.variables if id(variable) not in passing],
            "sample": self.sample.slots if self.sample else [],
            "schedule": self.schedule.variables,
            "average": self.average.variables if self.average else [],
        }
        return {
            f"{part}/{number:04d}/{variable.path}": variable
            for part, variables in parts.items()
            for number, variable in enumerate(variables)
        }


def _running_figures(network: keras.Model) -> list[Any]:
    """Gives the means and variances that batch normalisation moves in a step, before it is known whether the loss is a number."""
    layers = network._flatten_layers()
    moved = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]
    return [figure for layer in moved for figure in (layer.moving_mean, layer.moving_variance)]
