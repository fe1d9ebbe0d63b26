"""An index over many embeddings: it searches a part of them, and says of how much use that is.

The file is what faiss writes, and a mark behind it, which faiss does not read. The mark says what the index is of, holds the
checksums of its parts, and tells the files of this program from those of others: only the former are replaced.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from crc32c import crc32c

from fr_data.files import require_output, whole_file
from fr_eval.digests import hash_file
from fr_eval.errors import EmbeddingFileError
from fr_eval.models.embedder import Embeddings
from fr_eval.models.frameworks import import_extra
from fr_eval.protocols.distances import normalise_rows
from fr_eval.search.neighbours import Cosines, Rows, find_nearest

__all__ = ["RECALL", "SourceState", "build_index", "is_current", "require_index", "search_index"]

RECALL = 0.95  # of the nearest ten, on average, that the index must find
_NUM_NEAREST = 10
_NUM_TRIALS = 200  # rows that recall is measured on
_TRAINING_ROWS = 64  # a list
_BLOCK_ROWS = 2**16

_ADVICE = "Delete it, to have it built anew."
_MAGIC = b"\0fr-eval index 1\0"
_TAIL = struct.Struct(f"<QI{len(_MAGIC)}s")  # the bytes of the mark's JSON, their CRC-32, and the magic


@dataclass(frozen=True)
class SourceState:
    """A file of embeddings as it was when an index was built of it.

    Attributes:
        sha256: of the file.
        size: its bytes.
        mtime_ns, ctime_ns: when its content, and when anything of it was changed. No program sets the latter, so a file for which
            all three hold is not read for its digest.
    """

    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def read(cls, path: Path) -> "SourceState":
        """Return the state of a file.

        Raises:
            EmbeddingFileError: it cannot be read.
        """
        try:
            found = path.stat()  # before the file is read: a change meanwhile makes the state an old one
            return cls(hash_file(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        except OSError as error:
            raise EmbeddingFileError(f"{path}: cannot be read: {error.strerror}.") from error

    def is_of(self, path: Path) -> bool:
        """Whether a file holds what it held then.

        Raises:
            EmbeddingFileError: it cannot be read.
        """
        try:
            found = path.stat()
            unchanged = (found.st_size, found.st_mtime_ns, found.st_ctime_ns) == (
                self.size,
                self.mtime_ns,
                self.ctime_ns,
            )
            return unchanged or hash_file(path) == self.sha256
        except OSError as error:
            raise EmbeddingFileError(f"{path}: cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class _Mark:
    """What stands behind an index.

    Attributes:
        source: the embeddings that it is of.
        num_bytes: of what faiss wrote.
        head_bytes: of these, before the first list.
        head_crc32c: of the head.
        list_crc32cs: of each list, which is the codes of its rows and their numbers.
    """

    source: SourceState
    num_bytes: int
    head_bytes: int
    head_crc32c: int
    list_crc32cs: tuple[int, ...]


def require_index(path: Path, *, sources: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse a path at which no index may be built, before any work is done.

    Args:
        path: the index, which need not be there yet.
        sources: what is read.

    Raises:
        OutputError: the path is a source, a folder, device, pipe or socket, or its folder is missing.
        EmbeddingFileError: a file is there that is no index of this program, or a damaged one.
        MissingPackageError: faiss is not installed.
    """
    require_output(path, overwrite=True, sources=sources)
    if path.exists():
        _read_mark(path)
    _import_faiss()


def is_current(path: Path, source: Path) -> bool:
    """Whether an index is there and is of the embeddings in a file as they are now.

    Raises:
        EmbeddingFileError: a file is there that is no index of this program, or a damaged one; or the embeddings cannot be read.
    """
    return path.exists() and _read_mark(path).source.is_of(source)


def build_index(path: Path, embeddings: Embeddings, source: SourceState) -> float:
    """Write an index: rows in lists around about √N centers, of which a search looks at the nearest few.

    How many is found by trial: the fewest with which the ten nearest of sampled rows are found as `RECALL` says.

    Args:
        path: the file; an index of this program that is there is replaced.
        embeddings: float32, shape (N, D), not normalised, no row zero.
        source: of the file that they were read from.

    Returns:
        The recall that was reached.

    Raises:
        MissingPackageError: faiss is not installed.
        EmbeddingFileError: a file is there that is no index of this program, or a damaged one.
        OutputError: the file cannot be written.
    """
    faiss = _import_faiss()
    total, size = embeddings.shape
    num_lists = max(1, round(total**0.5))
    index = faiss.index_factory(size, f"IVF{num_lists},Flat", faiss.METRIC_INNER_PRODUCT)
    sample = np.linspace(0, total - 1, min(total, _TRAINING_ROWS * num_lists)).astype(int)
    index.cp.min_points_per_centroid = 1  # a small set needs no warning
    index.train(_directions(embeddings[sample]))
    for start in range(0, total, _BLOCK_ROWS):
        index.add(_directions(embeddings[start : start + _BLOCK_ROWS]))
    trials = embeddings[np.linspace(0, total - 1, min(total, _NUM_TRIALS)).astype(int)]
    _, expected = find_nearest(embeddings, trials, count=_NUM_NEAREST)
    index.nprobe, recall = 1, 0.0
    while (recall := _measure_recall(index, trials, expected)) < RECALL and index.nprobe < num_lists:
        index.nprobe = min(2 * index.nprobe, num_lists)
    with whole_file(path) as draft:
        try:
            faiss.write_index(index, str(draft))
        except RuntimeError as error:
            raise EmbeddingFileError(f"{path}: cannot be written: {error}") from error
        _append_mark(draft, index, source)
        if path.exists():
            _read_mark(path)  # only what this program wrote is replaced
    return recall


