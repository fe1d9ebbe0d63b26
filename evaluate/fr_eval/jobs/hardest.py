"""The pairs that a model gets most wrong, as images for the report."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fr_data.bins.bins import VerificationBin
from fr_data.images.decode import decode_image
from fr_eval.errors import BinError
from fr_eval.protocols.verification import Verification

__all__ = ["HardPair", "HardestErrors", "find_hardest"]

_THUMBNAIL = (112, 112)
_QUALITY = 75  # about 3 kB an image


@dataclass(frozen=True)
class HardPair:
    """A pair on the wrong side of the threshold.

    Attributes:
        index: the pair's number in the bin, from 0.
        cosine: of the two embeddings.
        images: both images as `data:` addresses, JPEG, 112 × 112; None for one that cannot be read. That occurs where
            embeddings were given, for which nobody had to decode the bin.
    """

    index: int
    cosine: float
    images: tuple[str | None, str | None] = field(repr=False)


@dataclass(frozen=True)
class HardestErrors:
    """The worst errors of one kind.

    Attributes:
        num_errors: all of that kind.
        pairs: the worst of them, the worst first.
    """

    num_errors: int
    pairs: list[HardPair]


def find_hardest(
    verification: Verification, bin_: VerificationBin, *, num_pairs: int
) -> tuple[HardestErrors, HardestErrors]:
    """Gives the worst errors at the protocol's mean threshold.

    Args:
        verification: the figures of `bin_`.
        bin_: the images.
        num_pairs: at most so many of each kind.

    Returns:
        "Same" pairs that were rejected, and "different" pairs that were accepted.
    """
    distances, issame = verification.distances, verification.issame
    is_far = distances >= float(np.mean(verification.best_protocol.thresholds))
    order = np.argsort(distances, kind="stable")

    def show(index: int) -> HardPair:
        first, second = bin_.images[2 * index : 2 * index + 2]
        return HardPair(index, float(1 - distances[index] / 2), (_encode(first), _encode(second)))

    def gather(indices: npt.NDArray[np.intp]) -> HardestErrors:
        return HardestErrors(len(indices), [show(int(index)) for index in indices[:num_pairs]])

    return gather(order[(issame & is_far)[order]][::-1]), gather(order[(~issame & ~is_far)[order]])


def _encode(image: bytes) -> str | None:
    """Gives an image as a small `data:` address; re-encoded, because a browser need not read what Pillow reads."""
    from PIL import Image  # noqa: PLC0415

    stream = io.BytesIO()
    try:
        pixels = decode_image(image, size=_THUMBNAIL)
    except BinError:
        return None
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
