"""More than a thousand damaged `.rec`, `.idx` and `.bin` files through the command line: right output or a clear error.

Nothing else is allowed: no traceback, no hang, nothing run that a pickle names, no shard or bin that is not whole.
"""

import io
import pickle
import random
import re
import shutil
import signal
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fr_data.bins.bins import read_bin
from fr_prep.cli import main
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.verify.verify import verify_dataset
from fr_prep.write.manifest import read_manifest

MAGIC_BYTES = bytes.fromhex("0a23d7ce")
SECONDS = 20  # for one command; they take a hundredth of one

# -- the damage


def mutate(rng: random.Random, content: bytes, *, text: bool = False) -> bytes:
    """Does one to five of the things that happen to files, and of those that only an enemy does."""
    mutated = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(mutated) + 1)
        length = rng.choice([1, 2, 4, 8, 40, 300])
        other = rng.randrange(len(mutated) + 1)
        match rng.choice(KINDS):
            case "flip a bit" if at < len(mutated):
                mutated[at] ^= 1 << rng.randrange(8)
            case "set a byte" if at < len(mutated):
                mutated[at] = rng.choice([0, 0xFF, ord("9"), rng.randrange(256)])
            case "cut off":
                del mutated[at:]
            case "put in":
                mutated[at:at] = rng.randbytes(length)
            case "take out":
                del mutated[at : at + length]
            case "double":
                mutated[at:at] = mutated[at : at + length]
            case "zero":
                mutated[at : at + length] = bytes(len(mutated[at : at + length]))
            case "swap":
                one, two = mutated[at : at + length], mutated[other : other + length]
                if len(one) == len(two) and abs(at - other) >= length:
                    mutated[at : at + length], mutated[other : other + length] = two, one
            case "write a number":
                number = rng.choice([0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1, 10**30, rng.randrange(5000)])
                if text:
                    digits = re.search(rb"\d+", mutated[at:])
                    if digits:
                        mutated[at + digits.start() : at + digits.end()] = str(number).encode()
                else:
                    at &= ~3
                    mutated[at : at + 4] = rng.choice([MAGIC_BYTES, struct.pack("<I", number % 2**32)])
    return bytes(mutated)


KINDS = ["flip a bit"] * 2 + [
    "set a byte",
    "cut off",
    "put in",
    "take out",
    "double",
    "zero",
    "swap",
    "write a number",
]

# -- the watch

