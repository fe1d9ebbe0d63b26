"""The running average of weights over phases, and where a run is interrupted."""

import os
import signal

import keras
import numpy as np
import pytest
from tests.train.run.test_train import VALUES, config_of, start

from fr_train.optim.weight_average import WeightAverage
from fr_train.run import train as trainer
from fr_train.run.checkpoint import read_checkpoint
from fr_train.run.start_weights import take_weights
from fr_train.run.train import train


def saved_weights(run):
    return [np.asarray(variable) for variable in keras.saving.load_model(run.last).trainable_variables]


def averages_of(run):
    arrays = read_checkpoint(run.checkpoints).arrays
    return [array for name, array in arrays.items() if name.startswith("average/") and not name.endswith("steps")]


def test_only_the_weights_that_are_trained_are_followed():
    weights = [keras.Variable(0.0), keras.Variable(0.0)]
    average = WeightAverage(weights, momentum=0.5)
    for trained, value in ((weights, 1.0), (weights[:1], 2.0)):
        average.follow_only(trained)
        for weight in weights:
            weight.assign(value)
        average.follow()
    first, second, _ = (float(variable) for variable in average.variables)
    # m = steps / (10 + steps): 1/11, then 1/6.
    assert (first, second) == pytest.approx((10 / 11 / 6 + 2 * 5 / 6, 10 / 11))


def test_a_phase_that_trains_the_head_alone_keeps_the_average_of_the_network(shards, tmp_path):
    phases = [{"epochs": 1}, {"epochs": 2, "freeze": ["network"], "optimizer": {"learning_rate": 1e-4}}]
    config = config_of(shards, phases=phases, ema=0.9)
    run = start(tmp_path / "run", config)
    seen = []
    train(config, run, quiet=True, on_epoch=lambda row: seen.append(saved_weights(run)))
    for after in seen[1:]:
        for one, other in zip(seen[0], after, strict=True):
            np.testing.assert_array_equal(one, other)
    for average, value in zip(averages_of(run), seen[-1], strict=True):
        np.testing.assert_array_equal(average, value)


def test_a_run_that_is_interrupted_within_an_epoch_saves_the_average_as_well(shards, tmp_path, monkeypatch):
    config = config_of(shards, epochs=1, ema=0.9)
    run = start(tmp_path / "run", config)
    run_epoch = trainer.run_epoch

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return run_epoch(*arguments, **options)

    monkeypatch.setattr(trainer, "run_epoch", interrupted)
    result = train(config, run, quiet=True)
    assert result.interrupted
    assert result.position.step > 0
    network = [array for name, array in read_checkpoint(run.checkpoints).arrays.items() if name.startswith("network/")]
    for average, value in zip(averages_of(run), saved_weights(run), strict=True):
        np.testing.assert_array_equal(average, value)
        assert not any(np.array_equal(value, other) for other in network if value.ndim > 1)


def test_another_run_starts_from_what_was_scored_and_saved(shards, tmp_path):
    config = config_of(shards, epochs=1, ema=0.9)
    run = start(tmp_path / "run", config)
    train(config, run, quiet=True)
    network = keras.saving.load_model(run.last)
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    assert take_weights(run.path, network, None) == "took the averaged weights of the network; this run has no head"
    for variable, value in zip(network.variables, keras.saving.load_model(run.last).variables, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(value))


def test_without_bins_the_best_model_is_one_of_the_last_phase(shards, tmp_path):
    phases = [
        {"name": "warm-up", "epochs": 1, "loss": {"name": "softmax"}},
        {"name": "margin", "epochs": 2, "loss": {"name": "arcface", "scale": 64.0}},
    ]
    config = config_of(shards, phases=phases)
    run = start(tmp_path / "run", config)
    result = train(config, run, quiet=True)
    losses = [row["loss"] for row in result.history]
    assert losses[0] < min(losses[1:])  # which says nothing: it is another loss
    assert result.position.best_score == pytest.approx(-min(losses[1:]))
    assert VALUES["epochs"] == 3
