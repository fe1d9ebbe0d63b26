"""Pictures of the formats that Pillow reads, and the same pixels as PNG."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fr_data.errors import SourceError

__all__ = ["Picture", "encode_file", "is_jpeg_or_png", "load_picture", "picture_suffixes", "save_png"]

MAX_PIXELS = 64 << 20  # a face crop has 12,544; what claims more than this is a decompression bomb

# A closed list of formats of one raster image: for others Pillow starts Ghostscript, or asks the system's own decoders.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP")
# Mode → what PNG stores of it. Gray and colour stay what they are; CMYK and YCbCr, which PNG has not, become RGB.
_PNG_MODES = {
    **dict.fromkeys(("1", "L"), "L"),
    **dict.fromkeys(("La", "LA"), "LA"),
    **dict.fromkeys(("P", "RGB", "RGBX", "CMYK", "YCbCr"), "RGB"),
    **dict.fromkeys(("PA", "RGBa", "RGBA"), "RGBA"),
}
# What Pillow's plugins raise on damaged data, beside their own OSError.
_FAILURES = (
    *(OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, ZeroDivisionError),
    *(IndexError, KeyError, TypeError, AttributeError, NotImplementedError, struct.error, zlib.error),
)


def is_jpeg_or_png(data: bytes) -> bool:
    """Whether an image begins like one of the two formats that are taken over as they are."""
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, upright, in a mode that PNG has.

    Attributes:
        image: its pixels.
        format: the format of the file, as Pillow names it.
        is_animated: whether the file holds further pictures; the first one is taken.
    """

    image: Image.Image
    format: str
    is_animated: bool


def load_picture(data: bytes) -> Picture:
    """Decodes a picture.

    Transparency is kept, palettes become the colours that they stand for, 16-bit gray stays what it is, and an EXIF orientation is
    carried out.

    Raises:
        ValueError: if it is no picture of a known format, is damaged, claims more than `MAX_PIXELS`, or has pixels
            that PNG cannot hold (32-bit, floating point, Lab); says why.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"it claims {width} x {height} pixels, the limit is {MAX_PIXELS:,}")
            image.load()
            upright = _to_png_mode(ImageOps.exif_transpose(image), image.format or "")
            return Picture(upright, image.format or "", bool(getattr(image, "is_animated", False)))
    except (*_FAILURES, Image.DecompressionBombError) as error:
        # Pillow's message for an unknown format gives the address of a buffer, which helps nobody.
        start = data[:8].hex(" ") or "nothing"
        unknown = f"expected the header of a picture, received {start}"
        raise ValueError(unknown if isinstance(error, UnidentifiedImageError) else str(error)[:200]) from error


def save_png(image: Image.Image) -> bytes:
    """Encodes pixels as PNG, without anything beside them; equal pixels give equal bytes from the same Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=None, transparency=None)
    return buffer.getvalue()


def encode_file(path: Path) -> bytes:
    """Gives the PNG of a file that holds a picture.

    Raises:
        SourceError: if the file cannot be read, or `load_picture` refuses it.
    """
    try:
        return save_png(load_picture(path.read_bytes()).image)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SourceError(f"{path}: is no readable picture: {error}.") from error


@cache
def picture_suffixes() -> frozenset[str]:
    """The endings, in lower case and with their dot, by which files are known as pictures."""
    formats = _formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _to_png_mode(image: Image.Image, file_format: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PPM"):  # Pillow scales PPM to 16 bits
        return Image.fromarray(np.asarray(image).astype("<u2"))
    mode = _PNG_MODES.get(image.mode)
    if mode is None:
        raise ValueError(
            f"expected gray or colours of 8 bits, or gray of 16, received Pillow's mode {image.mode}: convert it"
        )
    if image.has_transparency_data:
        mode = {"L": "LA", "RGB": "RGBA"}.get(mode, mode)
    return image.convert(mode)
