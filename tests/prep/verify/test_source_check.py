"""`fr-prep verify --source`: sets whose every digest is right, but which are not what their source is."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fr_data.tfrecord.frames import find_frames, masked_crc32c
from fr_prep.errors import ShardError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify import source_check
from fr_prep.verify.verify import check_dataset
from fr_prep.write.build import BuildSettings, build_dataset

DIALECTS = [
    "basic",
    "gray",
    "label_array",
    "label_array_extra",
    "label_gaps",
    "magic_inside",
    "no_header",
    "no_idx",
    "odd_sizes",
    "png",
]


def build(source, out, **plan):
    source = source if hasattr(source, "read") else RecordSetSource(source)
    settings = BuildSettings(plan=PlanSettings(**{"num_shards": 2, "seed": 1, **plan}), quiet=True)
    build_dataset(source, out, settings=settings)
    return out


@pytest.fixture
def true_set(make_set, tmp_path):
    return make_set(tmp_path / "set").folder


@pytest.fixture
def build_another(make_set, seal_set, true_set, tmp_path):
    """Converts a set that is made otherwise, and lets its manifest name the files of the true one."""

    def make(**changes):
        make_set(tmp_path / "altered", **changes)
        out = build(tmp_path / "altered", tmp_path / "out")
        truth = json.loads((build(true_set, tmp_path / "truth") / "manifest.json").read_text())
        seal_set(out, lambda manifest: manifest.update(source=truth["source"]))
        assert check_dataset(out, decode=True, quiet=True).problems == []
        return out

    return make


def problems_of(out, source, **options):
    return check_dataset(out, source=source, quiet=True, **options).problems


def place_of(out, key):
    """Where the record with a key stands: shard, number, offset of the frame."""
    row = np.load(out / "records.npy")["source_key"].tolist().index(key)
    for shard in json.loads((out / "manifest.json").read_text())["splits"]["train"]["shards"]:
        if row < shard["num_records"]:
            frames = find_frames(np.fromfile(out / shard["file"], dtype=np.uint8))
            return shard["file"], row, int(frames.starts[row]) - 12
        row -= shard["num_records"]
    raise AssertionError


@pytest.mark.parametrize("workers", [1, 3])
def test_a_set_is_equal_to_its_source(true_set, tmp_path, workers):
    out = build(true_set, tmp_path / "out", num_shards=5)
    assert problems_of(out, true_set, num_workers=workers) == []
    assert problems_of(out, true_set / "train.rec") == []


def test_a_set_with_dropped_classes_and_a_validation_split_is_equal_to_its_source(make_set, tmp_path):
    folder = make_set(tmp_path / "set", num_classes=5, images_per_class=[1, 4, 2, 6, 8]).folder
    out = build(folder, tmp_path / "out", min_images=3, validation_fraction=0.3, split_by="identity")
    assert problems_of(out, folder) == []


def test_a_set_is_read_again_with_the_same_label_and_without_the_same_damaged_records(
    make_set, numbered_jpeg, tmp_path
):
    images = {4: b"no image at all", 7: b""}
    folder = make_set(
        tmp_path / "set",
        labels=[[5.0, 1.0], [5.0, 2.0], [5.0, 3.0]],
        images=lambda key: images.get(key) or numbered_jpeg(key),
    ).folder
    out = build(RecordSetSource(folder, RecordSettings(label_position=1, on_error="skip")), tmp_path / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    assert [record["key"] for record in manifest["left_out"]["records"]] == [4]
    assert manifest["num_classes"] == 3
    assert problems_of(out, folder) == []


def test_class_folders_are_a_source_as_well(drawn_image, tmp_path):
    for number in range(6):
        path = tmp_path / "set" / f"person {number // 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn_image(number))
    Image.new("RGB", (20, 20), "red").save(tmp_path / "set" / "person 1" / "red.bmp")
    out = build(ClassFolderSource(tmp_path / "set"), tmp_path / "out")
    assert problems_of(out, tmp_path / "set") == []
    (tmp_path / "set" / "person 0" / "1.jpg").write_bytes(drawn_image(0))
    texts = [problem.problem for problem in problems_of(out, tmp_path / "set")]
    assert any("1.jpg" in text for text in texts)
    (tmp_path / "set" / "person 1" / "z.jpg").write_bytes(drawn_image(9))
    assert "person 1/z.jpg: (key 7): is in no shard of the set" in "\n".join(
        map(str, problems_of(out, tmp_path / "set"))
    )


def test_swapped_images_are_named_with_their_keys_and_places(build_another, numbered_jpeg, true_set):
    swapped = {3: 10, 10: 3}
    out = build_another(images=lambda key: numbered_jpeg(swapped.get(key, key)))
    problems = problems_of(out, true_set)
    assert sorted((p.file, p.record, p.offset) for p in problems) == sorted(place_of(out, key) for key in (3, 10))
    assert sorted(problem.key for problem in problems) == [3, 10]
    for (
        problem
    ) in problems:  # "image 000003" and "image 000010" differ in 2 bytes of the comment behind the first marker
        assert f"the image differs from that of {true_set / 'train.rec'}, record at byte " in problem.problem
        assert problem.problem.endswith("in 2 bytes from byte 16 on")


def test_an_image_of_another_length_is_named(build_another, numbered_jpeg, true_set):
    out = build_another(images=lambda key: numbered_jpeg(key) + (b"x" if key == 6 else b""))
    (problem,) = problems_of(out, true_set)
    assert (problem.file, problem.record, problem.offset) == place_of(out, 6)
    length = len(numbered_jpeg(6))
    assert problem.problem.startswith(f"expected bytes of image {length}, as in ")
    assert problem.problem.endswith(f"received {length + 1}")


def test_changed_labels_are_named(build_another, true_set):
    out = build_another(labels=[0, 2, 1])
    problems = problems_of(out, true_set)
    assert sorted(problem.key for problem in problems) == [5, 6, 7, 8, 9, 10, 11, 12]
    first = next(problem for problem in problems if problem.key == 5)
    assert first.problem.startswith(f"expected source label 1, as in {true_set / 'train.rec'}, record at byte ")
    assert first.problem.endswith("received 2")


def test_a_missing_record_is_named_by_key_and_byte(build_another, true_set):
    out = build_another(images_per_class=[4, 4, 3])
    (problem,) = problems_of(out, true_set)
    assert (problem.file, problem.key) == ("train.rec", 12)
    offsets = dict(map(int, line.split()) for line in (true_set / "train.idx").read_text().splitlines())
    assert problem.offset == offsets[12]
    assert "is in no shard" in problem.problem


def test_a_record_too_many_is_named(build_another, true_set):
    out = build_another(images_per_class=[4, 4, 5])
    (problem,) = problems_of(out, true_set)
    assert (problem.file, problem.record, problem.offset) == place_of(out, 13)
    assert (problem.key, problem.problem) == (13, "the source has no record with this key")


def test_a_key_that_two_records_have_is_found(true_set, seal_set, tmp_path):
    out = build(true_set, tmp_path / "out")
    file, number, offset = place_of(out, 9)
    data = bytearray((out / file).read_bytes())
    end = int(find_frames(np.frombuffer(data, dtype=np.uint8)).ends[number])
    value = data.index(b"source_key", offset) + 16
    assert data[value] == 9
    data[value] = 4
    data[end : end + 4] = masked_crc32c(bytes(data[offset + 12 : end])).to_bytes(4, "little")
    (out / file).write_bytes(data)
    table = np.load(out / "records.npy")
    table["source_key"][table["source_key"] == 9] = 4
    np.save(out / "records.npy", table)
    seal_set(out)
    assert check_dataset(out, quiet=True).problems == []
    problems = problems_of(out, true_set)
    assert "another record has the same key" in [problem.problem for problem in problems]
    assert ("train.rec", 9) in [(problem.file, problem.key) for problem in problems]


@pytest.mark.parametrize("block_bytes", [1, 500, 4 << 20])
def test_every_image_is_compared_whatever_the_blocks(build_another, numbered_jpeg, true_set, monkeypatch, block_bytes):
    monkeypatch.setattr(source_check, "BLOCK_BYTES", block_bytes)
    out = build_another(images=lambda key: numbered_jpeg(key + 1))
    assert sorted(problem.key for problem in problems_of(out, true_set)) == list(range(1, 13))


def test_a_source_that_was_changed_is_found_in_record_and_digest(true_set, tmp_path):
    out = build(true_set, tmp_path / "out")
    rec = bytearray((true_set / "train.rec").read_bytes())
    place = rec.index(b"image 000008")
    rec[place + 6] ^= 1
    (true_set / "train.rec").write_bytes(rec)
    (true_set / "property").write_text("3,16,16\n")
    problems = problems_of(out, true_set)
    assert [(problem.file, problem.key) for problem in problems] == [
        (place_of(out, 8)[0], 8),
        ("property", None),
        ("train.rec", None),
    ]
    assert problems[0].problem.endswith("in 1 bytes from byte 12 on")
    assert problems[1].problem.startswith("expected 7 bytes with sha256:")
    assert "received 8 bytes with sha256:" in problems[1].problem


def test_a_file_of_the_source_that_is_gone_is_found(true_set, tmp_path):
    out = build(true_set, tmp_path / "out")
    (true_set / "train.idx").unlink()
    (problem,) = problems_of(out, true_set)
    assert problem.file == "train.idx"
    assert problem.problem.endswith("as when the set was made, received no such file")


def test_records_that_could_not_be_read_are_not_called_missing(true_set, tmp_path):
    out = build(true_set, tmp_path / "out")
    file, number, offset = place_of(out, 5)
    data = bytearray((out / file).read_bytes())
    data[offset + 40] ^= 1
    (out / file).write_bytes(data)
    (problem,) = problems_of(out, true_set)
    assert (problem.file, problem.record, problem.problem) == (file, number, "the CRC of its data is wrong")


def test_a_source_that_cannot_be_read_is_an_error(true_set, run_prep, tmp_path):
    out = build(true_set, tmp_path / "out")
    with pytest.raises(SourceError, match="no such file or folder"):
        problems_of(out, tmp_path / "nothing")
    ended = run_prep("verify", out, "--source", tmp_path / "nothing")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: ")


def test_a_set_that_was_rewritten_is_compared_with_no_source(true_set, run_prep, tmp_path):
    build(true_set, tmp_path / "out")
    assert run_prep("rewrite", "out", "new", "--quiet", cwd=tmp_path).returncode == 0
    assert run_prep("verify", "new", cwd=tmp_path).returncode == 0
    ended = run_prep("verify", "new", "--source", "out", cwd=tmp_path)
    assert ended.returncode == 1
    assert "made by bin2tfrecord, merge or rewrite. Leave out --source." in ended.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["source"].pop("files"),
        lambda m: m["source"].update(files=[1]),
        lambda m: m["dropped"].pop("classes"),
        lambda m: m["left_out"].update(num_records=1, records=[{}]),
        lambda m: m["arguments"].update(label_position=-1),
        lambda m: m["arguments"].update(label_position="x"),
        lambda m: m["arguments"].update(on_error="?"),
    ],
)
def test_a_manifest_that_does_not_say_what_the_set_was_made_of_is_refused(true_set, seal_set, tmp_path, change):
    out = build(true_set, tmp_path / "out")
    seal_set(out, change)
    with pytest.raises(ShardError, match="does not say what the set was made of"):
        problems_of(out, true_set)


@pytest.mark.shared
@pytest.mark.parametrize("dialect", DIALECTS)
def test_sets_in_any_dialect_are_equal_to_their_sources(shared, tmp_path, dialect):
    source = shared / "mxnet" / dialect
    out = build(source, tmp_path / "out", num_shards=3)
    assert problems_of(out, source, decode=True) == []
    shutil.rmtree(out)
