"""A data set given back as a record set: byte for byte where the layout allows, and whole or not at all."""

import collections
import os
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_prep.errors import OutputError, SourceError
from fr_prep.export import record_export, record_frames
from fr_prep.export.record_export import RecordExportSettings, export_records, plan_record_export
from fr_prep.export.record_frames import RecordFrames, frame_lengths
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImagePlaces
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.recordio import RecordFile, RecordWriter
from fr_prep.write.output_folder import OutputFolder

MAGIC = bytes.fromhex("0a23d7ce")
FILES = ("train.rec", "train.idx", "property")


def export(shards, out, **options):
    return export_records(shards, out, settings=RecordExportSettings(quiet=True, **options))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).exists()}


def read_images(folder):
    """(key, label, image) of each image, in file order."""
    found = read_face_set(folder)
    with ImageReader(found.places) as reader:
        images = [reader.read(row) for row in range(len(found.keys))]
    return list(zip(found.keys.tolist(), found.labels.tolist(), images, strict=True))


@pytest.fixture
def convert(run_prep):
    def convert(source, shards, *options):
        ended = run_prep("rec2tfrecord", source, shards, "--shards", "3", "--seed", "4", "--quiet", *options)
        assert ended.returncode == 0, ended.stderr
        return shards

    return convert


@pytest.fixture
def made(make_set, tmp_path):
    return make_set(tmp_path / "set", images_per_class=[3, 1, 4])


@pytest.fixture
def shards(made, convert, tmp_path):
    return convert(made.folder, tmp_path / "shards")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


# What is written.


def test_a_set_comes_back_byte_for_byte(made, shards, out):
    result = export(shards, out)
    assert (out / "train.rec").read_bytes() == made.rec.read_bytes()
    assert (out / "train.idx").read_text() == "".join(f"{key}\t{offset}\n" for key, offset in sorted(made.entries))
    assert (out / "property").read_bytes() == b"3,16,16"
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert (result.num_bytes, result.left_out, result.warnings) == (made.rec.stat().st_size, {}, [])
    assert read_face_set(out).warnings == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_split_records_and_small_blocks_come_back_byte_for_byte(
    make_set, convert, out, tmp_path, monkeypatch, numbered_jpeg, num_workers
):
    monkeypatch.setattr(record_frames, "BLOCK_BYTES", 900)
    at_every_alignment = b"x".join([MAGIC] * 4)
    made = make_set(
        tmp_path / "set", images=lambda key: numbered_jpeg(key) + at_every_alignment * (key in (2, 3, 7, 8))
    )
    with RecordFile(made.rec) as file:
        assert sum(len(list(file.parts_at(offset))) > 1 for _, offset in made.entries) == 4
    export(convert(made.folder, tmp_path / "shards"), out, num_workers=num_workers)
    assert (out / "train.rec").read_bytes() == made.rec.read_bytes()
    assert (out / "train.idx").read_text() == "".join(f"{key}\t{offset}\n" for key, offset in sorted(made.entries))


def test_a_plain_set_comes_back_byte_for_byte(make_set, convert, out, tmp_path):
    made = make_set(tmp_path / "set", header=False, images_per_class=[2, 5])
    export(convert(made.folder, tmp_path / "shards"), out, plain=True)
    assert contents(out) == contents(made.folder)


def test_gaps_between_labels_are_closed_and_classes_put_together(make_set, convert, out, tmp_path, numbered_jpeg):
    made = make_set(tmp_path / "set", labels=[9, 2, 9], images_per_class=[2, 1, 2])
    export(convert(made.folder, tmp_path / "shards"), out)
    images = {record.key: record.image for record in made.records}
    assert read_images(out) == [
        (1, 0, images[3]),
        (2, 1, images[1]),
        (3, 1, images[2]),
        (4, 1, images[4]),
        (5, 1, images[5]),
    ]
    assert (out / "property").read_text() == "2,16,16"


def test_shards_of_what_came_back_are_the_same_shards(shards, convert, out, tmp_path):
    export(shards, out)
    again = convert(out, tmp_path / "again")
    for name in [path.name for path in shards.glob("*.tfrecord-*")] + ["records.npy", "classes.csv"]:
        assert (again / name).read_bytes() == (shards / name).read_bytes()


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["faces/train", "faces/tiny", "mxnet/basic", "mxnet/png", "mxnet/gray", "mxnet/magic_inside"]
)
def test_sets_by_real_mxnet_come_back_byte_for_byte(shared, convert, out, tmp_path, name):
    export(convert(shared / name, tmp_path / "shards"), out)
    assert contents(out) == {file: (shared / name / file).read_bytes() for file in FILES}


@pytest.mark.shared
def test_a_plain_set_by_real_mxnet_comes_back_byte_for_byte(shared, convert, out, tmp_path):
    export(convert(shared / "mxnet/no_header", tmp_path / "shards"), out, plain=True)
    for name in ("train.rec", "train.idx"):
        assert (out / name).read_bytes() == (shared / "mxnet/no_header" / name).read_bytes()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mxnet/label_array", "mxnet/label_gaps", "mxnet/no_idx", "mxnet/odd_sizes"])
