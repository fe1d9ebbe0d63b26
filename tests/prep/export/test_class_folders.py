"""Class folders: what they hold, what is refused, and what is left where a run is killed at any step."""

import collections
import csv
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from fr_prep.errors import DamagedRecordError, OutputError, SourceError
from fr_prep.export import class_folders, class_tree, image_files
from fr_prep.export.class_folders import ExportSettings, export_class_folders, plan_class_folders
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.shards.shard_folder import ShardFolderSource
from fr_prep.write.output_folder import OutputFolder

STAGING = "conversion.incomplete"


def export(source, out, **settings):
    is_shards = isinstance(source, ShardFolderSource)
    return export_class_folders(
        source if is_shards else RecordSetSource(source),
        out,
        settings=ExportSettings(quiet=True, **settings),
        check_digests=is_shards,
    )


def image_bytes(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.*g")}


def read_table(out):
    with (out / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    """Several tasks and blocks even in small sets."""
    monkeypatch.setattr(class_folders, "IMAGES_PER_TASK", 3)
    monkeypatch.setattr(image_files, "BLOCK_BYTES", 600)


@pytest.fixture
def made(make_set, tmp_path):
    return make_set(tmp_path / "set")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


# What is written.


def test_each_image_is_a_file_of_its_own_byte_for_byte(make_set, out, tmp_path, numbered_jpeg, plain_png):
    made = make_set(
        tmp_path / "set",
        labels=[7, 0, 1000],
        images_per_class=[2, 1, 2],
        images=lambda key: plain_png if key == 2 else numbered_jpeg(key),
    )
    export(made.folder, out)
    files = ["7/1.jpg", "7/2.png", "0/3.jpg", "1000/4.jpg", "1000/5.jpg"]
    assert image_bytes(out) == {file: record.image for file, record in zip(files, made.records, strict=True)}
    assert sorted(path.name for path in out.iterdir()) == ["0", "1000", "7", "images.csv"]
    lengths = [len(record.image) for record in made.records]
    assert (out / "images.csv").read_text() == (
        "file,key,label,name,num_bytes\n"
        f"7/1.jpg,1,7,7,{lengths[0]}\n"
        f"7/2.png,2,7,7,{lengths[1]}\n"
        f"0/3.jpg,3,0,0,{lengths[2]}\n"
        f"1000/4.jpg,4,1000,1000,{lengths[3]}\n"
        f"1000/5.jpg,5,1000,1000,{lengths[4]}\n"
    )


def test_the_number_of_workers_changes_nothing(made, tmp_path, digest_files):
    export(made.folder, tmp_path / "one")
    export(made.folder, tmp_path / "three", num_workers=3)
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "three")


def test_split_records_are_joined(make_set, out, tmp_path, numbered_jpeg):
    magic = bytes.fromhex("0a23d7ce")
    made = make_set(tmp_path / "set", images=lambda key: numbered_jpeg(key) + magic * 3)
    export(made.folder, out)
    assert sorted(image_bytes(out).values()) == sorted(record.image for record in made.records)


def test_shards_give_the_same_files_as_the_set_that_they_came_from(made, out, tmp_path, run_prep):
    run_prep("rec2tfrecord", made.folder, tmp_path / "shards", "--validation-fraction", "0.4", "--shards", "2")
    export(made.folder, tmp_path / "direct")
    export(ShardFolderSource(tmp_path / "shards"), out)
    assert image_bytes(out) == image_bytes(tmp_path / "direct")
    by_file = sorted(read_table(out), key=lambda row: int(row["key"]))
    assert by_file == read_table(tmp_path / "direct")


def make_named_shards(folder, names, image, run_prep):
    for name in names:
        (folder / "named" / name).mkdir(parents=True)
        (folder / "named" / name / "a.jpg").write_bytes(image)
    run_prep("folder2tfrecord", folder / "named", folder / "shards", "--shards", "1", "--no-shuffle")
    return ShardFolderSource(folder / "shards")


def test_class_folders_have_the_names_of_the_classes(out, tmp_path, run_prep, colour_jpeg):
    names = ["Ann, the first", "Bo\u00ebl", "7"]
    result = export(make_named_shards(tmp_path, names, colour_jpeg, run_prep), out)
    assert result.warnings == []
    assert {row["file"]: (row["label"], row["name"]) for row in read_table(out)} == {
        "7/0.jpg": ("0", "7"),
        "Ann, the first/1.jpg": ("1", "Ann, the first"),
        "Bo\u00ebl/2.jpg": ("2", "Bo\u00ebl"),
    }


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        (["a", "images.csv"], r"'images.csv' \(label 1\) can be no"),
        (["a", "b\\c"], r"'b\\\\c' \(label 1\) can be no"),
        (["Ann", "ann"], r"'ann' \(label 1\) stands for two"),
    ],
)
def test_where_a_name_will_not_do_all_class_folders_have_labels(out, tmp_path, run_prep, colour_jpeg, names, warning):
    result = export(make_named_shards(tmp_path, names, colour_jpeg, run_prep), out)
    (said,) = result.warnings
    assert pytest.raises(AssertionError, match=warning).matches(AssertionError(said))
    assert [(row["file"], row["name"]) for row in read_table(out)] == [("0/0.jpg", names[0]), ("1/1.jpg", names[1])]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a.incomplete", "a/b", "a\0b", "a\nb", "\ud800", "x" * 256, "\u00e9" * 128]
)
def test_names_that_no_folder_may_have_are_known(name):
    folders, (warning,) = class_folders._name_folders({3: "good", 5: name})
    assert folders == {3: "3", 5: "5"}
    assert "(label 5) can be no folder's name" in warning


