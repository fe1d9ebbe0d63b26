"""Makers of small sets, and readers of what becomes of them. All are functions that fixtures of the whole session hand out."""

import base64
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fr_prep.example import parse_example
from fr_prep.manifest import read_manifest
from fr_prep.sources.image_records import pack_image_record
from fr_prep.sources.record_index import write_record_index
from fr_prep.sources.recordio import RecordWriter
from fr_prep.tfrecord import iterate_records

# Literal images, since an encoder's output changes from release to release: 16 x 16, gray JPEG, colour JPEG, PNG.
GRAY_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxl"
    "Z2P/wAALCAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAwb/xAAXEAADAQAAAAAAAAAAAAAAAAAAAgVi/9oACAEBAAA/AJ1Y+RFj5LxY+RFj5P/Z"
)
COLOUR_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////////////////////////"
    "////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////////////////////////////wAARCAAQABADASIAAhEB"
    "AxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABYQAAMAAAAAAAAAAAAAAAAAAAABAv/EABQBAQAAAAAAAAAAAAAAAAAAAAD/xAAWEQADAAAAAAAAAAAA"
    "AAAAAAAAAgP/2gAMAwEAAhEDEQA/AChDwg4Q8INQNM//2Q=="
)
PLAIN_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGklEQVR42mPkOiHHQApgYiARjGoY1TB0NAAAEUkBEHqC6MQAAAAASUVORK5CYII="
)


@dataclass(frozen=True)
class Record:
    """An image record as a set holds it: what a conversion must give back."""

    key: int
    label: int
    image: bytes


@dataclass(frozen=True)
class MadeSet:
    """A set that a test made: its files, the truth in file order, and the (key, offset) entries as written."""

    folder: Path
    records: list[Record]
    entries: list[tuple[int, int]]

    @property
    def rec(self) -> Path:
        return self.folder / "train.rec"

    @property
    def idx(self) -> Path:
        return self.folder / "train.idx"


@dataclass(frozen=True)
class Face:
    """A record of a shard as the tests read it back."""

    image: bytes
    label: int
    source_key: int
    source_label: int


def _numbered_jpeg(number: int, *, colour: bool = True) -> bytes:
    """A literal JPEG that differs from the others by a comment behind its first marker."""
    image = COLOUR_JPEG if colour else GRAY_JPEG
    comment = f"image {number:06d}".encode()
    return image[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + image[2:]


def _drawn_image(number: int, *, height: int = 32, width: int = 32, image_format: str = "JPEG") -> bytes:
    """A blocky picture of its own colours, encoded by Pillow: for tests that decode."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST).save(buffer, image_format)
    return buffer.getvalue()


def _make_set(
    folder: Path,
    *,
    num_classes: int = 3,
    images_per_class: int | Sequence[int] = 4,
    header: bool = True,
    index: bool = True,
    property_text: str | None = "",
    labels: Sequence[float | list[float]] | None = None,
    images: Callable[[int], bytes] = _numbered_jpeg,
    array_labels: bool = False,
) -> MadeSet:
    """Writes a set as InsightFace does (`header`), or as im2rec does, and gives the truth.

    `labels` are what each class has in its records, `property_text` the file's content ("" is the right one, None no file).
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = [images_per_class] * num_classes if isinstance(images_per_class, int) else list(images_per_class)
    own_labels = list(range(len(counts))) if labels is None else list(labels)
    first_key = 1 if header else 0
    num_images = sum(counts)
    records, entries, ranges = [], [], []
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        if header:
            end = float(num_images + 1)
            entries.append((0, writer.write(pack_image_record([end, end + len(counts)], key=0))))
        key = first_key
        for label, count in zip(own_labels, counts, strict=True):
            ranges.append([float(key), float(key + count)])
            for _ in range(count):
                written = [label, 7.0] if array_labels and not isinstance(label, list) else label
                image = images(key)
                entries.append((key, writer.write(pack_image_record(written, key=key, image=image))))
                records.append(Record(key, int(label[0] if isinstance(label, list) else label), image))
                key += 1
        if header:
            for limits in ranges:
                entries.append((key, writer.write(pack_image_record(limits, key=key))))
                key += 1
    if index:
        # InsightFace writes record 0 last.
        write_record_index(folder / "train.idx", entries[1:] + entries[:1] if header else entries)
    if property_text is not None:
        (folder / "property").write_text(property_text or f"{len(counts)},16,16", encoding="ascii")
    return MadeSet(folder, records, entries)


def _write_records(path: Path, payloads: Sequence[bytes]) -> list[int]:
    with path.open("wb") as file:
        writer = RecordWriter(file)
        return [writer.write(payload) for payload in payloads]


def _read_faces(folder: Path) -> dict[str, list[list[Face]]]:
    """All records of a data set: split, shard, place."""
    manifest = read_manifest(folder)
    return {
        split: [_read_shard(folder / shard["file"]) for shard in entry["shards"]]
        for split, entry in manifest.content["splits"].items()
    }


def _read_shard(path: Path) -> list[Face]:
    faces = []
    for _, data in iterate_records(memoryview(path.read_bytes()), name=path.name):
        face = parse_example(data)
        faces.append(Face(bytes(face.image), face.label, face.source_key, face.source_label))
    return faces


def _digest_files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@cache
def _script() -> str:
    return str(Path(sys.executable).with_name("fr-prep"))


def _run_prep(
    *arguments: str | Path, cwd: Path | None = None, timeout_seconds: float = 60, **keywords: object
) -> subprocess.CompletedProcess[str]:
    """Runs the installed `fr-prep` as a user does."""
    return subprocess.run(
        [_script(), *map(str, arguments)],
        cwd=cwd,
        timeout=timeout_seconds,
        capture_output=True,
        text=True,
        check=False,
        **keywords,  # type: ignore[call-overload]
    )


@pytest.fixture(scope="session")
def gray_jpeg() -> bytes:
    return GRAY_JPEG


@pytest.fixture(scope="session")
def colour_jpeg() -> bytes:
    return COLOUR_JPEG


@pytest.fixture(scope="session")
def plain_png() -> bytes:
    return PLAIN_PNG


@pytest.fixture(scope="session")
def numbered_jpeg() -> Callable[..., bytes]:
    return _numbered_jpeg


@pytest.fixture(scope="session")
def drawn_image() -> Callable[..., bytes]:
    return _drawn_image


@pytest.fixture(scope="session")
def make_set() -> Callable[..., MadeSet]:
    return _make_set


@pytest.fixture(scope="session")
def write_records() -> Callable[[Path, Sequence[bytes]], list[int]]:
    return _write_records


@pytest.fixture(scope="session")
def read_faces() -> Callable[[Path], dict[str, list[list[Face]]]]:
    return _read_faces


@pytest.fixture(scope="session")
def digest_files() -> Callable[[Path], dict[str, str]]:
    return _digest_files


@pytest.fixture(scope="session")
def script() -> str:
    return _script()


@pytest.fixture(scope="session")
def run_prep() -> Callable[..., subprocess.CompletedProcess[str]]:
    return _run_prep


@pytest.fixture
def as_nobody() -> None:
    """Permissions mean nothing to root, so tests of them need another user."""
    if os.geteuid() == 0:
        pytest.skip("permissions do not stop root")
