"""An index over many embeddings: it searches a part of them, and says of how much use that is."""

from pathlib import Path
from typing import Any

import numpy as np

from fr_eval.errors import EmbeddingFileError
from fr_eval.export.draft import write_draft
from fr_eval.models.embedder import Embeddings
from fr_eval.models.frameworks import import_extra
from fr_eval.protocols.distances import normalise_rows
from fr_eval.search.neighbours import Cosines, Rows, find_nearest

__all__ = ["RECALL", "build_index", "is_current", "search_index"]

RECALL = 0.95  # of the nearest ten, on average, that the index must find
_NUM_NEAREST = 10
_NUM_TRIALS = 200  # rows that recall is measured on
_TRAINING_ROWS = 64  # a list
_BLOCK_ROWS = 2**16


def build_index(path: Path, embeddings: Embeddings) -> float:
    """Writes an index: rows in lists around about √N centers, of which a search looks at the nearest few.

    How many is found by trial: the fewest with which the ten nearest of sampled rows are found as `RECALL` says.

    Args:
        path: the file; one that is there is replaced.
        embeddings: float32, shape (N, D), not normalised, no row zero.

    Returns:
        The recall that was reached.

    Raises:
        MissingPackageError: faiss is not installed.
        EvalError: the file cannot be written.
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
    with write_draft(path) as draft:
        faiss.write_index(index, str(draft))
    return recall


def is_current(path: Path, source: Path) -> bool:
    """Whether an index is there and is not older than the embeddings that it is of."""
    return path.is_file() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns


def search_index(path: Path, queries: Embeddings, *, count: int, num_rows: int) -> tuple[Cosines, Rows]:
    """Searches an index, which stays on the disk but for the lists that are looked at.

    Args:
        path: the index.
        queries: shape (Q, D), not normalised.
        count: K; of fewer rows, all.
        num_rows: N, for a check.

    Returns:
        As `fr_eval.search.neighbours.find_nearest`.

    Raises:
        MissingPackageError: faiss is not installed.
        EmbeddingFileError: the file is no such index, or of other embeddings.
    """
    faiss = _import_faiss()
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        raise EmbeddingFileError(
            f"{path}: is damaged, or no index: {error}. Delete it, to have it built anew"
        ) from error
    if (index.ntotal, index.d) != (num_rows, queries.shape[1]):
        raise EmbeddingFileError(
            f"{path}: expected an index of {num_rows:,} embeddings of {queries.shape[1]} values; received one of "
            f"{index.ntotal:,} of {index.d}. Delete it, to have it built anew"
        )
    cosines, rows = index.search(_directions(queries), min(count, num_rows))
    return cosines, rows


def _measure_recall(index: Any, trials: Embeddings, expected: Rows) -> float:
    _, found = index.search(_directions(trials), expected.shape[1])
    return float(np.mean([np.isin(right, row).mean() for right, row in zip(expected, found, strict=True)]))


def _directions(embeddings: Embeddings) -> Embeddings:
    return normalise_rows(embeddings).astype(np.float32)


def _import_faiss() -> Any:
    return import_extra("faiss", extra="search", purpose="An index is built and searched by")
