"""Reading `tf.train.Example` back: of many records at once where they are laid out as `example` writes them, else of each alone.

Both ways check every byte around the image: an Example is well-formed and has exactly the expected features, or it is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from fr_data.tfrecord.byte_windows import byte_windows
from fr_data.tfrecord.example import IMAGE_FEATURE, INTEGER_FEATURES

__all__ = ["Examples", "Face", "Features", "parse_example", "parse_features", "read_examples"]

# What precedes each of the five nested lengths: of Features, of the map's entry, of Feature, of BytesList, of the image.
_IMAGE_TAGS = (b"\x0a", b"\x0a", b"\x0a\x05image\x12", b"\x0a", b"\x0a")
_MAX_VARINT_BYTES = 10
_LENGTH_DELIMITED = 2
_BYTES_LIST, _INT64_LIST = 1, 3
_NOT_PACKED = 0x08  # tag of an integer that stands in an int64_list alone, which is as legal


@dataclass(frozen=True, slots=True)
class Examples:
    """n Examples as they stand in some bytes.

    Attributes:
        image_starts: (n,) int64, where each image starts.
        image_lengths: (n,) int64, its bytes.
        integers: the other features: name → (n,) int64.
        errors: row → what is wrong with it; its numbers mean nothing then.
    """

    image_starts: NDArray[np.int64]
    image_lengths: NDArray[np.int64]
    integers: dict[str, NDArray[np.int64]]
    errors: dict[int, str]


def read_examples(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    *,
    names: Sequence[str] = INTEGER_FEATURES,
) -> Examples:
    """Reads many serialised Examples.

    Args:
        data: (total,) uint8 that holds them.
        starts: (n,) int64, where each starts.
        ends: (n,) int64, where it ends.
        names: the features beside the image, in ascending order; each has one integer.
    """
    positions, canonical = starts, np.ones(len(starts), dtype=np.bool_)
    image_lengths, limits = np.zeros(len(starts), dtype=np.int64), []
    for tag in _IMAGE_TAGS:
        canonical &= _take(data, positions, len(tag)) == np.void(tag)
        image_lengths, widths = _read_varints(data, positions + len(tag))
        positions = positions + len(tag) + widths
        limits.append(positions + image_lengths)
    image_starts = positions
    features_end, *entry_ends, positions = limits
    canonical &= (image_lengths >= 0) & (features_end == ends)
    for entry_end in entry_ends:
        canonical &= entry_end == positions
    integers = {}
    for name in names:
        around = _around_integer(name)
        integers[name], widths = _read_varints(data, positions + len(around))
        found = _take(data, positions, len(around))
        columns = found.view(np.uint8).reshape(len(found), len(around))
        columns[:, [1, -5, -3, -1]] -= widths[:, None].astype(np.uint8)  # the nested lengths, all of which are short
        canonical &= (found == np.void(around)) & (widths <= _MAX_VARINT_BYTES)
        positions = positions + len(around) + widths
    canonical &= positions == ends
    examples = Examples(image_starts, image_lengths, integers, {})
    for row in np.flatnonzero(~canonical).tolist():
        _read_alone(data[starts[row] : ends[row]], row, int(starts[row]), examples)
    return examples


def _around_integer(name: str) -> bytes:
    """What stands in front of an integer that takes 0 bytes: `0a entry 0a length name 12 Feature 1a Int64List 0a length`."""
    text = name.encode()
    return bytes([0x0A, len(text) + 8, 0x0A, len(text), *text, 0x12, 4, 0x1A, 2, 0x0A, 0])


def _take(data: NDArray[np.uint8], positions: NDArray[np.int64], num_bytes: int) -> NDArray[np.void]:
    """(n,) items of `num_bytes` bytes: those at each position. One outside, which damage may name, gives any bytes."""
    windows = byte_windows(data if len(data) >= num_bytes else np.pad(data, (0, num_bytes)), num_bytes)
    return windows[np.clip(positions, 0, len(windows) - 1)]


def _read_varints(data: NDArray[np.uint8], positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reads a varint at each position: values (n,) int64, and how many bytes each takes: (n,) int64, 11 if it does not end."""
    found = data.take(positions, mode="clip")
    values, widths = (found & np.uint8(0x7F)).astype(np.int64), np.ones(len(positions), dtype=np.int64)
    rows = np.flatnonzero(found >= 0x80)
    for byte_number in range(1, _MAX_VARINT_BYTES):
        if len(rows) == 0:
            break
        found = data.take(positions[rows] + byte_number, mode="clip")
        values[rows] |= (found & np.uint8(0x7F)).astype(np.int64) << 7 * byte_number
        widths[rows] += 1
        rows = rows[found >= 0x80]
    widths[rows] += 1
    return values, widths


