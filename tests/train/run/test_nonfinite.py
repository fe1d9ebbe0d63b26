"""Steps that give no number: nothing of them may stay, and an epoch of them is no good one."""

import json
import math

import keras
import numpy as np
import pytest
from tests.train.run.test_train import VALUES, config_of, start
from tests.train.step import training_steps as steps

from fr_train.run.curves import BIN_SUFFIX
from fr_train.run.train import score_of, train

BASE = {**VALUES, "epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 0.01}}


def kernel_of(network):
    """The first convolution's kernel: what it makes too large overflows in every normalisation behind it."""
    return next(layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.Conv2D)).kernel


@pytest.mark.parametrize(("precision", "activation"), [("float32", "prelu"), ("mixed_float16", "relu")])
def test_an_overflow_leaves_no_trace_in_running_means_and_variances(shards, precision, activation):
    model = {**BASE["model"], "activation": activation}
    phase = steps.build_phase({**BASE, "shards": str(shards), "precision": precision, "model": model})
    network = phase.step.network
    batches = [(images, labels) for images, labels, _ in phase.stream.epoch(0).first(3)]
    assert phase.step(*batches[0]).is_finite
    before = [np.asarray(variable) for variable in network.non_trainable_variables]
    kernel = np.asarray(kernel_of(network))
    kernel_of(network).assign(np.full_like(kernel, 1e30))
    assert not phase.step(*batches[1]).is_finite
    for variable, value in zip(network.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
    kernel_of(network).assign(kernel)
    result = phase.step(*batches[2])
    assert result.is_finite
    moved = [np.asarray(variable) for variable in network.non_trainable_variables]
    assert all(np.isfinite(value).all() for value in moved)
    assert any((value != old).any() for value, old in zip(moved, before, strict=True))
    assert np.isfinite(network(np.zeros((1, *network.input_shape[1:]), dtype=np.float32))).all()


def test_skipped_steps_are_told_the_first_is_kept_and_an_epoch_of_them_is_not_the_best(shards, tmp_path, capsys):
    hopeless = {"name": "sgd", "learning_rate": 1e30, "weight_decay": 0.0}
    config = config_of(shards, epochs=3, on_nonfinite="skip", optimizer=hopeless)
    run = start(tmp_path / "run", config)
    result = train(config, run)
    first, *others = result.history
    num_steps = first["step"]
    assert 0 < first["skipped_steps"] < num_steps
    for row in others:
        assert row["skipped_steps"] == num_steps
        assert math.isnan(row["loss"])
    assert result.position.best_score == pytest.approx(-first["loss"])
    report = json.loads(run.nonfinite.read_text())
    assert (report["epoch"], report["step"]) == (1, num_steps - first["skipped_steps"] + 1)
    told = capsys.readouterr().err
    assert f"Epoch 1/3: {first['skipped_steps']} of {num_steps} steps were left out" in told
    assert f"Epoch 2/3: {num_steps} of {num_steps} steps were left out" in told


def test_no_number_is_the_worst_score():
    assert score_of({"loss": math.nan}) == -math.inf
    assert score_of({"loss": 2.0}) == -2.0
    assert score_of({"loss": math.nan, f"x{BIN_SUFFIX}": 0.75}) == 0.75
