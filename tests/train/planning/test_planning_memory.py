"""Memory of a device, on paper and in truth."""

import json
import os
import subprocess
import sys
from math import prod
from pathlib import Path

import keras
import pytest

from fr_train.config.config_file import parse_config
from fr_train.model.heads import CosineHead
from fr_train.optim.optimizers import build_optimizer
from fr_train.planning.job import Job
from fr_train.planning.memory import device_memory
from fr_train.planning.network_cost import NetworkCost

COST = NetworkCost(
    embedding_size=512,
    num_weights=3000,
    num_trainable=2000,
    forward_flops=1,
    kept_values=10_000,
    mask_bytes=500,
)
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "plan.py"


def memory_of(*, num_classes=85_742, config=None, **options):
    job = Job(num_classes=num_classes, num_images=10**6, config=parse_config(config or {}), **options)
    return device_memory(job, COST)


def test_on_one_device_it_is_weights_and_momentum_and_what_a_step_makes():
    weights = 85_742 * 512 * 4
    assert memory_of(config={"batch_size": 128}) == {
        "network_weights": 12_000,
        "network_slots": 8000,
        "network_gradients": 8000,
        "activations": 128 * (40_000 + 500),
        "head_weights": weights,
        "head_slots": weights,
        "head_sample": 0,
        "head_logits_and_gradients": 2 * weights,  # the gradient is larger than 128 rows of logits
    }


def test_of_a_large_batch_the_logits_count():
    assert memory_of(config={"batch_size": 2048})["head_logits_and_gradients"] == 2 * 85_742 * 2048 * 4


def test_a_sampled_head_trains_copies_of_its_sample():
    whole, sampled = (memory_of(config={"model": {"sample_rate": rate}}) for rate in (1.0, 0.1))
    row = 512 * 4
    assert sampled["head_weights"] + sampled["head_slots"] == whole["head_weights"] + whole["head_slots"]
    assert sampled["head_sample"] == 2 * 8575 * row
    assert sampled["head_logits_and_gradients"] == 2 * 8575 * row


def test_the_variables_of_a_head_over_two_devices_are_those_that_were_measured():
    """352 → 177 MB, with Keras on JAX."""
    one, two = (memory_of(num_devices=number, head="sharded", config={"batch_size": 128}) for number in (1, 2))
    assert one["head_weights"] + one["head_slots"] == pytest.approx(352e6, rel=0.01)
    assert two["head_weights"] + two["head_slots"] == pytest.approx(177e6, rel=0.01)


def test_a_replicated_head_takes_as_much_on_each_device_and_only_logits_are_shared():
    one, two = (memory_of(num_devices=number, config={"batch_size": 4096}) for number in (1, 2))
    assert one["head_weights"] == two["head_weights"]
    assert one["head_logits_and_gradients"] == 2 * two["head_logits_and_gradients"]
    assert one["activations"] == 2 * two["activations"]


def test_mixed_precision_halves_activations_and_makes_copies_of_the_network_s_weights():
    plain, mixed = (memory_of(config={"precision": name}) for name in ("float32", "mixed_bfloat16"))
    assert mixed["activations"] == 128 * (20_000 + 500)
    assert mixed["network_weights"] == plain["network_weights"] + 3000 * 2
    same = ("network_slots", "network_gradients", "head_weights", "head_slots", "head_logits_and_gradients")
    assert all(mixed[name] == plain[name] for name in same)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd"},
        {"name": "sgd", "momentum": 0.0},
        {"name": "sgd", "accumulate_steps": 4},
        {"name": "adamw"},
        {"name": "adamax"},
        {"name": "lamb", "accumulate_steps": 2},
    ],
)
def test_slots_are_those_that_the_optimizer_makes(optimizer):
    head = CosineHead(50)
    head.build((None, 512))
    config = parse_config({"optimizer": optimizer})
    made = build_optimizer(config.phases[0].optimizer, 0.1, head.trainable_variables)
    slots = [variable for variable in made.variables if tuple(variable.shape) == (50, 512)]
    expected = sum(4 * prod(slot.shape) for slot in slots)
    assert memory_of(num_classes=50, config={"optimizer": optimizer})["head_slots"] == expected


def test_slots_are_those_of_the_phase_that_has_most():
    phases = [{"optimizer": {"name": "sgd"}}, {"optimizer": {"name": "adamw"}}]
    found = memory_of(config={"phases": phases})
    assert found["head_slots"] == 2 * found["head_weights"]


def test_an_average_of_the_weights_is_one_more_copy_of_the_network():
    assert memory_of(config={"ema": 0.99})["network_slots"] == 2 * memory_of()["network_slots"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "num_images", "num_classes", "rate"),
    [
        ("plaincnn", 512, 40_000, 1.0),
        ("plaincnn", 64, 100_000, 0.3),
    ],
    ids=["logits", "sample"],
)
def test_a_real_step_takes_what_is_said_within_a_fifth(backbone, num_images, num_classes, rate):
    sizes = [f"--images={num_images}", f"--classes={num_classes}", f"--backbone={backbone}", f"--rate={rate}"]
    command = [sys.executable, BENCHMARK, "--run=memory", "--width=1", "--embedding-size=512", *sizes]
    exact = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_MMAP_MAX_": "10000000"}
    exact["TF_NUM_INTRAOP_THREADS"] = "2"  # each has arrays of its own
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, **exact}, check=True)
    real = json.loads(done.stdout)

    from fr_train.model.network import build_network
    from fr_train.planning.network_cost import count_network

    keras.config.set_dtype_policy("float32")
    config = parse_config({"model": {"backbone": backbone, "sample_rate": rate}, "batch_size": num_images})
    cost = count_network(build_network(config.model, image_size=(112, 112)), on_cpu=True)
    job = Job(num_classes=num_classes, num_images=10**6, config=config)
    assert sum(device_memory(job, cost).values()) == pytest.approx(real["kept"] + real["peak"], rel=0.2)
