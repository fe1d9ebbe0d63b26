"""Optimizers and learning rates of a run."""

from typing import Any

import keras

from fr_train.config import OptimizerConfig, ScheduleConfig

__all__ = ["build_optimizer", "build_schedule"]

NOT_DECAYED = ("gamma", "beta", "bias", "alpha")  # of normalisation, PReLU and dense layers, as the field does


def build_schedule(config: ScheduleConfig, *, peak: float, steps_per_epoch: int, epochs: int) -> Any:
    """Makes the learning rate as a function of the step.

    Args:
        config: its shape.
        peak: the highest learning rate.
        steps_per_epoch: steps an epoch.
        epochs: length of the run.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    total_steps = max(1, steps_per_epoch * epochs)
    if config.name == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup_steps else peak,
            max(1, total_steps - warmup_steps),
            alpha=config.final_fraction,
            warmup_target=peak if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    epochs_of_change = config.step_epochs if config.name == "step" else ()
    boundaries = [round(epoch * steps_per_epoch) for epoch in epochs_of_change]
    rates = [peak * config.step_factor**power for power in range(len(boundaries) + 1)]
    return _Steps(boundaries, rates, warmup_steps)


@keras.saving.register_keras_serializable("fr_train")
class _Steps(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that changes at boundaries, after a linear rise; without boundaries a constant."""

    def __init__(self, boundaries: list[int], rates: list[float], warmup_steps: int) -> None:
        self.boundaries = boundaries
        self.rates = rates
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step, counted from 0."""
        step = keras.ops.cast(step, "float32")
        rate = keras.ops.convert_to_tensor(self.rates[0], dtype="float32")
        for boundary, value in zip(self.boundaries, self.rates[1:], strict=True):
            rate = keras.ops.where(step >= boundary, value, rate)
        if self.warmup_steps:
            rate = rate * keras.ops.minimum(1.0, (step + 1) / self.warmup_steps)
        return rate

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {"boundaries": self.boundaries, "rates": self.rates, "warmup_steps": self.warmup_steps}


def build_optimizer(config: OptimizerConfig, schedule: Any, variables: list[Any]) -> Any:
    """Makes an optimizer and its slots for these variables; decay is decoupled, and spares normalisation and biases."""
    common = {
        "learning_rate": schedule,
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm or None,
    }
    if config.name == "sgd":
        optimizer = keras.optimizers.SGD(momentum=config.momentum, nesterov=True, **common)
    else:
        optimizer = keras.optimizers.AdamW(**common)
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if v.name in NOT_DECAYED])
    optimizer.build(variables)
    return optimizer
