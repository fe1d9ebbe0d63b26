"""The folder of a set while it is written: what is refused, what is left, what a crash may leave behind."""

import collections
import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fr_data.errors import ToolkitError
from fr_prep.errors import OutputError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify.verify import verify_dataset
from fr_prep.write import build as build_module
from fr_prep.write import output_folder
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.output_folder import OutputFolder


def build(source, out, *, overwrite=False, resume=False, name="faces", **plan):
    plan = PlanSettings(**{"num_shards": 4, "seed": 1, **plan})
    return build_dataset(
        RecordSetSource(source),
        out,
        settings=BuildSettings(name=name, plan=plan, overwrite=overwrite, resume=resume, quiet=True),
    )


def stop_after(monkeypatch, num_moves, out):
    """Ends the publication of a set after some moves, as a crash would."""
    original, moved = Path.replace, []

    def replace(self, target):
        if Path(target).parent == out:
            if len(moved) == num_moves:
                raise KeyboardInterrupt
            moved.append(self.name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def crash_in_publication(source, out, num_moves, **options):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, num_moves, out)
        with pytest.raises(KeyboardInterrupt):
            build(source, out, **options)


def shard_names(out):
    return sorted(path.name for path in out.glob("*.tfrecord-*"))


@pytest.fixture
def source(make_set, tmp_path):
    return make_set(tmp_path / "set").folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_a_folder_is_locked_for_one_writer_of_any_process(out):
    code = (
        "import sys; from pathlib import Path; from fr_prep.write.output_folder import OutputFolder\n"
        "with OutputFolder(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(out)], stdin=-1, stdout=-1)
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(OutputError, match="another process is writing"), OutputFolder(out):
        pass
    holder.communicate(b"")
    with OutputFolder(out):
        pass


def test_a_new_folder_that_stays_empty_goes_again_and_an_old_one_stays(out):
    with OutputFolder(out):
        assert out.is_dir()
    assert not out.exists()
    out.mkdir()
    with OutputFolder(out):
        pass
    assert out.is_dir()


def test_folders_above_a_new_one_go_with_it(source, out):
    with pytest.MonkeyPatch.context() as patch:
        limit_space(patch, 10)
        with pytest.raises(OutputError, match="10 are left"):
            build(source, out / "a" / "b")
    assert not out.exists()


def test_a_folder_that_another_writer_removed_before_the_lock_is_made_again(out, monkeypatch):
    lock, num_locks = fcntl.flock, []

    def remove_and_lock(descriptor, operation):
        if not num_locks:
            out.rmdir()
        num_locks.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    with OutputFolder(out):
        assert len(num_locks) == 2
        with pytest.raises(OutputError, match="another process is writing"), OutputFolder(out):
            pass


def test_a_file_in_place_of_the_folder_is_refused(source, out):
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"exists|directory"):
        build(source, out)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("place", ["", "inside"])
def test_a_file_in_place_of_the_folder_is_not_said_to_be_mended_and_gone_on_with(source, out, place):
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists and is a file, expected a folder") as caught:
        build(source, out / place)
    assert str(caught.value).startswith(f"{out / place}: cannot be written")
    assert "--resume" not in str(caught.value)


def test_the_source_folder_may_be_the_output_only_by_overwrite_and_keeps_its_files(source, digest_files):
    before = digest_files(source)
    with pytest.raises(OutputError, match=r"train\.rec"):
        build(source, source)
    build(source, source, overwrite=True)
    assert before.items() <= digest_files(source).items()
    verify_dataset(source, quiet=True)


@pytest.mark.parametrize("num_moves", [0, 1, 3, 7, 8])
def test_a_crash_at_any_move_is_finished_by_resume(source, out, digest_files, tmp_path, num_moves):
    build(source, tmp_path / "whole")
    crash_in_publication(source, out, num_moves)
    assert not (out / "manifest.json").exists()
    build(source, out, resume=True)
    assert digest_files(out) == digest_files(tmp_path / "whole")


@pytest.mark.parametrize("num_moves", [0, 1, 3, 7, 8])
def test_a_crash_while_an_old_set_is_replaced_is_finished_by_resume(source, out, digest_files, tmp_path, num_moves):
    build(source, tmp_path / "whole")
    build(source, out, num_shards=6, seed=9)
    crash_in_publication(source, out, num_moves, overwrite=True)
    build(source, out, resume=True)
    assert digest_files(out) == digest_files(tmp_path / "whole")


