"""Tests of reading Examples back: many at once, and one alone in any layout that is legal."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_data.tfrecord.example import INTEGER_FEATURES, encode_envelopes
from fr_data.tfrecord.example_reader import Examples, Face, parse_example, parse_features, read_examples

Row = tuple[bytes, tuple[int, ...]]

IMAGES = st.one_of(st.binary(max_size=40), st.sampled_from([127, 128, 16_383, 16_384, 2_097_152]).map(bytes))
INTEGERS = st.one_of(
    st.sampled_from([0, 127, 128, 16_383, 16_384, 2**31, 2**56, 2**63 - 1, -1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
)
NAMES = st.sampled_from([INTEGER_FEATURES, ("pair", "same", "side"), ("j" * 100,)])
SMALL: Row = (b"image bytes", (3, 300, -1))


def encode(rows: list[Row], names: tuple[str, ...] = INTEGER_FEATURES) -> list[bytes]:
    """Encodes rows as a shard does."""
    integers = {name: np.array([row[1][i] for row in rows], dtype=np.int64) for i, name in enumerate(names)}
    lengths = np.array([len(row[0]) for row in rows], dtype=np.int64)
    envelopes = encode_envelopes(lengths, integers, header_bytes=0, footer_bytes=0)
    middle = envelopes.middle
    heads = [
        row[middle : middle + n].tobytes() for row, n in zip(envelopes.gaps[:-1], envelopes.head_lengths, strict=True)
    ]
    tails = [
        row[middle - n : middle].tobytes() for row, n in zip(envelopes.gaps[1:], envelopes.tail_lengths, strict=True)
    ]
    return [head + row[0] + tail for head, row, tail in zip(heads, rows, tails, strict=True)]


def read(examples: list[bytes], names: tuple[str, ...] = INTEGER_FEATURES, *, around: bytes = b"") -> Examples:
    """Reads Examples that stand one behind the other, with other bytes between them."""
    lengths = np.array([len(example) for example in examples], dtype=np.int64)
    ends = np.cumsum(lengths + len(around))
    starts = ends - lengths
    data = np.frombuffer(around + around.join(examples) + around, dtype=np.uint8)
    return read_examples(data, starts, ends, names=names)


def rows_of(examples: Examples, data: bytes) -> list[Row | str]:
    """Gives each row, or what is wrong with it."""
    rows: list[Row | str] = []
    for row, (start, length) in enumerate(
        zip(examples.image_starts.tolist(), examples.image_lengths.tolist(), strict=True)
    ):
        integers = tuple(int(values[row]) for values in examples.integers.values())
        rows.append(examples.errors.get(row) or (data[start : start + length], integers))
    return rows


def integer(*values: int) -> Any:
    import tensorflow as tf

    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def image(*values: bytes) -> Any:
    import tensorflow as tf

    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def serialise(features: Mapping[str, Any]) -> bytes:
    import tensorflow as tf

    data: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)
    return data


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field; short ones only."""
    return bytes([number << 3 | 2, len(content)]) + content


def entry(name: bytes, feature: bytes) -> bytes:
    return message(1, message(1, name) + message(2, feature))


@given(
    names=NAMES,
    around=st.binary(max_size=20),
    rows=st.lists(st.tuples(IMAGES, INTEGERS, INTEGERS, INTEGERS), max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_what_was_encoded_is_read_back_at_once_and_alone(
    names: tuple[str, ...], around: bytes, rows: list[tuple[bytes, int, int, int]]
) -> None:
    expected: list[Row] = [(row[0], row[1 : 1 + len(names)]) for row in rows]
    encoded = encode(expected, names) if rows else []
    assert rows_of(read(encoded, names, around=around), around + around.join(encoded)) == expected
    for data, (picture, integers) in zip(encoded, expected, strict=True):
        features = parse_features(memoryview(data), names=names)
        assert data[features.image_start :][: features.image_length] == picture
        assert features.integers == dict(zip(names, integers, strict=True))


def test_none_of_these_needs_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(bytes(length), (1, 2**40, -5)) for length in (0, 1, 127, 128, 16_256, 16_384, 2_097_152)]
    monkeypatch.setattr("fr_data.tfrecord.example_reader.parse_features", None)
    assert read(encode(rows)).image_lengths.tolist() == [len(row[0]) for row in rows]


def test_a_face_is_parsed_by_name() -> None:
    face = parse_example(memoryview(encode([SMALL])[0]))
    assert (bytes(face.image), face.label, face.source_key, face.source_label) == (b"image bytes", 3, 300, -1)
    assert isinstance(face, Face)


@pytest.mark.parametrize("seed", range(3))
def test_single_changed_bytes_are_refused_or_change_a_value_both_ways_alike(seed: int) -> None:
    rng = random.Random(seed)
    for example in encode([SMALL, (bytes(200), (0, 2**35, 127))]):
        for place in range(len(example)):
            changed = bytearray(example)
            changed[place] ^= rng.randrange(1, 256)
            compare_both_ways(bytes(changed))


def test_any_bytes_are_features_or_a_value_error_both_ways_alike() -> None:
    rng = random.Random(5)
    (example,) = encode([SMALL])
    for _ in range(1500):
        changed = bytearray(example)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(changed))
            match rng.randrange(3):
                case 0:
                    changed[place] = rng.randrange(256)
                case 1:
                    del changed[place : place + rng.randrange(1, 9)]
                case 2:
                    changed[place:place] = rng.randbytes(rng.randrange(1, 9))
        compare_both_ways(bytes(changed))