def test_other_dialects_come_back_with_their_images_in_order(shared, convert, out, tmp_path, name):
    export(convert(shared / name, tmp_path / "shards"), out)
    before = read_images(shared / name)
    dense = {label: number for number, label in enumerate(sorted({label for _, label, _ in before}))}
    assert read_images(out) == [(key, dense[label], image) for key, label, image in before]


images = st.lists(
    st.lists(st.sampled_from([MAGIC, b"\x0a", b"\x23\xd7\xce", b"1234", b""]), max_size=8).map(b"".join),
    min_size=1,
    max_size=9,
)


@settings(max_examples=200, deadline=None)
@given(images=images, block_bytes=st.integers(1, 200), data=st.data())
def test_frames_are_those_of_the_record_writer(tmp_path_factory, images, block_bytes, data):
    folder = tmp_path_factory.mktemp("frames")
    labels = data.draw(st.lists(st.integers(0, (1 << 24) - 1), min_size=len(images), max_size=len(images)))
    first_key = data.draw(st.sampled_from([0, 1, 1 << 40]))
    file_numbers = data.draw(st.lists(st.integers(0, 2), min_size=len(images), max_size=len(images)))
    offsets, files = [], [b"", b"", b""]
    for number, image in zip(file_numbers, images, strict=True):
        offsets.append(len(files[number]))
        files[number] += image
    for number, content in enumerate(files):
        (folder / str(number)).write_bytes(content)
    places = ImagePlaces(
        folder=folder,
        files=("0", "1", "2"),
        file_numbers=np.array(file_numbers),
        record_offsets=np.array(offsets),
        image_offsets=np.array(offsets),
        image_lengths=np.array(list(map(len, images))),
    )
    with pytest.MonkeyPatch.context() as patch, (folder / "ours").open("wb") as file:
        patch.setattr(record_frames, "BLOCK_BYTES", block_bytes)
        with RecordFrames(places, np.array(labels), first_key=first_key) as frames:
            found = [offset for block in frames.write(file, RecordWriter(file)) for offset in block.tolist()]
    with (folder / "theirs").open("wb") as file:
        writer = RecordWriter(file)
        expected = [
            writer.write(pack_image_record(float(label), key=key, image=image))
            for key, (label, image) in enumerate(zip(labels, images, strict=True), start=first_key)
        ]
    assert (folder / "ours").read_bytes() == (folder / "theirs").read_bytes()
    assert found == expected
    assert int(frame_lengths(places.image_lengths).sum()) <= writer.offset
    shutil.rmtree(folder)


# Splits.


def test_one_split_is_written_and_the_other_said_to_be_left_out(make_set, convert, out, tmp_path):
    made = make_set(tmp_path / "set", images_per_class=[8, 1, 4])
    shards = convert(made.folder, tmp_path / "shards", "--validation-fraction", "0.25")
    assert export(shards, tmp_path / "train").left_out == {"validation": 3}
    result = export(shards, tmp_path / "validation", split="validation")
    assert (result.left_out, result.num_classes) == ({"train": 10}, 3)
    assert result.warnings == ["1 of 3 classes have no image here; their labels stay free."]
    assert export(shards, tmp_path / "all", split="all").left_out == {}
    assert (tmp_path / "all" / "train.rec").read_bytes() == made.rec.read_bytes()
    parts = [read_images(tmp_path / split) for split in ("train", "validation")]
    assert [len(part) for part in parts] == [10, 3]
    assert sorted((label, image) for part in parts for _, label, image in part) == sorted(
        (record.label, record.image) for record in made.records
    )
    with RecordFile(tmp_path / "validation" / "train.rec") as file:
        ranges = [
            np.frombuffer(file.read(offset)[24:], "<f4").tolist() for offset in file.record_offsets()[[0, -3, -2, -1]]
        ]
    assert ranges == [[4, 7], [1, 3], [3, 3], [3, 4]]


def test_identities_that_were_set_apart_are_numbered_from_0(make_set, convert, out, tmp_path):
    made = make_set(tmp_path / "set", num_classes=6, images_per_class=2)
    options = ("--validation-fraction", "0.34", "--split-by", "identity")
    shards = convert(made.folder, tmp_path / "shards", *options)
    export(shards, tmp_path / "train")
    export(shards, tmp_path / "validation", split="validation")
    assert sorted({label for _, label, _ in read_images(tmp_path / "train")}) == [0, 1, 2, 3]
    assert sorted({label for _, label, _ in read_images(tmp_path / "validation")}) == [0, 1]
    assert (tmp_path / "validation" / "property").read_text() == "2,16,16"


def test_a_split_that_is_not_there_is_refused(shards, out):
    with pytest.raises(SourceError, match=r"expected a validation split, there is none. Leave out --split"):
        export(shards, out, split="validation")
    assert not out.exists()


# Where float32 ends.


