"""Writing one shard: an independent, deterministic, atomic task.

A block of records at a time is laid out in memory (frame, Example head, image, Example tail, CRC), hashed and appended to
`<shard>.incomplete`, which is synced and renamed when it is whole.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, Self

import crc32c
import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.example import Rows, encode_heads, encode_tails
from fr_prep.files import INCOMPLETE_SUFFIX, write_error
from fr_prep.images import UNKNOWN, ImageKind, sniff_images
from fr_prep.plan import RECORD_OVERHEAD_BYTES
from fr_prep.sources.image_records import join_image
from fr_prep.sources.recordio import RecordFile
from fr_prep.tfrecord import FOOTER_BYTES, HEADER_BYTES, mask_crcs, record_headers
from fr_prep.writeback import start_writeback

__all__ = ["ShardResult", "ShardTask", "receipt_path", "write_shard"]

BLOCK_BYTES = 8 << 20  # small enough to stay in a processor's cache between copying, checksums and writing


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """Everything that writing one shard needs; row i is the shard's i-th record.

    Attributes:
        source: the `.rec`.
        path: where the shard is to stand.
        record_offsets: (n,) int64, byte offset of the record's frame in the source.
        image_offsets: (n,) int64, byte offset of the image in the source, -1 where the record is split into parts.
        image_lengths: (n,) int64 bytes of the image.
        labels: (n,) int64 dense classes.
        source_keys: (n,) int64.
        source_labels: (n,) int64.
    """

    source: Path
    path: Path
    record_offsets: NDArray[np.int64]
    image_offsets: NDArray[np.int64]
    image_lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    source_keys: NDArray[np.int64]
    source_labels: NDArray[np.int64]

    @property
    def num_records(self) -> int:
        """Records of the shard, n."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What the manifest says of a shard."""

    file: str
    num_records: int
    num_bytes: int
    sha256: str
    image_kinds: Counter[ImageKind]

    def to_json(self) -> str:
        """Gives the text of the shard's receipt."""
        kinds = [[*kind, count] for kind, count in sorted(self.image_kinds.items())]
        return json.dumps({**asdict(self), "image_kinds": kinds})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a receipt.

        Raises:
            ValueError: if it is no whole receipt.
        """
        try:
            fields = json.loads(text)
            kinds = Counter({ImageKind(*kind): count for *kind, count in fields.pop("image_kinds")})
            return cls(**fields, image_kinds=kinds)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"expected the receipt of a shard, received {text[:60]!r}") from error


def receipt_path(shard: Path) -> Path:
    """Where a shard's receipt stands while the set is unfinished: a shard counts as done if both are there."""
    return shard.with_name(shard.name + ".json")


