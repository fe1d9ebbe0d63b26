"""`--reader mxnet`, which reads through real MXNet: its shards are those of our own reader, byte for byte."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.write.build import BuildSettings, build_dataset

MAGIC = bytes.fromhex("0a23d7ce")
PNG = bytes.fromhex("89504e470d0a1a0a0000000d494844520000001000000010080200000090916836")
HEADER = ([9.0, 11.0], 0, b"")
IDENTITIES = [([1.0, 5.0], 9, b""), ([5.0, 9.0], 10, b"")]


def faces(label=lambda key: float(key > 4), magics=lambda _: 0):
    """Eight (labels, key, image) records."""
    return [
        (label(key), key, PNG + bytes([key]) * 3 * key + MAGIC * magics(key) + bytes(key % 4)) for key in range(1, 9)
    ]


# Its records in the order of the file, and which of their labels is the class.
SETS = {
    "InsightFace": ([HEADER, *faces(), *IDENTITIES], 0),
    "header last": ([*faces(), *IDENTITIES, HEADER], 0),
    "images alone": (faces(), 0),
    "shuffled": (sorted(faces(), key=lambda record: record[1] * 5 % 9), 0),
    "label arrays": ([HEADER, *faces(label=lambda key: [float(key > 4), 7.5]), *IDENTITIES], 0),
    "arrays of one": (faces(label=lambda key: [float(key)]), 0),
    "the last of three labels": (faces(label=lambda key: [0.5, 7.0, key % 3 - 1.0]), 2),
    "split records": ([HEADER, *faces(magics=lambda key: key % 4), *IDENTITIES], 0),
    "labels past 2^24": (faces(label=lambda key: 2.0**24 + 2 * (key // 2)), 0),
}


def write_set(folder: Path, records: list[tuple[float | list[float], int, bytes]]) -> None:
    folder.mkdir()
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        entries = [
            (key, writer.write(pack_image_record(labels, key=key, image=image))) for labels, key, image in records
        ]
    write_record_index(folder / "train.idx", entries[1:] + entries[:1])


def digests(folder: Path) -> dict[str, str]:
    """Of everything but the manifest, which names the reader."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }


def convert_natively(source: Path, out: Path, *, label_position: int = 0) -> dict[str, str]:
    settings = BuildSettings(plan=PlanSettings(num_shards=3, seed=4), quiet=True)
    build_dataset(RecordSetSource(source, RecordSettings(label_position=label_position)), out, settings=settings)
    return digests(out)


@pytest.mark.parametrize("name", SETS)
def test_the_shards_of_both_readers_are_the_same(mxnet, tmp_path, name):
    records, position = SETS[name]
    write_set(tmp_path / "set", records)
    out = tmp_path / "theirs"
    ended = mxnet("convert", source=str(tmp_path / "set"), out=str(out), workers=1, label_position=position)
    assert ended == [0, ""] or "Warning" in ended[1]
    assert digests(out) == convert_natively(tmp_path / "set", tmp_path / "ours", label_position=position)
    assert json.loads((out / "manifest.json").read_text())["arguments"]["reader"] == "mxnet"


def test_workers_read_through_mxnet_as_well(mxnet, tmp_path):
    write_set(tmp_path / "set", SETS["split records"][0])
    assert mxnet("convert", source=str(tmp_path / "set"), out=str(tmp_path / "theirs"), workers=2) == [0, ""]
    assert digests(tmp_path / "theirs") == convert_natively(tmp_path / "set", tmp_path / "ours")


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["basic", "label_array_extra", "label_gaps", "magic_inside", "no_header", "odd_sizes", "png"]
)
def test_the_shards_of_real_sets_are_the_same(mxnet, shared, tmp_path, name):
    source = shared / "mxnet" / name
    code, _ = mxnet("convert", source=str(source), out=str(tmp_path / "theirs"), workers=1)
    assert code == 0
    assert digests(tmp_path / "theirs") == convert_natively(source, tmp_path / "ours")


def test_without_idx_it_is_refused(mxnet, tmp_path):
    write_set(tmp_path / "set", SETS["InsightFace"][0])
    (tmp_path / "set" / "train.idx").unlink()
    code, stderr = mxnet("convert", source=str(tmp_path / "set"), out=str(tmp_path / "out"), workers=1)
    assert code == 1
    assert "train.rec: expected an .idx beside it" in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: damage_record(folder, 0, bytes(4)),
            r"MXNet reads no image record at byte \d+ .*Invalid RecordIO",
        ),
        (lambda folder: damage_record(folder, 4, bytes([2, 0])), "MXNet reads no image record at byte"),
        (lambda folder: damage_record(folder, 8, b"\xff\xff\xff\x0f"), "MXNet reads no image record at byte"),
        (lambda folder: cut(folder / "train.rec", 400), "MXNet reads no image record at byte"),
        (lambda folder: (folder / "train.idx").write_text("0\t0\nx\ty\n"), "train.idx: MXNet cannot read it"),
        (lambda folder: (folder / "train.idx").write_text("0\n"), "train.idx: MXNet cannot read it"),
        (lambda folder: (folder / "train.idx").write_text("0\t0\n0\t40\n"), "expected each key once"),
    ],
    ids=["magic", "length", "flag", "cut short", "no numbers", "no offset", "key twice"],
)
def test_damage_is_an_error_that_says_where(mxnet, tmp_path, damage, message):
    write_set(tmp_path / "set", SETS["InsightFace"][0])
    damage(tmp_path / "set")
    code, stderr = mxnet("convert", source=str(tmp_path / "set"), out=str(tmp_path / "out"), workers=1)
    assert code == 1
    assert stderr.startswith(f"Error: {tmp_path / 'set'}")
    assert re.search(message, stderr), stderr
    assert len(stderr.splitlines()) == 1


def test_a_label_that_is_no_class_is_refused(mxnet, tmp_path):
    write_set(tmp_path / "set", SETS["the last of three labels"][0])
    code, stderr = mxnet("convert", source=str(tmp_path / "set"), out=str(tmp_path / "out"), workers=1)
    assert code == 1
    assert "key 1: expected a class as label, a whole number, received 0.5" in stderr


def damage_record(folder: Path, at: int, content: bytes) -> None:
    """Writes over the third record, so many bytes behind its start."""
    offset = sorted(int(line.split()[1]) for line in (folder / "train.idx").read_text().splitlines())[2] + at
    whole = bytearray((folder / "train.rec").read_bytes())
    whole[offset : offset + len(content)] = content
    (folder / "train.rec").write_bytes(whole)


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
