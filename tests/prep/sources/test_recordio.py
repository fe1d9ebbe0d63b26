"""Tests of the RecordIO container."""

import io
import mmap
import os
import pickle
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.record_sets.recordio import MAGIC, RecordFile, RecordWriter, padded

MAGIC_BYTES = bytes.fromhex("0a23d7ce")

# Payloads in which the magic stands at every alignment, also at both ends and twice in a row.
PIECES = st.one_of(st.just(MAGIC_BYTES), st.binary(max_size=9), st.just(MAGIC_BYTES[:2]))
PAYLOADS = st.lists(PIECES, max_size=8).map(b"".join)


def frame(payload: bytes, *, cflag: int = 0, length: int | None = None) -> bytes:
    lrec = cflag << 29 | (len(payload) if length is None else length)
    return struct.pack("<II", MAGIC, lrec) + payload + bytes(-len(payload) % 4)


def make_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordio") / "train.rec"


@given(payloads=st.lists(PAYLOADS, min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back_whatever_the_payload(
    scratch: Path, write_records: Callable[[Path, Sequence[bytes]], list[int]], payloads: list[bytes]
) -> None:
    offsets = write_records(scratch, payloads)
    with RecordFile(scratch) as file:
        assert file.record_offsets().tolist() == offsets
        assert [file.read(offset) for offset in offsets] == payloads
        frames = file.frames_at(np.array(offsets, dtype=np.int64))
        assert [int(flag) for flag in frames.cflags] == [
            int(any(payload[i : i + 4] == MAGIC_BYTES for i in range(0, len(payload), 4))) for payload in payloads
        ]


@pytest.mark.parametrize(
    ("payload", "golden"),
    [
        (b"", "0a23d7ce 00000000"),
        (b"abcde", "0a23d7ce 05000000 6162636465 000000"),
        (MAGIC_BYTES, "0a23d7ce 00000020 0a23d7ce 00000060"),
        (
            b"abcd" + MAGIC_BYTES + MAGIC_BYTES + b"e",
            "0a23d7ce 04000020 61626364 0a23d7ce 00000040 0a23d7ce 01000060 65 000000",
        ),
        (b"a" + MAGIC_BYTES, "0a23d7ce 05000000 61 0a23d7ce 000000"),
    ],
)
def test_frames_are_the_bytes_that_mxnet_writes(payload: bytes, golden: str) -> None:
    file = io.BytesIO()
    assert RecordWriter(file).write(payload) == 0
    assert file.getvalue().hex() == golden.replace(" ", "")


def test_lengths_are_padded_to_four_bytes() -> None:
    assert [padded(length) for length in range(6)] == [0, 4, 4, 4, 4, 8]


def test_a_record_of_two_to_the_29_bytes_is_refused_by_the_writer() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 29

    with pytest.raises(ValueError, match="shorter than"):
        RecordWriter(io.BytesIO()).write(Huge())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.rec.*No such file"):
        RecordFile(tmp_path / "gone.rec")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"train\.rec.*empty"):
        RecordFile(make_file(tmp_path / "train.rec", b""))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="directory"):
        RecordFile(tmp_path)


def test_an_unreadable_file_is_named(tmp_path: Path, as_nobody: None) -> None:
    path = make_file(tmp_path / "train.rec", frame(b"abcd"))
    path.chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        RecordFile(path)


@pytest.mark.parametrize("content", [b"a", b"abc", b"not a RecordIO file at all", MAGIC_BYTES, MAGIC_BYTES + b"\0\0\0"])
def test_a_scan_of_what_is_no_recordio_file_finds_nothing(tmp_path: Path, content: bytes) -> None:
    with RecordFile(make_file(tmp_path / "train.rec", content)) as file:
        assert file.record_offsets().tolist() == []


def test_a_scan_finds_later_records_past_damage(tmp_path: Path) -> None:
    content = bytearray(frame(b"abcd") + frame(b"efgh") + frame(b"ijkl"))
    content[12:16] = bytes(4)
    with RecordFile(make_file(tmp_path / "train.rec", bytes(content))) as file:
        assert file.record_offsets().tolist() == [0, 24]


def test_a_scan_finds_a_record_whose_magic_ends_a_block(
    tmp_path: Path, write_records: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fr_prep.sources.record_sets.recordio.SCAN_WORDS", 3)
    path = tmp_path / "train.rec"
    offsets = write_records(path, [b"", b"abcd", b"", MAGIC_BYTES, b"efghijkl", b""])
    with RecordFile(path) as file:
        assert file.record_offsets().tolist() == offsets


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (-4, "outside the file"),
        (2, "no multiple of 4"),
        (4, "expected the RecordIO magic 0xced7230a at byte 4"),
        (28, "outside the file of 24 bytes"),
        (20, "outside the file of 24 bytes"),
        (2**62, "outside the file"),
        (-(2**63), "outside the file"),
    ],
)
def test_an_offset_at_which_no_record_starts_is_named(tmp_path: Path, offset: int, message: str) -> None:
    path = make_file(tmp_path / "train.rec", frame(b"abcd") + frame(b"efgh"))
    with RecordFile(path) as file, pytest.raises(DamagedRecordError, match=message) as caught:
        file.frames_at(np.array([0, offset], dtype=np.int64))
    assert caught.value.offset == offset


def test_a_later_part_is_no_start_of_a_record(tmp_path: Path) -> None:
    path = make_file(tmp_path / "train.rec", frame(b"abcd", cflag=1) + frame(b"efgh", cflag=3))
    with RecordFile(path) as file:
        assert file.record_offsets().tolist() == [0]
        assert file.read(0) == b"abcd" + MAGIC_BYTES + b"efgh"
        with pytest.raises(DamagedRecordError, match="later part"):
            file.frames_at(np.array([12], dtype=np.int64))


