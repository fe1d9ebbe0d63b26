"""Class weights over several devices, in processes of their own, since a process has one backend and the devices it began with."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tests.train.jax_process import run_script

from fr_train.devices.model_parallel import PaddedRows, class_rows, count_rows, hide_padding, lay_over_devices
from fr_train.errors import ConfigError
from fr_train.model.heads import CosineHead

NUM_CLASSES, NUM_ROWS, SIZE, BATCH_SIZE = 9_998, 10_000, 16, 12
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install '.[jax]'"
)


def run(num_devices, *, rate=1.0, loss="arcface"):
    script = Path(__file__).with_name("class_shard_step.py")
    report = json.loads(run_script(script, num_devices, NUM_CLASSES, rate, loss, devices=4, optimize=True))
    assert report["devices"] == 4
    return report


@pytest.fixture(scope="module")
def one():
    return run(1, loss="center+arcface")


@pytest.fixture(scope="module")
def four():
    return run(4, loss="center+arcface")


@needs_jax
def test_each_of_four_devices_holds_a_quarter(one, four):
    assert len(four["held"]) == 4
    assert max(four["held"]) < 0.3 * sum(one["held"])


@needs_jax
def test_no_device_makes_all_logits_or_all_class_weights(one, four):
    whole = {f"{BATCH_SIZE},{NUM_ROWS}", f"{BATCH_SIZE},{NUM_CLASSES}", f"{NUM_ROWS},{SIZE}", f"{NUM_CLASSES},{SIZE}"}
    part = {f"{BATCH_SIZE},{NUM_ROWS // 4}", f"{NUM_ROWS // 4},{SIZE}"}
    assert not whole & set(four["shapes"])
    assert part <= set(four["shapes"])
    assert whole & set(one["shapes"])  # so such shapes are found where they are
    assert four["temporary"] < 0.4 * one["temporary"]


@needs_jax
def test_devices_exchange_embeddings_and_gradients_of_the_network_alone(one, four):
    assert one["moved"] == 0
    assert BATCH_SIZE * SIZE <= four["moved"] <= SIZE * SIZE + SIZE + BATCH_SIZE * SIZE


@needs_jax
def test_four_devices_take_the_steps_of_one_and_leave_the_padding_zero(one, four):
    np.testing.assert_allclose(four["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(four["weights"], one["weights"], rtol=1e-5)
    assert four["padding"] == 0


@needs_jax
def test_the_rows_of_the_classes_can_be_set_and_stay_where_they_are(four):
    assert four["assigned"]
    assert "devices" in four["stays"]


@needs_jax
def test_a_sample_of_classes_is_laid_over_the_devices_as_well():
    one, four = run(1, rate=0.1), run(4, rate=0.1)
    np.testing.assert_allclose(four["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(four["weights"], one["weights"], rtol=1e-5)
    assert max(four["held"]) < 0.3 * sum(one["held"])
    assert not {f"{NUM_ROWS},{SIZE}", f"{NUM_CLASSES},{SIZE}", f"{BATCH_SIZE},996"} & set(four["shapes"])


def test_on_one_device_nothing_changes():
    head = CosineHead(5)
    head.build((None, 4))
    assert head.class_weights.shape == (count_rows(5), 4) == (5, 4)
    assert class_rows(head.class_weights) is head.class_weights
    logits = head(np.ones((2, 4), np.float32))
    assert hide_padding(logits, 5) is logits


def test_logits_of_no_class_are_the_least_whatever_they_were():
    logits = np.array([[1.0, -3.0, 9.0], [0.0, 2.0, np.inf]], np.float32)
    hidden = np.asarray(hide_padding(logits, 2))
    np.testing.assert_array_equal(hidden[:, :2], logits[:, :2])
    assert (hidden[:, 2] < -1e8).all()


def test_classes_are_drawn_as_if_no_row_were_behind_them():
    import keras

    initializer = keras.initializers.RandomNormal(seed=3)
    padded = np.asarray(PaddedRows(initializer, 5)((8, 2), "float32"))
    np.testing.assert_array_equal(padded[:5], np.asarray(initializer((5, 2), "float32")))
    assert not padded[5:].any()


def test_devices_that_are_not_there_or_cannot_share_a_batch_are_refused():
    with pytest.raises(ConfigError, match=r"devices: expected at most \d+ .*received 1000"):
        lay_over_devices(1000, num_classes=10, batch_size=1000)
