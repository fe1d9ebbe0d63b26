"""Rates of a device, and the steps that measure them."""

import json

import keras
import pytest
import tensorflow as tf

from fr_train.config.config_file import parse_config
from fr_train.errors import ConfigError
from fr_train.model.network import build_network
from fr_train.planning.job import Job
from fr_train.planning.measure import measure_rates
from fr_train.planning.network_cost import count_network
from fr_train.planning.rates import PUBLISHED, Rates


def test_rates_come_back_from_a_file(tmp_path):
    path = tmp_path / "rates.json"
    path.write_text(json.dumps({"job": {}, "rates": dict(PUBLISHED.to_dict())}))
    assert Rates.read(path) == PUBLISHED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected what `fr-train plan --measure --json` writes"),
        ("[]", "expected what"),
        ('{"rates": {"network_flops": 1}}', "expected what.*head_flops"),
        (json.dumps({"rates": {**PUBLISHED.to_dict(), "head_flops": 0}}), "head_flops: expected operations a second"),
        (json.dumps({"rates": {**PUBLISHED.to_dict(), "network_flops": "NaN"}}), "network_flops: expected operations"),
    ],
)
def test_what_holds_no_rates_is_refused(tmp_path, text, message):
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Rates.read(path)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"rates\.json: cannot be read: No such file"):
        Rates.read(tmp_path / "rates.json")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_real_steps_are_measured(precision):
    model = {"backbone": "plaincnn", "embedding_size": 16}
    config = parse_config({"model": model, "batch_size": 80, "precision": precision, "optimizer": {"name": "adamw"}})
    job = Job(num_classes=500, num_images=1000, config=config, num_devices=2, head="sharded")
    keras.config.set_dtype_policy(precision)
    try:
        network = build_network(config.model, image_size=(32, 32))
        before = [weight.numpy().tolist() for weight in network.trainable_weights]
        found = measure_rates(job, network, count_network(network), seconds=0.01)
    finally:
        keras.config.set_dtype_policy("float32")
    assert before != [weight.numpy().tolist() for weight in network.trainable_weights]  # the steps were steps
    assert 1e6 < found.network_flops < 1e15
    assert 1e6 < found.head_flops < 1e15
    assert found.precision == precision
    assert found.on_cpu == (not tf.config.list_logical_devices("GPU"))
    assert found.source.endswith(": 32 images, 250 classes")