def write_shard(task: ShardTask) -> ShardResult:
    """Writes a shard under `<path>.incomplete`, syncs it, writes its receipt, and gives it its name.

    Raises:
        DamagedRecordError: if an image is no JPEG or PNG.
        SourceError: if the source cannot be read or is shorter than it was.
        OutputError: if the shard cannot be written, for instance because the disk is full.
    """
    partial = task.path.with_name(task.path.name + INCOMPLETE_SUFFIX)
    try:
        with partial.open("wb") as out, _SourceReader(task) as reader:
            digest, num_bytes, kinds = hashlib.sha256(), 0, Counter[ImageKind]()
            for block in reader.blocks():
                digest.update(block.data)
                out.write(block.data)
                start_writeback(out.fileno(), num_bytes, len(block.data))
                num_bytes += len(block.data)
                kinds.update(block.image_kinds)
            out.flush()
            os.fsync(out.fileno())
        result = ShardResult(task.path.name, task.num_records, num_bytes, digest.hexdigest(), kinds)
        receipt_path(task.path).write_text(result.to_json(), encoding="utf-8")
        partial.replace(task.path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_error(task.path, error) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return result


@dataclass(frozen=True, slots=True)
class _Block:
    data: memoryview
    image_kinds: Counter[ImageKind]


class _SourceReader:
    """Lays the records of a task out in memory, a block at a time.

    Images come by `preadv` straight to their place: a mapping read at random would cost more in page faults, count as memory
    of the process, and kill it where the file is cut short meanwhile.
    """

    def __init__(self, task: ShardTask) -> None:
        self._task = task
        self._stack = ExitStack()
        self._split_records: RecordFile | None = None

    def __enter__(self) -> Self:
        try:
            self._file = self._stack.enter_context(self._task.source.open("rb", buffering=0))
        except OSError as error:
            raise SourceError(f"{self._task.source}: cannot be read: {error.strerror}.") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def blocks(self) -> Iterator[_Block]:
        """Yields the shard's bytes; each block's memory is used again for the next."""
        task = self._task
        sizes = HEADER_BYTES + RECORD_OVERHEAD_BYTES + task.image_lengths + FOOTER_BYTES
        cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // BLOCK_BYTES)) + 1
        memory = np.empty(0, dtype=np.uint8)
        for rows in np.split(np.arange(task.num_records), cuts):
            tails = encode_tails(task.labels[rows], task.source_keys[rows], task.source_labels[rows])
            heads = encode_heads(task.image_lengths[rows], tails.lengths)
            starts, ends = _lay_out(heads.lengths + task.image_lengths[rows] + tails.lengths)
            if len(memory) < ends[-1]:
                memory = np.empty(int(ends[-1]), dtype=np.uint8)
            yield self._fill(rows, heads, tails, starts, ends, memory)

    def _fill(
        self,
        rows: NDArray[np.int64],
        heads: Rows,
        tails: Rows,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        memory: NDArray[np.uint8],
    ) -> _Block:
        headers = record_headers(ends - starts - HEADER_BYTES - FOOTER_BYTES)
        memory[starts[:, None] + np.arange(HEADER_BYTES)] = headers
        heads.scatter(memory, starts + HEADER_BYTES)
        image_starts = starts + HEADER_BYTES + heads.lengths
        tails.scatter(memory, image_starts + self._task.image_lengths[rows])
        view = memory.data[: int(ends[-1])]
        crcs = self._copy_images(rows, image_starts, starts + HEADER_BYTES, ends - FOOTER_BYTES, view)
        footers = mask_crcs(crcs).astype("<u4").view(np.uint8).reshape(-1, FOOTER_BYTES)
        memory[(ends - FOOTER_BYTES)[:, None] + np.arange(FOOTER_BYTES)] = footers
        images = sniff_images(memory, image_starts, self._task.image_lengths[rows])
        if (images.encodings == UNKNOWN).any():
            self._raise_unknown(int(rows[np.argmax(images.encodings == UNKNOWN)]))
        return _Block(data=view, image_kinds=images.tally())

    def _copy_images(
        self,
        rows: NDArray[np.int64],
        image_starts: NDArray[np.int64],
        data_starts: NDArray[np.int64],
        data_ends: NDArray[np.int64],
        view: memoryview,
    ) -> NDArray[np.uint32]:
        """Copies each image to its place and gives the CRC-32C of each record's data: the hot loop of a conversion."""
        task, descriptor, crcs = self._task, self._file.fileno(), []
        image_ends = image_starts + task.image_lengths[rows]
        places = zip(
            image_starts.tolist(),
            image_ends.tolist(),
            task.image_offsets[rows].tolist(),
            data_starts.tolist(),
            data_ends.tolist(),
            strict=True,
        )
        for number, (start, end, offset, data_start, data_end) in enumerate(places):
            if offset < 0:
                view[start:end] = self._read_split(int(task.record_offsets[rows[number]]))
            elif os.preadv(descriptor, (view[start:end],), offset) != end - start:
                raise SourceError(
                    f"{task.source}: expected {end - start} bytes of an image at byte {offset}, but the file ends before. "
                    "It was changed while it was read: convert it again."
                )
            crcs.append(crc32c.crc32c(view[data_start:data_end]))
        return np.array(crcs, dtype=np.uint32)

    def _read_split(self, record_offset: int) -> bytes:
        if self._split_records is None:
            self._split_records = self._stack.enter_context(RecordFile(self._task.source))
        return join_image(self._split_records, record_offset)

    def _raise_unknown(self, row: int) -> NoReturn:
        task = self._task
        offset, length = int(task.image_offsets[row]), min(int(task.image_lengths[row]), 16)
        received = os.pread(self._file.fileno(), length, offset).hex(" ") if offset >= 0 else "a split record"
        raise DamagedRecordError(
            f"{task.source}, key {int(task.source_keys[row])}, record at byte {int(task.record_offsets[row])}: expected a JPEG "
            f"or PNG image, received {int(task.image_lengths[row])} bytes that start with {received}. "
            "The record is damaged, or the set holds no images that TensorFlow decodes.",
            offset=int(task.record_offsets[row]),
        )


def _lay_out(data_lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gives where each record's frame starts and ends, in a block that begins at 0."""
    ends = np.cumsum(data_lengths + HEADER_BYTES + FOOTER_BYTES)
    return ends - data_lengths - HEADER_BYTES - FOOTER_BYTES, ends
