"""Whole sets: those that MXNet writes, read and converted by us, and ours, read by MXNet."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fr_data.tfrecord.example_reader import parse_example
from fr_data.tfrecord.frames import iterate_records
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import RecordFile, RecordWriter
from fr_prep.write.manifest import read_manifest

MAGIC = bytes.fromhex("0a23d7ce")
PIXELS = np.random.default_rng(3).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
LABELS = [0.0, 0.0, [1.0, 7.0], [1.0, 7.0], 1.0, 5.0, 5.0, 5.0, 5.0]


def encode(pixels: np.ndarray, *, holds_magic: bool = False) -> bytes:
    """A PNG; `holds_magic` puts the magic in it at every alignment, so that its record is split."""
    comment = PngImagePlugin.PngInfo()
    if holds_magic:
        comment.add_text("comment", b"x".join([MAGIC] * 4).decode("latin-1"))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", pnginfo=comment)
    return file.getvalue()


IMAGES = [encode(pixels, holds_magic=number % 3 == 1) for number, pixels in enumerate(PIXELS)]
# (labels, key, image), as InsightFace has them.
FACES = [(labels, key, image) for key, (labels, image) in enumerate(zip(LABELS, IMAGES, strict=True), start=1)]
HEADER = ([10.0, 13.0], 0, b"")
IDENTITIES = [([1.0, 3.0], 10, b""), ([3.0, 6.0], 11, b""), ([6.0, 10.0], 12, b"")]
TRUTH = [(key, int(np.ravel(labels)[0]), image) for labels, key, image in FACES]


def run_prep(*arguments: str | Path) -> None:
    subprocess.run([Path(sys.executable).with_name("fr-prep"), *arguments], check=True, capture_output=True)


def write_theirs(
    mxnet, folder: Path, records: list[tuple[float | list[float], int, bytes]], *, index: bool = True
) -> None:
    payloads = mxnet("pack", records=[(labels, key, image.hex()) for labels, key, image in records])
    if index:
        keyed = [(key, payload) for (_, key, _), payload in zip(records, payloads, strict=True)]
        mxnet("write_indexed", rec=str(folder / "train.rec"), idx=str(folder / "train.idx"), records=keyed)
    else:
        mxnet("write", rec=str(folder / "train.rec"), payloads=payloads)


def read_ours(folder: Path) -> list[tuple[int, int, bytes]]:
    """(key, label, image) of each image, as `fr-prep` finds them."""
    found = read_face_set(folder)
    with ImageReader(found.places) as reader:
        return [
            (key, label, reader.read(row))
            for row, (key, label) in enumerate(zip(found.keys.tolist(), found.labels.tolist(), strict=True))
        ]


@pytest.mark.parametrize(
    "records", [[HEADER, *FACES, *IDENTITIES], [*FACES, *IDENTITIES, HEADER]], ids=["header first", "header last"]
)
def test_an_insightface_set_by_mxnet_is_read_and_converted_as_it_is(mxnet, tmp_path, records):
    write_theirs(mxnet, tmp_path, records)
    (tmp_path / "property").write_text("3,16,16")
    found = read_face_set(tmp_path)
    assert (found.warnings, found.num_other_records) == ([], 4)
    assert read_ours(tmp_path) == TRUTH

    run_prep("rec2tfrecord", tmp_path, tmp_path / "shards", "--seed", "1", "--shards", "2")
    shards = [tmp_path / "shards" / shard["file"] for shard in read_manifest(tmp_path / "shards").shards()]
    examples = [
        parse_example(data)
        for shard in shards
        for _, data in iterate_records(memoryview(shard.read_bytes()), name=shard.name)
    ]
    assert len(shards) == 2
    assert sorted((face.source_key, face.source_label, bytes(face.image)) for face in examples) == TRUTH


def test_a_set_of_images_alone_by_mxnet_is_read_with_and_without_its_index(mxnet, tmp_path):
    records = [(labels, key - 1, image) for labels, key, image in FACES]
    write_theirs(mxnet, tmp_path, records)
    expected = [(key - 1, label, image) for key, label, image in TRUTH]
    assert read_ours(tmp_path) == expected
    (tmp_path / "train.idx").unlink()
    assert read_ours(tmp_path) == expected
    write_theirs(mxnet, tmp_path, records, index=False)
    assert read_ours(tmp_path) == expected


def test_the_demo_set_is_read_by_mxnet_record_by_record_and_written_by_it_the_same(mxnet, tmp_path):
    run_prep("demo-data", tmp_path, "--identities", "5", "--images", "3", "--pairs", "20")
    rec, idx = tmp_path / "train.rec", tmp_path / "train.idx"
    records = mxnet("read_indexed", rec=str(rec), idx=str(idx))
    assert [key for key, _ in records] == list(range(1 + 15 + 5))
    header, *rest = mxnet("unpack", payloads=[payload for _, payload in records])
    assert header == [2, [16.0, 21.0], 0, 0, ""]
    assert [(labels, image) for _, labels, _, _, image in rest[15:]] == [
        ([first, first + 3], "") for first in (1, 4, 7, 10, 13)
    ]
    assert [(key, int(label), bytes.fromhex(image)) for _, label, key, _, image in rest[:15]] == read_ours(tmp_path)
    for *_, image in rest[:15]:
        assert Image.open(io.BytesIO(bytes.fromhex(image))).size == (112, 112)

    mxnet("write_indexed", rec=str(tmp_path / "again.rec"), idx=str(tmp_path / "again.idx"), records=records)
    assert (tmp_path / "again.rec").read_bytes() == rec.read_bytes()
    assert (tmp_path / "again.idx").read_bytes() == idx.read_bytes()


@pytest.mark.parametrize("num_parts", [1, 2, 3])
@pytest.mark.parametrize("by_index", [True, False], ids=["by index", "by scan"])
def test_mxnet_trains_on_a_set_that_we_wrote(mxnet, tmp_path, num_parts, by_index):
    """`ImageRecordIter` decodes every image; where it has no index it looks for the magic to divide the file into parts."""
    rec, idx = tmp_path / "train.rec", tmp_path / "train.idx"
    with rec.open("wb") as file:
        writer = RecordWriter(file)
        write_record_index(
            idx,
            [
                (key, writer.write(pack_image_record([float(label), 7.0], key=key, image=image)))
                for key, label, image in TRUTH
            ],
        )
    with RecordFile(rec) as file:
        assert sum(len(list(file.parts_at(offset))) > 1 for offset in file.record_offsets().tolist()) == 3
    found = [
        record
        for part in range(num_parts)
        for record in mxnet(
            "iterate_pictures",
            rec=str(rec),
            idx=str(idx) if by_index else "",
            shape=(3, 16, 16),
            label_width=2,
            part=part,
            num_parts=num_parts,
        )
    ]
    assert found == [
        [[float(label), 7.0], pixels.transpose(2, 0, 1).tolist()]
        for (_, label, _), pixels in zip(TRUTH, PIXELS, strict=True)
    ]