def test_ranges_past_what_float32_holds_are_warned_of(shards, out, monkeypatch):
    monkeypatch.setattr(record_export, "EXACT_FLOAT32", 11)
    (warning,) = export(shards, out).warnings
    assert "name keys up to 12, which are float32 and exact only to 11" in warning
    assert plan_record_export(shards, RecordExportSettings(plain=True)).warnings == []
    monkeypatch.setattr(record_export, "EXACT_FLOAT32", 12)
    assert plan_record_export(shards, RecordExportSettings()).warnings == []


def test_more_classes_than_float32_tells_apart_are_refused(shards, out, monkeypatch):
    monkeypatch.setattr(record_export, "EXACT_FLOAT32", 2)
    with pytest.raises(SourceError, match="expected at most 2 classes, received 3"):
        export(shards, out, plain=True)
    assert not out.exists()


def test_the_header_of_a_set_past_float32_is_rounded_to_the_nearest():
    assert (
        pack_image_record([float((1 << 24) + 1), float((1 << 24) + 3)], key=0)[24:]
        == np.array([1 << 24, (1 << 24) + 4], "<f4").tobytes()
    )


def test_an_image_too_long_for_a_record_is_refused(shards, out, monkeypatch):
    monkeypatch.setattr(record_export, "MAX_RECORD_BYTES", 100)
    with pytest.raises(
        SourceError, match=r"faces-train.tfrecord-\d+-of-00003, record at byte \d+: expected an image shorter"
    ):
        export(shards, out)


def test_images_of_several_sizes_are_said(make_set, convert, out, tmp_path, drawn_image, colour_jpeg):
    made = make_set(tmp_path / "set", images=lambda key: drawn_image(key, height=24) if key < 9 else colour_jpeg)
    (warning,) = export(convert(made.folder, tmp_path / "shards"), out).warnings
    assert warning == "Images have different sizes; property states that of most of them, 24 x 32."
    assert (out / "property").read_text() == "3,24,32"


# What is refused, and what is left then.


def test_files_that_are_there_are_replaced_by_overwrite_only(made, shards, out):
    out.mkdir()
    for name in ("property", "train.rec", "lfw.bin"):
        (out / name).write_text("mine")
    with pytest.raises(OutputError, match=r"out: holds train\.rec, property already\. Replace them by --overwrite"):
        export(shards, out)
    assert {path.read_text() for path in out.iterdir()} == {"mine"}
    export(shards, out, overwrite=True)
    assert (out / "train.rec").read_bytes() == made.rec.read_bytes()
    assert (out / "lfw.bin").read_text() == "mine"


def test_one_process_writes_to_a_folder(shards, out):
    with OutputFolder(out), pytest.raises(OutputError, match="another process is writing"):
        export(shards, out)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_damaged_shard_is_handed_on_by_nobody(shards, out, num_workers):
    shard = shards / "faces-train.tfrecord-00001-of-00003"
    content = bytearray(shard.read_bytes())
    content[-30] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SourceError, match=r"00001-of-00003: expected SHA-256 .* see `fr-prep verify"):
        export(shards, out, num_workers=num_workers)
    assert not out.exists()


def test_a_set_that_changes_meanwhile_is_refused(shards, out, monkeypatch):
    original = record_export._write_files

    def write_and_change(*arguments):
        original(*arguments)
        (shards / "faces-train.tfrecord-00001-of-00003").touch()

    monkeypatch.setattr(record_export, "_write_files", write_and_change)
    with pytest.raises(SourceError, match="was changed while it was read"):
        export(shards, out)
    assert not out.exists()


def test_want_of_space_is_said_before_anything_is_written(shards, out, monkeypatch):
    monkeypatch.setattr(record_export.shutil, "disk_usage", lambda _: collections.namedtuple("usage", "free")(10))
    with pytest.raises(OutputError, match=r"bytes of free space, 10 are left"):
        export(shards, out)
    assert not out.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
def test_a_full_disk_is_said_and_nothing_is_left(make_set, convert, tmp_path, monkeypatch, numbered_jpeg):
    made = make_set(
        tmp_path / "set", num_classes=20, images_per_class=20, images=lambda key: numbered_jpeg(key) + bytes(3000)
    )
    shards = convert(made.folder, tmp_path / "shards")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        monkeypatch.setattr(record_export, "_require_space", lambda *_: None)  # someone else fills the disk meanwhile
        with pytest.raises(OutputError, match="The disk is full: free some space, then try again"):
            export(shards, small)
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_killed_at_any_step_it_leaves_an_old_set_or_a_new_one(
    made, shards, make_set, convert, out, tmp_path, killed_at
):
    other = make_set(tmp_path / "other", num_classes=2, images_per_class=7)
    export(convert(other.folder, tmp_path / "others"), tmp_path / "before")
    step = 0
    old, new = read_images(tmp_path / "before"), [(record.key, record.label, record.image) for record in made.records]
    while True:
        shutil.copytree(tmp_path / "before", out)
        if not killed_at(step, lambda: export(shards, out, overwrite=True)):
            break
        found = read_images(out)
        assert found in (old, new)
        export(shards, out, overwrite=True)
        assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
        assert read_images(out) == new
        shutil.rmtree(out)
        step += 1
    assert step >= 8


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at least 1 worker"):
        RecordExportSettings(num_workers=0)
