"""The `tf.train.Example` of a face: encoded for many records at once, and read back.

Features, in the order of a deterministic serialisation (keys sorted): `image` (bytes), `label` (dense class), `source_key`,
`source_label`. The bytes are those of `tf.train.Example(...).SerializeToString(deterministic=True)`.

A record is `head, image, tail`. Heads and tails of all records are made together with NumPy; images are only copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["INTEGER_FEATURES", "Face", "Rows", "encode_heads", "encode_tails", "parse_example"]

INTEGER_FEATURES = ("label", "source_key", "source_label")

_LENGTH_DELIMITED = 2
_TAG_1, _TAG_2, _TAG_3 = b"\x0a", b"\x12", b"\x1a"  # fields 1, 2 and 3, each length-delimited


@dataclass(frozen=True, slots=True)
class Rows:
    """Byte strings of different lengths, packed one behind the other.

    Attributes:
        data: (total,) uint8.
        lengths: (n,) int64, bytes of each row.
    """

    data: NDArray[np.uint8]
    lengths: NDArray[np.int64]

    def starts(self) -> NDArray[np.int64]:
        """(n,) int64, where each row starts in the data."""
        return np.cumsum(self.lengths) - self.lengths


def _varint_widths(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Gives how many bytes each value takes as a protobuf varint: 1 to 10."""
    widths = np.ones(len(values), dtype=np.int64)
    largest = int(values.max(initial=0))
    for width in range(1, (largest.bit_length() + 6) // 7):
        widths += values >= np.uint64(1 << (7 * width))
    return widths


def _join(parts: Sequence[bytes | NDArray[np.int64]], num_rows: int) -> Rows:
    """Concatenates parts row by row: bytes stand in every row, an integer array is written as varints.

    Rows whose integers take the same numbers of bytes are made together as one matrix; there are few such groups.
    """
    integers = [part.astype(np.uint64) for part in parts if not isinstance(part, bytes)]
    widths = np.stack([_varint_widths(values) for values in integers], axis=1)
    constant = sum(len(part) for part in parts if isinstance(part, bytes))
    rows = Rows(data=np.empty(constant * num_rows + int(widths.sum()), np.uint8), lengths=constant + widths.sum(axis=1))
    starts = rows.starts()
    group_widths, group_of = np.unique(widths @ (11 ** np.arange(len(integers))), return_inverse=True)
    for group in range(len(group_widths)):
        members = np.flatnonzero(group_of == group)
        matrix = _join_alike(parts, [values[members] for values in integers], widths[members[0]].tolist())
        rows.data[starts[members, None] + np.arange(matrix.shape[1])] = matrix
    return rows


def _join_alike(
    parts: Sequence[bytes | NDArray[np.int64]], integers: Sequence[NDArray[np.uint64]], widths: Sequence[int]
) -> NDArray[np.uint8]:
    """Makes the rows of one group: (members, bytes of a row) uint8."""
    matrix = np.empty((len(integers[0]), sum(widths) + sum(len(p) for p in parts if isinstance(p, bytes))), np.uint8)
    column = number = 0
    for part in parts:
        if isinstance(part, bytes):
            matrix[:, column : column + len(part)] = np.frombuffer(part, dtype=np.uint8)
            column += len(part)
            continue
        values, width = integers[number], widths[number]
        for byte in range(width):
            more = np.uint64(0x80 if byte + 1 < width else 0)
            matrix[:, column + byte] = (values >> np.uint64(7 * byte)) & np.uint64(0x7F) | more
        column, number = column + width, number + 1
    return matrix


def encode_tails(
    labels: NDArray[np.int64], source_keys: NDArray[np.int64], source_labels: NDArray[np.int64], *, reserve: int = 0
) -> Rows:
    """Encodes what follows the image: the three integer features.

    Args:
        labels: (n,) int64 dense classes.
        source_keys: (n,) int64.
        source_labels: (n,) int64.
        reserve: zero bytes behind each row, for a footer.
    """
    parts: list[bytes | NDArray[np.int64]] = []
    for name, values in zip(INTEGER_FEATURES, (labels, source_keys, source_labels), strict=True):
        key = name.encode()
        widths = _varint_widths(values.astype(np.uint64))
        # Feature { int64_list (3) { value (1), packed } } under its key in a map entry.
        parts += [_TAG_1, len(key) + widths + 8, _TAG_1 + bytes([len(key)]) + key, _TAG_2, widths + 4]
        parts += [_TAG_3, widths + 2, _TAG_1, widths, values]
    return _join([*parts, bytes(reserve)], len(labels))


def encode_heads(image_lengths: NDArray[np.int64], tail_lengths: NDArray[np.int64], *, reserve: int = 0) -> Rows:
    """Encodes what precedes the image.

    Args:
        image_lengths: (n,) int64 bytes of each image.
        tail_lengths: (n,) int64 bytes of each tail, since the outermost length counts them.
        reserve: zero bytes in front of each row, for a header.
    """

    def enclosed(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes of a field: its tag, its length as varint, its contents."""
        return 1 + _varint_widths(lengths.astype(np.uint64)) + lengths

    key = b"image"
    bytes_lists = enclosed(image_lengths)
    features = enclosed(bytes_lists)
    entries = 2 + len(key) + enclosed(features)
    totals = enclosed(entries) + tail_lengths
    parts: list[bytes | NDArray[np.int64]] = [
        bytes(reserve),
        _TAG_1,
        totals,
        _TAG_1,
        entries,
        _TAG_1 + bytes([len(key)]) + key,
    ]
    parts += [_TAG_2, features, _TAG_1, bytes_lists, _TAG_1, image_lengths]
    return _join(parts, len(image_lengths))


@dataclass(frozen=True, slots=True)
class Face:
    """One record of a shard.

    Attributes:
        image: the encoded image.
        label: the dense class.
        source_key: the record's key in the source.
        source_label: the class as the source numbers it.
    """

    image: memoryview
    label: int
    source_key: int
    source_label: int


def parse_example(data: memoryview) -> Face:
    """Reads a serialised `tf.train.Example`, whatever the order of its features.

    Raises:
        ValueError: if it is no Example with exactly one value of each of the features; says what is wrong.
    """
    try:
        values = dict(_iterate_features(data))
        return Face(
            image=_single_bytes(values["image"]),
            **{name: _single_integer(values[name]) for name in INTEGER_FEATURES},
        )
    except KeyError as error:
        raise ValueError(
            f"expected features image, {', '.join(INTEGER_FEATURES)}; {error.args[0]} is missing"
        ) from error
    except IndexError as error:
        raise ValueError(
            "expected a serialised tf.train.Example, received bytes that end in the middle of one"
        ) from error


def _iterate_features(data: memoryview) -> Sequence[tuple[str, memoryview]]:
    found = []
    for number, features in _iterate_fields(data):
        if number != 1:
            continue
        for entry_number, entry in _iterate_fields(features):
            if entry_number == 1:
                fields = dict(_iterate_fields(entry))
                found.append((bytes(fields[1]).decode("utf-8"), fields[2]))
    return found


def _iterate_fields(data: memoryview) -> list[tuple[int, memoryview]]:
    """Splits a message into its length-delimited fields; the features of a face have no others."""
    fields, position = [], 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError(f"expected length-delimited fields, received wire type {tag & 7}")
        length, position = _read_varint(data, position)
        if position + length > len(data):
            raise ValueError(f"expected a field of {length} bytes, received {len(data) - position}")
        fields.append((tag >> 3, data[position : position + length]))
        position += length
    return fields


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("expected a varint of at most 10 bytes")


def _single(feature: memoryview, kind: Literal["bytes_list", "int64_list"]) -> memoryview:
    fields = _iterate_fields(feature)
    if [number for number, _ in fields] != [{"bytes_list": 1, "int64_list": 3}[kind]]:
        raise ValueError(f"expected a feature of kind {kind}")
    values = _iterate_fields(fields[0][1])
    if len(values) != 1:
        raise ValueError(f"expected one value in a {kind}, received {len(values)}")
    return values[0][1]


def _single_bytes(feature: memoryview) -> memoryview:
    return _single(feature, "bytes_list")


def _single_integer(feature: memoryview) -> int:
    packed = _single(feature, "int64_list")
    value, end = _read_varint(packed, 0)
    if end != len(packed):
        raise ValueError("expected one value in an int64_list, received several")
    return value - (1 << 64) if value >= 1 << 63 else value
