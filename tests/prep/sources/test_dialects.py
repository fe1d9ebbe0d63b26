"""Every dialect of record sets: its records come out with their classes, and it is named for what it is."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import FRAME_HEADER, MAGIC
from fr_prep.survey.describe import describe

MAGIC_BYTES = bytes.fromhex("0a23d7ce")
FULL = "InsightFace, with header and identity records"
PLAIN = "image records only (im2rec, shuffled, or packed by hand)"


def records_of(found: ImageSet) -> list[tuple[int, int, bytes]]:
    with ImageReader(found.places) as reader:
        images = [reader.read(row) for row in range(len(found.keys))]
    return list(zip(found.keys.tolist(), found.labels.tolist(), images, strict=True))


# What is made, and how it is named.
MADE = {
    "InsightFace": ({}, f"{FULL}; .idx names record 0 last"),
    "InsightFace without idx": ({"index": False}, f"{FULL}; no .idx"),
    "im2rec": ({"header": False}, PLAIN),
    "im2rec without idx": ({"header": False, "index": False}, f"{PLAIN}; no .idx"),
    "label arrays": ({"array_labels": True}, f"{FULL}; labels in arrays of 2; .idx names record 0 last"),
    "im2rec --pack-label": (
        {"header": False, "labels": [[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]]},
        f"{PLAIN}; labels in arrays of 2 (im2rec --pack-label, for one)",
    ),
    "labels alone and in arrays": (
        {"header": False, "labels": [0.0, [1.0, 5.0], [2.0, 5.0, 6.0]]},
        f"{PLAIN}; labels in arrays of 2 and 3 or alone (im2rec --pack-label, for one)",
    ),
    "split records": (
        {"images": lambda key: b"\xff\xd8\xff\xe0" + MAGIC_BYTES * (key % 2)},
        f"{FULL}; 6 records split at the magic; .idx names record 0 last",
    ),
    "one split record": (
        {"header": False, "images": lambda key: b"\xff\xd8\xff\xe0" + MAGIC_BYTES * (key == 5)},
        f"{PLAIN}; 1 record split at the magic",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_each_dialect_is_named_and_read(tmp_path: Path, make_set: Callable, name: str) -> None:
    options, dialect = MADE[name]
    made = make_set(tmp_path, **options)
    found = read_face_set(tmp_path)
    assert records_of(found) == [(record.key, record.label, record.image) for record in made.records]
    assert (found.dialect, found.warnings) == (dialect, [])
    assert describe(tmp_path).facts["dialect"] == dialect


def write_set(
    folder: Path,
    write_records: Callable,
    records: list[tuple[float | list[float], int, bytes]],
    *,
    order: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = list,
) -> None:
    """Writes (labels, key, image) records in that order, and their `.idx` in another one."""
    payloads = [pack_image_record(labels, key=key, image=image) for labels, key, image in records]
    offsets = write_records(folder / "train.rec", payloads)
    keys = [key for _, key, _ in records]
    write_record_index(folder / "train.idx", order(list(zip(keys, offsets, strict=True))))


@pytest.mark.parametrize("order", [sorted, lambda entries: entries[::-1]], ids=["by key", "backwards"])
def test_a_shuffled_set_is_read_in_the_order_of_the_file_whatever_that_of_the_idx(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable, order: Callable
) -> None:
    shuffled = np.random.default_rng(1).permutation(12).tolist()
    records = [(float(key // 4), key, numbered_jpeg(key)) for key in shuffled]
    write_set(tmp_path, write_records, records, order=order)
    found = read_face_set(tmp_path)
    assert records_of(found) == [(key, key // 4, image) for _, key, image in records]
    assert found.dialect == f"{PLAIN}; classes mixed (shuffled); .idx in another order than the .rec"
    assert found.warnings == []


@pytest.mark.parametrize("where", ["first", "last"])
def test_the_header_is_record_0_wherever_it_stands(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable, where: str
) -> None:
    records = [(float(key > 3), key, numbered_jpeg(key)) for key in range(1, 7)]
    records += [([1.0, 4.0], 7, b""), ([4.0, 7.0], 8, b"")]
    header = ([7.0, 9.0], 0, b"")
    write_set(tmp_path, write_records, [header, *records] if where == "first" else [*records, header])
    found = read_face_set(tmp_path)
    assert (found.dialect, found.warnings, found.num_other_records) == (FULL, [], 3)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_parts_of_the_insightface_layout_are_named_by_what_is_there(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable
) -> None:
    images = [(float(key > 3), key, numbered_jpeg(key)) for key in range(1, 7)]
    write_set(tmp_path, write_records, [([7.0, 9.0], 0, b""), *images])
    found = read_face_set(tmp_path)
    assert found.dialect == "InsightFace, with header record but no identity records"
    assert found.warnings == ["The file has 0 identity records, its images 2 classes. The images count."]
    write_set(tmp_path, write_records, [*images, ([1.0, 4.0], 7, b""), ([4.0, 7.0], 8, b"")])
    found = read_face_set(tmp_path)
    assert (found.dialect, found.warnings) == ("InsightFace, with identity records but no header", [])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("mxnet/basic", FULL),
        ("mxnet/gray", FULL),
        ("mxnet/label_array", f"{FULL}; labels in arrays of 2"),
        ("mxnet/label_array_extra", f"{FULL}; labels in arrays of 2"),
        ("mxnet/label_gaps", FULL),
        ("mxnet/magic_inside", f"{FULL}; 35 records split at the magic"),
        ("mxnet/no_header", PLAIN),
        ("mxnet/no_idx", f"{FULL}; no .idx"),
        ("mxnet/odd_sizes", FULL),
        ("mxnet/png", FULL),
        ("faces/tiny", FULL),
        ("faces/tiny_array_label", f"{FULL}; labels in arrays of 2"),
        ("faces/train", FULL),
    ],
)
def test_the_sets_that_real_mxnet_wrote_are_named_and_read_as_their_truth_says(
    shared: Path, name: str, dialect: str
) -> None:
    found = read_face_set(shared / name)
    assert (found.dialect, found.warnings) == (dialect, [])
    if (shared / name / "truth.json").exists():
        truth = json.loads((shared / name / "truth.json").read_text())
        assert [
            {"key": key, "label": label, "sha256": hashlib.sha256(image).hexdigest(), "bytes": len(image)}
            for key, label, image in records_of(found)
        ] == truth


# -- past what float32 and 32-bit offsets hold

TRAP = "(they are float32, exact only to 16,777,216)"


def test_ranges_past_two_to_the_24_are_inexact_and_the_labels_count(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable
) -> None:
    """A window of a huge set: its keys are exact in the `.idx`, but not in the ranges."""
    first = 2**24 - 3
    records = [(float(key >= first + 6), key, numbered_jpeg(key)) for key in range(first, first + 11)]
    ranges = [([float(first), float(first + 6)], first + 11, b""), ([first + 6.0, first + 11.0], first + 12, b"")]
    write_set(tmp_path, write_records, [*records, *ranges])
    found = read_face_set(tmp_path)
    assert records_of(found) == [(key, int(label), image) for label, key, image in records]
    assert found.warnings == [
        f"The ranges of the identity records disagree with the labels of the images {TRAP}. The labels count."
    ]


def test_a_patched_header_of_a_huge_set_is_a_warning_that_names_the_trap(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path)
    content = bytearray(made.rec.read_bytes())
    content[32:40] = np.array([17_091_658, 17_451_890], dtype="<f4").tobytes()
    made.rec.write_bytes(content)
    found = read_face_set(tmp_path)
    assert records_of(found) == [(record.key, record.label, record.image) for record in made.records]
    assert found.warnings == [
        f"The header record promises 17091657 images, the file holds 12 {TRAP}. The images count."
    ]


def write_huge_set(path: Path, counts: np.ndarray) -> None:
    """Writes a set of tiny images as InsightFace does, all numbers rounded to float32 as there."""
    num_images, image = int(counts.sum()), b"\xff\xd8\xff\xd9"
    ends = np.cumsum(counts) + 1

    def records(labels: np.ndarray, keys: np.ndarray, tail: np.ndarray) -> np.ndarray:
        words = np.zeros((len(keys), 8 + tail.shape[1]), dtype="<u4")
        words[:, 0], words[:, 1] = MAGIC, 4 * (words.shape[1] - 2)
        words[:, 2], words[:, 3], words[:, 4] = 0 if labels is not None else tail.shape[1], 0, keys
        if labels is not None:
            words[:, 3] = labels.astype("<f4").view("<u4")
        words[:, 8:] = tail
        return words

    with path.open("wb") as file:
        header = np.array([[num_images + 1, num_images + 1 + len(counts)]], dtype="<f4").view("<u4")
        file.write(records(None, np.array([0]), header).tobytes())
        labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        for start in range(0, num_images, 1 << 21):
            part = labels[start : start + (1 << 21)]
            tail = np.full((len(part), 1), int.from_bytes(image, "little"), dtype="<u4")
            file.write(records(part, np.arange(start + 1, start + 1 + len(part)), tail).tobytes())
        limits = np.stack([ends - counts, ends], axis=1).astype("<f4").view("<u4")
        file.write(records(None, np.arange(num_images + 1, num_images + 1 + len(counts)), limits).tobytes())


@pytest.mark.slow
def test_a_set_of_the_size_of_glint360k_has_all_its_images_in_their_classes(tmp_path: Path) -> None:
    counts = np.full(360_232, 47)
    counts[: 17_091_657 - int(counts.sum())] += 1
    write_huge_set(tmp_path / "train.rec", counts)
    found = read_face_set(tmp_path)
    assert len(found.keys) == 17_091_657
    assert (found.keys == np.arange(1, 17_091_658)).all()
    assert (found.labels == np.repeat(np.arange(360_232), counts)).all()
    assert found.dialect == f"{FULL}; more images than float32 can count; no .idx"
    assert found.warnings == [
        f"The ranges of the identity records disagree with the labels of the images {TRAP}. The labels count."
    ]


@pytest.mark.slow
def test_keys_and_offsets_past_two_to_the_31_and_32_are_read(
    tmp_path: Path, numbered_jpeg: Callable, read_faces: Callable
) -> None:
    """A file of 4.3 GB that is nearly all holes."""
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.write.build import BuildSettings, build_dataset

    records, end = [], 0
    with (tmp_path / "train.rec").open("wb") as file:
        for number, offset in enumerate([0, 2**31 - 8, 2**31 + 2000, 2**32 - 340, 2**32 + 4, 2**32 + 8000]):
            key, image = [7, 2**31, 2**31 + 1, 2**32, 2**40, 2**62][number], numbered_jpeg(number)
            payload = pack_image_record(float(number % 2), key=key, image=image)
            file.seek(offset)
            file.write(FRAME_HEADER.pack(MAGIC, len(payload)) + payload + bytes(-len(payload) % 4))
            records.append((key, offset, number % 2, image))
            end = file.tell()
    write_record_index(tmp_path / "train.idx", [(key, offset) for key, offset, _, _ in records])
    found = read_face_set(tmp_path)
    assert records_of(found) == [(key, label, image) for key, _, label, image in records]
    assert found.places.record_offsets.tolist() == [offset for _, offset, _, _ in records]
    junk = end - sum(8 + 24 + len(image) + -len(image) % 4 for *_, image in records)
    assert found.warnings == [f"{junk} bytes of train.rec are no records (the first at byte 344)."]

    build_dataset(RecordSetSource(tmp_path), tmp_path / "out", settings=BuildSettings(quiet=True))
    faces = [face for shards in read_faces(tmp_path / "out").values() for shard in shards for face in shard]
    assert sorted((face.source_key, face.source_label, face.image) for face in faces) == [
        (key, label, image) for key, _, label, image in records
    ]
