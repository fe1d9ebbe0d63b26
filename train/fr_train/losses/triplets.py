"""Triplet losses: an anchor is to be nearer to its positive than to its negative, by a margin.

Embeddings are brought to length 1 inside. Each function gives a value a row, (B,) float32, whose mean is the loss: so it can be
added to the losses of a head. What a row does not take part in counts neither in the sum nor in the mean: an anchor without a
positive or without a negative in its batch. A batch without any triplet has the loss 0, and the gradient 0.
"""

from typing import Any

from keras import ops

from fr_train.losses.arguments import require
from fr_train.model.heads import l2_normalize

__all__ = ["DISTANCES", "batch_hard_triplet", "offline_triplet", "pairwise_distances", "semi_hard_triplet"]

Tensor = Any
DISTANCES = ("cosine", "l2", "squared_l2")
NEARER, FARTHER = -1.0, 5.0  # than any two vectors of length 1 are, by any of the distances


def offline_triplet(embedding: Tensor, *, margin: float = 0.2) -> Tensor:
    """max(0, a·n − a·p + margin) for triplets that were chosen before.

    Args:
        embedding: (3T, D), rows in the order anchor, positive, negative, anchor, positive, negative, …
        margin: of the cosines.

    Returns:
        (3T,) float32, the loss of a triplet at each of its three rows.

    Raises:
        ValueError: if the rows are known not to be three a triplet.
    """
    num_rows = embedding.shape[0]
    require(num_rows is None or num_rows % 3 == 0, "three rows a triplet", f"{num_rows} rows")
    triplets = ops.reshape(l2_normalize(embedding), (-1, 3, embedding.shape[-1]))
    anchor, positive, negative = triplets[:, 0], triplets[:, 1], triplets[:, 2]
    losses = ops.relu(ops.sum(anchor * (negative - positive), axis=-1) + margin)
    return ops.repeat(losses, 3)


def semi_hard_triplet(labels: Tensor, embedding: Tensor, *, margin: float = 1.0, distance: str = "l2") -> Tensor:
    """max(0, d(a, p) − d(a, n) + margin) over all pairs (a, p) of a class in the batch.

    n is the nearest negative that is farther from a than p is; where there is none, the farthest.

    Args:
        labels: (B,) integers.
        embedding: (B, D).
        margin: of the distances.
        distance: one of `DISTANCES`.

    Returns:
        (B,) float32, the part of each anchor.

    Reference:
        Schroff et al. 2015, FaceNet: A Unified Embedding for Face Recognition and Clustering. The margin of 1 and the distance are
        those of TensorFlow Addons' TripletSemiHardLoss; the paper has 0.2 of the squared distance.
    """
    distances = pairwise_distances(embedding, distance=distance)
    positive, negative = _pairs(labels)
    fixed = ops.stop_gradient(distances)
    candidates = ops.where(negative, fixed, FARTHER)
    by_distance = ops.argsort(candidates, axis=1)
    num_not_farther = ops.vectorized_map(
        lambda row: ops.searchsorted(row[0], row[1], side="right"),
        (ops.take_along_axis(candidates, by_distance, axis=1), fixed),
    )
    num_negatives = ops.sum(ops.cast(negative, "int32"), axis=1, keepdims=True)
    rank = ops.maximum(ops.minimum(ops.cast(num_not_farther, "int32"), num_negatives - 1), 0)
    chosen = ops.take_along_axis(by_distance, rank, axis=1)
    losses = ops.relu(distances - ops.take_along_axis(distances, chosen, axis=1) + margin)
    counted = ops.cast(ops.logical_and(positive, num_negatives > 0), "float32")
    return _scaled(ops.sum(losses * counted, axis=1), ops.sum(counted))


def batch_hard_triplet(labels: Tensor, embedding: Tensor, *, margin: float = 0.35, distance: str = "cosine") -> Tensor:
    """max(0, d(a, p) − d(a, n) + margin) for each anchor of the batch, p its farthest positive, n its nearest negative.

    Args:
        labels: (B,) integers.
        embedding: (B, D).
        margin: of the distances.
        distance: one of `DISTANCES`.

    Returns:
        (B,) float32, the part of each anchor.

    Reference:
        Hermans et al. 2017, In Defense of the Triplet Loss for Person Re-Identification.
    """
    distances = pairwise_distances(embedding, distance=distance)
    positive, negative = _pairs(labels)
    farthest = ops.max(ops.where(positive, distances, NEARER), axis=1)
    nearest = ops.min(ops.where(negative, distances, FARTHER), axis=1)
    counted = ops.cast(ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1)), "float32")
    return _scaled(ops.relu(farthest - nearest + margin) * counted, ops.sum(counted))


def pairwise_distances(embedding: Tensor, *, distance: str) -> Tensor:
    """Distances of all pairs of rows, once these have length 1; (B, D) → (B, B) float32.

    Args:
        embedding: (B, D).
        distance: `cosine` is 1 − cos; `squared_l2` is 2 − 2·cos; `l2` its root, with the gradient 0 where two rows are alike.
    """
    vectors = l2_normalize(embedding)
    cosine_distance = 1.0 - ops.matmul(vectors, ops.transpose(vectors))
    if distance == "cosine":
        return cosine_distance
    squares = ops.relu(2.0 * cosine_distance)
    if distance == "squared_l2":
        return squares
    apart = squares > 1e-6  # below that, float32 knows nothing of it
    return ops.where(apart, ops.sqrt(ops.where(apart, squares, 1.0)), 0.0)


def _pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of rows are of one class, without a row and itself, and which are not; (B, B) booleans."""
    rows = ops.arange(ops.shape(labels)[0])
    same = labels[:, None] == labels[None, :]
    return ops.logical_and(same, rows[:, None] != rows[None, :]), ops.logical_not(same)


def _scaled(sums: Tensor, num_counted: Tensor) -> Tensor:
    """Makes the mean over all rows what the sum over `num_counted` of them is, divided by that number."""
    num_rows = ops.cast(ops.shape(sums)[0], "float32")
    return sums * (num_rows / ops.maximum(num_counted, 1.0))
