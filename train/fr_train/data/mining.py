"""Offline triplets: pick images of some classes, embed them, find each pair's negatives that are too near, keep one.

NumPy alone; what is picked and kept follows from the seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MinedTriplets", "find_admissible", "mine_triplets", "pick_rows"]

Rows = NDArray[np.int64]
BLOCK_VALUES = 1 << 22  # dot products at a time: 32 MB


@dataclass(frozen=True, slots=True)
class MinedTriplets:
    """What was mined.

    Attributes:
        rows: (T, 3) int64, anchor, positive and negative as rows of the embeddings; `rows.ravel()` is the order that
            `fr_train.losses.triplet_losses.OfflineTriplet` wants.
        num_pairs: pairs of a class that were looked at; T of them had a negative.
        num_unusable: rows left out, since they hold NaN or infinity or are zero.
    """

    rows: Rows
    num_pairs: int
    num_unusable: int

    def describe(self) -> str:
        """Says in a line what was mined, for the user."""
        num_without = self.num_pairs - len(self.rows)
        return (
            f"{len(self.rows):,} triplets of {self.num_pairs:,} pairs; {num_without:,} pairs had no negative near enough, "
            f"{self.num_unusable:,} embeddings were not finite or zero"
        )


def pick_rows(labels: NDArray[Any], *, num_classes: int, images_per_class: int, seed: int | Sequence[int]) -> Rows:
    """Picks classes, and images of each; with replacement where a class has fewer.

    Args:
        labels: (n,) integers, the class of each image; negative ones are in no class.
        num_classes: M; where there are fewer classes, all are taken.
        images_per_class: K.
        seed: of the choice, for instance (seed, epoch).

    Returns:
        (M·K,) int64 rows of `labels`, class by class in rising order.

    Raises:
        ValueError: if there is nothing to pick, or no number of images to pick.
    """
    if num_classes < 2 or images_per_class < 2:
        raise ValueError(
            f"expected 2 or more classes and images of each, received {num_classes} and {images_per_class}"
        )
    rng = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable").astype(np.int64)
    order = order[np.searchsorted(labels[order], 0) :]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    if not len(starts):
        raise ValueError("expected images with classes, received none")
    members = np.split(order, starts[1:])
    chosen = np.sort(rng.choice(len(members), min(num_classes, len(members)), replace=False))
    return np.concatenate(
        [rng.choice(members[c], images_per_class, replace=len(members[c]) < images_per_class) for c in chosen]
    )


def mine_triplets(
    embeddings: NDArray[Any], labels: NDArray[Any], *, margin: float = 0.2, seed: int | Sequence[int]
) -> MinedTriplets:
    """Keeps one negative, at random among the admissible, for each pair of a class; pairs without any are dropped.

    Args:
        embeddings: (N, D) floats, of any length.
        labels: (N,) integers.
        margin: alpha of `find_admissible`.
        seed: of the choice, for instance (seed, epoch).

    Raises:
        ValueError: if the shapes do not go together.
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"expected (N, D) embeddings and (N,) labels, received {embeddings.shape} and {labels.shape}")
    rng = np.random.default_rng(seed)
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    usable = np.flatnonzero(np.isfinite(lengths) & (lengths > 0))
    vectors = embeddings[usable].astype(np.float64) / lengths[usable, None]
    triplets, num_pairs = [np.empty((0, 3), dtype=np.int64)], 0
    for anchor, positives, admissible in find_admissible(vectors, labels[usable], margin=margin):
        places = np.flatnonzero(admissible)
        bounds = np.searchsorted(places, np.arange(len(positives) + 1) * len(vectors))
        found = np.flatnonzero(np.diff(bounds))
        negatives = places[rng.integers(bounds[found], bounds[found + 1])] % len(vectors)
        rows = np.stack([np.full(len(found), anchor), positives[found], negatives], axis=1)
        triplets.append(usable[rows])
        num_pairs += len(positives)
    return MinedTriplets(np.concatenate(triplets), num_pairs, len(embeddings) - len(usable))


def find_admissible(
    vectors: NDArray[np.float64], labels: NDArray[Any], *, margin: float = 0.2
) -> Iterator[tuple[int, Rows, NDArray[np.bool_]]]:
    """Finds the negatives of each pair of a class: rows n of other classes with a·p − a·n < margin.

    Args:
        vectors: (N, D) float64 of length 1.
        labels: (N,) integers.
        margin: alpha.

    Yields:
        For each row that has others of its class after it: that row as the anchor; those others as the positives, (k,) int64;
        and which rows are admissible for each, (k, N) booleans.
    """
    order = np.argsort(labels, kind="stable").astype(np.int64)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    ends = np.searchsorted(labels[order], labels, side="right")
    rows_per_block = max(1, BLOCK_VALUES // max(1, len(vectors)))
    for start in range(0, len(vectors), rows_per_block):
        block = vectors[start : start + rows_per_block] @ vectors.T
        for anchor, dots in enumerate(block, start):
            positives = order[places[anchor] + 1 : ends[anchor]]
            if len(positives):
                near = dots[positives, None] - dots < margin
                yield anchor, positives, near & (labels != labels[anchor])
