"""RecordIO frames and `.idx` lines against real MXNet, byte for byte in both directions."""

import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fr_prep.sources.record_sets.record_index import read_record_index, write_record_index
from fr_prep.sources.record_sets.recordio import MAX_RECORD_BYTES, RecordFile, RecordWriter

MAGIC = bytes.fromhex("0a23d7ce")
MEGABYTE = random.Random(1).randbytes(1 << 20)
CHOSEN = {
    "lengths from 0 to 9": [bytes(range(1, 1 + length)) for length in range(10)],
    "multiples of 4": [b"abcd" * number for number in (1, 2, 3, 64, 1000)],
    "nothing but empty records": [b"", b"", b""],
    "the magic alone": [MAGIC],
    "the magic at the start": [MAGIC + b"abcd", MAGIC + b"a"],
    "the magic at the end": [b"abcd" + MAGIC, b"abcd" * 9 + MAGIC],
    "the magic three times in a row": [MAGIC * 3, b"abcd" + MAGIC * 3 + b"efgh", MAGIC * 3 + b"e"],
    "the magic again and again": [b"abcd".join([MAGIC] * 5), b"abcdefgh".join([b"", MAGIC, MAGIC, b"xyz"])],
    "the magic off the steps": [b"abc"[:shift] + MAGIC + b"defgh" for shift in (1, 2, 3)],
    "the magic cut off": [MAGIC[:length] for length in (1, 2, 3)] + [b"abcd" + MAGIC[:3]],
    "the magic off the steps, then on them": [b"a" + MAGIC + b"bcd" + MAGIC + b"e"],
    "one megabyte": [MEGABYTE, MEGABYTE[:-1]],
    "one megabyte that holds the magic": [MAGIC.join([MEGABYTE[:4096], MEGABYTE[4096:99_999], MEGABYTE[99_999:]])],
    "one megabyte of the magic": [MAGIC * (1 << 18)],
}

# The magic at every alignment, whole and in halves.
PIECES = st.one_of(st.just(MAGIC), st.binary(max_size=9), st.sampled_from([MAGIC[:2], MAGIC[2:]]))
PAYLOADS = st.lists(st.lists(PIECES, max_size=10).map(b"".join), min_size=1, max_size=8)
KEYS = st.integers(0, 2**63 - 2)
RECORDS = st.lists(st.tuples(KEYS, st.binary(max_size=40)), min_size=1, max_size=12, unique_by=lambda record: record[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordio")


def write_ours(folder: Path, records: list[tuple[int, bytes]]) -> tuple[Path, Path, list[int]]:
    """Writes (key, payload) records; gives `.rec`, `.idx` and offsets."""
    rec, idx = folder / "ours.rec", folder / "ours.idx"
    with rec.open("wb") as file:
        writer = RecordWriter(file)
        entries = [(key, writer.write(payload)) for key, payload in records]
    write_record_index(idx, entries)
    return rec, idx, [offset for _, offset in entries]


def write_theirs(mxnet, folder: Path, records: list[tuple[int, bytes]]) -> tuple[Path, Path]:
    rec, idx = folder / "theirs.rec", folder / "theirs.idx"
    mxnet("write_indexed", rec=str(rec), idx=str(idx), records=[(key, payload.hex()) for key, payload in records])
    return rec, idx


def check_all_ways(mxnet, folder: Path, records: list[tuple[int, bytes]]) -> None:
    our_rec, our_idx, offsets = write_ours(folder, records)
    their_rec, their_idx = write_theirs(mxnet, folder, records)
    assert our_rec.read_bytes() == their_rec.read_bytes()
    assert our_idx.read_bytes() == their_idx.read_bytes()
    payloads = [payload for _, payload in records]
    with RecordFile(their_rec) as file:
        assert file.record_offsets().tolist() == offsets
        assert [file.read(offset) for offset in offsets] == payloads
    keys, read_offsets = read_record_index(their_idx)
    assert [keys.tolist(), read_offsets.tolist()] == [[key for key, _ in records], offsets]
    as_hex = [(key, payload.hex()) for key, payload in records]
    assert mxnet("read", rec=str(our_rec)) == [payload for _, payload in as_hex]
    backwards = [list(record) for record in reversed(as_hex)]
    assert mxnet("read_indexed", rec=str(our_rec), idx=str(our_idx), keys=[key for key, _ in backwards]) == backwards


@pytest.mark.parametrize("name", CHOSEN)
def test_chosen_records_are_the_same_to_both(mxnet, folder, name):
    check_all_ways(mxnet, folder, list(enumerate(CHOSEN[name])))


@given(payloads=PAYLOADS)
@settings(max_examples=300, deadline=None)
def test_any_records_are_the_same_to_both(mxnet, folder, payloads):
    check_all_ways(mxnet, folder, list(enumerate(payloads)))


@given(records=RECORDS)
@example(records=[(3, b"three"), (1, b"one"), (2**63 - 2, b"huge"), (0, b"nought")])
@settings(max_examples=50, deadline=None)
def test_any_keys_are_the_same_to_both(mxnet, folder, records):
    check_all_ways(mxnet, folder, records)


def test_a_file_without_index_is_the_same_to_both(mxnet, folder):
    payloads = [payload for chosen in CHOSEN.values() for payload in chosen]
    rec, _, offsets = write_ours(folder, list(enumerate(payloads)))
    mxnet("write", rec=str(folder / "bare.rec"), payloads=[payload.hex() for payload in payloads])
    assert (folder / "bare.rec").read_bytes() == rec.read_bytes()
    with RecordFile(folder / "bare.rec") as file:
        assert file.record_offsets().tolist() == offsets


def test_both_refuse_the_same_length(mxnet):
    assert mxnet("accepts", length=MAX_RECORD_BYTES)
    assert not mxnet("accepts", length=MAX_RECORD_BYTES + 1)
