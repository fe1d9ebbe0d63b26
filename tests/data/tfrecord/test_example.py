"""Tests of the Example that a record of a shard holds."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_data.tfrecord.example import INTEGER_FEATURES, encode_envelopes, measure_envelopes

Row = tuple[bytes, int, int, int]

INTERESTING_LENGTHS = [
    1,
    2,
    57,
    58,
    100,
    118,
    126,
    127,
    128,
    129,
    255,
    16_255,
    16_256,
    16_257,
    16_382,
    16_383,
    16_384,
    16_385,
]
LENGTHS = st.one_of(st.sampled_from(INTERESTING_LENGTHS), st.integers(0, 40_000))
LABELS = st.one_of(st.sampled_from([0, 127, 128, 16_383, 16_384, 2**31 - 1, 2**31]), st.integers(0, 2**31))
KEYS = st.one_of(st.sampled_from([0, 2**21, 2**28 - 1, 2**35, 2**40]), st.integers(0, 2**40))
SOURCE_LABELS = st.one_of(st.sampled_from([-1, -(2**31), 2**31]), st.integers(-(2**31), 2**31))


def encode(rows: list[Row], *, header_bytes: int = 0, footer_bytes: int = 0) -> list[bytes]:
    """Puts envelopes and images together as a shard does."""
    integers = {name: np.array([row[i] for row in rows], np.int64) for i, name in enumerate(INTEGER_FEATURES, start=1)}
    lengths = np.array([len(row[0]) for row in rows], dtype=np.int64)
    envelopes = encode_envelopes(lengths, integers, header_bytes=header_bytes, footer_bytes=footer_bytes)
    middle = envelopes.middle
    heads = [
        row[middle : middle + n].tobytes() for row, n in zip(envelopes.gaps[:-1], envelopes.head_lengths, strict=True)
    ]
    tails = [
        row[middle - n : middle].tobytes() for row, n in zip(envelopes.gaps[1:], envelopes.tail_lengths, strict=True)
    ]
    measured = measure_envelopes(lengths, integers)
    assert [array.tolist() for array in measured] == [
        (envelopes.head_lengths - header_bytes).tolist(),
        (envelopes.tail_lengths - footer_bytes).tolist(),
    ]
    return [head + row[0] + tail for head, row, tail in zip(heads, rows, tails, strict=True)]


def serialise_with_tensorflow(row: Row) -> bytes:
    import tensorflow as tf

    def integer(value: int) -> "tf.train.Feature":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[row[0]])),
        "label": integer(row[1]),
        "source_key": integer(row[2]),
        "source_label": integer(row[3]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def test_the_bytes_of_a_small_example_are_golden() -> None:
    (data,) = encode([(b"jpeg", 3, 300, -1)])
    assert data.hex() == "".join(
        (
            "0a590a11" + "0a05" + b"image".hex() + "12080a060a04" + b"jpeg".hex(),
            "0a0e" + "0a05" + b"label".hex() + "12051a030a0103",
            "0a14" + "0a0a" + b"source_key".hex() + "12061a040a02ac02",
            "0a1e" + "0a0c" + b"source_label".hex() + "120e1a0c0a0affffffffffffffffff01",
        )
    )


@given(
    sizes=st.lists(st.tuples(LENGTHS, LABELS, KEYS, SOURCE_LABELS), min_size=1, max_size=6), seed=st.integers(0, 1000)
)
@settings(max_examples=100, deadline=None)
def test_examples_are_the_bytes_that_tensorflow_serialises(sizes: list[tuple[int, int, int, int]], seed: int) -> None:
    make = random.Random(seed).randbytes
    rows = [(make(length), label, key, source_label) for length, label, key, source_label in sizes]
    assert encode(rows) == [serialise_with_tensorflow(row) for row in rows]


def test_all_interesting_lengths_are_right_in_one_block() -> None:
    rows = [(b"i" * length, 1, 2**40, -5) for length in INTERESTING_LENGTHS]
    assert encode(rows) == [serialise_with_tensorflow(row) for row in rows]


def test_bytes_can_be_reserved_around_an_example() -> None:
    rows = [(b"jpeg", 3, 300, -1), (b"j" * 300, 300, 3, 5)]
    assert encode(rows, header_bytes=12, footer_bytes=4) == [bytes(12) + data + bytes(4) for data in encode(rows)]


def test_no_rows_are_no_bytes() -> None:
    nothing = np.empty(0, dtype=np.int64)
    integers = dict.fromkeys(INTEGER_FEATURES, nothing)
    assert len(encode_envelopes(nothing, integers, header_bytes=12, footer_bytes=4).head_lengths) == 0
