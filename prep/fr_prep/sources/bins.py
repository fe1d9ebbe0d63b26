"""Verification bins as a source: `fr_eval.bins` reads them, its refusals become errors of this stage."""

from pathlib import Path

from fr_eval.bins import BinError, VerificationBin, read_bin
from fr_prep.errors import SourceError

__all__ = ["read_verification_bin"]


def read_verification_bin(path: Path, *, check_images: bool = True) -> VerificationBin:
    """Reads a bin.

    Args:
        path: the file.
        check_images: decode each of its images once, to be sure of it.

    Raises:
        SourceError: if the bin is refused: no pickle of images, a program, damaged images, wrong counts.
    """
    try:
        return read_bin(path, check_images=check_images)
    except BinError as error:
        raise SourceError(str(error)) from error
