import os
import subprocess
import sys
import time
from functools import partial

import dask
import pytest
from click.testing import CliRunner
from dask.utils import parse_timedelta

from fr_prep.cli import main
from fr_prep.errors import OutputError, SourceError, WorkerError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.survey.classes import read_classed_images
from fr_prep.survey.survey import SurveySettings, survey_images
from fr_prep.verify.verify import check_dataset, verify_dataset
from fr_prep.workers.cluster import ClusterPool
from fr_prep.workers.pool import open_pool
from fr_prep.write.build import BuildSettings, build_dataset


def build(folder, out, scheduler=None, **settings):
    settings = BuildSettings(plan=PlanSettings(num_shards=6, seed=1), scheduler=scheduler, quiet=True, **settings)
    return build_dataset(RecordSetSource(folder), out, settings=settings)


@pytest.fixture
def made(make_set, tmp_path):
    return make_set(tmp_path / "set", images_per_class=20).folder


@pytest.fixture
def impatient():
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        yield


def test_each_task_gives_its_result_with_its_position_in_other_processes(cluster):
    with ClusterPool(cluster.address) as pool:
        assert (pool.num_workers, pool.num_processes) == (2, 0)
        assert dict(pool.run(partial(pow, number, 2) for number in range(20))) == {n: n * n for n in range(20)}
        process = pool.submit(os.getpid)()
    assert process in [worker.pid for worker in cluster.workers]
    assert not cluster.tasks()


def test_tasks_are_taken_as_they_are_needed(cluster):
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield partial(pow, number, 2)

    with ClusterPool(cluster.address) as pool:
        next(pool.run(tasks()))
        assert len(taken) < 10


def test_while_workers_are_waited_for_something_else_goes_on(cluster, tmp_path):
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 3:
            (tmp_path / "end").touch()

    wait = partial(subprocess.check_output, ["sh", "-c", f"until [ -e {tmp_path}/end ]; do sleep 0.01; done"])
    with ClusterPool(cluster.address) as pool:
        assert list(pool.run([wait], meanwhile=look)) == [(0, b"")]
    assert len(looks) >= 3


def test_an_error_of_a_task_is_raised_as_it_is(cluster):
    from fr_prep.digests import sha256_of_file

    with (
        ClusterPool(cluster.address) as pool,
        pytest.raises(SourceError, match="nowhere: cannot be read: No such file"),
    ):
        pool.submit(partial(sha256_of_file, cluster.folder / "nowhere"))()


def test_who_leaves_early_waits_for_what_has_begun_and_takes_back_the_rest(cluster, tmp_path):
    marks = [tmp_path / str(number) for number in range(20)]
    with ClusterPool(cluster.address) as pool:
        next(pool.run(partial(subprocess.run, ["sh", "-c", f"sleep 0.3; touch {mark}"]) for mark in marks))
    made = len(list(tmp_path.iterdir()))
    assert made < 8
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) == made


