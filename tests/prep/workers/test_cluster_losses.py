"""Workers, the scheduler and the caller are lost in the middle of a conversion, for real."""

import os
import re
import signal
import subprocess
from functools import partial

import pytest

from fr_prep.errors import WorkerError
from fr_prep.workers.cluster import ClusterPool

from .conftest import wait_until

pytestmark = pytest.mark.slow

CONVERT = ["rec2tfrecord", "set", "out", "--shards", "60", "--seed", "1"]


@pytest.fixture(scope="module")
def expected(make_set, numbered_jpeg, run_prep, digest_files, tmp_path_factory):
    """The folder of a set of 100 MB, and the digests of what becomes of it here."""
    folder = tmp_path_factory.mktemp("losses")
    images = lambda key: numbered_jpeg(key).ljust(5000, b"\0")  # noqa: E731
    make_set(folder / "set", num_classes=40, images_per_class=500, images=images)
    assert run_prep(*CONVERT, cwd=folder).returncode == 0
    return folder, digest_files(folder / "out")


@pytest.fixture
def place(expected, tmp_path):
    (tmp_path / "set").symlink_to(expected[0] / "set")
    return tmp_path


@pytest.fixture
def three(make_cluster):
    with make_cluster() as cluster:
        for _ in range(3):
            cluster.start_worker()
        yield cluster


def start(script, cluster, place, *options):
    return subprocess.Popen(
        [script, *CONVERT, "--scheduler", cluster.address, *options],
        cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def resume(run_prep, cluster, place):
    return run_prep(*CONVERT, "--scheduler", cluster.address, "--resume", cwd=place, timeout_seconds=300)


def test_a_worker_is_killed_while_it_writes_and_another_one_comes(
    script, three, place, run_prep, expected, digest_files
):
    with start(script, three, place) as running:
        victim = three.worker_that_writes(place / "out" / "conversion.incomplete")
        victim.kill()
        three.start_worker()
        _, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    assert digest_files(place / "out") == expected[1]
    assert not three.tasks()


def test_a_scheduler_that_dies_is_an_error_and_the_conversion_can_be_gone_on_with(
    script, three, place, run_prep, expected, digest_files
):
    with start(script, three, place) as running:
        writer = three.worker_that_writes(place / "out" / "conversion.incomplete")
        three.scheduler.kill()
        three.scheduler.wait()
        writer.resume()
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert re.fullmatch(
        r"(Warning: .*\n)?Error: tcp://127\.0\.0\.1:\d+: the connection to the scheduler was lost\. What was finished is kept: "
        r"go on with --resume, when the scheduler runs again\.\n",
        errors,
    )
    three.start_scheduler()
    three.start_worker()
    ended = resume(run_prep, three, place)
    assert ended.returncode == 0, ended.stderr
    assert digest_files(place / "out") == expected[1]


def test_ctrl_c_takes_back_what_has_not_begun_and_the_conversion_can_be_gone_on_with(
    script, three, place, run_prep, expected, digest_files
):
    with start(script, three, place) as running:
        writer = three.worker_that_writes(place / "out" / "conversion.incomplete")
        running.send_signal(signal.SIGINT)
        writer.resume()
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert "go on with --resume" in errors
    assert "Traceback" not in errors
    assert not three.tasks()
    assert not list((place / "out").rglob("faces*.incomplete"))
    assert not (place / "out" / "manifest.json").exists()
    ended = resume(run_prep, three, place)
    assert ended.returncode == 0, ended.stderr
    assert digest_files(place / "out") == expected[1]


def test_a_caller_that_is_killed_leaves_no_task_and_the_conversion_can_be_gone_on_with(
    script, three, place, run_prep, expected, digest_files
):
    with start(script, three, place) as running:
        writer = three.worker_that_writes(place / "out" / "conversion.incomplete")
        running.kill()
        writer.resume()
    wait_until(lambda: not three.tasks(), pause_seconds=0.2)
    ended = resume(run_prep, three, place)
    assert ended.returncode == 0, ended.stderr
    assert digest_files(place / "out") == expected[1]


def test_where_no_worker_is_left_it_is_said_and_one_that_comes_goes_on(script, three, place, expected, digest_files):
    with start(script, three, place) as running:
        three.worker_that_writes(place / "out" / "conversion.incomplete")
        for worker in three.workers:
            worker.kill()
        said = next(line for line in running.stderr if "no worker is left" in line)
        three.start_worker()
        _, errors = running.communicate(timeout=300)
    assert "Waiting for others; Ctrl-C ends it." in said
    assert running.returncode == 0, errors
    assert digest_files(place / "out") == expected[1]


def test_a_task_that_kills_worker_after_worker_is_an_error(three):
    three.start_worker()
    with (
        ClusterPool(three.address) as pool,
        pytest.raises(WorkerError, match="4 workers died while they ran the same task"),
    ):
        pool.submit(partial(os._exit, 1))()


def test_a_worker_with_another_release_that_comes_later_is_named(three, place, tmp_path):
    path = tmp_path / "first" / "fr_toolkit-9.9.dist-info" / "METADATA"
    path.parent.mkdir(parents=True)
    path.write_text("Metadata-Version: 2.1\nName: fr-toolkit\nVersion: 9.9\n")
    with ClusterPool(three.address) as pool:
        other = three.start_worker(PYTHONPATH=str(path.parents[1]))
        for worker in three.workers[:-1]:
            worker.kill()
        with pytest.raises(WorkerError, match=r"tcp://.*: expected fr-toolkit .*, as here, received 9\.9"):
            dict(pool.run([partial(pow, 2, 2)] * 20))
        assert other.poll() is None


def test_a_worker_without_the_toolkit_that_comes_later_ends_and_the_others_go_on(three, tmp_path):
    (tmp_path / "fr_prep.py").write_text("raise ModuleNotFoundError('no fr_prep')")
    with ClusterPool(three.address) as pool:
        other = three.start_worker(PYTHONPATH=str(tmp_path))
        assert dict(pool.run([partial(pow, 2, 2)] * 20)) == dict.fromkeys(range(20), 4)
        assert wait_until(lambda: other.poll() is not None)