@pytest.mark.parametrize("num_moves", [1, 3])
def test_an_overwrite_after_a_crash_in_publication_leaves_no_shards_of_the_crashed_set(source, out, num_moves):
    crash_in_publication(source, out, num_moves)
    build(source, out, overwrite=True, num_shards=2)
    verify_dataset(out, quiet=True)
    assert shard_names(out) == [f"faces-train.tfrecord-0000{i}-of-00002" for i in range(2)]


@pytest.mark.parametrize("num_removed", [1, 2, 4])
def test_a_crash_while_the_old_set_is_removed_leaves_none_of_its_shards_after_resume(source, out, num_removed):
    build(source, out, num_shards=6, seed=9)
    original, removed = Path.unlink, []

    def unlink(self, missing_ok=False):
        if self.parent == out:
            if len(removed) == num_removed:
                raise KeyboardInterrupt
            removed.append(self.name)
        original(self, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            build(source, out, overwrite=True)
    build(source, out, resume=True)
    verify_dataset(out, quiet=True)
    assert shard_names(out) == [f"faces-train.tfrecord-0000{i}-of-00004" for i in range(4)]


def test_a_crash_while_the_staging_folder_is_removed_is_no_conversion_to_go_on_with(
    source, out, digest_files, tmp_path
):
    build(source, tmp_path / "whole")

    def remove_some(staging):
        (staging / "publishing.json").unlink()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_folder, "clear_staging", remove_some)
        with pytest.raises(KeyboardInterrupt):
            build(source, out)
    assert len(list((out / "conversion.incomplete").iterdir())) == 5
    verify_dataset(out, quiet=True)
    with pytest.raises(OutputError, match="finished data set is there, nothing is left to resume"):
        build(source, out, resume=True, seed=2)
    assert digest_files(out) == digest_files(tmp_path / "whole")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "\udcff"])
def test_a_plan_that_cannot_be_read_is_refused(source, out, text):
    (out / "conversion.incomplete").mkdir(parents=True)
    (out / "conversion.incomplete" / "plan.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OutputError):
        build(source, out, resume=True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"image_kinds": 5}', '{"image_kinds": []}', '{"image_kinds": [[["x"], 1]]}']
)
def test_a_receipt_that_cannot_be_read_has_its_shard_written_again(source, out, digest_files, tmp_path, text):
    build(source, tmp_path / "whole")
    crash_in_publication(source, out, 0)
    for receipt in (out / "conversion.incomplete").glob("*-of-00004.json"):
        receipt.write_text(text)
    build(source, out, resume=True)
    assert digest_files(out) == digest_files(tmp_path / "whole")


FORGED_NAMES = [
    "../victim.txt",
    "thesis.txt",
    "/etc/passwd",
    "sub/thesis.txt",
    "train.rec",
    "",
    "..",
    7,
    None,
    ["classes.csv"],
]


@pytest.mark.parametrize("name", FORGED_NAMES)
@pytest.mark.parametrize("file", ["replaced.json", "publishing.json"])
@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_a_forged_list_removes_nothing(source, out, tmp_path, digest_files, file, name, option):
    if file == "replaced.json":
        build(source, out, num_shards=6, seed=9)
    crash_in_publication(source, out, 0, overwrite=True)
    staging = out / "conversion.incomplete"
    if file == "replaced.json":
        (staging / "publishing.json").rename(staging / file)  # as if killed while the old set is removed
    names = json.loads((staging / file).read_text())
    (staging / file).write_text(json.dumps([*names, name]))
    (out / "sub").mkdir()
    for mine in ("thesis.txt", "../victim.txt", "sub/thesis.txt", "train.rec"):
        (out / mine).write_text("mine")
    before = digest_files(tmp_path)
    with pytest.raises(OutputError, match=r"Nothing was removed\. Move"):
        build(source, out, **{option: True})
    assert digest_files(tmp_path) == before


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_list_removes_files_only(source, out, tmp_path, kind):
    build(source, out, num_shards=6, seed=9)
    crash_in_publication(source, out, 0, overwrite=True)
    staging, place = out / "conversion.incomplete", out / "faces-train.tfrecord-00005-of-00006"
    (staging / "publishing.json").unlink()
    (tmp_path / "mine").write_text("mine")
    {"link": lambda: place.symlink_to(tmp_path / "mine"), "folder": place.mkdir, "pipe": lambda: os.mkfifo(place)}[
        kind
    ]()
    with pytest.raises(OutputError, match=f"is a {kind}; expected files of its own"):
        build(source, out, resume=True)
    assert place.exists()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("resume", [False, True])
