"""The `tf.train.Example` of a face, encoded for many records at once; `example_reader` reads it back.

Features, in the order of a deterministic serialisation (keys sorted): `image` (bytes), `label` (dense class), `source_key`,
`source_label`. The bytes are those of `tf.train.Example(...).SerializeToString(deterministic=True)`.

A record is `head, image, tail`. What stands around the images of many records is made together with NumPy; images are only copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fr_data.tfrecord.byte_windows import byte_windows

__all__ = ["IMAGE_FEATURE", "INTEGER_FEATURES", "PAIR_FEATURES", "Envelopes", "encode_envelopes", "measure_envelopes"]

IMAGE_FEATURE = "image"
INTEGER_FEATURES = ("label", "source_key", "source_label")  # of a face
PAIR_FEATURES = ("pair", "same", "side")  # of an image of a verification pair

_Part = bytes | tuple[NDArray[np.int64], int]  # of a row: the same bytes in each, or values and their width as varint

_TAG_1, _TAG_2, _TAG_3 = b"\x0a", b"\x12", b"\x1a"  # fields 1, 2 and 3, each length-delimited


def _string(text: str) -> bytes:
    """Encodes a string field with tag 1."""
    return _TAG_1 + bytes([len(text)]) + text.encode()


# What precedes each of the five nested lengths: of Features, of the map's entry, of Feature, of BytesList, of the image.
_TAGS = (_TAG_1, _TAG_1, _string(IMAGE_FEATURE) + _TAG_2, _TAG_1, _TAG_1)


@dataclass(frozen=True, slots=True)
class Envelopes:
    """What stands around the images of n records: in front of the first, between each two, and behind the last.

    Attributes:
        gaps: (n + 1, width) uint8; in row i the tail of record i - 1 ends where the head of record i begins, at column `middle`.
        middle: that column.
        head_lengths: (n,) int64, bytes in front of each image.
        tail_lengths: (n,) int64, bytes behind it.
    """

    gaps: NDArray[np.uint8]
    middle: int
    head_lengths: NDArray[np.int64]
    tail_lengths: NDArray[np.int64]

    def lay_into(self, memory: NDArray[np.uint8], bounds: NDArray[np.int64], rows: slice) -> NDArray[np.uint8]:
        """Lays what stands around the images of consecutive records, and a few bytes more, which the images are to cover.

        A gap is laid as a whole row: where its own tail or head are not the longest, up to 27 bytes of three integers reach into
        the end of the image in front of it, and up to 20 of five lengths into the start of the one behind it. An image has at
        least 32 bytes: where one has fewer, what stands around it is damaged, and nothing else.

        Args:
            memory: uint8, as many bytes as the records have and at least one row of `gaps` more.
            bounds: (k + 1,) int64, where each of the k records starts, and where the last one ends; from 0.
            rows: which records they are.

        Returns:
            (bounds[-1],) uint8, the part of the memory that holds the records.
        """
        windows = byte_windows(memory, self.gaps.shape[1])
        windows[bounds] = self.gaps[rows.start : rows.stop + 1].view(windows.dtype)[:, 0]
        return memory[self.middle : self.middle + int(bounds[-1])]


def _varint_widths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gives how many bytes each value takes as a protobuf varint: 1 to 10, which negative ones take."""
    unsigned = values.astype(np.uint64)
    widths = np.ones(len(values), dtype=np.int64)
    largest = int(unsigned.max(initial=0))
    for width in range(1, (largest.bit_length() + 6) // 7):
        widths += unsigned >= np.uint64(1 << (7 * width))
    return widths


def _enclosed(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of a field: its tag, its length as varint, its contents."""
    return 1 + _varint_widths(lengths) + lengths


@dataclass(frozen=True, slots=True)
class _Layout:
    """How many bytes everything takes, each (n,) int64: five nested lengths, the widths of all numbers, heads and tails."""

    lengths: list[NDArray[np.int64]]
    length_widths: list[NDArray[np.int64]]
    value_widths: list[NDArray[np.int64]]
    head_lengths: NDArray[np.int64]
    tail_lengths: NDArray[np.int64]


def _lay_out(image_lengths: NDArray[np.int64], integers: Mapping[str, NDArray[np.int64]]) -> _Layout:
    value_widths = [_varint_widths(values) for values in integers.values()]
    # An entry of the map: tag, length, `0a length name`, `12 length Feature{ 1a length Int64List{ 0a length varint }}`.
    tail_lengths = np.zeros(len(image_lengths), dtype=np.int64)
    for name, widths in zip(integers, value_widths, strict=True):
        tail_lengths += len(name) + widths + 10
    bytes_lists = _enclosed(image_lengths)
    features = _enclosed(bytes_lists)
    entries = 2 + len(IMAGE_FEATURE) + _enclosed(features)
    lengths = [_enclosed(entries) + tail_lengths, entries, features, bytes_lists, image_lengths]
    length_widths = [_varint_widths(values) for values in lengths]
    head_lengths = sum(map(len, _TAGS)) + sum(length_widths, start=np.zeros(len(image_lengths), dtype=np.int64))
    return _Layout(lengths, length_widths, value_widths, head_lengths, tail_lengths)


def measure_envelopes(
    image_lengths: NDArray[np.int64], integers: Mapping[str, NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gives how many bytes an Example has in front of the image, and how many behind it: two (n,) int64."""
    layout = _lay_out(image_lengths, integers)
    return layout.head_lengths, layout.tail_lengths


def encode_envelopes(
    image_lengths: NDArray[np.int64], integers: Mapping[str, NDArray[np.int64]], *, header_bytes: int, footer_bytes: int
) -> Envelopes:
    """Encodes what stands around each image: `header, head of the Example, [image,] tail of the Example, footer`.

    Args:
        image_lengths: (n,) int64 bytes of each image.
        integers: the features behind the image: name → (n,) int64; names in ascending order, each above `image`.
        header_bytes: zero bytes in front of each head, for a frame.
        footer_bytes: zero bytes behind each tail, for a frame.
    """
    layout = _lay_out(image_lengths, integers)
    head_lengths, tail_lengths = header_bytes + layout.head_lengths, layout.tail_lengths + footer_bytes
    middle, width = int(tail_lengths.max(initial=0)), int(head_lengths.max(initial=0))
    gaps = np.empty((len(image_lengths) + 1, middle + width), dtype=np.uint8)
    codes = np.zeros(len(image_lengths), dtype=np.int64)
    for widths in (*layout.length_widths, *layout.value_widths):
        codes = codes * 11 + widths
    for code in np.unique(codes).tolist():  # rows whose numbers take the same bytes each are made together; few kinds
        members = np.flatnonzero(codes == code)
        head: list[_Part] = [bytes(header_bytes)]
        for tag, values, widths in zip(_TAGS, layout.lengths, layout.length_widths, strict=True):
            head += [tag, (values[members], int(widths[members[0]]))]
        tail: list[_Part] = []
        for (name, values), widths in zip(integers.items(), layout.value_widths, strict=True):
            width = int(widths[members[0]])
            feature = bytes([*_TAG_2, width + 4, *_TAG_3, width + 2, *_TAG_1, width])
            tail += [bytes([*_TAG_1, len(name) + width + 8]) + _string(name) + feature, (values[members], width)]
        heads, tails = _join_columns(head, len(members)), _join_columns([*tail, bytes(footer_bytes)], len(members))
        gaps[members, middle : middle + heads.shape[1]] = heads
        gaps[members + 1, middle - tails.shape[1] : middle] = tails
    return Envelopes(gaps, middle, head_lengths, tail_lengths)


def _join_columns(parts: Sequence[_Part], num_rows: int) -> NDArray[np.uint8]:
    """Makes (num_rows, bytes of a row) uint8 of parts: the same bytes in every row, or (values, their width as varint)."""
    template = b"".join(part if isinstance(part, bytes) else bytes(part[1]) for part in parts)
    matrix = np.empty((num_rows, len(template)), dtype=np.uint8)
    matrix[:] = np.frombuffer(template, dtype=np.uint8)
    column = 0
    for part in parts:
        if isinstance(part, bytes):
            column += len(part)
            continue
        values, width = part[0].astype(np.uint64), part[1]
        for byte in range(width):
            more = np.uint8(0x80 if byte + 1 < width else 0)
            matrix[:, column + byte] = (values >> np.uint64(7 * byte)).astype(np.uint8) & np.uint8(0x7F) | more
        column += width
    return matrix
