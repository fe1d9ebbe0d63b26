import math

import keras
import numpy as np
import pytest

from fr_train.config import OptimizerConfig, ScheduleConfig
from fr_train.optimizers import build_optimizer, build_schedule


def rates(config, *, steps_per_epoch=10, epochs=4, peak=0.1):
    schedule = build_schedule(config, peak=peak, steps_per_epoch=steps_per_epoch, epochs=epochs)
    return [float(schedule(step)) for step in range(steps_per_epoch * epochs)]


def test_a_constant_rate_is_constant():
    assert rates(ScheduleConfig(name="constant")) == pytest.approx([0.1] * 40)


def test_the_cosine_falls_to_its_final_part():
    received = rates(ScheduleConfig(name="cosine", final_fraction=0.1))
    expected = [0.1 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 40)) / 2) for step in range(40)]
    assert received == pytest.approx(expected, rel=1e-5)


def test_the_cosine_begins_after_its_warm_up():
    received = rates(ScheduleConfig(name="cosine", warmup_epochs=1))
    assert received[:11] == pytest.approx([0.01 * step for step in range(11)], abs=1e-6)
    assert received[10:] == sorted(received[10:], reverse=True)


def test_steps_multiply_the_rate_at_their_epochs():
    received = rates(ScheduleConfig(name="step", step_epochs=(1, 2.5), step_factor=0.1))
    assert received == pytest.approx([0.1] * 10 + [0.01] * 15 + [0.001] * 15, rel=1e-5)


def test_steps_may_warm_up_as_well():
    received = rates(ScheduleConfig(name="step", step_epochs=(2,), warmup_epochs=0.5))
    assert received[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1], rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decay_takes_weights_and_spares_normalisation_and_biases(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = build_optimizer(
        OptimizerConfig(name=name, learning_rate=0.5, weight_decay=0.1),
        build_schedule(ScheduleConfig(name="constant"), peak=0.5, steps_per_epoch=1, epochs=1),
        model.trainable_variables,
    )
    zero = [np.zeros(v.shape, dtype=np.float32) for v in model.trainable_variables]
    optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in zero], model.trainable_variables)
    after = {v.path.split("/")[-1]: float(np.asarray(v).mean()) for v in model.trainable_variables}
    assert after == {"kernel": pytest.approx(1 - 0.5 * 0.1), "bias": 1.0, "gamma": 1.0, "beta": 1.0}
