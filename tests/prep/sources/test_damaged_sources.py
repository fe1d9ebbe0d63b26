"""Attacks on the reading of a set: every kind of damage to its files, and anything at all."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fr_data.errors import ToolkitError
from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.image_set import ImageSet, Property
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.image_records import join_image, pack_image_record
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_files import set_files
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import RecordFile

MAGIC_BYTES = bytes.fromhex("0a23d7ce")


def read_records(face_set: ImageSet) -> list[tuple[int, int, bytes]]:
    with RecordFile(face_set.path) as file:
        images = [join_image(file, int(offset)) for offset in face_set.places.record_offsets]
    return list(zip(face_set.keys.tolist(), face_set.labels.tolist(), images, strict=True))


def truth(made: object) -> list[tuple[int, int, bytes]]:
    return [(record.key, record.label, record.image) for record in made.records]  # type: ignore[attr-defined]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("array_labels", [True, False])
def test_every_dialect_gives_its_records(
    tmp_path: Path, make_set: Callable, header: bool, index: bool, array_labels: bool
) -> None:
    made = make_set(tmp_path, header=header, index=index, array_labels=array_labels)
    face_set = read_face_set(tmp_path)
    assert read_records(face_set) == truth(made)
    assert face_set.warnings == []
    assert face_set.num_other_records == (4 if header else 0)
    assert face_set.property == Property(num_classes=3, height=16, width=16)
    assert ("no .idx" in face_set.dialect) == (not index)
    assert ("labels in arrays of 2" in face_set.dialect) == array_labels
    assert ("InsightFace, with header" in face_set.dialect) == header


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("lead", [0, 1, 2, 3])
def test_images_that_hold_the_magic_are_whole(
    tmp_path: Path, make_set: Callable, numbered_jpeg: Callable, index: bool, lead: int
) -> None:
    made = make_set(
        tmp_path, index=index, images=lambda key: numbered_jpeg(key) + bytes(lead) + MAGIC_BYTES * (key % 3)
    )
    face_set = read_face_set(tmp_path)
    assert read_records(face_set) == truth(made)
    assert face_set.warnings == []


def test_a_rec_of_any_name_is_taken_if_it_is_the_only_one(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path)
    made.rec.rename(tmp_path / "faces.rec")
    made.idx.rename(tmp_path / "faces.idx")
    assert set_files(tmp_path)[:2] == (tmp_path / "faces.rec", tmp_path / "faces.idx")


@pytest.mark.parametrize(
    "name",
    [
        "train.rec",
        "train.idx",
        "property",
    ],
)
def test_an_unreadable_file_is_a_source_error(tmp_path: Path, make_set: Callable, as_nobody: None, name: str) -> None:
    make_set(tmp_path)
    (tmp_path / name).chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        read_face_set(tmp_path)


def test_a_name_that_is_too_long_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        read_face_set(tmp_path / ("a" * 300))


# -- damage to the .rec


def test_a_rec_cut_short_anywhere_is_found(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path, num_classes=2, images_per_class=2, images=lambda key: b"12345" * key)
    content = made.rec.read_bytes()
    for length in range(len(content)):
        made.rec.write_bytes(content[:length])
        with pytest.raises(SourceError, match=r"train\.rec"):
            read_face_set(tmp_path)


def test_a_rec_cut_short_without_idx_is_found_except_between_records(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(
        tmp_path, num_classes=2, images_per_class=2, header=False, index=False, images=lambda key: b"12345" * (key + 1)
    )
    content = made.rec.read_bytes()
    starts = {offset for _, offset in made.entries}
    for length in range(len(content)):
        made.rec.write_bytes(content[:length])
        if length in starts and length > 0:
            # Nothing in the file says that there was more, but the property does, where a class is gone.
            assert len(read_face_set(tmp_path).keys) == sorted(starts).index(length)
        else:
            with pytest.raises(SourceError, match=r"train\.rec"):
                read_face_set(tmp_path)


@pytest.mark.parametrize("index", [True, False])
def test_a_cut_inside_a_split_record_is_found(tmp_path: Path, make_set: Callable, index: bool) -> None:
    made = make_set(
        tmp_path,
        num_classes=1,
        images_per_class=2,
        header=False,
        index=index,
        images=lambda key: MAGIC_BYTES * 3 + b"xyz",
    )
    content = made.rec.read_bytes()
    for length in range(made.entries[1][1] + 1, len(content)):
        made.rec.write_bytes(content[:length])
        with pytest.raises(SourceError, match=r"train\.rec"):
            read_face_set(tmp_path)


def test_a_flag_that_promises_more_labels_than_there_are_bytes_is_damage(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path)
    content = bytearray(made.rec.read_bytes())
    _, offset = made.entries[3]
    struct.pack_into("<I", content, offset + 8, 0xFFFFFFF0)
    made.rec.write_bytes(content)
    with pytest.raises(DamagedRecordError, match=f"record at byte {offset}") as caught:
        read_face_set(tmp_path)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (-float("inf"), "-inf"),
        (1.5, "1.5"),
        (2.0**31, "2147483648.0"),
        (1e38, "e"),
    ],
)
@pytest.mark.parametrize("array_labels", [True, False])
def test_a_label_that_is_no_whole_number_is_refused_with_its_key(
    tmp_path: Path, write_records: Callable, label: float, shown: str, array_labels: bool
) -> None:
    labels = [[value, 0.0] if array_labels else value for value in (0.0, label)]
    write_records(
        tmp_path / "train.rec", [pack_image_record(value, key=i, image=b"image") for i, value in enumerate(labels)]
    )
    with pytest.raises(SourceError, match=f"key 1: expected a class as label.*{shown}.*1 of 2 labels"):
        read_face_set(tmp_path)


# -- the .idx and the .rec disagree


def test_the_idx_of_another_file_is_found(tmp_path: Path, make_set: Callable, numbered_jpeg: Callable) -> None:
    made = make_set(tmp_path / "one")
    other = make_set(tmp_path / "other", images=lambda key: numbered_jpeg(key) + bytes(key * 4))
    made.idx.write_bytes(other.idx.read_bytes())
    with pytest.raises(DamagedRecordError, match=r"The \.idx belongs to another \.rec"):
        read_face_set(made.folder)


@pytest.mark.parametrize("shift", [-4, -1, 1, 2, 4, 8, 10**6, 10**15])
def test_a_wrong_offset_in_the_idx_is_found(tmp_path: Path, make_set: Callable, shift: int) -> None:
    made = make_set(tmp_path)
    key, offset = made.entries[2]
    write_record_index(made.idx, [*made.entries[:2], (key, offset + shift), *made.entries[3:]])
    with pytest.raises(DamagedRecordError, match=f"byte {offset + shift}"):
        read_face_set(tmp_path)


def test_an_offset_inside_a_record_is_found_though_the_magic_stands_there(
    tmp_path: Path, write_records: Callable
) -> None:
    # An image that holds the magic off the 4-byte steps of its own record cannot be reached, one that holds a frame can
    # where a careless writer did not split it.
    inner = struct.pack("<II", 0xCED7230A, 28) + pack_image_record(9.0, key=9, image=b"fake")
    outer = pack_image_record(1.0, key=0, image=b"abcd" + inner)
    frame = struct.pack("<II", 0xCED7230A, len(outer)) + outer
    (tmp_path / "train.rec").write_bytes(frame)
    write_record_index(tmp_path / "train.idx", [(0, 0), (1, 8 + 24 + 4)])
    with pytest.raises(DamagedRecordError, match="reaches to byte"):
        read_face_set(tmp_path)


def test_junk_between_records_is_warned_of_with_an_idx_and_refused_without(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path, header=False)
    content, (_, cut) = made.rec.read_bytes(), made.entries[5]
    made.rec.write_bytes(content[:cut] + b"junkjunk" + content[cut:])
    write_record_index(made.idx, [(key, offset + 8 * (offset >= cut)) for key, offset in made.entries])
    face_set = read_face_set(tmp_path)
    assert read_records(face_set) == truth(made)
    assert any("8 bytes of train.rec are no records" in warning for warning in face_set.warnings)
    made.idx.unlink()
    with pytest.raises(DamagedRecordError, match=f"expected a record at byte {cut}"):
        read_face_set(tmp_path)


@pytest.mark.parametrize("junk", [b"j", b"jun", b"junk", b"junkj"])
@pytest.mark.parametrize("index", [True, False])
def test_junk_at_the_end_is_never_passed_over_in_silence(
    tmp_path: Path, make_set: Callable, junk: bytes, index: bool
) -> None:
    made = make_set(tmp_path, index=index)
    made.rec.write_bytes(made.rec.read_bytes() + junk)
    if index:
        assert any("are no records" in warning for warning in read_face_set(tmp_path).warnings)
    else:
        with pytest.raises(DamagedRecordError, match="holds no more"):
            read_face_set(tmp_path)


# -- header, ranges and property


def test_identity_records_that_are_missing_are_warned_of(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable
) -> None:
    images = [pack_image_record(float(i), key=i + 1, image=numbered_jpeg(i)) for i in range(4)]
    write_records(tmp_path / "train.rec", [pack_image_record([5.0, 9.0], key=0), *images])
    assert any("0 identity records, its images 4 classes" in warning for warning in read_face_set(tmp_path).warnings)


@pytest.mark.parametrize(
    "odd",
    [pack_image_record(5.0, key=0), pack_image_record([5.0], key=0), pack_image_record([float("nan")] * 2, key=0)],
)
@pytest.mark.filterwarnings("error")
def test_a_header_record_without_numbers_is_no_promise_of_nan_images(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable, odd: bytes
) -> None:
    images = [pack_image_record(float(i), key=i + 1, image=numbered_jpeg(i)) for i in range(4)]
    write_records(tmp_path / "train.rec", [odd, *images])
    face_set = read_face_set(tmp_path)
    assert len(face_set.keys) == 4
    assert face_set.warnings
    assert not any("nan" in warning for warning in face_set.warnings)


@pytest.mark.parametrize("labels", [1.0, [1.0]], ids=["one label", "an array of one"])
def test_an_image_record_that_ends_before_its_image_is_no_identity(tmp_path, write_records, numbered_jpeg, labels):
    images = [pack_image_record(float(i // 2), key=i, image=numbered_jpeg(i)) for i in range(4)]
    offset = sum(8 + len(image) + -len(image) % 4 for image in images[:2])
    write_records(tmp_path / "train.rec", [*images[:2], pack_image_record(labels, key=2), *images[3:]])
    with pytest.raises(DamagedRecordError, match=f"key 2, record at byte {offset}: expected an image") as caught:
        read_face_set(tmp_path)
    assert caught.value.offset == offset
    skipped = read_face_set(tmp_path, RecordSettings(on_error="skip"))
    assert [record.key for record in skipped.left_out] == [2]
    assert skipped.keys.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    "text", ["", "abc", "3", "3,112", "3,112,x", "3;112;112", "\n3,112,112", "1e3,112,112", "\udcff\udcfe"]
)
def test_a_malformed_property_is_left_out_with_a_warning(tmp_path: Path, make_set: Callable, text: str) -> None:
    made = make_set(tmp_path)
    (tmp_path / "property").write_bytes(text.encode(errors="surrogateescape"))
    face_set = read_face_set(tmp_path)
    assert read_records(face_set) == truth(made)
    assert face_set.property is None
    assert any("property is left out" in warning for warning in face_set.warnings)


@pytest.mark.parametrize("text", ["3,16,16", "3,16,16\n", "3,16,16\r\n", " 3, 16, 16 ", "3,16,16,extra\nmore"])
def test_a_property_may_have_more_than_it_needs(tmp_path: Path, make_set: Callable, text: str) -> None:
    make_set(tmp_path)
    (tmp_path / "property").write_bytes(text.encode())
    face_set = read_face_set(tmp_path)
    assert face_set.property == Property(num_classes=3, height=16, width=16)
    assert face_set.warnings == []


def test_a_folder_named_property_is_no_property(tmp_path: Path, make_set: Callable) -> None:
    make_set(tmp_path, property_text=None)
    (tmp_path / "property").mkdir()
    assert read_face_set(tmp_path).property is None


# -- anything at all


def mutate(rng: random.Random, content: bytes) -> bytes:
    mutated = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(mutated) + 1)
        match rng.choice(["flip", "flip", "word", "truncate", "insert", "delete", "repeat"]):
            case "flip" if at < len(mutated):
                mutated[at] ^= 1 << rng.randrange(8)
            case "word":
                at &= ~3
                mutated[at : at + 4] = rng.choice([MAGIC_BYTES, bytes(4), b"\xff" * 4, rng.randbytes(4)])
            case "truncate":
                del mutated[at:]
            case "insert":
                mutated[at:at] = rng.randbytes(rng.choice([1, 4, 8, 32]))
            case "delete":
                del mutated[at : at + rng.choice([1, 4, 8, 32])]
            case "repeat":
                mutated[at:at] = mutated[at : at + 8]
    return bytes(mutated)


def naive_records(rec: bytes, idx: bytes | None) -> list[tuple[int, int, bytes]]:
    """What a plain reader makes of the files, record by record."""
    if idx is None:
        offsets = [
            (number, at)
            for number, at in enumerate(
                at
                for at in range(0, len(rec) - 7, 4)
                if rec[at : at + 4] == MAGIC_BYTES and int.from_bytes(rec[at + 4 : at + 8], "little") >> 29 < 2
            )
        ]
    else:
        lines = [line.split() for line in idx.splitlines()]
        offsets = sorted(((int(key), int(offset)) for key, offset in lines), key=lambda entry: entry[1])
    found = []
    for key, at in offsets:
        parts, flag, position = [], 1, at
        while flag in (1, 2):
            magic, lrec = struct.unpack_from("<II", rec, position)
            assert magic == 0xCED7230A
            flag, length = lrec >> 29, lrec & 0x1FFFFFFF
            parts.append(rec[position + 8 : position + 8 + length])
            position += 8 + (length + 3 & ~3)
        payload = MAGIC_BYTES.join(parts)
        num_labels, label = struct.unpack_from("<If", payload)
        if num_labels:
            (label,) = struct.unpack_from("<f", payload, 24)
        image = payload[24 + 4 * num_labels :]
        if image:
            found.append((key, int(label), image))
    return found


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("header", [True, False])
def test_any_damage_to_the_rec_is_read_as_it_stands_or_refused(
    tmp_path: Path, make_set: Callable, index: bool, header: bool
) -> None:
    made = make_set(
        tmp_path,
        num_classes=2,
        images_per_class=3,
        header=header,
        index=index,
        images=lambda key: b"image" * key + MAGIC_BYTES * (key % 2) + b"end",
        array_labels=index,
    )
    content, rng, num_read = made.rec.read_bytes(), random.Random(11), 0
    idx = made.idx.read_bytes() if index else None
    for _ in range(400):
        mutated = mutate(rng, content)
        made.rec.write_bytes(mutated)
        try:
            face_set = read_face_set(tmp_path)
        except ToolkitError:
            continue
        assert read_records(face_set) == naive_records(mutated, idx)
        num_read += 1
    assert 20 < num_read < 380  # both outcomes are met


def test_any_damage_to_the_idx_is_read_as_it_stands_or_refused(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path, num_classes=2, images_per_class=3, images=lambda key: b"image" * key)
    rec, content, rng, num_read = made.rec.read_bytes(), made.idx.read_bytes(), random.Random(12), 0
    for _ in range(600):
        mutated = mutate(rng, content)
        made.idx.write_bytes(mutated)
        try:
            face_set = read_face_set(tmp_path)
        except ToolkitError:
            continue
        try:
            expected = naive_records(rec, mutated)
        except ValueError:
            pytest.fail(f"accepted an index that is none: {mutated!r}")
        assert read_records(face_set) == expected
        num_read += 1
    assert num_read > 20


def test_positions_of_images_are_those_of_the_file(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path)
    face_set, content = read_face_set(tmp_path), made.rec.read_bytes()
    for record, at, length in zip(
        made.records, face_set.places.image_offsets.tolist(), face_set.places.image_lengths.tolist(), strict=True
    ):
        assert content[at : at + length] == record.image
    assert face_set.places.record_offsets.dtype == face_set.labels.dtype == face_set.keys.dtype == np.int64