def test_what_somebody_put_into_the_staging_folder_stays(source, out, tmp_path, digest_files, resume):
    strangers = ("thesis.txt", "notes.incomplete", "faces.tfrecord", "sub/manifest.json", "sub/0.jpg")
    if resume:
        crash_in_publication(source, out, 3)
    for name in strangers:
        path = out / "conversion.incomplete" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    build(source, out, resume=resume, overwrite=not resume)
    assert sorted(digest_files(out / "conversion.incomplete")) == sorted(strangers)
    verify_dataset(out, quiet=True)
    with pytest.raises(OutputError, match="a finished data set is there"):
        build(source, out)
    build(source, out, overwrite=True, seed=2)
    assert sorted(digest_files(out / "conversion.incomplete")) == sorted(strangers)


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_staging_folder_that_is_none_is_refused(source, out, tmp_path, digest_files, kind):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "plan.json").write_text("{}")
    out.mkdir()
    place = out / "conversion.incomplete"
    place.symlink_to(tmp_path / "mine") if kind == "link" else place.write_text("mine")
    before = digest_files(tmp_path)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match="expected a folder that fr-prep made, or nothing"):
            build(source, out, **options)
    assert digest_files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "beside_a_set"),
    [
        ("classes.csv", False),
        ("manifest.json", False),
        ("faces-train.tfrecord-00001-of-00004", False),
        ("faces-train.tfrecord-00001-of-00004", True),
    ],
)
def test_a_file_that_no_conversion_wrote_is_not_replaced(source, out, digest_files, name, beside_a_set):
    if beside_a_set:
        build(source, out, num_shards=6)
    out.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    before = digest_files(out)
    with pytest.raises(
        OutputError, match=f"{name}: is no file of the data set that is to be replaced. Move it away, or"
    ):
        build(source, out, overwrite=True)
    assert digest_files(out) == before


def test_a_file_that_comes_into_the_folder_meanwhile_is_not_replaced(source, out, monkeypatch):
    tables = build_module.write_tables

    def write_and_put(*arguments, **options):
        (out / "classes.csv").write_text("mine")
        return tables(*arguments, **options)

    monkeypatch.setattr(build_module, "write_tables", write_and_put)
    with pytest.raises(OutputError, match=r"classes\.csv: is no file .* Move it away, then go on with --resume"):
        build(source, out)
    assert (out / "classes.csv").read_text() == "mine"
    monkeypatch.undo()
    (out / "classes.csv").unlink()
    build(source, out, resume=True)
    verify_dataset(out, quiet=True)


def test_a_receipt_of_another_shard_has_its_shard_written_again(source, out, digest_files, tmp_path):
    build(source, tmp_path / "whole")
    crash_in_publication(source, out, 0)
    receipts = sorted((out / "conversion.incomplete").glob("*-of-00004.json"))
    receipts[0].write_text(receipts[1].read_text())
    receipts[2].write_text(receipts[2].read_text().replace('"file": "', '"file": "../'))
    build(source, out, resume=True)
    assert digest_files(out) == digest_files(tmp_path / "whole")


def limit_space(patch, free_bytes):
    usage = collections.namedtuple("usage", "free")(free_bytes)
    patch.setattr(build_module.shutil, "disk_usage", lambda _: usage)


def test_resume_asks_for_the_space_of_what_is_left_only(source, out):
    crash_in_publication(source, out, 0)
    with pytest.MonkeyPatch.context() as patch:
        limit_space(patch, 100)
        build(source, out, resume=True)
    verify_dataset(out, quiet=True)


def test_resume_asks_for_no_space_for_what_was_moved_to_its_place(make_set, numbered_jpeg, out, tmp_path):
    source = make_set(tmp_path / "large", images=lambda key: numbered_jpeg(key) + bytes(10_000)).folder
    crash_in_publication(source, out, 7)
    with pytest.MonkeyPatch.context() as patch:
        limit_space(patch, 10_000)
        build(source, out, resume=True)
    verify_dataset(out, quiet=True)


def test_overwrite_counts_on_the_space_of_what_it_removes(source, out):
    crash_in_publication(source, out, 0)
    with pytest.MonkeyPatch.context() as patch:
        limit_space(patch, 100)
        build(source, out, overwrite=True, seed=2)
    verify_dataset(out, quiet=True)


