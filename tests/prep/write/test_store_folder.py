import json
import shutil
import subprocess
import sys
from itertools import count

import pytest

from fr_data.locations import Store
from fr_prep.errors import DamagedRecordError, OutputError, ShardError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify.verify import check_dataset
from fr_prep.write import build as build_module
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.store_folder import write_shard_to_store

pytest.importorskip("fsspec", reason="fsspec is missing: pip install 'fr-toolkit[cluster]'")


def build(folder, out, *, seed=1, num_shards=4, **settings):
    settings = BuildSettings(plan=PlanSettings(num_shards=num_shards, seed=seed), quiet=True, **settings)
    return build_dataset(RecordSetSource(folder), out, settings=settings)


@pytest.fixture
def made(make_set, tmp_path):
    return make_set(tmp_path / "set", images_per_class=8).folder


@pytest.fixture
def store(tmp_path):
    return Store(f"file://{tmp_path}/store/out")


@pytest.fixture
def stored(tmp_path):
    return tmp_path / "store" / "out"


def interrupt(folder, store, monkeypatch, **settings):
    """Converts until the third shard, where an error ends it."""
    calls = []

    def write(task, store):
        calls.append(task.path.name)
        if len(calls) == 3:
            raise DamagedRecordError("stopped", offset=0)
        return write_shard_to_store(task, store)

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "write_shard_to_store", write)
        with pytest.raises(DamagedRecordError, match="stopped"):
            build(folder, store, **settings)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_gets_the_files_that_a_folder_gets(made, store, stored, digest_files, tmp_path, workers):
    build(made, tmp_path / "here")
    build(made, store, num_workers=workers)
    assert digest_files(stored) == digest_files(tmp_path / "here")
    assert not (stored / "conversion.incomplete").exists()
    found = check_dataset(store, num_workers=workers, decode=True, quiet=True)
    assert found == check_dataset(tmp_path / "here", decode=True, quiet=True)
    assert (found.num_records, found.problems) == (24, [])


def test_what_an_interrupted_conversion_wrote_is_kept(made, store, stored, digest_files, tmp_path, monkeypatch):
    interrupt(made, store, monkeypatch)
    finished = {path: path.stat().st_mtime_ns for path in stored.glob("*.tfrecord-*")}
    assert len(finished) == 2
    with pytest.raises(ShardError, match=r"expected manifest\.json, which is missing"):
        check_dataset(store, quiet=True)
    with pytest.raises(OutputError, match=r"an unfinished conversion is there\. Go on with it by --resume"):
        build(made, store)
    with pytest.raises(OutputError, match="another one: seed was 1 and is 2"):
        build(made, store, seed=2, resume=True)
    build(made, store, resume=True)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    build(made, tmp_path / "here")
    assert digest_files(stored) == digest_files(tmp_path / "here")
    with pytest.raises(OutputError, match="a finished data set is there, nothing is left to resume"):
        build(made, store, resume=True)


def test_a_shard_of_another_length_is_written_again(made, store, stored, digest_files, tmp_path, monkeypatch):
    interrupt(made, store, monkeypatch)
    next(stored.glob("*.tfrecord-*")).write_bytes(b"short")
    build(made, store, resume=True)
    build(made, tmp_path / "here")
    assert digest_files(stored) == digest_files(tmp_path / "here")


@pytest.mark.parametrize("how", ["overwrite", "resume", "interrupt again"])
def test_an_older_set_stays_until_the_new_one_is_whole(made, store, stored, digest_files, tmp_path, monkeypatch, how):
    build(made, store, num_shards=6)
    (stored / "note.txt").write_text("not ours")
    before = digest_files(stored)
    for seed in {"overwrite": [], "resume": [1], "interrupt again": [1, 3]}[how]:
        interrupt(made, store, monkeypatch, overwrite=True, seed=seed)
        assert before.items() <= digest_files(stored).items()
        check_dataset(store, quiet=True)
    build(made, store, resume=how == "resume", overwrite=how != "resume")
    build(made, tmp_path / "here")
    assert digest_files(stored) == {**digest_files(tmp_path / "here"), "note.txt": digest_files(stored)["note.txt"]}


class Stop(Exception):
    """A process that is killed."""


def stopped_at(step, function):
    """Runs a function until its `step`-th change to the store; False if it had fewer."""
    left = iter(range(step))

    def until(original):
        def change(self, *arguments):
            if next(left, None) is None:
                raise Stop
            return original(self, *arguments)

        return change

    with pytest.MonkeyPatch.context() as patch:
        for name in ("put", "remove", "remove_folder", "take", "write"):
            patch.setattr(Store, name, until(getattr(Store, name)))
        try:
            function()
        except Stop:
            return True
    return False


@pytest.mark.parametrize("then", ["resume", "overwrite"])
def test_stopped_at_any_step_a_replacement_is_finished_or_begun_anew(made, store, stored, digest_files, tmp_path, then):
    build(made, Store(f"file://{tmp_path}/old"), num_shards=4, seed=2)
    build(made, tmp_path / "here")
    old, new = digest_files(tmp_path / "old"), digest_files(tmp_path / "here")
    for step in count():
        shutil.copytree(tmp_path / "old", stored, dirs_exist_ok=True)
        if not stopped_at(step, lambda: build(made, store, overwrite=True)):
            break
        found = digest_files(stored)
        if "manifest.json" in found:
            assert old.items() <= found.items() or new.items() <= found.items()
        finished = new.items() <= found.items() or "conversion.incomplete/plan.json" not in found
        build(made, store, resume=then == "resume" and not finished, overwrite=then == "overwrite" or finished)
        assert digest_files(stored) == new, f"stopped at step {step}"
        shutil.rmtree(stored)
    assert step > 20


