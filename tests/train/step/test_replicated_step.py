"""Several devices, and several processes, against one device: the same training."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.train.step.replicated_run import CASES, NUM_STEPS

SCRIPT = Path(__file__).with_name("replicated_run.py")


OF_PROCESSES = (
    "margins",
    "clipped",
    "running figures",
    "compared rows",
)  # each of the ways in which devices work together


def start(out, devices, cases, *cluster):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(out), str(devices), ",".join(cases), *cluster]
    return subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(*processes):
    for process in processes:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return addresses


def read(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("replicas")


@pytest.fixture(scope="module")
def alone(folder):
    finish(start(folder / "1.npz", 1, CASES))
    return read(folder / "1.npz")


@pytest.fixture(scope="module")
def two_devices(folder):
    finish(start(folder / "2.npz", 2, CASES))
    return read(folder / "2.npz")


@pytest.fixture(scope="module")
def three_processes(folder):
    addresses = free_addresses(3)
    finish(*(start(folder / f"of-3-{index}.npz", 1, OF_PROCESSES, addresses, str(index)) for index in range(3)))
    return [read(folder / f"of-3-{index}.npz") for index in range(3)]


def require_equal(received, expected, case):
    """Equal within 1e-5 of each array's largest value."""
    names = [name for name in expected if name.startswith(f"{case}/")]
    assert expected[f"{case}/losses"].shape[0] == NUM_STEPS
    assert {name for name in received if name.startswith(f"{case}/")} == set(names)
    for name in names:
        largest = np.abs(expected[name]).max(initial=1e-3)
        np.testing.assert_allclose(received[name], expected[name], rtol=0, atol=1e-5 * largest, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_two_devices_train_as_one_does(alone, two_devices, case):
    require_equal(two_devices, alone, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", OF_PROCESSES)
def test_three_processes_train_as_one_does(alone, three_processes, case):
    for received in three_processes:
        require_equal(received, alone, case)
