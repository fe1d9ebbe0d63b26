"""Decoding an image to see whether it can be."""

import io

from PIL import Image, UnidentifiedImageError

from fr_data.images.header import ImageKind

__all__ = ["decode_image"]

_ENCODINGS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}  # a camera's JPEG with a second picture behind it is an MPO


def decode_image(encoded: bytes) -> ImageKind:
    """Decodes all pixels of a JPEG or PNG and says what it is.

    Raises:
        ValueError: if it cannot be decoded; says why.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as image:
            image.load()
            # A palette stands for colours, and a header says 3 channels of it.
            channels = 3 if image.mode == "P" else len(image.getbands())
            return ImageKind(_ENCODINGS[image.format or ""], image.height, image.width, channels)
    except UnidentifiedImageError as error:
        raise ValueError("the image is no JPEG or PNG") from error
    except Exception as error:  # what a decoder makes of damaged bytes is no bug of ours, whatever it raises
        raise ValueError(f"the image cannot be decoded: {error or type(error).__name__}") from error
