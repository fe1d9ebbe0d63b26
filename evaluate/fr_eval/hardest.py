"""The pairs that a model gets most wrong, as images for the report."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np

from fr_eval.bins import VerificationBin
from fr_eval.images import decode_image
from fr_eval.verification import Verification

__all__ = ["HardPair", "find_hardest"]

_THUMBNAIL = (112, 112)


@dataclass(frozen=True)
class HardPair:
    """A pair on the wrong side of the threshold.

    Attributes:
        index: the pair's number in the bin, from 0.
        cosine: of the two embeddings.
        images: both images as `data:` addresses, JPEG, 112 × 112.
    """

    index: int
    cosine: float
    images: tuple[str, str] = field(repr=False)


def find_hardest(
    verification: Verification, bin_: VerificationBin, *, num_pairs: int
) -> tuple[list[HardPair], list[HardPair]]:
    """Gives the worst errors at the protocol's mean threshold, the worst first.

    Args:
        verification: the figures of `bin_`.
        bin_: the images.
        num_pairs: at most so many of each kind.

    Returns:
        "Same" pairs that were rejected, and "different" pairs that were accepted.
    """
    distances, issame = verification.distances, verification.issame
    threshold = float(np.mean(verification.best_protocol.thresholds))
    order = np.argsort(distances, kind="stable")
    rejected = [int(index) for index in order[::-1] if issame[index] and distances[index] >= threshold]
    accepted = [int(index) for index in order if not issame[index] and distances[index] < threshold]

    def show(index: int) -> HardPair:
        first, second = bin_.images[2 * index : 2 * index + 2]
        return HardPair(index, float(1 - distances[index] / 2), (_encode(first), _encode(second)))

    return [show(index) for index in rejected[:num_pairs]], [show(index) for index in accepted[:num_pairs]]


def _encode(image: bytes) -> str:
    """Gives an image as a small `data:` address; re-encoded, because a browser need not read what Pillow reads."""
    from PIL import Image  # noqa: PLC0415

    stream = io.BytesIO()
    Image.fromarray(decode_image(image, size=_THUMBNAIL)).save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