@pytest.mark.parametrize("cflag", [4, 5, 6, 7])
def test_flags_that_the_format_does_not_know_are_refused(tmp_path: Path, cflag: int) -> None:
    with RecordFile(make_file(tmp_path / "train.rec", frame(b"abcd", cflag=cflag))) as file:
        assert file.record_offsets().tolist() == []
        with pytest.raises(DamagedRecordError):
            file.frames_at(np.array([0], dtype=np.int64))
        with pytest.raises(DamagedRecordError, match=f"flag {cflag}"):
            file.read(0)


def test_parts_of_no_bytes_are_joined_by_the_magic(tmp_path: Path) -> None:
    content = frame(b"", cflag=1) + frame(b"", cflag=2) + frame(b"", cflag=3)
    with RecordFile(make_file(tmp_path / "train.rec", content)) as file:
        assert file.read(0) == MAGIC_BYTES * 2
        assert list(file.parts_at(0)) == [(8, 0), (16, 0), (24, 0)]


@pytest.mark.parametrize(
    "content",
    [
        frame(b"abcd", cflag=1),
        frame(b"abcd", cflag=1) + frame(b"efgh"),
        frame(b"abcd", cflag=1) + frame(b"efgh", cflag=1),
        frame(b"abcd", cflag=1) + frame(b"efgh", cflag=2),
        frame(b"abcd", cflag=1) + b"abcdefgh",
        frame(b"abcd", cflag=1) + frame(b"efgh", cflag=3, length=500),
        frame(b"abcd", cflag=3),
    ],
    ids=["alone", "then whole", "then first", "then middle alone", "then junk", "then too long", "last alone"],
)
def test_a_split_record_without_its_other_parts_is_damaged(tmp_path: Path, content: bytes) -> None:
    with (
        RecordFile(make_file(tmp_path / "train.rec", content)) as file,
        pytest.raises(DamagedRecordError, match=r"Copy|copy"),
    ):
        file.read(0)


@pytest.mark.parametrize("length", range(1, 24))
def test_a_file_cut_short_anywhere_is_found(tmp_path: Path, length: int) -> None:
    content = (frame(b"abcd") + frame(b"efgh"))[:length]
    with RecordFile(make_file(tmp_path / "train.rec", content)) as file:
        if length == 12:
            assert file.read(0) == b"abcd"
        with pytest.raises(DamagedRecordError):
            file.frames_at(np.array([0, 12], dtype=np.int64))


def test_a_length_that_reaches_past_the_end_is_named_with_its_offset(tmp_path: Path) -> None:
    path = make_file(tmp_path / "train.rec", frame(b"abcd") + frame(b"efgh", length=(1 << 29) - 1))
    with RecordFile(path) as file, pytest.raises(DamagedRecordError, match="536870911 bytes long") as caught:
        file.frames_at(np.array([0, 12], dtype=np.int64))
    assert caught.value.offset == 12


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_a_part_that_is_not_the_last_has_a_length_divisible_by_four(tmp_path: Path, length: int) -> None:
    parts = frame(b"abcde"[:length], cflag=1) + frame(b"fghi", cflag=3)
    with (
        RecordFile(make_file(tmp_path / "train.rec", frame(b"first") + parts)) as file,
        pytest.raises(DamagedRecordError, match=f"a length divisible by 4 of the part at byte 16.* received {length}"),
    ):
        file.read(16)


@pytest.mark.parametrize("window_words", [1, 2, 3, 5, 1000])
def test_a_stretch_is_searched_for_records_from_its_first_to_its_last_word(
    tmp_path: Path, write_records: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch, window_words: int
) -> None:
    monkeypatch.setattr("fr_prep.sources.record_sets.recordio.SCAN_WORDS", window_words)
    offsets = write_records(tmp_path / "train.rec", [b"abcd", b"", b"efghijkl", b"mn", b""])
    with RecordFile(tmp_path / "train.rec") as file:
        for start in range(0, file.num_bytes + 4, 4):
            for stop in range(start, file.num_bytes + 8, 4):
                expected = [offset for offset in offsets if start <= offset < stop]
                assert file.record_offsets(start, stop).tolist() == expected


def test_the_reason_of_damage_names_neither_file_nor_advice(tmp_path: Path) -> None:
    with (
        RecordFile(make_file(tmp_path / "train.rec", frame(b"abcd"))) as file,
        pytest.raises(DamagedRecordError) as caught,
    ):
        file.frames_at(np.array([4], dtype=np.int64))
    error = pickle.loads(pickle.dumps(caught.value))  # as from a worker process
    assert error.reason == "expected the RecordIO magic 0xced7230a at byte 4, received 0x00000004"
    assert (str(error), error.offset) == (str(caught.value), 4)


@pytest.mark.parametrize("num_bytes", [1, 4096, 4097, 3 * 4096 + 5])
def test_the_crc_of_a_file_goes_over_all_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int
) -> None:
    monkeypatch.setattr("fr_prep.sources.record_sets.recordio.DIGEST_BYTES", mmap.PAGESIZE)
    content = np.random.default_rng(num_bytes).bytes(num_bytes)
    with RecordFile(make_file(tmp_path / "train.rec", content)) as file:
        assert file.crc32c() == f"{crc32c.crc32c(content):08x}"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells which pages cannot be mapped")
def test_a_file_that_was_cut_short_before_its_crc_is_an_error(tmp_path: Path) -> None:
    path = make_file(tmp_path / "train.rec", bytes(20 << 20))
    with RecordFile(path) as file:
        os.truncate(path, 9 << 20)
        with pytest.raises(SourceError, match=r"train\.rec: cannot be read between byte .* cut short meanwhile"):
            file.crc32c()
