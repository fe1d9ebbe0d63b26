"""The step under JAX, in processes of their own, since a process has one backend; against the step under TensorFlow here."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tests.train.jax_process import run_script
from tests.train.step import training_steps as steps

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed: pip install '.[jax]'"),
]
HERE = Path(__file__).parent
BASE = {
    "epochs": 1,
    "batch_size": 12,
    "seed": 1,
    # Without a shift in front of another normalisation, whose gradient is rounding alone, which Adam makes as large as any other.
    # And without a kink, within rounding of which a gradient may be either of two.
    "model": {"backbone": "plaincnn", "width": 0.25, "embedding_size": 8, "output": "gap", "activation": "swish"},
    "loss": {"name": "arcface", "scale": 16.0},
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
}
CENTER_SUM = {"name": "center+curricularface", "center": {"weight": 0.1}, "curricularface": {"scale": 16.0}}
VARIANTS = {
    "sgd, clipped": {"optimizer": {"name": "sgd", "learning_rate": 0.01, "clip_norm": 0.1}},
    "adamw, adaface, average": {
        "loss": {"name": "adaface"},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        "ema": 0.9,
    },
    "centers, accumulated": {
        "loss": CENTER_SUM,
        "optimizer": {"name": "sgd", "learning_rate": 0.01, "accumulate_steps": 2},
    },
    "lamb, sub-centers, frozen, warm-up": {
        "model": {**BASE["model"], "subcenters": 2, "l2": 1e-3},
        "optimizer": {"name": "lamb", "learning_rate": 1e-3},
        "schedule": {"warmup_epochs": 1.0},
        "freeze": ["block1", "block1_*"],
    },
    "no head, balanced": {
        "loss": {"name": "triplet_semi_hard"},
        "images_per_class": 3,
        "optimizer": {"name": "adamax", "learning_rate": 1e-3},
    },
    "sampled": {"model": {**BASE["model"], "sample_rate": 0.4}, "batch_size": 4},
}


def run_jax(*jobs, devices=1):
    """Does jobs in a process under JAX; gives its reports."""
    reports = json.loads(run_script(HERE / "training_steps.py", json.dumps(jobs), devices=devices))
    assert {report["backend"] for report in reports} == {"jax"}
    return reports


def job(folder, name, shards, *, start=None, first=0, steps=3, devices=1, **changes):
    config = {**BASE, "shards": str(shards), "devices": devices, **changes}
    if devices > 1:
        config["backend"] = "jax"
    return {
        "config": config,
        "start": start and str(folder / start),
        "first": first,
        "steps": steps,
        "out": str(folder / name),
    }


def assert_same(one, other):
    """The same variables, but for rounding, which Adam makes greater: within 5e-5 of the greatest value of each kind."""
    one, other = np.load(one), np.load(other)
    assert one.files == other.files
    for name in one.files:
        kind = [
            key
            for key in one.files
            if key.split("/")[0] == name.split("/")[0] and key.split("_")[-1] == name.split("_")[-1]
        ]
        greatest = max(np.abs(one[key]).max(initial=0) for key in kind)
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=5e-5 * greatest, err_msg=name)


def test_steps_on_four_devices_are_those_of_tensorflow_on_one(shards, tmp_path):
    jobs, expected = [], []
    for number, changes in enumerate(VARIANTS.values()):
        steps.run_job(job(tmp_path, f"{number}.npz", shards, steps=0, **changes))
        expected.append(steps.run_job(job(tmp_path, f"{number}-tf.npz", shards, start=f"{number}.npz", **changes))[1])
        jobs.append(job(tmp_path, f"{number}-4.npz", shards, start=f"{number}.npz", devices=4, **changes))
    for number, (name, report) in enumerate(zip(VARIANTS, run_jax(*jobs, devices=4), strict=True)):
        np.testing.assert_allclose(report["results"], expected[number], rtol=5e-5, err_msg=name)
        assert_same(tmp_path / f"{number}-tf.npz", tmp_path / f"{number}-4.npz")


def test_a_checkpoint_goes_from_four_devices_to_one_to_tensorflow_to_two(shards, tmp_path):
    changes = {"loss": CENTER_SUM}
    steps.run_job(job(tmp_path, "start.npz", shards, steps=0, **changes))
    steps.run_job(job(tmp_path, "whole.npz", shards, start="start.npz", steps=4, **changes))
    run_jax(job(tmp_path, "four.npz", shards, start="start.npz", steps=1, devices=4, **changes), devices=4)
    run_jax(job(tmp_path, "one.npz", shards, start="four.npz", first=1, steps=1, **changes))
    steps.run_job(job(tmp_path, "tf.npz", shards, start="one.npz", first=2, steps=1, **changes))
    run_jax(job(tmp_path, "two.npz", shards, start="tf.npz", first=3, steps=1, devices=2, **changes), devices=2)
    assert_same(tmp_path / "whole.npz", tmp_path / "two.npz")


@pytest.fixture(scope="module")
def alone(shards, tmp_path_factory):
    """Jobs on one device, all in one process: their folder, and their reports by the name of what they wrote."""
    folder = tmp_path_factory.mktemp("alone")
    dropout = {"model": {**BASE["model"], "dropout": 0.5}}
    steps.run_job(job(folder, "start.npz", shards, steps=0))
    spoilt = dict(np.load(folder / "start.npz"))
    name = next(key for key in spoilt if key.endswith("head/class_weights"))
    spoilt[name] = spoilt[name].copy()
    spoilt[name][0, 0] = np.inf
    np.savez(folder / "spoilt.npz", **spoilt)
    jobs = {
        "whole": job(folder, "whole.npz", shards, steps=4, **dropout),
        "half": job(folder, "half.npz", shards, steps=2, **dropout),
        "rest": job(folder, "rest.npz", shards, start="half.npz", first=2, steps=2, **dropout),
        "skipped": job(folder, "skipped.npz", shards, start="spoilt.npz", steps=1),
        "mixed": job(folder, "mixed.npz", shards, precision="mixed_bfloat16", steps=2),
    }
    return folder, dict(zip(jobs, run_jax(*jobs.values()), strict=True))


def test_a_run_goes_on_bit_for_bit_also_with_dropout(alone):
    whole, rest = (np.load(alone[0] / f"{name}.npz") for name in ("whole", "rest"))
    for name in whole.files:
        np.testing.assert_array_equal(whole[name], rest[name], err_msg=name)


def test_a_step_that_is_no_number_changes_no_weight(alone):
    folder, reports = alone
    assert [row[2] for row in reports["skipped"]["results"]] == [False]
    spoilt, after = np.load(folder / "spoilt.npz"), np.load(folder / "skipped.npz")
    for key in after.files:
        if "moving" not in key:  # statistics of batches are no weights
            np.testing.assert_array_equal(after[key], spoilt[key], err_msg=key)


def test_mixed_precision_leaves_variables_in_float32(alone):
    folder, reports = alone
    assert all(row[2] for row in reports["mixed"]["results"])
    after = np.load(folder / "mixed.npz")
    assert {after[key].dtype for key in after.files if key.startswith(("network", "head"))} == {np.dtype("float32")}
