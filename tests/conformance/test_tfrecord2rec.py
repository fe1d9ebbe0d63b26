"""What `tfrecord2rec` writes, read by real MXNet, and written by it again."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.recordio import RecordFile, RecordWriter

MAGIC = bytes.fromhex("0a23d7ce")
PIXELS = np.random.default_rng(5).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
LABELS = [40, 40, 3, 3, 3, 17, 40, 3, 17, 17, 40, 17]
ORDER = [2, 3, 4, 7, 5, 8, 9, 11, 0, 1, 6, 10]  # by class, then by key


def encode(number: int) -> bytes:
    """A PNG; every third has the magic in it at every alignment, so that its record is split."""
    comment = PngImagePlugin.PngInfo()
    if number % 3 == 1:
        comment.add_text("comment", b"x".join([MAGIC] * 4).decode("latin-1"))
    file = io.BytesIO()
    Image.fromarray(PIXELS[number]).save(file, "PNG", pnginfo=comment)
    return file.getvalue()


IMAGES = [encode(number) for number in range(len(PIXELS))]


def run_prep(*arguments: str | Path) -> None:
    subprocess.run([Path(sys.executable).with_name("fr-prep"), *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        for key, (label, image) in enumerate(zip(LABELS, IMAGES, strict=True)):
            writer.write(pack_image_record(float(label), key=key, image=image))
    run_prep("rec2tfrecord", folder, folder / "shards", "--shards", "3", "--seed", "2")
    return folder / "shards"


@pytest.mark.parametrize("plain", [False, True], ids=["InsightFace layout", "plain"])
def test_mxnet_reads_it_record_by_record_and_writes_it_the_same(mxnet, shards, tmp_path, plain):
    run_prep("tfrecord2rec", shards, tmp_path, *["--plain"] * plain)
    rec, idx = tmp_path / "train.rec", tmp_path / "train.idx"
    records = mxnet("read_indexed", rec=str(rec), idx=str(idx))
    assert [key for key, _ in records] == list(range(12 if plain else 16))
    unpacked = mxnet("unpack", payloads=[payload for _, payload in records])
    first_key = 0 if plain else 1
    assert unpacked[first_key : first_key + 12] == [
        [0, float(place // 4), first_key + place, 0, IMAGES[row].hex()] for place, row in enumerate(ORDER)
    ]
    if not plain:
        assert unpacked[0] == [2, [13.0, 16.0], 0, 0, ""]
        assert unpacked[13:] == [[2, [first, first + 4], key, 0, ""] for first, key in ((1, 13), (5, 14), (9, 15))]
    assert (tmp_path / "property").read_text() == "3,16,16"
    with RecordFile(rec) as file:
        assert sum(len(list(file.parts_at(offset))) > 1 for offset in file.record_offsets().tolist()) == 4

    mxnet("write_indexed", rec=str(tmp_path / "again.rec"), idx=str(tmp_path / "again.idx"), records=records)
    assert (tmp_path / "again.rec").read_bytes() == rec.read_bytes()
    assert (tmp_path / "again.idx").read_bytes() == idx.read_bytes()


def test_mxnet_decodes_it_for_training(mxnet, shards, tmp_path):
    run_prep("tfrecord2rec", shards, tmp_path, "--plain")
    found = mxnet(
        "iterate_pictures",
        rec=str(tmp_path / "train.rec"),
        idx=str(tmp_path / "train.idx"),
        shape=(3, 16, 16),
        label_width=1,
        part=0,
        num_parts=1,
    )
    assert found == [[[float(place // 4)], PIXELS[row].transpose(2, 0, 1).tolist()] for place, row in enumerate(ORDER)]
