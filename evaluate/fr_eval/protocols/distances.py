"""From embeddings to distances: checks, normalisation, and squared distances of the pairs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from fr_eval.cores import count_cores
from fr_eval.errors import ProtocolError

__all__ = ["check_embeddings", "check_truths", "measure_pairs", "normalise_rows", "pair_distances", "pair_scores"]

_BLOCK_PAIRS = 128  # float64 copies of so many stay in the processor's cache: 1 MB for 512 values
_PART_ROWS = 10_000  # fewer are done before a thread has started
_MAX_NAMED = 5  # rows that an error names

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def check_truths(issame: npt.ArrayLike) -> Bools:
    """Gives the truths as bool, shape (P,), of which there must be both kinds.

    Raises:
        ProtocolError: there are none, they are not one row, or all pairs are of one kind.
    """
    truths = np.asarray(issame)
    if truths.ndim != 1 or not len(truths):
        raise ProtocolError(f"expected one truth a pair, shape (P,); received the shape {truths.shape}")
    if not np.isin(truths, (0, 1)).all():
        raise ProtocolError("expected truths of True and False (or 1 and 0); received other values")
    truths = truths.astype(np.bool_)
    if truths.all() or not truths.any():
        kind, other = ("same", "different") if truths[0] else ("different", "same")
        raise ProtocolError(
            f"all {len(truths)} pairs are '{kind}': accuracy, ROC and FAR need pairs of both kinds. "
            f"Add '{other}' pairs to the set"
        )
    return truths


def check_embeddings(embeddings: npt.NDArray[np.floating], num_pairs: int, *, what: str = "embeddings") -> None:
    """Checks that two usable embeddings stand for each pair.

    Args:
        embeddings: floating point, shape (2·P, D); rows 2i and 2i + 1 are pair i.
        num_pairs: P.
        what: their name, for the message.

    Raises:
        ProtocolError: wrong shape, a NaN or an infinity (rows and pairs are named), or a row of zeros, which has no direction.
    """
    if embeddings.ndim != 2 or len(embeddings) != 2 * num_pairs or embeddings.shape[1] == 0:
        raise ProtocolError(
            f"{what}: expected two rows for each of {num_pairs} pairs, shape ({2 * num_pairs}, D); "
            f"received the shape {embeddings.shape}"
        )
    if not np.issubdtype(embeddings.dtype, np.floating):
        raise ProtocolError(f"{what}: expected floating-point numbers; received {embeddings.dtype}")
    squares = np.empty(len(embeddings))

    def square(rows: slice, numbers: Floats) -> None:
        squares[rows] = np.einsum("ij,ij->i", numbers, numbers)

    _run_on_blocks(square, embeddings)
    # By the norm that rows are divided by: float64 holds numbers that are too large or too small to be squared.
    _refuse_rows(~np.isfinite(squares), f"{what}: NaN or infinite values")
    _refuse_rows(squares == 0, f"{what}: all zeros, which have no direction,")


def normalise_rows(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Divides each row by its L2 norm.

    Args:
        embeddings: shape (N, D); no row may be zero.

    Returns:
        float64, shape (N, D).
    """
    rows = embeddings.astype(np.float64)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    return rows


def measure_pairs(
    embeddings: npt.NDArray[np.floating], *, mirrored: npt.NDArray[np.floating] | None = None
) -> tuple[Floats, Floats]:
    """Gives squared distances and cosines of normalised embeddings, in one pass.

    Args:
        embeddings: shape (2·P, D), not yet normalised; rows 2i and 2i + 1 are pair i.
        mirrored: of the same shape; is added before the normalisation.

    Returns:
        d = Σ (a − b)² = 2 − 2·cos, in [0, 4], and s = a · b, in [−1, 1]; float64, shape (P,).
        NaN where a row is all zeros, or has a NaN or an infinity.
    """
    distances, scores = np.empty((2, len(embeddings) // 2))

    def measure(rows: slice, total: Floats) -> None:
        if mirrored is not None:
            total += mirrored[rows]
        with np.errstate(invalid="ignore"):
            total /= np.sqrt(np.einsum("ij,ij->i", total, total))[:, np.newaxis]
        first, second = total[0::2], total[1::2]
        pairs = slice(rows.start // 2, rows.stop // 2)
        scores[pairs] = np.einsum("ij,ij->i", first, second)
        first -= second
        distances[pairs] = np.sum(np.square(first, out=first), axis=1)

    _run_on_blocks(measure, embeddings)
    return distances, scores


def pair_distances(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Gives the squared distances of `measure_pairs`."""
    return measure_pairs(embeddings)[0]


def pair_scores(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Gives the cosines of `measure_pairs`."""
    return measure_pairs(embeddings)[1]


def _run_on_blocks(work: Callable[[slice, Floats], object], embeddings: npt.NDArray[np.floating]) -> None:
    """Calls a function with the rows of some pairs at a time and a float64 copy of them, its own to change; all cores take part."""

    def run(first: int, past_last: int) -> None:
        memory = np.empty((2 * _BLOCK_PAIRS, embeddings.shape[1]))
        for start in range(first, past_last, 2 * _BLOCK_PAIRS):
            rows = slice(start, min(start + 2 * _BLOCK_PAIRS, past_last))
            block = memory[: rows.stop - start]
            block[:] = embeddings[rows]
            work(rows, block)

    num_parts = min(count_cores(), -(-len(embeddings) // _PART_ROWS))
    if num_parts <= 1:
        run(0, len(embeddings))
        return
    bounds = [len(embeddings) // 2 * part // num_parts * 2 for part in range(num_parts + 1)]
    with ThreadPoolExecutor(num_parts) as pool:
        list(pool.map(run, bounds, bounds[1:]))


def _refuse_rows(bad: Bools, problem: str) -> None:
    """Raises where there is a bad row, and names the first few."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return
    named = ", ".join(f"{row} (pair {row // 2})" for row in rows[:_MAX_NAMED])
    more = f" and {len(rows) - _MAX_NAMED} more" if len(rows) > _MAX_NAMED else ""
    raise ProtocolError(
        f"{problem} in row {named}{more}, of {len(bad)} rows. The model does not give usable embeddings: "
        "has its training diverged, or is it fed another pixel scaling than it was trained with?"
    )
