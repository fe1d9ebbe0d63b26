"""The cosine from which two images are taken for one person: as a verification bin gives it."""

import math
from dataclasses import dataclass

import numpy as np

from fr_data.bins.bins import VerificationBin
from fr_eval.errors import ProtocolError
from fr_eval.models.embed import embed_bin
from fr_eval.models.embedder import Embedder
from fr_eval.protocols.distances import Floats, check_embeddings, check_truths, pair_scores
from fr_eval.protocols.roc import count_admitted, is_measurable

__all__ = ["Threshold", "choose_cosine", "find_threshold"]

_SHORT = 0.01  # share of aligned faces that are called short
_DIGITS = 4  # of the cosine: it is to be read and typed


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it lets in.

    Attributes:
        cosine: two images show one person where their cosine is at least this.
        far: share of the bin's "different" pairs that reach it.
        tar: share of its "same" pairs that do.
        short_length: 99 % of the bin's embeddings are longer. Those of images that are no aligned faces often are not.
    """

    cosine: float
    far: float
    tar: float
    short_length: float


def find_threshold(
    embedder: Embedder,
    bin_: VerificationBin,
    *,
    far: float,
    mirror: bool = True,
    batch_size: int = 64,
    workers: int | None = None,
    progress: bool = False,
) -> Threshold:
    """Finds the smallest cosine, to four digits, whose FAR on a bin is at most the one that is asked for.

    Args:
        embedder: the network.
        bin_: pairs, of people like those whom it will be used on.
        far: share of "different" pairs that may be taken for one person, in (0, 1).
        mirror: embed f(x) + f(mirror(x)), and not f(x).
        batch_size: images that go through the network at a time.
        workers: threads that decode; one a core by default.
        progress: show a bar on stderr, where that is a terminal.

    Raises:
        ProtocolError: the bin has too few "different" pairs to show such a FAR, or embeddings cannot be compared.
        BinError: an image is damaged.
    """
    issame = check_truths(bin_.issame)
    num_different = int(np.count_nonzero(~issame))
    if not is_measurable(num_different, far):
        raise ProtocolError(
            f"{bin_.path}: {num_different:,} 'different' pairs cannot show a FAR of {far:g}: at least {1 / far:,.0f} are needed. "
            "Ask for a greater --far, or give a larger bin"
        )
    found = embed_bin(bin_, embedder, batch_size=batch_size, mirror=mirror, workers=workers, progress=progress)
    embeddings = found.plain if found.mirrored is None else found.plain + found.mirrored
    check_embeddings(embeddings, bin_.num_pairs)
    scores = pair_scores(embeddings)
    cosine = choose_cosine(scores[~issame], far)
    return Threshold(
        cosine=cosine,
        far=float(np.mean(scores[~issame] >= cosine)),
        tar=float(np.mean(scores[issame] >= cosine)),
        short_length=float(np.quantile(np.linalg.norm(embeddings, axis=1), _SHORT)),
    )


def choose_cosine(scores: Floats, far: float) -> float:
    """Gives the smallest cosine, to four digits, that at most a share `far` of scores reaches.

    Args:
        scores: of "different" pairs, float64, shape (P,), at least one.
        far: in (0, 1).
    """
    first_outside = float(np.sort(scores)[::-1][count_admitted(len(scores), far)])
    return float((math.floor(first_outside * 10**_DIGITS) + 1) / 10**_DIGITS)
