"""The nearest embeddings in a file: exactly, or by an index beside it."""

import time
from collections.abc import Callable
from pathlib import Path

from fr_eval.errors import EmbeddingFileError
from fr_eval.models.embedder import Embeddings
from fr_eval.search.embedding_file import read_embeddings
from fr_eval.search.index import SourceState, build_index, is_current, search_index
from fr_eval.search.neighbours import Cosines, Rows, find_nearest

__all__ = ["LARGE_ROWS", "look_up"]

LARGE_ROWS = 1_000_000  # from here on an exact search says how long it took


def look_up(
    source: Path,
    queries: Embeddings,
    *,
    count: int,
    num_rows: int,
    index: Path | None = None,
    say: Callable[[str], None],
) -> tuple[Cosines, Rows]:
    """Finds the rows of a file of greatest cosine with each query.

    Args:
        source: the file, of `fr-eval embed`.
        queries: float32, shape (Q, D), not normalised.
        count: K; of fewer rows, all.
        num_rows: N, the file's rows.
        index: search by this index, and build it where it is missing or of other embeddings; None for an exact search.
        say: is told how it was done.

    Returns:
        Cosines, float32, and rows, int64, both (Q, K), the nearest first. An index may leave places empty: their row is −1.

    Raises:
        EmbeddingFileError: the file or the index is damaged, or of embeddings of another size; or the index is a file that this
            program did not write.
        OutputError: the index cannot be written.
        MissingPackageError: an index is asked for, and faiss is not installed.
    """
    if index is not None and is_current(index, source):
        return search_index(index, queries, count=count)
    state = SourceState.read(source) if index is not None else None
    embeddings = read_embeddings(source)
    if embeddings.shape != (num_rows, queries.shape[1]):
        raise EmbeddingFileError(
            f"{source}: expected embeddings of the shape {(num_rows, queries.shape[1])}, by its names and this network; "
            f"received {embeddings.shape}. Search with the network that made them"
        )
    start = time.perf_counter()
    if index is not None and state is not None:
        if index.exists():
            say(f"{index}: is of other embeddings, and is built anew")
        recall = build_index(index, embeddings, state)
        say(
            f"{index}: index of {num_rows:,} embeddings built in {time.perf_counter() - start:.1f} s; "
            f"it finds {100 * recall:.1f} % of the nearest ten"
        )
        return search_index(index, queries, count=count)
    nearest = find_nearest(embeddings, queries, count=count)
    if num_rows >= LARGE_ROWS:
        seconds = time.perf_counter() - start
        say(
            f"{num_rows:,} embeddings compared exactly in {seconds:.1f} s; --index is faster for a few images, and not exact"
        )
    return nearest