def search_index(path: Path, queries: Embeddings, *, count: int) -> tuple[Cosines, Rows]:
    """Search an index, which stays on the disk but for the lists that are looked at.

    Args:
        path: the index.
        queries: shape (Q, D), not normalised.
        count: K; of fewer rows, all.

    Returns:
        As `fr_eval.search.neighbours.find_nearest`.

    Raises:
        MissingPackageError: faiss is not installed.
        EmbeddingFileError: the file is no index of this program, damaged, or of embeddings of another size.
    """
    faiss = _import_faiss()
    mark = _read_mark(path)
    data = np.memmap(path, np.uint8, "r")
    if crc32c(data[: mark.head_bytes]) != mark.head_crc32c:
        raise _damaged(path)
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        raise EmbeddingFileError(f"{path}: cannot be read by faiss {faiss.__version__}: {error}. {_ADVICE}") from error
    if index.d != queries.shape[1]:
        raise EmbeddingFileError(
            f"{path}: expected embeddings of {index.d} values; received {queries.shape[1]}. Search with the network that made "
            "the embeddings."
        )
    directions = _directions(queries)
    distances, lists = index.quantizer.search(directions, index.nprobe)
    offsets = _find_lists(index, mark.head_bytes)
    for number in np.unique(lists):
        if crc32c(data[offsets[number] : offsets[number + 1]]) != mark.list_crc32cs[number]:
            raise _damaged(path)
    cosines, rows = index.search_preassigned(directions, min(count, index.ntotal), lists, distances)
    return cosines, rows


def _append_mark(path: Path, index: Any, source: SourceState) -> None:
    """Append its mark to an index that faiss has just written."""
    data = np.memmap(path, np.uint8, "r")
    head_bytes = len(data) - index.ntotal * _row_bytes(index)
    offsets = _find_lists(index, head_bytes)
    crcs = tuple(crc32c(data[start:end]) for start, end in pairwise(offsets))
    mark = _Mark(source, len(data), head_bytes, crc32c(data[:head_bytes]), crcs)
    text = json.dumps(asdict(mark)).encode()
    with path.open("ab") as file:
        file.write(text + _TAIL.pack(len(text), zlib.crc32(text), _MAGIC))


def _read_mark(path: Path) -> _Mark:
    """Read what stands behind an index.

    Raises:
        EmbeddingFileError: the file cannot be read, is no index of this program, or is damaged.
    """
    try:
        with path.open("rb") as file:
            total = file.seek(0, os.SEEK_END)
            file.seek(max(0, total - _TAIL.size))
            tail = file.read()
            if not tail.endswith(_MAGIC) or len(tail) < _TAIL.size:
                raise EmbeddingFileError(
                    f"{path}: expected an index of `fr-eval search`; received another file, an index of release 0.1.0, or one that "
                    f"is cut short. It is not replaced: choose another path. If it is an index: {_ADVICE}"
                )
            length, crc32, _ = _TAIL.unpack(tail)
            num_bytes = total - _TAIL.size - length
            if num_bytes < 0:
                raise _damaged(path)
            file.seek(num_bytes)
            text = file.read(length)
    except OSError as error:
        raise EmbeddingFileError(f"{path}: cannot be read: {error.strerror}.") from error
    if zlib.crc32(text) != crc32:
        raise _damaged(path)
    mark = json.loads(text)
    if mark["num_bytes"] != num_bytes:
        raise _damaged(path)
    return _Mark(**{**mark, "source": SourceState(**mark["source"])})


def _find_lists(index: Any, head_bytes: int) -> Sequence[int]:
    """Return where the lists begin in what faiss wrote, and where the last one ends."""
    sizes = [index.invlists.list_size(number) for number in range(index.nlist)]
    offsets: list[int] = (head_bytes + _row_bytes(index) * np.cumsum([0, *sizes])).tolist()
    return offsets


def _row_bytes(index: Any) -> int:
    return int(index.code_size) + np.dtype(np.int64).itemsize  # a row's values, and its number


def _damaged(path: Path) -> EmbeddingFileError:
    return EmbeddingFileError(f"{path}: is damaged: its checksums do not hold. {_ADVICE}")


def _measure_recall(index: Any, trials: Embeddings, expected: Rows) -> float:
    _, found = index.search(_directions(trials), expected.shape[1])
    return float(np.mean([np.isin(right, row).mean() for right, row in zip(expected, found, strict=True)]))


def _directions(embeddings: Embeddings) -> Embeddings:
    return normalise_rows(embeddings).astype(np.float32)


def _import_faiss() -> Any:
    return import_extra("faiss", extra="search", purpose="An index is built and searched by")
