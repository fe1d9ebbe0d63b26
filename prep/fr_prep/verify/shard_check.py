"""Checking one shard by itself: each byte against CRCs and SHA-256, the form of each record, and on demand each image."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_data.images.header import ImageKind
from fr_data.locations import Store
from fr_data.tfrecord.example_reader import read_examples
from fr_data.tfrecord.frames import HEADER_BYTES
from fr_prep.errors import SourceError
from fr_prep.verify.frame_reader import Block, FrameReader
from fr_prep.verify.problems import Problem, unreadable

__all__ = ["ShardCheck", "check_shard", "describe_kind", "record_problem"]


@dataclass(frozen=True, slots=True)
class ShardCheck:
    """What was found in a shard.

    Attributes:
        records: (n,) structures of int64, the records that could be read: `number`, byte `offset` of the frame, `image_offset`,
            `image_length`, and each integer feature.
        numbered: whether their numbers are sure, since no frame was lost.
        complete: whether they are as many as were promised.
        problems: what is wrong.
        image_kinds: the images by encoding and size, if they were decoded.
    """

    records: NDArray[np.void]
    numbered: bool
    complete: bool
    problems: list[Problem]
    image_kinds: Counter[ImageKind]


def record_problem(file: str, record: np.void, problem: str) -> Problem:
    """Says what is wrong with a record of a shard."""
    key = int(record["source_key"]) if "source_key" in (record.dtype.names or ()) else None
    return Problem(file=file, record=int(record["number"]), offset=int(record["offset"]), key=key, problem=problem)


def describe_kind(kind: ImageKind) -> str:
    """Says what an image is."""
    return f"{kind.encoding} {kind.height} x {kind.width} x {kind.channels}"


def check_shard(
    path: Path,
    promised: Mapping[str, Any],
    *,
    names: Sequence[str],
    kinds: frozenset[ImageKind] | None = None,
    report: Callable[[int], object] = lambda _: None,
    store: Store | None = None,
) -> ShardCheck:
    """Checks a shard against its entry in the manifest; reads each byte once.

    Args:
        path: the shard.
        promised: its `num_records`, `num_bytes` and `sha256`.
        names: the integer features of its records.
        kinds: what its images may be; None decodes none.
        report: called with the number of bytes that were checked since the last call.
        store: where the shard is, if it is not on this machine; of the path its name counts.
    """
    scan = _Scan(path.name, names, kinds)
    try:
        with store.open(path.name) if store else path.open("rb", buffering=0) as file:
            reader = FrameReader(file)
            for block in reader:
                scan.add(block)
                report(block.frames.end)
    except (OSError, SourceError) as error:
        of_store = Problem(file=path.name, problem=f"cannot be read: {error}")
        scan.problems.append(unreadable(path.name, error) if isinstance(error, OSError) else of_store)
        return ShardCheck(scan.records(), numbered=False, complete=False, problems=scan.problems, image_kinds=Counter())
    scan.problems += _damage(path.name, reader, promised)
    records = scan.records()
    return ShardCheck(
        records=records,
        numbered=not reader.lost,
        complete=len(records) == promised["num_records"],
        problems=scan.problems,
        image_kinds=scan.image_kinds,
    )


def _damage(file: str, reader: FrameReader, promised: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the bytes of a shard. A wrong SHA-256 is told only where nothing else tells where the damage is."""
    num_bytes, num_records = promised["num_bytes"], promised["num_records"]
    if reader.num_bytes == 0:
        yield Problem(file=file, problem=f"is empty: expected {num_bytes} bytes in {num_records} records")
        return
    if reader.num_bytes != num_bytes:
        yield Problem(file=file, problem=f"expected {num_bytes} bytes, received {reader.num_bytes}")
    for damage in reader.damages:
        behind = damage.number >= num_records
        rest = f"expected the end of the file, received {reader.num_bytes - damage.offset} more bytes"
        yield Problem(file=file, record=damage.number, offset=damage.offset, problem=rest if behind else damage.problem)
        if behind:
            return
    if not reader.lost and reader.num_frames != num_records:
        yield Problem(file=file, problem=f"expected {num_records} records, received {reader.num_frames}")
    elif not reader.damages and reader.num_bytes == num_bytes and reader.sha256 != promised["sha256"]:
        problem = (
            f"expected SHA-256 {promised['sha256']}, received {reader.sha256}, though the CRC of every record is right"
        )
        yield Problem(file=file, problem=problem)


class _Scan:
    """Takes the records of a shard as its blocks come in."""

    def __init__(self, file: str, names: Sequence[str], kinds: frozenset[ImageKind] | None) -> None:
        self._file, self._names, self._kinds = file, names, kinds
        columns = ("number", "offset", "image_offset", "image_length", *names)
        self._blocks = [np.empty(0, dtype=[(column, np.int64) for column in columns])]
        self.problems: list[Problem] = []
        self.image_kinds = Counter[ImageKind]()

    def records(self) -> NDArray[np.void]:
        """Gives the readable records of all blocks."""
        return np.concatenate(self._blocks)

    def add(self, block: Block) -> None:
        """Reads the Examples of a block, and decodes its images if that is wished."""
        rows = np.flatnonzero(block.frames.sound)
        starts = block.frames.starts[rows]
        examples = read_examples(block.data, starts, block.frames.ends[rows], names=self._names)
        records = np.empty(len(rows), dtype=self._blocks[0].dtype)
        records["number"] = block.first_number + rows
        records["offset"] = block.offset + starts - HEADER_BYTES
        records["image_offset"] = block.offset + examples.image_starts
        records["image_length"] = examples.image_lengths
        for name, values in examples.integers.items():
            records[name] = values
        if examples.errors:
            for row, error in examples.errors.items():
                number, offset = int(records["number"][row]), int(records["offset"][row])
                self.problems.append(Problem(file=self._file, record=number, offset=offset, problem=error))
            records = np.delete(records, list(examples.errors))
        if self._kinds is not None:
            self._decode(block, records, self._kinds)
        self._blocks.append(records)

    def _decode(self, block: Block, records: NDArray[np.void], kinds: frozenset[ImageKind]) -> None:
        from fr_prep.verify.decoding import decode_image  # noqa: PLC0415  only this needs Pillow

        starts = records["image_offset"] - block.offset
        for record, start, end in zip(
            records, starts.tolist(), (starts + records["image_length"]).tolist(), strict=True
        ):
            try:
                kind = decode_image(block.data[start:end].tobytes())
            except ValueError as error:
                self.problems.append(record_problem(self._file, record, str(error)))
                continue
            self.image_kinds[kind] += 1
            if kind not in kinds:
                expected = " or ".join(map(describe_kind, sorted(kinds)))
                problem = f"expected an image of {expected}, received {describe_kind(kind)}"
                self.problems.append(record_problem(self._file, record, problem))
