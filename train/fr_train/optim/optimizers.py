"""Optimizers of a phase, all with decoupled weight decay."""

from collections.abc import Callable
from typing import Any

import keras

from fr_train.config.config import OptimizerConfig

__all__ = ["build_optimizer"]

NOT_DECAYED = ("gamma", "beta", "bias", "alpha")  # of normalisation, PReLU and dense layers, as the field does


def build_optimizer(config: OptimizerConfig, schedule: Any, variables: list[Any], *, scale_loss: bool = False) -> Any:
    """Makes an optimizer and its slots for these variables; decay spares normalisation and biases.

    Args:
        config: which, and how.
        schedule: the learning rate.
        variables: what is trained.
        scale_loss: keep small float16 gradients from vanishing by a loss scale that adapts itself.
    """
    optimizer = _find_optimizer(config.name)(
        learning_rate=schedule,
        weight_decay=config.weight_decay or None,
        global_clipnorm=config.clip_norm or None,
        gradient_accumulation_steps=config.accumulate_steps if config.accumulate_steps > 1 else None,
        name=config.name,  # its variables are called after it in checkpoints
        **({"momentum": config.momentum, "nesterov": config.momentum > 0} if config.name == "sgd" else {}),
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if v.name in NOT_DECAYED])
    if scale_loss:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def _find_optimizer(name: str) -> Callable[..., Any]:
    if keras.backend.backend() != "tensorflow":  # whose compilers make one pass of an update by themselves
        sgd, adam = keras.optimizers.SGD, keras.optimizers.Adam
    else:
        from fr_train.optim.fused_optimizers import FusedAdam, FusedSGD  # noqa: PLC0415

        sgd, adam = FusedSGD, FusedAdam
    optimizers: dict[str, Callable[..., Any]] = {
        "adamax": keras.optimizers.Adamax,
        "adamw": adam,
        "lamb": keras.optimizers.Lamb,
        "sgd": sgd,
    }
    return optimizers[name]