def _read_alone(data: NDArray[np.uint8], row: int, start: int, examples: Examples) -> None:
    """Reads an Example of another layout."""
    try:
        features = parse_features(data.data, names=tuple(examples.integers))
    except ValueError as error:
        examples.errors[row] = str(error)
        return
    examples.image_starts[row] = start + features.image_start
    examples.image_lengths[row] = features.image_length
    for name, value in features.integers.items():
        examples.integers[name][row] = value


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one Example.

    Attributes:
        image_start: where the encoded image starts in the Example.
        image_length: its bytes.
        integers: the other features.
    """

    image_start: int
    image_length: int
    integers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Face:
    """One record of a shard of faces.

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
    """Reads the serialised `tf.train.Example` of a face, whatever the order of its features.

    Raises:
        ValueError: if it is no Example with exactly one value of each of the features; says what is wrong.
    """
    features = parse_features(data)
    image = data[features.image_start : features.image_start + features.image_length]
    return Face(image=image, **features.integers)


def parse_features(data: memoryview, *, names: Sequence[str] = INTEGER_FEATURES) -> Features:
    """Reads a serialised `tf.train.Example`, whatever the order of its features.

    Args:
        data: its bytes.
        names: the features beside the image; each has one integer.

    Raises:
        ValueError: if it is no Example with exactly one value of each of the features; says what is wrong.
    """
    found: dict[str, slice] = {}
    try:
        for features in _messages(data, slice(0, len(data)), 1):
            for entry in _messages(data, features, 1):
                fields = _fields(data, entry)
                if sorted(number for number, _ in fields) != [1, 2]:
                    raise ValueError("expected a name and a value of each feature")
                (_, key), (_, value) = sorted(fields, key=itemgetter(0))
                name = bytes(data[key]).decode("utf-8", "replace")
                if name in found:
                    raise ValueError(f"expected each feature once, received {name[:40]} twice")
                found[name] = value
        if set(found) != {IMAGE_FEATURE, *names}:
            listed = ", ".join(name[:40] for name in sorted(found)[:8]) or "none"
            raise ValueError(f"expected the features {', '.join((IMAGE_FEATURE, *names))}, received {listed}")
        image = _single_bytes(data, found.pop(IMAGE_FEATURE))
        integers = {name: _single_integer(data, found[name]) for name in names}
    except IndexError as error:
        raise ValueError(
            "expected a serialised tf.train.Example, received bytes that end in the middle of one"
        ) from error
    return Features(image.start, image.stop - image.start, integers)


def _fields(data: memoryview, part: slice) -> list[tuple[int, slice]]:
    """Splits a message into its length-delimited fields, number and place; the features of a face have no others."""
    fields, position = [], part.start
    while position < part.stop:
        tag, position = _read_varint(data, position, part.stop)
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError(f"expected length-delimited fields, received wire type {tag & 7}")
        length, position = _read_varint(data, position, part.stop)
        if position + length > part.stop:
            raise ValueError(f"expected a field of {length} bytes, received {part.stop - position}")
        fields.append((tag >> 3, slice(position, position + length)))
        position += length
    return fields


def _messages(data: memoryview, part: slice, number: int) -> list[slice]:
    """Gives the places of all fields of a message, which must have the given number."""
    fields = _fields(data, part)
    other = next((other for other, _ in fields if other != number), None)
    if other is not None:
        raise ValueError(f"expected a field with number {number}, received {other}")
    return [place for _, place in fields]


def _read_varint(data: memoryview, position: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position == stop:
            raise IndexError
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift >= 7 * _MAX_VARINT_BYTES:
            raise ValueError(f"expected a varint of at most {_MAX_VARINT_BYTES} bytes")


def _single(data: memoryview, part: slice, number: int) -> slice:
    places = _messages(data, part, number)
    if len(places) != 1:
        raise ValueError(f"expected one value, received {len(places)}")
    return places[0]


def _single_bytes(data: memoryview, feature: slice) -> slice:
    return _single(data, _single(data, feature, _BYTES_LIST), 1)


def _single_integer(data: memoryview, feature: slice) -> int:
    values = _single(data, feature, _INT64_LIST)
    if values.start < values.stop and data[values.start] == _NOT_PACKED:
        values = slice(values.start + 1, values.stop)
    else:
        values = _single(data, values, 1)
    value, end = _read_varint(data, values.start, values.stop)
    if end != values.stop:
        raise ValueError("expected one integer, received several")
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
