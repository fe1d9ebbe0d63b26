"""The nearest embeddings of many, exactly: blocks of matrix products."""

import numpy as np
import numpy.typing as npt

from fr_eval.models.embedder import Embeddings
from fr_eval.protocols.distances import normalise_rows

__all__ = ["find_nearest"]

_BLOCK_VALUES = 2**25  # 128 MB of cosines or of embeddings at a time

Cosines = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


def find_nearest(embeddings: Embeddings, queries: Embeddings, *, count: int) -> tuple[Cosines, Rows]:
    """Finds the rows of greatest cosine with each query.

    Args:
        embeddings: shape (N, D), not normalised, no row zero.
        queries: shape (Q, D), as well.
        count: K; of fewer rows, all.

    Returns:
        Cosines, float32, and rows, int64, both (Q, K), the nearest first; of equal ones, the first row.
    """
    count = min(count, len(embeddings))
    directions = normalise_rows(queries).astype(np.float32)
    block = max(1, _BLOCK_VALUES // max(embeddings.shape[1], len(queries)))
    best = np.full((len(queries), count), -np.inf, np.float32)
    rows = np.zeros((len(queries), count), np.int64)
    for start in range(0, len(embeddings), block):
        part = embeddings[start : start + block]
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part))
        cosines = directions @ part.T
        cosines /= lengths
        for query, found in enumerate(cosines):
            near = np.flatnonzero(found >= best[query, -1])
            if len(near) > count:
                near = near[found[near] >= np.partition(found[near], -count)[-count]]
            candidates = np.concatenate([best[query], found[near]])
            order = np.argsort(-candidates, kind="stable")[:count]
            best[query] = candidates[order]
            rows[query] = np.concatenate([rows[query], start + near])[order]
    return best, rows