def test_folders_written_from_shards_are_read_as_the_same_classes(out, tmp_path, run_prep, colour_jpeg, read_faces):
    export(make_named_shards(tmp_path, ["b", "c", "a"], colour_jpeg, run_prep), out)
    assert run_prep("folder2tfrecord", out, tmp_path / "again", "--shards", "1", "--no-shuffle").returncode == 0
    assert read_faces(tmp_path / "again") == read_faces(tmp_path / "shards")
    assert (tmp_path / "again" / "classes.csv").read_text() == (tmp_path / "shards" / "classes.csv").read_text()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["faces/tiny", "mxnet/png", "mxnet/magic_inside", "mxnet/no_idx", "mxnet/label_array"])
def test_real_sets_come_out_byte_for_byte(shared, out, name):
    from fr_prep.sources.image_reader import ImageReader

    images = export(shared / name, out, num_workers=2).images
    with ImageReader(images.places) as reader:
        for row, entry in enumerate(read_table(out)):
            assert (int(entry["key"]), int(entry["label"])) == (images.keys[row], images.labels[row])
            assert (out / entry["file"]).read_bytes() == reader.read(row)
    assert len(image_bytes(out)) == len(images.keys)


# What is refused.


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_image_that_is_none_is_named(make_set, out, tmp_path, numbered_jpeg, num_workers):
    made = make_set(tmp_path / "set", images=lambda key: b"GIF89a" + bytes(60) if key == 8 else numbered_jpeg(key))
    with pytest.raises(DamagedRecordError, match=r"train\.rec, record at byte \d+, key 8: expected a JPEG or PNG"):
        export(made.folder, out, num_workers=num_workers)
    assert not (out / "images.csv").exists()
    assert [path.name for path in out.iterdir()] == [STAGING]


def test_two_images_with_one_key_are_refused(made, out, monkeypatch):
    images = RecordSetSource(made.folder).read()
    images.keys[5] = images.keys[2]
    monkeypatch.setattr(RecordSetSource, "read", lambda self: images)
    with pytest.raises(SourceError, match="unique keys, which become the files' names, received 3 twice"):
        export(made.folder, out)
    assert not out.exists()


def test_a_source_that_changes_meanwhile_is_refused(made, out, monkeypatch):
    original = class_folders._write_images

    def write_and_change(*arguments):
        number = original(*arguments)
        made.idx.touch()
        return number

    monkeypatch.setattr(class_folders, "_write_images", write_and_change)
    with pytest.raises(SourceError, match="was changed while it was read"):
        export(made.folder, out)
    assert not out.exists()


def test_a_source_that_changed_since_is_not_gone_on_with(made, out, killed_at):
    assert killed_at(20, lambda: export(made.folder, out))
    made.idx.touch()
    with pytest.raises(OutputError, match="the unfinished conversion there is another one: source files was"):
        export(made.folder, out, resume=True)


def test_what_could_not_get_to_the_disk_is_written_again(made, out, monkeypatch, digest_files, tmp_path):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(class_tree, "sync_file_system", fail)
        with pytest.raises(OutputError, match="Input/output error"):
            export(made.folder, out, durable=True)
    for path in out.rglob("*.jpg"):
        path.write_bytes(bytes(path.stat().st_size))  # what the disk has, and memory had not
    export(made.folder, out, resume=True, durable=True)
    export(made.folder, tmp_path / "expected")
    assert digest_files(out) == digest_files(tmp_path / "expected")


