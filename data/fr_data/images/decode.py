"""Encoded images become arrays: RGB, uint8, of the asked size. No TensorFlow; Pillow is imported when it is needed."""

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fr_data.errors import BinError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "check_image", "decode_image", "guess_format", "resize_image"]

MAX_PIXELS = 64 * 2**20  # a face crop has 12,544; what claims more than this is a decompression bomb

# A closed list: Pillow would also start Ghostscript for a file that begins like PostScript.
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "PPM")
# Modes that convert to RGB without a change of range; 16-bit and floating-point ones do not.
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
# What Pillow's plugins raise on damaged data, beside their own OSError. Python's own MemoryError is one of them: a damaged
# header may ask for anything.
_FAILURES = (
    *(OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, ZeroDivisionError),
    *(IndexError, KeyError, TypeError, AttributeError, NotImplementedError, struct.error, zlib.error),
)

_BEGINNINGS = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"PK\x03\x04", "a ZIP archive (a .keras or .npz file is one)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"ustar", "a tar archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x0a\x23\xd7\xce", "a RecordIO file (.rec)"),
    (b"%PDF", "a PDF document"),
    (b"<", "HTML or XML: perhaps a web page that was saved in place of the file"),
    (b"{", "JSON"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not downloaded"),
)


def guess_format(data: bytes) -> str | None:
    """Names the kind of file that `data` begins like, for a message; None where it is like none of them."""
    head = data[:64].lstrip(b"\xef\xbb\xbf \r\n\t")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP image"
    return next((name for start, name in _BEGINNINGS if head.startswith(start)), None)


def decode_image(data: bytes, *, size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Decodes an image to RGB; grayscale is tripled, transparency dropped.

    Args:
        data: an encoded image, JPEG and PNG foremost.
        size: (height, width) to resize to, bilinear, where the image is of another size.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        BinError: it is no image, is damaged, has 16 bits a channel, or claims more than `MAX_PIXELS`.
    """
    image = _load(data)
    return resize_image(image, size or image.size[::-1])


def resize_image(image: "Image", size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Gives an RGB image as (height, width, 3) uint8, resized to (height, width) where it differs: bilinear with antialiasing."""
    if image.size != size[::-1]:
        from PIL.Image import Resampling  # noqa: PLC0415

        image = image.resize(size[::-1], Resampling.BILINEAR)
    return np.array(image, dtype=np.uint8)


def check_image(data: bytes) -> tuple[int, int]:
    """Decodes an image to see that it is whole, and gives its (height, width).

    Raises:
        BinError: as `decode_image`.
    """
    width, height = _load(data).size
    return height, width


def _load(data: bytes) -> "Image":
    """Gives a fully decoded RGB image."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BinError(f"it claims {width} x {height} pixels; the limit is {MAX_PIXELS:,}")
            if image.mode not in _MODES:
                raise BinError(f"its pixels are of Pillow's mode {image.mode}; expected 8 bits a channel")
            image.load()
            if image.mode in {"P", "PA"} and "transparency" in image.info:
                return image.convert("RGBA").convert("RGB")
            return image.convert("RGB")
    except (*_FAILURES, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        guess = guess_format(data)
        what = f"it begins like {guess}" if guess else f"it begins with {data[:8].hex(' ') or 'nothing'}"
        # Pillow's message for an unknown format gives the address of a buffer, which helps nobody.
        why = "" if isinstance(error, UnidentifiedImageError) else f": {str(error)[:200]}"
        raise BinError(f"not a readable image ({what}, {len(data):,} bytes){why}") from error