def compare_both_ways(data: bytes) -> None:
    """Between others and alone, an Example must be the same features, or wrong for the same reason."""
    sound = encode([SMALL])[0]
    found = rows_of(read([sound, data, sound], around=b"\x0a"), b"\x0a" + b"\x0a".join([sound, data]))
    assert found[0] == SMALL
    assert found[1] == read_alone(data)


def read_alone(data: bytes) -> Row | str:
    try:
        features = parse_features(memoryview(data))
    except ValueError as error:
        return str(error)
    return data[features.image_start :][: features.image_length], tuple(features.integers.values())


def test_tensorflow_reads_the_same_from_what_is_accepted() -> None:
    import tensorflow as tf

    rng = random.Random(6)
    (example,) = encode([SMALL])
    num_accepted = 0
    for _ in range(1500):
        changed = bytearray(example)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        try:
            face = parse_example(memoryview(bytes(changed)))
        except ValueError:
            continue
        features = tf.train.Example.FromString(bytes(changed)).features.feature
        assert features["image"].bytes_list.value == [bytes(face.image)]
        assert [features[name].int64_list.value[0] for name in INTEGER_FEATURES] == [
            face.label,
            face.source_key,
            face.source_label,
        ]
        num_accepted += 1
    assert num_accepted > 100


def reverse_order(features: dict[str, bytes]) -> bytes:
    return b"".join(entry(name.encode(), features[name]) for name in reversed(features))


def value_before_name(features: dict[str, bytes]) -> bytes:
    return b"".join(message(1, message(2, value) + message(1, name.encode())) for name, value in features.items())


def long_varint(features: dict[str, bytes]) -> bytes:
    return serial({**features, "label": message(3, message(1, b"\x83\x80\x00"))})


def not_packed(features: dict[str, bytes]) -> bytes:
    return serial({**features, "label": message(3, b"\x08\x03")})


def serial(features: Mapping[str, bytes]) -> bytes:
    return b"".join(entry(name.encode(), value) for name, value in features.items())


@pytest.mark.parametrize("write", [reverse_order, value_before_name, long_varint, not_packed, serial])
def test_what_another_program_may_write_is_read(write: Callable[[dict[str, bytes]], bytes]) -> None:
    import tensorflow as tf

    features = {
        "image": message(1, message(1, b"image bytes")),
        "label": message(3, message(1, b"\x03")),
        "source_key": message(3, message(1, b"\xac\x02")),
        "source_label": message(3, message(1, b"\xff" * 9 + b"\x01")),
    }
    data = message(1, write(features))
    assert tf.train.Example.FromString(data).features.feature["label"].int64_list.value == [3]
    assert rows_of(read([data]), data) == [SMALL]


def test_an_example_cut_short_anywhere_is_refused() -> None:
    (data,) = encode([SMALL])
    for length in range(len(data)):
        with pytest.raises(ValueError, match="expected"):
            parse_example(memoryview(data[:length]))
        assert 1 in read([data, data[:length]]).errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("label"), "received image, source_key, source_label$"),
        (lambda f: f.pop("image"), "expected the features image, label, source_key, source_label, received label"),
        (lambda f: f.clear(), "received none"),
        (lambda f: f.update(other=integer(1)), "received image, label, other, "),
        (lambda f: f.update(label=integer(1, 2)), "expected one integer, received several"),
        (lambda f: f.update(label=integer()), "expected one value, received 0"),
        (lambda f: f.update(label=image(b"1")), "expected a field with number 3, received 1"),
        (lambda f: f.update(image=integer(1)), "expected a field with number 1, received 3"),
        (lambda f: f.update(image=image(b"1", b"2")), "expected one value, received 2"),
        (lambda f: f.update(image=image()), "expected one value, received 0"),
    ],
)
def test_other_features_than_expected_are_refused(change: Callable[[dict[str, Any]], object], message: str) -> None:
    features = {"image": image(b"jpeg"), "label": integer(1), "source_key": integer(2), "source_label": integer(3)}
    change(features)
    data = serialise(features)
    with pytest.raises(ValueError, match=message):
        parse_example(memoryview(data))
    assert list(read([data]).errors) == [0]


def test_a_feature_that_stands_there_twice_is_refused() -> None:
    once = serial({name: message(3, message(1, b"\x01")) for name in INTEGER_FEATURES})
    data = message(1, entry(b"image", message(1, message(1, b"jpeg"))) + once)
    assert parse_example(memoryview(data)).label == 1
    twice = message(
        1, entry(b"image", message(1, message(1, b"jpeg"))) + once + entry(b"label", message(3, b"\x08\x01"))
    )
    with pytest.raises(ValueError, match="each feature once, received label twice"):
        parse_example(memoryview(twice))


def test_a_field_that_no_example_has_is_refused() -> None:
    (data,) = encode([SMALL])
    with pytest.raises(ValueError, match="field with number 1, received 5"):
        parse_example(memoryview(data + message(5, b"x")))


def test_a_varint_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError, match="varint of at most 10 bytes"):
        parse_example(memoryview(b"\x0a" + b"\xff" * 11))
    (data,) = encode([SMALL])
    wrong = data.replace(b"\xff" * 9 + b"\x01", b"\xff" * 10)
    assert list(read([wrong, data]).errors) == [0]
