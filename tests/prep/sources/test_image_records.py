"""Tests of MXNet's image records."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fr_prep.errors import DamagedRecordError
from fr_prep.sources.record_sets.image_records import (
    ImageRecords,
    join_image,
    pack_image_record,
    read_image_record,
    read_image_records,
)
from fr_prep.sources.record_sets.recordio import RecordFile

MAGIC_BYTES = bytes.fromhex("0a23d7ce")


@pytest.fixture
def read(tmp_path: Path, write_records: Callable[..., list[int]]) -> Callable[..., tuple[ImageRecords, list[bytes]]]:
    def read(*payloads: bytes) -> tuple[ImageRecords, list[bytes]]:
        offsets = write_records(tmp_path / "train.rec", payloads)
        with RecordFile(tmp_path / "train.rec") as file:
            records, ends = read_image_records(file, np.array(offsets, dtype=np.int64))
            assert ends.tolist() == [*offsets, file.num_bytes]  # one behind the other, from the first byte on
            return records, [join_image(file, offset) for offset in offsets]

    return read


def test_a_packed_record_has_the_bytes_of_mxnet() -> None:
    assert pack_image_record(3.0, key=5, image=b"jpeg").hex() == (
        "00000000" + "00004040" + "0500000000000000" + "0000000000000000" + "6a706567"
    )
    assert pack_image_record([1.0, 2.0], key=0).hex() == (
        "02000000" + "00000000" + "00" * 8 + "00" * 8 + "0000803f" + "00000040"
    )


def test_label_and_place_of_the_image_are_read(read: Callable[..., tuple[ImageRecords, list[bytes]]]) -> None:
    records, images = read(
        pack_image_record(3.0, key=1, image=b"one"),
        pack_image_record([4.0, 9.0], key=2, image=b"second"),
        pack_image_record([5.0, 6.0], key=3),
        pack_image_record(7.0, key=4),
    )
    assert images == [b"one", b"second", b"", b""]
    assert records.labels.tolist() == [3, 4, 5, 7]
    assert records.image_lengths.tolist() == [3, 6, 0, 0]
    assert records.num_labels.tolist() == [0, 2, 2, 0]
    assert records.image_offsets.tolist() == [32, 36 + 8 + 32, 84 + 8 + 32, 124 + 32]


def test_the_first_label_of_an_array_is_the_class_and_not_the_header_s(
    read: Callable[..., tuple[ImageRecords, list[bytes]]],
) -> None:
    payload = struct.pack("<IfQQ3f", 3, 99.0, 1, 0, 4.0, 5.0, 6.0) + b"image"
    records, images = read(payload)
    assert records.labels.tolist() == [4]
    assert images == [b"image"]


@pytest.mark.parametrize("labels", [6.0, [6.0, 1.0]])
@pytest.mark.parametrize("lead", [0, 1, 2, 3, 4])
def test_a_record_that_holds_the_magic_is_joined(
    read: Callable[..., tuple[ImageRecords, list[bytes]]], labels: float | list[float], lead: int
) -> None:
    image = b"x" * lead + MAGIC_BYTES + b"yz"
    records, images = read(
        pack_image_record(1.0, key=0, image=b"plain"),
        pack_image_record(labels, key=1, image=image),
        pack_image_record(2.0, key=2, image=b"after"),
    )
    assert images == [b"plain", image, b"after"]
    assert records.labels.tolist() == [1, 6, 2]
    assert records.image_lengths.tolist() == [5, len(image), 5]
    assert (records.image_offsets[1] < 0) == (lead % 4 == 0)


def test_a_split_record_may_have_parts_of_no_bytes(read: Callable[..., tuple[ImageRecords, list[bytes]]]) -> None:
    image = MAGIC_BYTES * 3
    records, images = read(pack_image_record(2.0, key=1, image=image))
    assert images == [image]
    assert records.labels.tolist() == [2]


def test_a_magic_inside_the_header_itself_is_joined(read: Callable[..., tuple[ImageRecords, list[bytes]]]) -> None:
    payload = struct.pack("<If", 0, 2.0) + MAGIC_BYTES + bytes(12) + b"image"
    records, images = read(payload)
    assert records.labels.tolist() == [2]
    assert images == [b"image"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"a" * 23,
        struct.pack("<IfQQ", 1, 0, 0, 0),
        struct.pack("<IfQQ", 2, 0, 0, 0) + bytes(7),
        struct.pack("<IfQQ", 0xFFFFFFFF, 0, 0, 0) + bytes(40),
        struct.pack("<IfQQ", 0x80000000, 0, 0, 0) + bytes(40),
        struct.pack("<IfQQ", 0xFFFFFFFF, 0, 0, 0) + MAGIC_BYTES + bytes(40),
        b"a" * 8 + MAGIC_BYTES + b"a" * 8,
    ],
    ids=["empty", "short", "no label", "half a label", "huge flag", "flag 2^31", "split, huge flag", "split, short"],
)
def test_a_payload_shorter_than_its_header_says_is_damaged(
    read: Callable[..., tuple[ImageRecords, list[bytes]]], payload: bytes
) -> None:
    with pytest.raises(DamagedRecordError, match="image header of") as caught:
        read(pack_image_record(1.0, key=0, image=b"fine"), payload)
    assert caught.value.offset == 36


@pytest.mark.parametrize(
    ("position", "expected"), [(0, [3, 4, 7, 1]), (1, [None, 5, 8, None]), (2, [None, 6, None, None])]
)
def test_the_label_at_a_position_is_the_class_and_nan_where_there_are_not_so_many(
    read: Callable[..., tuple[ImageRecords, list[bytes]]], tmp_path: Path, position: int, expected: list[float | None]
) -> None:
    records, _ = read(
        pack_image_record(3.0, key=1, image=b"one"),
        pack_image_record([4.0, 5.0, 6.0], key=2, image=b"two"),
        pack_image_record([7.0, 8.0], key=3, image=MAGIC_BYTES * 2),
        pack_image_record([1.0], key=4),
    )
    with RecordFile(tmp_path / "train.rec") as file:
        found, _ = read_image_records(file, records.offsets, label_position=position)
    assert [None if np.isnan(label) else label for label in found.labels.tolist()] == expected
    assert found.image_lengths.tolist() == records.image_lengths.tolist()


def test_a_record_is_read_whole(tmp_path: Path, write_records: Callable[..., list[int]]) -> None:
    payloads = [
        pack_image_record(3.0, key=1, image=b"one"),
        pack_image_record([4.0, 5.0], key=2, image=b"abcd" + MAGIC_BYTES),
    ]
    offsets = write_records(tmp_path / "train.rec", payloads)
    with RecordFile(tmp_path / "train.rec") as file:
        assert read_image_record(file, offsets[0]) == (0, (3.0,), b"one")
        assert read_image_record(file, offsets[1]) == (2, (4.0, 5.0), b"abcd" + MAGIC_BYTES)