def test_the_disk_is_waited_for_where_it_is_asked_for(made, tmp_path, monkeypatch, digest_files):
    synced = []
    original = class_tree.sync_file_system
    monkeypatch.setattr(class_tree, "sync_file_system", lambda descriptor: synced.append(original(descriptor)))
    export(made.folder, tmp_path / "fast")
    assert synced == []
    export(made.folder, tmp_path / "durable", durable=True)
    assert len(synced) >= 1
    assert digest_files(tmp_path / "fast") == digest_files(tmp_path / "durable")


def test_a_damaged_shard_is_handed_on_by_nobody(made, out, tmp_path, run_prep):
    run_prep("rec2tfrecord", made.folder, tmp_path / "shards", "--shards", "2")
    shard = tmp_path / "shards" / "faces-train.tfrecord-00001-of-00002"
    content = bytearray(shard.read_bytes())
    content[-30] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SourceError, match="expected SHA-256"):
        export(ShardFolderSource(tmp_path / "shards"), out, num_workers=2)
    assert not out.exists()


def test_a_folder_that_holds_something_is_refused(made, out):
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for settings in ({}, {"resume": True}):
        with pytest.raises(OutputError, match=r"it holds thesis\.txt"):
            export(made.folder, out, **settings)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("resume", [False, True])
def test_finished_class_folders_are_refused(made, out, digest_files, resume):
    export(made.folder, out)
    before = digest_files(out)
    with pytest.raises(OutputError, match="finished class folders are there"):
        export(made.folder, out, resume=resume)
    assert digest_files(out) == before


def test_an_unfinished_run_of_something_else_is_not_gone_on_with(made, out, killed_at, make_set, tmp_path, run_prep):
    assert killed_at(20, lambda: export(made.folder, out))
    with pytest.raises(OutputError, match="go on with it by --resume, or start anew by --overwrite".capitalize()):
        export(made.folder, out)
    make_set(tmp_path / "other", num_classes=2)
    with pytest.raises(OutputError, match="is another one"):
        export(tmp_path / "other", out, resume=True)
    assert "is another one" in run_prep("rec2tfrecord", made.folder, out, "--resume").stderr


def test_one_process_writes_to_a_folder(made, out):
    with OutputFolder(out), pytest.raises(OutputError, match="another process is writing"):
        export(made.folder, out)


@pytest.mark.parametrize(
    ("free", "message"),
    [
        ((4096, 11, 99, 99), "expected about 49,152 bytes of free space, 45,056 are left"),
        ((4096, 12, 99, 14), "room for 15 files and folders, the file system has 14 inodes left"),
    ],
)
def test_want_of_space_or_inodes_is_said_before_anything_is_written(made, out, monkeypatch, free, message):
    state = collections.namedtuple("state", "f_frsize f_bavail f_files f_favail")(*free)
    monkeypatch.setattr(class_folders.os, "statvfs", lambda _: state)
    with pytest.raises(OutputError, match=message):
        export(made.folder, out)
    assert not out.exists()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at least 1 worker"):
        ExportSettings(num_workers=0)
    with pytest.raises(ValueError, match="either overwrite or resume"):
        ExportSettings(overwrite=True, resume=True)


# Replacing what is there.


def test_overwrite_leaves_nothing_of_the_older_tree_and_everything_else(make_set, made, out, tmp_path):
    export(make_set(tmp_path / "older", num_classes=5, images_per_class=6).folder, out)
    (out / "thesis.txt").write_text("mine")
    (out / "0" / "note.txt").write_text("mine as well")
    (out / "4" / "note.txt").write_text("mine as well")
    before = image_bytes(out)
    with pytest.raises(
        OutputError, match=r"out/0/note\.txt: is no part of the class folders .* Move it away, or choose another folder"
    ):
        export(made.folder, out, overwrite=True)
    assert image_bytes(out) == before
    (out / "0" / "note.txt").rename(out / "note.txt")
    export(made.folder, out, overwrite=True)
    export(made.folder, tmp_path / "expected")
    assert image_bytes(out) == image_bytes(tmp_path / "expected")
    assert sorted(path.name for path in out.iterdir()) == ["0", "1", "2", "4", "images.csv", "note.txt", "thesis.txt"]
    assert [path.name for path in (out / "4").iterdir()] == ["note.txt"]


