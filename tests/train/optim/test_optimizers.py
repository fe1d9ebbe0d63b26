import math

import keras
import numpy as np
import pytest

from fr_train.config.config import OPTIMIZERS, OptimizerConfig, ScheduleConfig
from fr_train.optim.optimizers import build_optimizer
from fr_train.optim.schedules import Schedule


def rates(config, *, steps_per_epoch=10, epochs=4, peak=0.1):
    schedule = Schedule(config, peak=peak, steps_per_epoch=steps_per_epoch, epochs=epochs)
    return [float(schedule(step)) for step in range(steps_per_epoch * epochs)]


def test_a_constant_rate_is_constant():
    assert rates(ScheduleConfig(name="constant")) == pytest.approx([0.1] * 40)


def test_the_cosine_falls_to_its_final_part():
    received = rates(ScheduleConfig(name="cosine", final_fraction=0.1))
    expected = [0.1 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 40)) / 2) for step in range(40)]
    assert received == pytest.approx(expected, rel=1e-5)


def test_the_cosine_begins_after_its_warm_up():
    received = rates(ScheduleConfig(name="cosine", warmup_epochs=1))
    assert received[:11] == pytest.approx([0.01 * (step + 1) for step in range(10)] + [0.1], abs=1e-6)
    assert received[10:] == sorted(received[10:], reverse=True)


def test_steps_multiply_the_rate_at_their_epochs():
    received = rates(ScheduleConfig(name="step", step_epochs=(1, 2.5), step_factor=0.1))
    assert received == pytest.approx([0.1] * 10 + [0.01] * 15 + [0.001] * 15, rel=1e-5)


def test_steps_may_warm_up_as_well():
    received = rates(ScheduleConfig(name="step", step_epochs=(2,), warmup_epochs=0.5))
    assert received[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1], rel=1e-5)


def test_the_exponential_falls_from_its_epoch_on():
    received = rates(ScheduleConfig(name="exponential", decay_from_epoch=1.0, decay_factor=0.5))
    assert received == pytest.approx([0.1 * 0.5 ** max(step / 10 - 1, 0) for step in range(40)], rel=1e-5)


def test_the_polynomial_falls_to_nothing():
    received = rates(ScheduleConfig(name="polynomial", power=2.0))
    assert received == pytest.approx([0.1 * (1 - step / 40) ** 2 for step in range(40)], rel=1e-5)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_cosine_restarts_with_periods_that_grow(factor):
    received = rates(ScheduleConfig(name="cosine", restart_epochs=1.0, restart_factor=factor), epochs=7)
    starts = [0, 10, 30] if factor == 2 else [0, 10, 20, 30, 40, 50, 60]
    lengths = [10, 20, 40] if factor == 2 else [10] * 7
    expected = [0.05 * (1 + math.cos(math.pi * step / n)) for n in lengths for step in range(n)]
    assert received == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert [received[start] for start in starts] == pytest.approx([0.1] * len(starts), rel=1e-3)


def test_an_epoch_of_another_length_is_stretched_so_that_the_next_begins_where_it_would_have():
    config = ScheduleConfig(name="step", step_epochs=(1, 2.5), step_factor=0.1, warmup_epochs=0.5)
    schedule = Schedule(config, peak=0.1, steps_per_epoch=10, epochs=4)
    received, step = [], 0
    for epoch, num_steps in enumerate((20, 4, 10, 2)):
        schedule.begin_epoch(epoch, step=step, num_steps=num_steps)
        received.append([float(schedule(step + number)) for number in range(num_steps)])
        step += num_steps
    rising = [0.02 + 0.01 * number for number in range(8)]
    assert received[0] == pytest.approx(rising + [0.1] * 12)
    assert received[1:] == [pytest.approx(rates) for rates in ([0.01] * 4, [0.01] * 5 + [0.001] * 5, [0.001] * 2)]


def test_a_factor_shrinks_any_rate_and_survives_serialisation():
    schedule = Schedule(ScheduleConfig(name="step", step_epochs=(1.0,)), peak=0.1, steps_per_epoch=10, epochs=2)
    schedule.factor.assign(0.5)
    assert float(schedule(0)) == pytest.approx(0.05)
    twin = Schedule.from_config(schedule.get_config())
    assert [float(twin(step)) for step in (0, 10)] == pytest.approx([0.1, 0.01])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_of_several_batches_are_averaged_before_the_weights_move(name):
    def train(accumulate_steps, gradients):
        variable = keras.Variable(np.ones(3, dtype=np.float32))
        config = OptimizerConfig(name=name, learning_rate=0.1, weight_decay=0.0, accumulate_steps=accumulate_steps)
        schedule = Schedule(ScheduleConfig(name="constant"), peak=0.1, steps_per_epoch=1, epochs=1)
        optimizer = build_optimizer(config, schedule, [variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, dtype=np.float32))], [variable])
        return np.asarray(variable)

    mean = train(1, [[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(train(2, [[0.0, 2.0, 4.0], [2.0, 2.0, 2.0]]), mean, rtol=1e-5)
    np.testing.assert_array_equal(train(2, [[1.0, 2.0, 3.0]]), np.ones(3))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_takes_weights_and_spares_normalisation_and_biases(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = build_optimizer(
        OptimizerConfig(name=name, learning_rate=0.5, weight_decay=0.1),
        Schedule(ScheduleConfig(name="constant"), peak=0.5, steps_per_epoch=1, epochs=1),
        model.trainable_variables,
    )
    zero = [np.zeros(v.shape, dtype=np.float32) for v in model.trainable_variables]
    optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in zero], model.trainable_variables)
    after = {v.path.split("/")[-1]: float(np.asarray(v).mean()) for v in model.trainable_variables}
    assert after == {"kernel": pytest.approx(1 - 0.5 * 0.1), "bias": 1.0, "gamma": 1.0, "beta": 1.0}
