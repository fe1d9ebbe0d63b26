"""From embeddings to distances: checks, normalisation, and squared distances of the pairs."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ProtocolError

__all__ = ["check_embeddings", "check_truths", "normalise_rows", "pair_distances", "pair_scores"]

_BLOCK_PAIRS = 8192  # bounds the float64 copies: 100,000 pairs of 512 values would take 0.8 GB at once
_MAX_NAMED = 5  # rows that an error names

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Measure = Callable[[Floats, Floats], Floats]


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
    _refuse_rows(np.logical_not(np.isfinite(embeddings).all(axis=1)), f"{what}: NaN or infinite values")
    _refuse_rows(np.logical_not(embeddings.any(axis=1)), f"{what}: all zeros, which have no direction,")


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


def pair_distances(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Gives the squared distance d = Σ (a − b)² of normalised embeddings; d = 2 − 2·cos, in [0, 4].

    Args:
        embeddings: shape (2·P, D), not yet normalised; rows 2i and 2i + 1 are pair i.

    Returns:
        float64, shape (P,).
    """
    return _over_blocks(embeddings, lambda a, b: np.sum(np.square(a - b), axis=1))


def pair_scores(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Gives the cosine s = a · b of normalised embeddings, in [−1, 1].

    Args and Returns: as `pair_distances`.
    """
    return _over_blocks(embeddings, lambda a, b: np.einsum("ij,ij->i", a, b))


def _over_blocks(embeddings: npt.NDArray[np.floating], measure: Measure) -> Floats:
    """Applies a measure of normalised pairs block by block."""
    num_pairs = len(embeddings) // 2
    result = np.empty(num_pairs)
    for start in range(0, num_pairs, _BLOCK_PAIRS):
        rows = normalise_rows(embeddings[2 * start : 2 * (start + _BLOCK_PAIRS)])
        result[start : start + _BLOCK_PAIRS] = measure(rows[0::2], rows[1::2])
    return result


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
