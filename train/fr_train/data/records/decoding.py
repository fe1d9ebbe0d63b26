"""Encoded images become rows of a batch: RGB, uint8, of one size, mirrored where it is wished."""

from collections.abc import Iterable

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from fr_data.images.decode import MAX_PIXELS, decode_image, resize_image
from fr_eval.errors import BinError

__all__ = ["UndecodableError", "decode_images"]


class UndecodableError(Exception):
    """An image cannot be decoded; `place` is its place in the batch."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place = place


def decode_images(images: Iterable[memoryview], mirrored: Iterable[bool], *, out: NDArray[np.uint8]) -> None:
    """Decodes images.

    A JPEG goes through libjpeg-turbo with its accurate transform, anything else through Pillow, which gives the same pixels. Images
    of another size are resized by Pillow, bilinear with antialiasing, as evaluation does.

    Args:
        images: B encoded images.
        mirrored: which of them are to be mirrored.
        out: (B, H, W, 3), contiguous; is filled.

    Raises:
        UndecodableError: if one is no image, or damaged.
    """
    height, width = out.shape[1:3]
    # Bytes of a row in reverse order are the mirrored row with its colours in reverse order. NumPy reverses fast in large words.
    word = next(size for size in (8, 4, 2, 1) if width * 3 % size == 0)
    scratch = np.empty((height, width, 3), dtype=np.uint8)
    reversed_scratch = scratch.reshape(height, -1).view(f">u{word}")[:, ::-1]
    words = out.reshape(len(out), height, -1).view(f"<u{word}")
    for place, (encoded, mirror) in enumerate(zip(images, mirrored, strict=True)):
        try:
            decoded = simplejpeg.decode_jpeg(
                encoded, "BGR" if mirror else "RGB", buffer=scratch if mirror else out[place]
            )
            found = decoded.shape == scratch.shape
        except ValueError:  # no JPEG, damaged, or larger than the buffer
            found = False
        if not found:
            out[place] = _decode_other(encoded, place, size=(height, width))[:, :: -1 if mirror else 1]
        elif mirror:
            words[place] = reversed_scratch


def _decode_other(encoded: memoryview, place: int, *, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decodes what is no JPEG of the wanted size."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(encoded)
        if (height, width) != size and height * width <= MAX_PIXELS:
            return resize_image(Image.fromarray(simplejpeg.decode_jpeg(encoded)), size)
    except ValueError:  # no JPEG, or damaged: Pillow says what it is, or reads it
        pass
    try:
        return decode_image(bytes(encoded), size=size)
    except BinError as error:
        raise UndecodableError(place, str(error)) from error
