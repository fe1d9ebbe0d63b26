"""Makers of small sets, and readers of what becomes of them. All are functions that fixtures of the whole session hand out."""

import base64
import ctypes
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fr_data.tfrecord.example_reader import parse_example
from fr_data.tfrecord.frames import iterate_records
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.write.manifest import manifest_text, read_manifest

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


def _soft_image(number: int, *, quality: int = 92) -> bytes:
    """A picture of soft clouds, 112 x 112: perceptual hashes of one number are close at any quality, those of others far."""
    pixels = np.random.default_rng(number).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((112, 112), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
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


def _seal_set(folder: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> None:
    """Changes a manifest and makes it vouch for all files as they are now: a lie that no size and no digest betrays."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for split in content["splits"].values():
        for shard in split["shards"]:
            data = (folder / shard["file"]).read_bytes()
            shard.update(num_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        split["num_bytes"] = sum(shard["num_bytes"] for shard in split["shards"])
    for entry in (content[key] for key in ("class_index", "record_table") if key in content):
        entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    change(content)
    path.write_text(manifest_text(content), encoding="utf-8")


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


def _killed_at(step: int, function: Callable[[], object]) -> bool:
    """Runs a function in a process that is killed before its `step`-th change to a file or folder; False if it had fewer."""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    left = step

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in {"os.rename", "os.remove", "os.rmdir", "os.mkdir"} or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        ):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        function()
        os._exit(0)
    finally:
        os._exit(1)


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
def soft_image() -> Callable[..., bytes]:
    return _soft_image


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
def split_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set: two shards with 3 records each of the classes 0 to 2, and one for validation with 2 records of class 3."""
    from fr_prep.plan.plan import PlanSettings
    from fr_prep.sources.record_sets.record_set import RecordSetSource
    from fr_prep.write.build import BuildSettings, build_dataset

    folder = tmp_path_factory.mktemp("split")
    _make_set(folder / "set", num_classes=4, images_per_class=2, labels=[7, 8, 9, 12])
    plan = PlanSettings(num_shards=2, seed=1, validation_fraction=0.25, split_by="identity")
    build_dataset(RecordSetSource(folder / "set"), folder / "out", settings=BuildSettings(plan=plan, quiet=True))
    return folder / "out"


@pytest.fixture(scope="session")
def seal_set() -> Callable[..., None]:
    return _seal_set


@pytest.fixture(scope="session")
def script() -> str:
    return _script()


@pytest.fixture(scope="session")
def run_prep() -> Callable[..., subprocess.CompletedProcess[str]]:
    return _run_prep


@pytest.fixture(scope="session")
def killed_at() -> Callable[[int, Callable[[], object]], bool]:
    return _killed_at


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Has permissions stop this process, also where it is root's: takes the capabilities away that pass them over."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capget") or libc.capget(header, before):
        pytest.skip("permissions do not stop root")
    dac_override, dac_read_search = 1 << 1, 1 << 2
    effective, *others = before
    libc.capset(header, (ctypes.c_uint32 * 6)(effective & ~dac_override & ~dac_read_search, *others))
    yield
    libc.capset(header, before)
