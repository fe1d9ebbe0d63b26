"""Reading a record set through MXNet, where that is installed: both readers must see the same.

MXNet 1.9.1, the last release, imports only beside NumPy before 1.24, so it lives in an environment of its own. It is loaded when it
is first asked for.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Self

import numpy as np
from tqdm import tqdm

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.image_set import THROUGH_MXNET
from fr_prep.sources.record_sets.face_records import FaceRecords, RecordSettings
from fr_prep.sources.record_sets.image_records import ImageRecord, ImageRecords
from fr_prep.sources.record_sets.native_reader import describe_order
from fr_prep.sources.record_sets.record_index import sort_entries

__all__ = ["MxnetRecordFile", "read_records_through_mxnet"]


class MxnetRecordFile:
    """A `.rec` that MXNet reads at any offset; to be entered.

    Args:
        path: the file.

    Raises:
        SourceError: if MXNet is not there, or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._recordio = _import_recordio()
        with _mxnet_errors(path):
            self._reader = self._recordio.MXIndexedRecordIO(os.devnull, str(path), "r")
        # MXNet seeks by key, and keeps all keys in a dictionary: here each offset is its own key.
        self._reader.idx = _SameNumbers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def read(self, offset: int) -> ImageRecord:
        """Reads the record at a byte offset.

        Raises:
            DamagedRecordError: if MXNet reads none there, or it is too short for its header.
        """
        try:
            header, image = self._recordio.unpack(self._reader.read_idx(offset) or b"")
            labels = np.atleast_1d(header.label).tolist()
        except (RuntimeError, struct.error, ValueError) as error:
            reason = f"MXNet reads no image record at byte {offset} ({str(error).splitlines()[-1]})"
            raise DamagedRecordError(
                f"{self.path}: {reason}. Copy the file again.", offset=offset, reason=reason
            ) from error
        return ImageRecord(header.flag, tuple(labels), image)


class _SameNumbers(dict[int, int]):
    def __missing__(self, number: int) -> int:
        return number


def read_records_through_mxnet(path: Path, idx_path: Path | None, settings: RecordSettings) -> FaceRecords:
    """Reads all records, one after the other, and keeps everything about them but the images.

    Args:
        path: the `.rec`.
        idx_path: its `.idx`.
        settings: the user's choices.

    Raises:
        SourceError: if MXNet is not there, there is no `.idx`, or a file cannot be read.
        DamagedRecordError: if MXNet cannot read a record.
    """
    if idx_path is None:
        raise SourceError(
            f"{path}: expected an .idx beside it, without which MXNet reads no record in another order than the file's. "
            "Leave --reader mxnet out."
        )
    with _mxnet_errors(idx_path):
        index = _import_recordio().MXIndexedRecordIO(str(idx_path), str(path), "r")
        index.close()
    entries = (np.array(index.keys, dtype=np.int64), np.array([index.idx[key] for key in index.keys], dtype=np.int64))
    keys, offsets = sort_entries(idx_path, *entries)
    columns = np.empty((len(keys), 2), dtype=np.int64)
    labels, ranges = np.full(len(keys), np.nan, dtype=np.float32), []
    with MxnetRecordFile(path) as file:
        for row, offset in enumerate(
            tqdm(offsets.tolist(), unit=" records", desc="Reading through MXNet", disable=settings.quiet or None)
        ):
            record = file.read(offset)
            columns[row] = len(record.image), record.num_labels
            if settings.label_position < len(record.labels):
                labels[row] = record.labels[settings.label_position]
            if not record.image:
                ranges.append(record.labels[:2] if record.num_labels >= 2 else (np.nan, np.nan))
    return FaceRecords(
        keys=keys,
        records=ImageRecords(
            offsets=offsets,
            labels=labels,
            image_lengths=columns[:, 0],
            image_offsets=np.full(len(keys), THROUGH_MXNET, dtype=np.int64),
            num_labels=columns[:, 1].astype(np.int32),
        ),
        ranges=np.array(ranges, dtype=np.float32).reshape(-1, 2),
        layout=(*describe_order(*entries), "read through MXNet"),
    )


def _import_recordio() -> ModuleType:
    try:
        return import_module("mxnet.recordio")
    except (
        ImportError,
        AttributeError,
        OSError,
    ) as error:  # beside NumPy 1.24 or later, what it looks for is not there
        raise SourceError(
            f"--reader mxnet: MXNet cannot be loaded here ({error}). Install it from the checkout into an environment of its own, "
            "of Python 3.11: pip install '.[mxnet]'. Or leave --reader out: our own reader gives the same shards."
        ) from error


@contextmanager
def _mxnet_errors(path: Path) -> Iterator[None]:
    """Says what MXNet could not read; its own errors are `RuntimeError`s."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, IndexError, OverflowError) as error:
        raise SourceError(f"{path}: MXNet cannot read it ({str(error).splitlines()[-1]}).") from error
