"""Tests of the `.idx`."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_prep.errors import SourceError
from fr_prep.sources.record_sets.record_index import read_record_index, write_record_index


def read(path: Path, text: bytes) -> list[tuple[int, int]]:
    path.write_bytes(text)
    keys, offsets = read_record_index(path)
    return list(zip(keys.tolist(), offsets.tolist(), strict=True))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "train.idx"


@given(
    entries=st.lists(
        st.tuples(st.integers(0, 2**63 - 2), st.integers(0, 2**63 - 2)),
        min_size=1,
        unique_by=(lambda entry: entry[0], lambda entry: entry[1]),
    )
)
@settings(max_examples=60, deadline=None)
def test_entries_come_back_in_the_order_of_their_offsets(scratch: Path, entries: list[tuple[int, int]]) -> None:
    write_record_index(scratch, entries)
    assert read(scratch, scratch.read_bytes()) == sorted(entries, key=lambda entry: entry[1])


def test_the_lines_are_key_tab_offset(scratch: Path) -> None:
    write_record_index(scratch, [(1, 40), (0, 0)])
    assert scratch.read_bytes() == b"1\t40\n0\t0\n"


@pytest.mark.parametrize(
    "text", [b"0\t0\n1\t40\n", b"0\t0\r\n1\t40\r\n", b"0\t0\n1\t40", b"1 40\n0   0\n", b" 0\t0 \n\t1\t40\n"]
)
def test_white_space_and_order_of_the_lines_do_not_matter(scratch: Path, text: bytes) -> None:
    assert read(scratch, text) == [(0, 0), (1, 40)]


@pytest.mark.parametrize("text", [b"", b"\n", b" ", b"\n\n"])
def test_an_index_without_lines_is_refused(scratch: Path, text: bytes) -> None:
    with pytest.raises(SourceError, match=r"train\.idx.*expected"):
        read(scratch, text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"0\t0\nkey\t40\n", 2),
        (b"0\t0\n1\t40\n2\n", 3),
        (b"0\t0\n1\t40\t5\n", 2),
        (b"0\t0\n1.5\t40\n", 2),
        (b"0\t0\n1\t0x28\n", 2),
        (b"0\t0\n\xff\xfe\x00\x01\n", 2),
        (b"0\t0\n1\t40\x00\n", 2),
        (b"0\t0\n# comment\n1\t40\n", 2),
        (b"PK\x03\x04 something else", 1),
        (b"0,0\n1,40\n", 1),
    ],
)
def test_a_line_that_is_no_entry_is_named(scratch: Path, text: bytes, line: int) -> None:
    with pytest.raises(SourceError, match=f"line {line}: expected `key TAB byte-offset`"):
        read(scratch, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"0\t0\n1\t40\n1\t80\n", "each key once, received 1 twice"),
        (b"0\t0\n1\t40\n2\t40\n", "each byte offset once, received 40 twice"),
        (b"1\t0\n1\t40\n1\t80\n", "and 1 others"),
    ],
)
def test_a_key_or_an_offset_that_stands_twice_is_refused(scratch: Path, text: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(scratch, text)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_record_index(tmp_path / "train.idx")


@pytest.mark.parametrize("text", [b"99999999999999999999\t0\n", b"0\t0\n9223372036854775808\t40\n"])
def test_a_number_past_two_to_the_63_is_refused(scratch: Path, text: bytes) -> None:
    with pytest.raises(SourceError):
        read(scratch, text)


@pytest.mark.parametrize("text", [b"0\t0\n-3\t40\n", b"-1\t0\n"])
def test_a_negative_key_is_refused(scratch: Path, text: bytes) -> None:
    with pytest.raises(SourceError):
        read(scratch, text)


@pytest.mark.parametrize("text", [b"1\n2 3 4\n", b"0 0 1 40\n\n"])
def test_numbers_that_are_not_two_a_line_are_refused(scratch: Path, text: bytes) -> None:
    with pytest.raises(SourceError):
        read(scratch, text)


@pytest.mark.parametrize("block_bytes", [1, 5, 6, 7, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_large_index_is_read_in_blocks_of_whole_lines(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, end: bytes
) -> None:
    monkeypatch.setattr("fr_prep.sources.record_sets.record_index.BLOCK_BYTES", block_bytes)
    lines = [b"%d\t%d" % (key, 40 * key) for key in range(1, 120)]
    assert read(scratch, end.join(lines)) == [(key, 40 * key) for key in range(1, 120)]
    with pytest.raises(SourceError, match="line 118: expected `key TAB byte-offset`, received b'118'"):
        read(scratch, end.join([*lines[:117], b"118", lines[118]]))