@pytest.mark.parametrize(
    "plan",
    [
        {"replaced": ["../victim.txt"]},
        {"replaced": ["note.txt"]},
        {"names": ["../victim.txt"]},
        {"names": [7]},
        {"replaced": "abc"},
        {"fingerprint": []},
        {"fingerprint": None},
    ],
)
@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_a_forged_plan_removes_nothing(made, store, stored, digest_files, tmp_path, monkeypatch, plan, option):
    interrupt(made, store, monkeypatch)
    (stored / "note.txt").write_text("mine")
    (stored.parent / "victim.txt").write_text("mine")
    path = stored / "conversion.incomplete" / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **plan}))
    before = digest_files(tmp_path)
    with pytest.raises(OutputError, match=r"plan\.json: is damaged"):
        build(made, store, **{option: True})
    assert digest_files(tmp_path) == before


def test_a_file_of_somebody_else_is_not_replaced(made, store, stored):
    stored.mkdir(parents=True)
    (stored / "classes.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"classes\.csv: is no file of the data set that is to be replaced"):
        build(made, store, overwrite=True)
    assert [path.name for path in stored.iterdir()] == ["classes.csv"]


def test_a_folder_that_holds_something_else_is_refused(made, store, stored):
    stored.mkdir(parents=True)
    (stored / "note.txt").write_text("not ours")
    with pytest.raises(OutputError, match=r"expected a new or empty folder, it holds note\.txt"):
        build(made, store)
    assert [path.name for path in stored.iterdir()] == ["note.txt"]


def test_a_shard_that_does_not_arrive_is_missed(made, tmp_path):
    """Memory is each process's own: what a worker writes there is not here."""
    with pytest.raises(OutputError, match=r"as a worker wrote, received no file\. .* go on with --resume"):
        build(made, Store("memory://out"), num_workers=2)


def test_damage_in_a_store_is_found(made, store, stored):
    build(made, store)
    paths = sorted(stored.glob("*.tfrecord-*"))
    data = bytearray(paths[0].read_bytes())
    data[100] ^= 1
    paths[0].write_bytes(data)
    paths[1].unlink()
    (stored / "faces-train.tfrecord-00000-of-00009").touch()
    (stored / "classes.csv").unlink()
    found = check_dataset(store, quiet=True)
    assert [(problem.file, problem.problem.split(":")[0]) for problem in found.problems][-1][0] == "classes.csv"
    assert {problem.file for problem in found.problems} == {paths[0].name, paths[1].name, "classes.csv"}
    assert "is missing" in str(found.problems)
    assert "00000-of-00009 is no part of the set" in found.warnings[0]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nosuch://a/b", "the store does not do as asked: Protocol not known"),
        ("file:///proc/none/out", "does not do as asked"),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error(made, url, expected, run_prep):
    for command in (["rec2tfrecord", made, url], ["verify", url]):
        ended = run_prep(*command)
        assert ended.returncode == 1, ended.stderr
        assert "Traceback" not in ended.stderr
    with pytest.raises((OutputError, SourceError), match=expected):
        build(made, Store(url))


def test_what_needs_a_folder_of_this_machine_says_so(made, run_prep):
    for command in (["rec2tfrecord", made, "memory://x", "--dry-run"], ["verify", "memory://x", "--source", made]):
        ended = run_prep(*command)
        assert ended.returncode == 2
        assert "Expected a folder of this machine with --" in ended.stderr


@pytest.mark.slow
def test_a_server_of_objects_gets_the_files_that_a_folder_gets(made, run_prep, digest_files, tmp_path, monkeypatch):
    """By two processes, killed in the middle, gone on with, verified and replaced."""
    pytest.importorskip("s3fs", reason="s3fs is missing: pip install s3fs")
    pytest.importorskip("moto.server", reason="moto is missing: pip install 'moto[server]'")
    import fsspec

    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        line = next(line for line in server.stderr if "http://" in line)
        endpoint = line[line.index("http://") :].split()[0]
        for name, value in (
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(name, value)
        files = fsspec.filesystem("s3", skip_instance_cache=True)
        with pytest.raises(OutputError, match="expected a bucket nobody, there is none"):
            build(made, Store("s3://nobody/out"))
        files.mkdir("bucket")
        store = Store("s3://bucket/faces/out")
        interrupt(made, store, monkeypatch)
        convert = ["rec2tfrecord", made, str(store), "--shards", "4", "--seed", "1", "--workers", "2"]
        ended = run_prep(*convert, "--resume")
        assert ended.returncode == 0, ended.stderr
        assert "sound. 24 records in 4 shards" in run_prep("verify", str(store)).stdout
        build(made, tmp_path / "here")
        files.get("bucket/faces/out/", str(tmp_path / "copy") + "/", recursive=True)
        assert digest_files(tmp_path / "copy") == digest_files(tmp_path / "here")
        assert run_prep(*convert).returncode == 1
        assert run_prep(*convert, "--overwrite").returncode == 0
    finally:
        server.kill()
        server.wait()
