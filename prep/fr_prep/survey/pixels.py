"""Pixels of 8 bits."""

import numpy as np
from PIL import Image

__all__ = ["to_eight_bits"]


def to_eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """Gives a picture as gray (`L`) or colours (`RGB`) of 8 bits. Pillow would clip 16-bit gray, which is scaled here."""
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert(mode)
