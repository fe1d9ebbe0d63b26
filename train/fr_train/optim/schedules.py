"""Learning rates over a phase, as functions of the step."""

import math
from dataclasses import asdict
from typing import Any

import keras
from keras import ops

from fr_train.config.config import ScheduleConfig

__all__ = ["Schedule"]

Tensor = Any


@keras.saving.register_keras_serializable("fr_train")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of a phase: warm-up, course, and a factor that shrinks on a plateau.

    Args:
        config: its shape.
        peak: the highest learning rate.
        steps_per_epoch: steps an epoch; `begin_epoch` tells of one that has others.
        epochs: length of the phase.

    Attributes:
        factor: what everything is multiplied by; a Keras variable that the trainer changes on a plateau.
        variables: all that a checkpoint must hold.
    """

    def __init__(self, config: ScheduleConfig, *, peak: float, steps_per_epoch: int, epochs: int) -> None:
        self.config = config
        self.peak = peak
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.factor = keras.Variable(1.0, trainable=False, dtype="float32", name="plateau_factor")
        self._epoch = keras.Variable([0.0, 0.0, 1.0], trainable=False, dtype="float32", name="schedule_epoch")
        self.variables = [self.factor, self._epoch]

    def begin_epoch(self, epoch: int, *, step: int, num_steps: int) -> None:
        """Stretches or squeezes an epoch to the steps it has, so that the course over the phase stays that of its epochs.

        Args:
            epoch: of the phase, from 0.
            step: of the optimizer, where it begins.
            num_steps: its length.
        """
        self._epoch.assign([epoch * self.steps_per_epoch, step, self.steps_per_epoch / num_steps])

    def __call__(self, step: Tensor) -> Tensor:
        """The learning rate at a step, counted from 0."""
        before, first_step, stretch = ops.unstack(self._epoch.value)
        step = before + (ops.cast(step, "float32") - first_step) * stretch
        warmup_steps = round(self.config.warmup_epochs * self.steps_per_epoch)
        after_warmup = ops.maximum(step - warmup_steps, 0.0)
        rate = self.peak * self.factor * self._course(step, after_warmup, warmup_steps)
        return rate * ops.minimum(1.0, (step + 1) / warmup_steps) if warmup_steps else rate

    def _course(self, step: Tensor, after_warmup: Tensor, warmup_steps: int) -> Tensor:
        """The part of the peak, without warm-up."""
        config = self.config
        epoch = step / self.steps_per_epoch
        if config.name == "step":
            passed = sum((ops.cast(epoch >= boundary, "float32") for boundary in config.step_epochs), start=0.0)
            return ops.power(config.step_factor, passed)
        if config.name == "exponential":
            return ops.power(config.decay_factor, ops.maximum(epoch - config.decay_from_epoch, 0.0))
        if config.name == "constant":
            return ops.ones_like(step)
        done = ops.minimum(after_warmup / max(1, self.steps_per_epoch * self.epochs - warmup_steps), 1.0)
        if config.name == "polynomial":
            falling = ops.power(1.0 - done, config.power)
        else:
            if config.restart_epochs:
                done = self._part_of_period(after_warmup)
            falling = 0.5 * (1.0 + ops.cos(math.pi * done))
        return config.final_fraction + (1.0 - config.final_fraction) * falling

    def _part_of_period(self, after_warmup: Tensor) -> Tensor:
        """How much of its period is over (Loshchilov and Hutter 2017, SGDR: periods grow by a factor)."""
        factor, periods = self.config.restart_factor, after_warmup / (self.config.restart_epochs * self.steps_per_epoch)
        if factor == 1.0:
            return periods - ops.floor(periods)
        number = ops.floor(ops.log(1.0 + periods * (factor - 1.0)) / math.log(factor) + 1e-5)
        return (periods - (ops.power(factor, number) - 1.0) / (factor - 1.0)) / ops.power(factor, number)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            "config": asdict(self.config),
            "peak": self.peak,
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Schedule":
        """Makes it of these arguments again."""
        table: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in config["config"].items()
        }
        return cls(ScheduleConfig(**table), **{key: value for key, value in config.items() if key != "config"})