def test_a_shard_that_cannot_be_synced_is_written_again(source, out, digest_files, tmp_path):
    build(source, tmp_path / "whole")
    name, sync = "faces-train.tfrecord-00001-of-00004", os.fsync

    def fail_once(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == name and not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    failed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail_once)
        with pytest.raises(OutputError, match=f"{name}: cannot be written: Input/output error"):
            build(source, out)
    assert failed
    staging = out / "conversion.incomplete"
    assert [shard for shard in shard_names(staging) if not shard.endswith(".json")] == [
        f"faces-train.tfrecord-0000{i}-of-00004" for i in (0, 2, 3)
    ]
    build(source, out, resume=True)
    assert digest_files(out) == digest_files(tmp_path / "whole")


def test_an_old_set_whose_manifest_cannot_be_read_is_not_taken_for_none(source, out, digest_files, as_nobody):
    build(source, out)
    before = digest_files(out)
    (out / "manifest.json").chmod(0)
    with pytest.raises(OutputError, match=r"manifest\.json: cannot be read: Permission denied"):
        build(source, out, overwrite=True, num_shards=2)
    (out / "manifest.json").chmod(0o644)
    assert before.items() <= digest_files(out).items()
    build(source, out, resume=True, num_shards=2)
    assert shard_names(out) == [f"faces-train.tfrecord-0000{i}-of-00002" for i in range(2)]


@pytest.mark.parametrize("old_set", [False, True])
def test_a_folder_that_may_not_be_written_is_said(source, out, digest_files, as_nobody, old_set):
    if old_set:
        build(source, out)
    else:
        out.mkdir()
    before = digest_files(out)
    out.chmod(0o555)
    with pytest.raises(OutputError, match=f"{out}.*Permission denied. Give the folder write permission"):
        build(source, out, overwrite=old_set)
    out.chmod(0o755)
    assert digest_files(out) == before


def test_a_conversion_refused_for_want_of_space_may_simply_be_repeated(source, out):
    with pytest.MonkeyPatch.context() as patch:
        limit_space(patch, 10)
        with pytest.raises(OutputError, match="10 are left"):
            build(source, out)
    build(source, out)


def test_a_name_that_no_file_system_holds_is_refused(source, out):
    with pytest.raises(ValueError, match="at most 200 letters"):
        build(source, out, name="a" * 250)


def test_a_path_that_is_too_long_is_an_output_error(source, tmp_path):
    with pytest.raises(OutputError):
        build(source, tmp_path / ("a" * 300))


def test_a_folder_where_a_table_belongs_is_refused_and_the_old_set_stays(source, out, digest_files):
    build(source, out)
    (out / "other-train.tfrecord-00000-of-00004").mkdir()
    before = digest_files(out)
    with pytest.raises(OutputError):
        build(source, out, overwrite=True, name="other")
    after = digest_files(out)
    assert before.items() <= after.items()


def test_overwrite_removes_no_file_that_a_manifest_merely_names(source, out):
    build(source, out)
    (out / "thesis.txt").write_text("mine")
    content = json.loads((out / "manifest.json").read_text())
    content["splits"]["train"]["shards"][0]["file"] = "thesis.txt"
    (out / "manifest.json").write_text(json.dumps(content))
    build(source, out, overwrite=True)
    assert (out / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("file", ["..", ".", ""])
def test_overwrite_of_a_set_whose_manifest_names_a_folder_keeps_to_its_errors(source, out, file):
    build(source, out)
    content = json.loads((out / "manifest.json").read_text())
    content["splits"]["train"]["shards"][0]["file"] = file
    (out / "manifest.json").write_text(json.dumps(content))
    try:
        build(source, out, overwrite=True)
    except ToolkitError:
        return
    verify_dataset(out, quiet=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
def test_a_disk_that_is_full_in_the_middle_is_said_in_one_line(make_set, run_prep, tmp_path, drawn_image):
    make_set(
        tmp_path / "set", num_classes=4, images_per_class=40, images=lambda key: drawn_image(key, height=64, width=64)
    )
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        size = (tmp_path / "set" / "train.rec").stat().st_size
        # The shards fit by 40 kB, which is less than the blocks that they only half fill.
        (small / "others").write_bytes(bytes(max(0, (2 << 20) - size - 160 * 160 - 40_000)))
        ended = run_prep("rec2tfrecord", tmp_path / "set", small / "out", "--shards", "80", "--workers", "2", "--quiet")
        assert ended.returncode == 1
        assert "disk is full" in ended.stderr or "of free space" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (small / "out" / "manifest.json").exists()
        (small / "others").unlink()
        resumed = run_prep("rec2tfrecord", tmp_path / "set", small / "out", "--shards", "80", "--quiet", "--resume")
        assert resumed.returncode == 0, resumed.stderr
        verify_dataset(small / "out", quiet=True)
    finally:
        subprocess.run(["umount", str(small)], check=True)