_EVENTS: list[list[str]] = []  # for each command that runs, what it does that no reader may do
_FORBIDDEN = re.compile(
    r"os\.(system|exec|fork|forkpty|posix_spawn|spawn|startfile)|subprocess\.Popen|pty\.spawn|pickle\.find_class"
)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _EVENTS and _FORBIDDEN.fullmatch(event):
        _EVENTS[-1].append(f"{event} {arguments}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """Raises where a command takes too long, or runs anything."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"the command hangs for {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    _EVENTS.append([])
    try:
        yield
    finally:
        events = _EVENTS.pop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert events == []


def run(*arguments: str | Path) -> Result:
    """Runs `fr-prep` in this process; whatever escapes it but an exit is a bug."""
    with watched():
        ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    assert ended.exit_code in (0, 1)
    assert "Traceback" not in ended.output
    if ended.exit_code == 1:
        (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("Warning: ")]
        assert line.startswith("Error: ")
        assert len(line) < 2000
    return ended


def tell(what: str, counts: Counter[bool]) -> None:
    """Prints the outcomes, which stand in docs/robustness.md."""
    print(f"{counts.total()} mutated {what}: {counts[True]} read, {counts[False]} refused")


# -- record sets


def parse_record(rec: bytes, at: int) -> tuple[float, bytes]:
    """What a plain reader makes of a record: label and image."""
    parts, flag = [], 1
    while flag in (1, 2):
        magic, lrec = struct.unpack_from("<II", rec, at)
        assert magic == 0xCED7230A
        flag, length = lrec >> 29, lrec & 0x1FFFFFFF
        parts.append(rec[at + 8 : at + 8 + length])
        assert len(parts[-1]) == length
        at += 8 + (length + 3 & ~3)
    payload = MAGIC_BYTES.join(parts)
    num_labels, label = struct.unpack_from("<If", payload)
    if num_labels:
        (label,) = struct.unpack_from("<f", payload, 24)
    return label, payload[24 + 4 * num_labels :]


def readable(rec: bytes, idx: bytes | None) -> list[tuple[int, int, bytes]]:
    """What a plain reader makes of the files: (key, label, image) of all that holds an image."""
    if idx is None:
        words = [rec[at : at + 8] for at in range(0, len(rec) - 7, 4)]
        starts = [4 * i for i, word in enumerate(words) if word[:4] == MAGIC_BYTES and word[7] >> 5 < 2]
        entries = list(enumerate(starts))
    else:
        entries = [(int(key), int(offset)) for key, offset in (line.split() for line in idx.splitlines())]
    return sorted((key, *parsed) for key, parsed in ((key, parse_record(rec, at)) for key, at in entries) if parsed[1])


@pytest.fixture(scope="module")
def sound_set(tmp_path_factory: pytest.TempPathFactory, make_set: Callable, numbered_jpeg: Callable) -> Any:
    def image(key: int) -> bytes:
        plain = numbered_jpeg(key, colour=key % 2 == 0)
        comment = (MAGIC_BYTES + b"x") * 4 if key == 4 else bytes(key)
        return plain[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + plain[2:]

    return make_set(tmp_path_factory.mktemp("sound"), num_classes=2, images_per_class=3, images=image)


def put_files(folder: Path, rec: bytes, idx: bytes | None) -> None:
    (folder / "train.rec").write_bytes(rec)
    (folder / "train.idx").unlink(missing_ok=True)
    if idx is not None:
        (folder / "train.idx").write_bytes(idx)


def convert(source: Path, out: Path, on_error: str) -> bool:
    """Converts a set; gives whether it could, and looks at what it left behind."""
    shutil.rmtree(out, ignore_errors=True)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    ended = run("rec2tfrecord", source, out, "--shards", "1", "--workers", "1", "--on-error", on_error)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    if ended.exit_code == 0:
        verify_dataset(out, quiet=True)
        assert sorted(path.name for path in out.iterdir()) == sorted(read_manifest(out).file_names())
        return True
    if out.exists():  # a source that turns out to be damaged while it is converted
        assert [path.name for path in out.iterdir()] == ["conversion.incomplete"]
        assert {path.name for path in (out / "conversion.incomplete").iterdir()} <= {
            "plan.json",
            "records.npy.incomplete",
        }
    return False


def converted(out: Path, read_faces: Callable) -> list[tuple[int, int, bytes]]:
    faces = [face for shards in read_faces(out).values() for shard in shards for face in shard]
    return sorted((face.source_key, face.source_label, face.image) for face in faces)


@pytest.mark.parametrize("index", [True, False], ids=["with idx", "without idx"])
def test_200_mutated_recs_are_converted_as_they_stand_or_refused(
    tmp_path: Path, sound_set: Any, read_faces: Callable, index: bool
) -> None:
    rng, counts = random.Random(f"rec {index}"), Counter[bool]()
    rec, idx = sound_set.rec.read_bytes(), sound_set.idx.read_bytes() if index else None
    (tmp_path / "set").mkdir()
    for _ in range(100):
        mutated = mutate(rng, rec)
        put_files(tmp_path / "set", mutated, idx)
        is_read = convert(tmp_path / "set", tmp_path / "out", "fail")
        counts[is_read] += 1
        if is_read:
            assert converted(tmp_path / "out", read_faces) == readable(mutated, idx)
    tell(f".rec, {'with' if index else 'without'} .idx, --on-error fail", counts)
    assert min(counts[True], counts[False]) >= 10, counts


@pytest.mark.parametrize("index", [True, False], ids=["with idx", "without idx"])
def test_of_240_mutated_recs_all_that_is_sound_is_converted_where_damage_may_be_skipped(
    tmp_path: Path, sound_set: Any, read_faces: Callable, index: bool
) -> None:
    rng, counts = random.Random(f"skip {index}"), Counter[bool]()
    rec, idx = sound_set.rec.read_bytes(), sound_set.idx.read_bytes() if index else None
    offsets = dict(sound_set.entries)
    ends = dict(pairwise([*sorted(offsets.values()), len(rec)]))
    frames = {record.key: rec[offsets[record.key] : ends[offsets[record.key]]] for record in sound_set.records}
    (tmp_path / "set").mkdir()
    for _ in range(120):
        mutated = mutate(rng, rec)
        put_files(tmp_path / "set", mutated, idx)
        is_read = convert(tmp_path / "set", tmp_path / "out", "skip")
        counts[is_read] += 1
        untouched = {
            (record.label, record.image)
            for record in sound_set.records
            if is_at_a_step(mutated, frames[record.key], offsets[record.key] if index else None)
        }
        if not is_read:
            assert not untouched
            continue
        faces = converted(tmp_path / "out", read_faces)
        found = read_face_set(tmp_path / "set", RecordSettings(on_error="skip"))
        places = zip(found.keys.tolist(), found.places.record_offsets.tolist(), strict=True)
        assert faces == sorted((key, *parse_record(mutated, offset)) for key, offset in places)
        assert untouched <= {(label, image) for _, label, image in faces}
        listed = read_manifest(tmp_path / "out").content["left_out"]
        assert listed["num_records"] == len(listed["records"]) == len(found.left_out)
    tell(f".rec, {'with' if index else 'without'} .idx, --on-error skip", counts)
    assert counts[True] >= 90, counts
    assert counts[False] >= 2, counts


def is_at_a_step(content: bytes, frame: bytes, offset: int | None) -> bool:
    """Whether a frame stands at an offset, or at any 4-byte step."""
    if offset is not None:
        return content[offset : offset + len(frame)] == frame
    at = content.find(frame)
    while at > 0 and at % 4:
        at = content.find(frame, at + 1)
    return at >= 0


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_300_mutated_indices_are_read_as_they_stand_or_refused(
    tmp_path: Path, sound_set: Any, read_faces: Callable, on_error: str
) -> None:
    rng, counts = random.Random(f"idx {on_error}"), Counter[bool]()
    rec, idx = sound_set.rec.read_bytes(), sound_set.idx.read_bytes()
    truth = {record.key: (record.label, record.image) for record in sound_set.records}
    (tmp_path / "set").mkdir()
    for _ in range(150):
        mutated = mutate(rng, idx, text=True)
        put_files(tmp_path / "set", rec, mutated)
        is_read = convert(tmp_path / "set", tmp_path / "out", on_error)
        counts[is_read] += 1
        if is_read and on_error == "fail":
            assert converted(tmp_path / "out", read_faces) == readable(rec, mutated)
        elif is_read:
            faces = converted(tmp_path / "out", read_faces)
            named = {int(line.split()[0]) for line in mutated.splitlines()}
            assert {key for key, _, _ in faces} <= named
            assert [face for _, *face in faces if tuple(face) not in truth.values()] == []
            left_out = {entry["key"] for entry in read_manifest(tmp_path / "out").content["left_out"]["records"]}
            assert {key for key, _, _ in faces} >= named & truth.keys() - left_out
    tell(f".idx, --on-error {on_error}", counts)
    assert min(counts[True], counts[False]) >= 8, counts


# -- bins

ALLOWED = {"_reconstruct", "ndarray", "dtype", "scalar", "encode"}


class PlainUnpickler(pickle.Unpickler):
    """Python's own, which is let near only what the bin reader has taken for plain data."""

    def find_class(self, module: str, name: str) -> Any:
        assert name in ALLOWED
        return super().find_class(module.replace("numpy._core", "numpy.core"), name)


def plain_bin(content: bytes) -> tuple[list[bytes], list[bool]]:
    if content[2:3] == pickle.FRAME:  # of no use where all is in memory, so that ours does not mind a wrong length
        content = content[:2] + content[11:]
    images, truths = PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    return [bytes(memoryview(image).cast("B")) for image in images], [bool(truth) for truth in truths]


class Hostile:
    """Makes a file where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.canary), "w"))


def make_bins(canary: Path, drawn_image: Callable) -> list[bytes]:
    images = [drawn_image(number, height=8, width=8) for number in range(6)]
    truths = [True, False, True]
    arrays = [np.frombuffer(image, dtype=np.uint8) for image in images]
    return [
        *(pickle.dumps((images, truths), protocol=protocol) for protocol in (2, 3, 4, 5)),
        pickle.dumps([images, [int(truth) for truth in truths]], protocol=4),
        pickle.dumps((arrays, np.array(truths)), protocol=2),
        pickle.dumps(([array[:, None] for array in arrays], [np.bool_(truth) for truth in truths]), protocol=4),
        pickle.dumps((images, [*truths[:2], Hostile(canary)]), protocol=4),
        pickle.dumps((images, truths, Hostile(canary)), protocol=2),
    ]


def test_300_mutated_bins_are_rewritten_as_they_stand_or_refused(tmp_path: Path, drawn_image: Callable) -> None:
    rng, counts = random.Random("bin"), Counter[bool]()
    canary, source, out = tmp_path / "canary", tmp_path / "mutated.bin", tmp_path / "out.bin"
    bins = make_bins(canary, drawn_image)
    for number in range(300):
        mutated = mutate(rng, bins[number % len(bins)])
        source.write_bytes(mutated)
        is_read = run("bin2jpeg", source, "--output", out, "--overwrite").exit_code == 0
        counts[is_read] += 1
        assert source.read_bytes() == mutated
        if is_read:
            images, truths = plain_bin(mutated)
            rewritten = read_bin(out)
            assert rewritten.issame.tolist() == truths
            assert [new for new, old in zip(rewritten.images, images, strict=True) if new != old] == []
            out.unlink()
        assert [path.name for path in tmp_path.iterdir()] == ["mutated.bin"]
    tell(".bin", counts)
    assert min(counts[True], counts[False]) >= 40, counts