@pytest.mark.parametrize("stranger", ["0/note.txt", "2/drawer/note.txt"])
def test_what_comes_into_a_class_folder_meanwhile_is_named_and_the_older_tree_stays(made, out, monkeypatch, stranger):
    export(made.folder, out)
    before, publish = image_bytes(out), class_tree.ClassTree.publish

    def write_and_publish(tree):
        (out / stranger).parent.mkdir(exist_ok=True)
        (out / stranger).write_text("mine")
        publish(tree)

    named = "/".join(stranger.split("/")[:2])
    with monkeypatch.context() as patch:
        patch.setattr(class_tree.ClassTree, "publish", write_and_publish)
        with pytest.raises(OutputError, match=f"out/{named}: is no part .* Move it away, then go on with --resume"):
            export(made.folder, out, overwrite=True)
    assert {file: image for file, image in image_bytes(out).items() if STAGING not in file} == before
    (out / named).rename(out / "mine")
    export(made.folder, out, resume=True)
    assert image_bytes(out) == before


def test_overwrite_writes_no_class_folder_over_a_folder_that_no_table_lists(made, out):
    (out / "1").mkdir(parents=True)
    (out / "1" / "portrait.jpg").write_text("mine")
    with pytest.raises(OutputError, match=r"out/1: is no part of the class folders"):
        export(made.folder, out, overwrite=True)
    assert [path.name for path in out.rglob("*")] == ["1", "portrait.jpg"]


@pytest.mark.parametrize(
    "text", ["", "name\nx\n", "file\n../../thesis.jpg\n", "file\n..\n", 'file\n"0/1.jpg', "file\n0/../1\n"]
)
def test_a_table_that_is_not_ours_removes_nothing(made, out, tmp_path, text):
    (out / "1").mkdir(parents=True)
    (out / "images.csv").write_text(text)
    (tmp_path / "thesis.jpg").write_text("mine")
    with pytest.raises(OutputError):
        export(made.folder, out, overwrite=True)
    assert (tmp_path / "thesis.jpg").exists()
    assert (out / "images.csv").read_text() == text


