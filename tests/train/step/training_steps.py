"""Training steps of a config, from a checkpoint's variables to a checkpoint's variables, under whatever backend Keras has here.

    python training_steps.py JOBS

JOBS is a JSON list of jobs: config, start (an .npz or null), first (the epoch's first step), steps, out (an .npz).
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from fr_train.config.config_file import parse_config
from fr_train.data.shard_set import read_shard_set
from fr_train.devices.model_parallel import lay_over_devices
from fr_train.model.network import build_network
from fr_train.run.phase import PhaseBuilder


def build_phase(values):
    config = parse_config(values)
    keras.backend.clear_session()  # layers are numbered anew
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    shards = read_shard_set(Path(config.shards))
    if keras.backend.backend() == "jax":
        lay_over_devices(config.devices, num_classes=shards.num_classes, batch_size=config.batch_size)
    network = build_network(config.model, image_size=shards.image_size)
    phase = PhaseBuilder(config, shards, network).build(0)
    keras.config.set_dtype_policy("float32")
    return phase


def run_job(job):
    """Does the steps; gives the phase, the losses and accuracies, and which steps were finite."""
    phase = build_phase(job["config"])
    if job.get("start"):
        arrays, variables = np.load(job["start"]), phase.variables()
        assert set(arrays.files) == set(variables), set(arrays.files) ^ set(variables)
        for name, variable in variables.items():
            variable.assign(arrays[name])
    results = []
    for images, labels, _ in phase.stream.epoch(0, first_step=job.get("first", 0)).first(job["steps"]):
        result = phase.step(images, labels)
        results.append([float(np.mean(result.losses)), float(result.accuracy), bool(result.is_finite)])
    np.savez(job["out"], **{name: np.asarray(variable) for name, variable in phase.variables().items()})
    return phase, results


def count_bytes(phase):
    """Bytes of all variables together, and those that each device holds."""
    variables = list(phase.step._variables)
    held = {}
    for variable in variables:
        for shard in variable.value.addressable_shards:
            held[str(shard.device)] = held.get(str(shard.device), 0) + shard.data.nbytes
    return sum(variable.value.nbytes for variable in variables), list(held.values())


def main():
    reports = []
    for job in json.loads(sys.argv[1]):
        phase, results = run_job(job)
        report = {"results": results, "backend": keras.backend.backend()}
        if keras.backend.backend() == "jax":
            report["bytes"], report["held"] = count_bytes(phase)
        reports.append(report)
    print(json.dumps(reports))


if __name__ == "__main__":
    main()