def test_the_commands_of_a_cluster_give_what_they_give_here(cluster, run_prep, made, digest_files, tmp_path):
    """Paths are relative to where the caller is, which is not where the workers are."""
    far = ["--scheduler", cluster.address]
    convert = ["rec2tfrecord", "set", "--shards", "6", "--seed", "1"]
    for command, *arguments in (convert, ["rec2jpeg", "set"]):
        for out, options in ((f"{command}-here", ["--workers", "2"]), (f"{command}-far", far)):
            ended = run_prep(command, *arguments, out, *options, cwd=tmp_path)
            assert ended.returncode == 0, ended.stderr
        here, there = (digest_files(tmp_path / f"{command}-{place}") for place in ("here", "far"))
        assert here == there
        assert not [name for name in there if "incomplete" in name]
    ended = run_prep("verify", "rec2tfrecord-far", "--source", "set", "--decode", *far, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "sound. 60 records in 6 shards" in ended.stdout
    assert not cluster.tasks()


@pytest.mark.slow
def test_sets_are_merged_surveyed_and_tried_by_a_cluster(
    cluster, make_set, numbered_jpeg, run_prep, digest_files, tmp_path
):
    for name, first in (("one", 0), ("two", 1000)):
        made = make_set(tmp_path / f"{name}-set", images=lambda key, first=first: numbered_jpeg(first + key))
        build(made.folder, tmp_path / name)
    for out, options in (("here", []), ("far", ["--scheduler", cluster.address])):
        ended = run_prep("merge", "one", "two", out, "--shards", "3", *options, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    assert digest_files(tmp_path / "here") == digest_files(tmp_path / "far")
    tried = run_prep("merge", "one", "two", "try", "--dry-run", "--scheduler", cluster.address, cwd=tmp_path)
    assert "with 2 workers" in tried.stdout
    assert not (tmp_path / "try").exists()
    classed = read_classed_images(tmp_path / "far")
    found = survey_images(classed, SurveySettings(scheduler=cluster.address, quiet=True))
    assert found.contents.of_row.tolist() == survey_images(classed, SurveySettings(quiet=True)).contents.of_row.tolist()


def test_damage_is_found_by_a_cluster_as_it_is_here(cluster, made, tmp_path):
    build(made, tmp_path / "out")
    shard = next((tmp_path / "out").glob("*-00003-of-*"))
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    next((tmp_path / "out").glob("*-00004-of-*")).unlink()
    found = check_dataset(tmp_path / "out", scheduler=cluster.address, quiet=True)
    assert found == check_dataset(tmp_path / "out", quiet=True)
    assert found.num_problems == 2


def test_nothing_that_answers_is_an_error(impatient, made, tmp_path):
    with pytest.raises(
        WorkerError, match=r"tcp://127.0.0.1:1: expected a Dask scheduler, none answers there \(.* 1 s\)"
    ):
        build(made, tmp_path / "out", "tcp://127.0.0.1:1")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["here", "tcp://127.0.0.1", "http://127.0.0.1:80", "tcp://127.0.0.1:many", ""])
def test_an_address_that_is_none_is_an_error_at_once(address):
    begun = time.monotonic()
    with pytest.raises(WorkerError, match="expected a Dask scheduler"), open_pool(1, scheduler=address):
        pass
    # Where a connection is tried, it is tried for so long.
    assert time.monotonic() - begun < parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))


def test_a_scheduler_without_workers_is_an_error(impatient, make_cluster, made, tmp_path):
    with make_cluster() as empty, pytest.raises(WorkerError, match=f"Start some by `dask worker {empty.address}`"):
        build(made, tmp_path / "out", empty.address)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    ["rec2tfrecord a b", "folder2tfrecord a b", "rewrite a b", "merge a b c", "verify a", "rec2jpeg a b", "stats a"],
)
def test_processes_here_and_workers_elsewhere_are_not_both_given(command):
    ended = CliRunner().invoke(main, [*command.split(), "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"])
    assert ended.exit_code == 2
    assert "Expected either --workers or --scheduler, received both." in ended.stderr


def test_where_dask_is_missing_it_is_said_how_to_get_it(run_prep, made, tmp_path):
    """A folder that is searched first holds a package that cannot be imported."""
    (tmp_path / "distributed.py").write_text("raise ModuleNotFoundError('no distributed', name='distributed')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = run_prep("rec2tfrecord", made, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1", env=environment)
    assert ended.returncode == 1
    assert "pip install 'fr-toolkit[cluster]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_who_asks_for_no_cluster_imports_no_dask():
    code = "import sys, fr_prep.cli, fr_prep.write.build; sys.exit(any(name in sys.modules for name in ('dask', 'distributed')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"fr_prep.py": "raise ModuleNotFoundError('no fr_prep')"},
            r"fr-toolkit cannot be imported there \(.*no fr_prep.*\)",
        ),
        (
            {"fr_toolkit-9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: fr-toolkit\nVersion: 9.9\n"},
            r"expected fr-toolkit [\d.]+, as here, received 9\.9",
        ),
    ],
)
def test_a_worker_with_another_release_or_none_is_named_before_anything_is_begun(
    cluster, files, expected, made, tmp_path
):
    for name, content in files.items():
        path = tmp_path / "first" / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    worker = cluster.start_worker(PYTHONPATH=str(tmp_path / "first"))
    try:
        with pytest.raises(WorkerError, match=rf"(?s)some of 3 workers cannot.*\ntcp://127\.0\.0\.1:\d+: {expected}"):
            build(made, tmp_path / "out", cluster.address)
        assert not (tmp_path / "out").exists()
    finally:
        cluster.stop_worker(worker)


