"""Bytes that each device sends."""

import numpy as np
import pytest

from fr_train.config.config_file import parse_config
from fr_train.planning.job import Job
from fr_train.planning.network_cost import NetworkCost
from fr_train.planning.traffic import bytes_sent

COST = NetworkCost(
    embedding_size=16, num_weights=5000, num_trainable=4800, forward_flops=1, kept_values=1, mask_bytes=0
)
BATCH = 48


def traffic_of(num_devices, *, sample_rate=1.0, **options):
    config = parse_config({"batch_size": BATCH, "model": {"sample_rate": sample_rate}})
    return bytes_sent(Job(num_classes=960, num_images=1000, config=config, num_devices=num_devices, **options), COST)


def ring(arrays, *, gather=True):
    """Sums arrays, one a device, around a ring, as such a library does; gives the sums and the bytes that each device sent."""
    num_devices, sent = len(arrays), 0
    parts = [np.array_split(array.copy(), num_devices) for array in arrays]
    for step in range(num_devices - 1):
        moving = [parts[device][(device - step) % num_devices].copy() for device in range(num_devices)]
        for device in range(num_devices):
            parts[(device + 1) % num_devices][(device - step) % num_devices] += moving[device]
        sent += moving[0].nbytes
    for step in range(num_devices - 1) if gather else ():
        for device in range(num_devices):
            place = (device + 1 - step) % num_devices
            parts[(device + 1) % num_devices][place] = parts[device][place]
        sent += parts[0][0].nbytes
    return parts, sent


@pytest.mark.parametrize("num_devices", [2, 3, 4, 8])
def test_gradients_are_summed_around_a_ring(num_devices):
    arrays = [np.arange(4800, dtype=np.float32) + device for device in range(num_devices)]
    parts, sent = ring(arrays)
    assert all((np.concatenate(part) == np.sum(arrays, axis=0)).all() for part in parts)
    found = traffic_of(num_devices)
    assert found["network_gradients"] == sent
    assert found["head_gradients"] == ring([np.zeros(960 * 16, np.float32)] * num_devices)[1]
    assert set(found) == {"network_gradients", "head_gradients"}


@pytest.mark.parametrize("num_devices", [2, 4, 8])
def test_a_sharded_head_moves_embeddings_in_place_of_weights(num_devices):
    found = traffic_of(num_devices, head="sharded")
    assert set(found) == {"network_gradients", "embeddings", "softmax", "embedding_gradients"}
    # What a device has goes once around the ring: embeddings and labels of its images.
    assert found["embeddings"] == (num_devices - 1) * BATCH // num_devices * 4 * (16 + 1)
    assert found["embedding_gradients"] == ring([np.zeros(BATCH * 16, np.float32)] * num_devices, gather=False)[1]
    assert found["softmax"] == 3 * ring([np.zeros(BATCH, np.float32)] * num_devices)[1]


def test_of_a_sampled_head_the_gradients_of_the_sample_move():
    whole, sampled = traffic_of(4), traffic_of(4, sample_rate=0.25)
    assert sampled["head_gradients"] * 4 == whole["head_gradients"]


def test_one_device_sends_nothing():
    assert traffic_of(1) == traffic_of(1, head="sharded") == {}
