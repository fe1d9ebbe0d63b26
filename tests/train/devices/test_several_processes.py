"""`fr-train` in several processes: who sees what, who writes, and what comes of it when one of them is gone."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.train.step.test_replicated_step import free_addresses

from fr_train.data.augment.settings import AugmentSettings
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
from fr_train.run.checkpoint import read_checkpoint

SCRIPT = str(Path(sys.executable).with_name("fr-train"))
MODEL = ["--backbone", "plaincnn", "--width", "0.5", "--embedding-size", "16", "--set", "model.activation=relu"]
MODEL += ["--loss", "cosface", "--learning-rate", "0.01"]
ENDS_WITHIN_SECONDS = 60


class Processes:
    """A run of several processes."""

    def __init__(self, count, *options, meet=False):
        addresses = free_addresses(1 if meet else count)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("TF_CONFIG", None)
        together = ["--coordinator", addresses, "--num-processes", str(count), "--process-index"]
        self.addresses = addresses.split(",")
        self.all = [
            subprocess.Popen(
                [SCRIPT, *options, *together, str(index)], stdout=-1, stderr=-1, text=True, env=environment
            )
            for index in range(count)
        ]

    def wait(self):
        """Exit codes, and what each said on stdout and stderr."""
        said = [process.communicate(timeout=240) for process in self.all]
        return [process.returncode for process in self.all], said


def started(shards, out, *, epochs):
    return [
        "--shards",
        str(shards),
        "--out",
        str(out),
        "--epochs",
        str(epochs),
        "--batch-size",
        "12",
        "--seed",
        "3",
        *MODEL,
    ]


def rows_of(out):
    if not (out / "history.csv").exists():
        return []
    with (out / "history.csv").open() as file:
        return list(csv.DictReader(file))


def figures_of(out):
    return [(row["epoch"], row["loss"], row["accuracy"]) for row in rows_of(out)]


def wait_for_rows(out, count, processes):
    deadline = time.monotonic() + 240
    while len(rows_of(out)) < count:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes.all)
        time.sleep(0.05)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("images_per_class", [0, 3])
def test_the_parts_of_all_processes_are_the_batches_of_one(shards, count, images_per_class):
    def open_epoch(part):
        settings = StreamSettings(
            batch_size=12, with_keys=True, part=part, images_per_class=images_per_class, augment=AugmentSettings()
        )
        return list(Stream(read_shard_set(shards), settings, seed=5, image_size=(32, 32)).epoch(1))

    parts = [open_epoch((number, count)) for number in range(count)]
    for whole, *each in zip(open_epoch((0, 1)), *parts, strict=True):
        np.testing.assert_array_equal(whole[0], np.concatenate([part[0] for part in each]))
        for part in each:
            np.testing.assert_array_equal(part[1], whole[1])
            np.testing.assert_array_equal(part[2], whole[2])


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """The folder of a run that nothing happens to."""
    out = tmp_path_factory.mktemp("processes") / "whole"
    codes, said = Processes(2, *started(shards, out, epochs=16)).wait()
    assert codes == [0, 0], said
    assert said[1][0] == "", "only process 0 tells how it goes"
    return out


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_others_and_resume_reaches_the_same_end(shards, whole, tmp_path, killed):
    broken = tmp_path / "broken"
    processes = Processes(2, *started(shards, broken, epochs=16))
    wait_for_rows(broken, 2, processes)
    processes.all[killed].send_signal(signal.SIGKILL)
    begun = time.monotonic()
    codes, said = processes.wait()
    other = 1 - killed
    assert time.monotonic() - begun < ENDS_WITHIN_SECONDS
    assert codes == ([-signal.SIGKILL, 1] if killed == 0 else [1, -signal.SIGKILL]), said
    error = said[other][1]
    assert f"process {killed} ({processes.addresses[killed]}) is gone" in error, error
    assert "--resume" in error, error
    assert "Traceback" not in error, error

    codes, said = Processes(2, "--resume", "--out", str(broken)).wait()
    assert codes == [0, 0], said
    assert figures_of(broken) == figures_of(whole)
    one, two = read_checkpoint(whole / "checkpoints").arrays, read_checkpoint(broken / "checkpoints").arrays
    for name in one.keys() - {"state"}:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_sigterm_at_any_process_ends_all_with_a_checkpoint(shards, tmp_path):
    processes = Processes(2, *started(shards, tmp_path / "run", epochs=2000), meet=True)
    wait_for_rows(tmp_path / "run", 1, processes)
    processes.all[1].send_signal(signal.SIGTERM)
    codes, said = processes.wait()
    assert codes == [130, 130], said
    assert read_checkpoint(tmp_path / "run/checkpoints").position.total_steps > 0


def test_a_process_without_its_number_is_refused(shards, tmp_path):
    command = [SCRIPT, *started(shards, tmp_path / "run", epochs=1), "--coordinator", "127.0.0.1:1"]
    ended = subprocess.run([*command, "--num-processes", "2"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "process_index: expected" in ended.stderr