def hide(folder, *, then="true"):
    """Gives a command before which another file system lies over a folder, for the process that it starts alone."""
    script = f'mount -t tmpfs none {folder} && {then} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    return command


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [("set", "train.rec as it is here, there it is missing"), ("out", "out as it is here, there it is another folder")],
)
def test_a_worker_that_does_not_see_what_is_here_is_named_before_anything_is_begun(
    cluster, hidden, expected, made, tmp_path
):
    (tmp_path / "out").mkdir()
    worker = cluster.start_worker(*hide(tmp_path / hidden))
    try:
        with pytest.raises(WorkerError, match=expected):
            build(made, tmp_path / "out", cluster.address)
        assert not list((tmp_path / "out").iterdir())
    finally:
        cluster.stop_worker(worker)


def test_a_shard_that_a_worker_wrote_to_another_folder_is_missed(make_cluster, made, tmp_path, monkeypatch):
    """As one may that came late, which nobody asked what it sees."""
    monkeypatch.setattr(ClusterPool, "require_shared", lambda *_, **__: None)
    staging = tmp_path / "out" / "conversion.incomplete"
    staging.parent.mkdir()
    with make_cluster() as cluster:
        worker = cluster.start_worker(*hide(staging.parent, then=f"mkdir {staging}"))
        with pytest.raises(OutputError, match=r"as a worker wrote, received no file\. .* go on with --resume"):
            build(made, tmp_path / "out", cluster.address)
        cluster.stop_worker(worker)
        cluster.start_worker()
        build(made, tmp_path / "out", cluster.address, resume=True)
    verify_dataset(tmp_path / "out")


@pytest.mark.parametrize("lost", [False, True])
def test_what_a_worker_wrote_that_is_gone_is_read_again(lost, make_cluster, made, tmp_path, monkeypatch):
    """As if its machine had lost power with bytes in memory that were on their way to the disk."""
    sync, shards = ClusterPool.sync, []

    def stop_and_sync(pool, files):
        shards.extend(files)
        cluster.start_worker()
        cluster.stop_worker(cluster.workers[0])
        if lost:
            files[-1].write_bytes(files[-1].read_bytes()[:-1] + b"?")
        return sync(pool, files)

    monkeypatch.setattr(ClusterPool, "sync", stop_and_sync)
    with make_cluster() as cluster:
        cluster.start_worker()
        if lost:
            with pytest.raises(OutputError, match=r"received other bytes: .* Go on with --resume"):
                build(made, tmp_path / "out", cluster.address)
            assert not shards[-1].exists()
            monkeypatch.undo()
            build(made, tmp_path / "out", cluster.address, resume=True)
        else:
            build(made, tmp_path / "out", cluster.address)
    assert len(shards) > 1
    verify_dataset(tmp_path / "out")


def test_what_cannot_get_to_the_disk_is_an_error_that_names_the_worker(cluster, tmp_path):
    with ClusterPool(cluster.address) as pool:
        pool.submit(partial(pow, 2, 2))()
        with pytest.raises(OutputError, match=r"tcp://.*missing: cannot be written: No such file"):
            pool.sync([tmp_path / "missing"])