FORGED = {
    "a file beside the folders": lambda row: ["./important.txt", *row[1:]],
    "a file above": lambda row: ["../1.jpg", *row[1:]],
    "a file of another name": lambda row: ["0/important.jpg", *row[1:]],
    "a file of another kind": lambda row: [f"0/{row[1]}.txt", *row[1:]],
    "a name in two folders": lambda row: [f"0/0/{row[1]}.jpg", *row[1:]],
    "another size": lambda row: [*row[:-1], str(int(row[-1]) + 1)],
    "no size": lambda row: [*row[:-1], "x"],
    "too few columns": lambda row: row[:-1],
    "a byte that no name holds": lambda row: ["0\0/1.jpg", *row[1:]],
    "a link to a file": "link to a file",
    "a link to a folder": "link to a folder",
    "a file that was changed": "changed",
    "a folder of a file's name": "folder",
}


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("when", ["overwrite", "dry run", "resume", "anew"])
def test_a_forged_table_removes_nothing_that_rec2jpeg_did_not_write(
    make_set, made, out, tmp_path, forged, when, run_prep
):
    older = make_set(tmp_path / "older", num_classes=5).folder
    export(older, out)
    table = out / "images.csv"
    if when in ("resume", "anew"):
        with pytest.MonkeyPatch.context() as patch:  # which stops it when the older tree is about to go
            patch.setattr(class_tree.ClassTree, "_remove_listed", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                export(made.folder, out, overwrite=True)
        table = out / STAGING / "replaced.csv"
    place = out / "0" / "1.jpg"
    (out / "important.txt").write_bytes(place.read_bytes())
    (tmp_path / "1.jpg").write_bytes(place.read_bytes())
    change = FORGED[forged]
    if callable(change):
        head, first, *rest = csv.reader(table.read_text().splitlines())
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([head, *rest, change(first)])
    elif change == "link to a file":
        place.unlink()
        place.symlink_to(tmp_path / "1.jpg")
    elif change == "link to a folder":
        (out / "0").rename(tmp_path / "elsewhere")
        (out / "0").symlink_to(tmp_path / "elsewhere")
    elif change == "changed":
        place.write_bytes(b"mine")
    else:
        place.unlink()
        place.mkdir()
    before = entries(tmp_path)
    if when == "dry run":
        assert run_prep("rec2jpeg", made.folder, out, "--overwrite", "--dry-run").returncode == 1
    else:
        with pytest.raises(OutputError, match="Move it away"):
            export(made.folder, out, overwrite=when != "resume", resume=when == "resume")
    assert entries(tmp_path) == before


def entries(folder):
    """All that is in a folder: bytes of files, where links lead, and folders."""
    return {
        path.relative_to(folder).as_posix(): path.readlink()
        if path.is_symlink()
        else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def test_what_somebody_put_into_the_staging_folder_stays(made, out, tmp_path):
    strangers = ("thesis.txt", "images/thesis.txt", "images/0/portrait.jpg", "receipts/mine.csv", "0/1.jpg")
    for name in strangers:
        (out / STAGING / name).parent.mkdir(parents=True, exist_ok=True)
        (out / STAGING / name).write_text("mine")
    (out / STAGING / "images" / "link").symlink_to(tmp_path)
    before = entries(tmp_path)
    for settings in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(
            OutputError, match=r"images: is in the way, and holds what fr-prep did not write\. Move it away"
        ):
            export(made.folder, out, **settings)
        assert entries(tmp_path) == before
    (out / STAGING / "images").rename(tmp_path / "images")
    (out / STAGING / "receipts").rename(tmp_path / "receipts")
    export(made.folder, out, overwrite=True)
    assert sorted(path.name for path in (out / STAGING).iterdir()) == ["0", "thesis.txt"]


# Killed, and gone on with.


@pytest.fixture
def expected(made, tmp_path, digest_files):
    export(made.folder, tmp_path / "expected")
    return digest_files(tmp_path / "expected")


def finish(made, out):
    """Goes on as the user is told to, unless a run was killed when it had finished."""
    if (out / "images.csv").exists() and not (out / STAGING / "plan.json").exists():
        with pytest.raises(OutputError, match="nothing is left to resume"):
            export(made.folder, out, resume=True)
    else:
        export(made.folder, out, resume=True)


def test_killed_at_any_step_a_run_resumes_to_the_same_tree(made, out, killed_at, expected, digest_files):
    step = 0
    while killed_at(step, lambda: export(made.folder, out)):
        if (out / "images.csv").exists():
            assert expected.items() <= digest_files(out).items()
        finish(made, out)
        assert digest_files(out) == expected, f"killed at step {step}"
        shutil.rmtree(out)
        step += 1
    assert step > 40


@pytest.mark.slow
def test_killed_at_any_step_while_it_replaces_a_tree_a_run_resumes_or_starts_anew(
    make_set, made, out, killed_at, expected, digest_files, tmp_path
):
    older = make_set(tmp_path / "older", num_classes=4, images_per_class=2).folder
    export(older, tmp_path / "before")
    before = digest_files(tmp_path / "before")
    step = 0
    while True:
        shutil.copytree(tmp_path / "before", out)
        if not killed_at(step, lambda: export(made.folder, out, overwrite=True)):
            break
        now = digest_files(out)
        if (out / "images.csv").exists():
            assert before.items() <= now.items() or expected.items() <= now.items(), f"killed at step {step}"
        begun = (out / STAGING / "plan.json").exists() or not before.items() <= now.items()
        shutil.copytree(out, tmp_path / "other")
        finish(made, out)
        export(made.folder, tmp_path / "other", overwrite=True)
        assert digest_files(out) == (expected if begun else before), f"killed at step {step}, then resumed"
        assert digest_files(tmp_path / "other") == expected, f"killed at step {step}, then started anew"
        shutil.rmtree(out)
        shutil.rmtree(tmp_path / "other")
        step += 1
    assert step > 50


@pytest.mark.slow
def test_killed_twice_a_run_resumes_to_the_same_tree(made, out, killed_at, expected, digest_files):
    rng = random.Random(2)
    for _ in range(25):
        settings = {}
        while killed_at(rng.randrange(45), lambda settings=settings: export(made.folder, out, **settings)):
            settings = {"resume": True} if rng.random() < 0.7 else {"overwrite": True}
        finish(made, out)
        assert digest_files(out) == expected
        shutil.rmtree(out)


def unfinished(made, out, killed_at):
    """All images are written, and their receipts, and nothing is in its place."""
    step = 20
    while killed_at(step, lambda: export(made.folder, out)) and len(list(out.glob(f"{STAGING}/receipts/*.csv"))) != 4:
        shutil.rmtree(out)
        step += 1
    assert not (out / STAGING / "images.csv").exists()
    return sorted(path for path in (out / STAGING / "images").rglob("*.jpg"))


@pytest.mark.parametrize("damage", ["half a file", "no file", "half a receipt", "no receipt", "another receipt"])
def test_a_half_written_task_is_never_taken_for_a_finished_one(made, out, expected, digest_files, killed_at, damage):
    files = unfinished(made, out, killed_at)
    receipt = out / STAGING / "receipts" / "0000000.csv"
    inodes = {path.name: path.stat().st_ino for path in files}
    if damage == "half a file":
        os.truncate(files[0], 100)
    elif damage == "no file":
        files[0].unlink()
    elif damage == "no receipt":
        receipt.unlink()
        os.truncate(files[0], 100)
    else:
        receipt.write_text(receipt.read_text()[:30] if damage == "half a receipt" else "a\n" * 3)
    export(made.folder, out, resume=True)
    assert digest_files(out) == expected
    # The files of the other tasks are those that were there.
    assert all(path.stat().st_ino == inodes[path.name] for path in out.rglob("*.jpg") if int(path.stem) > 3)


@pytest.fixture(scope="module")
def large_set(make_set, tmp_path_factory):
    """Large enough to be killed in the middle of it."""
    return make_set(tmp_path_factory.mktemp("large") / "set", num_classes=60, images_per_class=50)


def start(source, out, *options):
    code = "from fr_prep import cli; from fr_prep.export import class_folders; class_folders.IMAGES_PER_TASK = 100; cli.main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "rec2jpeg", str(source), str(out), "--workers", "2", "--quiet", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_receipts(out, number):
    deadline = time.monotonic() + 120  # other work may keep all processors busy
    while len(list((out / STAGING / "receipts").glob("*.csv"))) < number and not (out / "images.csv").exists():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("num_receipts", [1, 9, 22, 29])
def test_the_command_killed_in_the_middle_resumes_and_writes_only_what_is_missing(large_set, tmp_path, num_receipts):
    out = tmp_path / "out"
    process = start(large_set.folder, out)
    wait_for_receipts(out, num_receipts)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    kept = {}
    for receipt in (out / STAGING / "receipts").glob("*.csv"):
        for file, *_ in csv.reader(receipt.read_text().splitlines()):
            path = out / STAGING / "images" / file
            kept[file] = (path if path.exists() else out / file).stat().st_mtime_ns
    resumed = start(large_set.folder, out, "--resume")
    error = resumed.communicate(timeout=60)[1]
    assert resumed.returncode == 0 or "nothing is left to resume" in error, error
    assert image_bytes(out) == {f"{record.label}/{record.key}.jpg": record.image for record in large_set.records}
    assert {file: (out / file).stat().st_mtime_ns for file in kept} == kept
    assert len(kept) >= 100 * num_receipts or (out / "images.csv").exists()


def test_ctrl_c_says_how_to_go_on(large_set, out):
    process = start(large_set.folder, out)
    wait_for_receipts(out, 1)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    assert "go on with --resume" in error
    resumed = start(large_set.folder, out, "--resume")
    assert resumed.communicate(timeout=60)[1] == ""
    assert len(read_table(out)) == 3000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
def test_a_disk_that_is_full_in_the_middle_is_said_in_one_line(make_set, run_prep, tmp_path, numbered_jpeg):
    made = make_set(tmp_path / "set", num_classes=20, images_per_class=15, images=numbered_jpeg)
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1280k", "tmpfs", str(small)], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        # Room for the 300 files, each of a page, and not for their table.
        (small / "others").write_bytes(bytes((1280 << 10) - (300 << 12)))
        ended = run_prep("rec2jpeg", made.folder, small / "out", "--workers", "2", "--quiet")
        assert ended.returncode == 1
        assert "The disk is full: free some space, then go on with --resume." in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (small / "out" / "images.csv").exists()
        (small / "others").unlink()
        resumed = run_prep("rec2jpeg", made.folder, small / "out", "--quiet", "--resume")
        assert resumed.returncode == 0, resumed.stderr
        assert len(image_bytes(small / "out")) == 300
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_plan_reads_and_writes_nothing_else(made, out):
    plan = plan_class_folders(RecordSetSource(made.folder))
    assert (len(plan.folders), plan.num_bytes) == (3, sum(len(record.image) for record in made.records))
    assert not out.exists()
