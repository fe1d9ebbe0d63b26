"""Embeddings out of a file, in place of a network: what another framework has made."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_data.bins.bins import VerificationBin
from fr_data.images.decode import guess_format
from fr_eval.digests import hash_file
from fr_eval.errors import ModelError
from fr_eval.models.embed import BinEmbeddings

__all__ = ["StoredEmbeddings", "load_embeddings"]

ONE_BIN = "embeddings"  # the array's name where a file is of one bin; a .npy file has that one alone
MIRRORED = "mirrored"

# What NumPy and zipfile raise on damaged files; an array of an archive is read, and may fail, when it is asked for.
_FAILURES = (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class StoredEmbeddings:
    """Embeddings of one bin's images, or of several bins'.

    Attributes:
        path: the file.
        digest: its SHA-256.
        arrays: by name; of an `.npz`, each is read when it is asked for.
    """

    path: Path
    digest: str
    arrays: Mapping[str, npt.NDArray[Any]] = field(repr=False)

    def take(self, bin_: VerificationBin, *, is_only: bool, mirror: bool = True) -> BinEmbeddings:
        """Gives the embeddings of a bin's images.

        They are the arrays `<bin>` and, if there, `<bin>_mirrored`; or, where the job has one bin, `embeddings` and `mirrored`.

        Args:
            bin_: the bin.
            is_only: whether it is the job's only bin. Of several, two may have as many pairs, and rows do not say whose they are.
            mirror: take the mirrored ones as well.

        Raises:
            ModelError: there are none for this bin, not two rows a pair, or the array is damaged.
        """
        if bin_.name in self.arrays:
            plain, mirrored = bin_.name, f"{bin_.name}_{MIRRORED}"
        elif ONE_BIN in self.arrays and is_only:
            plain, mirrored = ONE_BIN, MIRRORED
        else:
            wanted = f"{bin_.name!r} or {ONE_BIN!r}" if is_only else f"{bin_.name!r}, as there are several bins"
            found = ", ".join(map(repr, self.arrays)) or "none"
            raise ModelError(f"{self.path}: expected an array named {wanted}; received {found}")
        return BinEmbeddings(
            plain=self._read(plain, bin_),
            mirrored=self._read(mirrored, bin_) if mirror and mirrored in self.arrays else None,
        )

    def _read(self, name: str, bin_: VerificationBin) -> npt.NDArray[Any]:
        try:
            array = np.asarray(self.arrays[name])
        except _FAILURES as error:
            raise ModelError(f"{self.path}: the array {name!r} cannot be read: {error}") from error
        if array.ndim != 2 or len(array) != 2 * bin_.num_pairs:
            raise ModelError(
                f"{self.path}: expected the array {name!r} to hold the embeddings of {bin_.path}, in its order: two rows for "
                f"each of {bin_.num_pairs:,} pairs, shape ({2 * bin_.num_pairs}, D); received the shape {array.shape}"
            )
        return array


def load_embeddings(path: Path) -> StoredEmbeddings:
    """Opens an `.npy` or `.npz` file. Nothing that is pickled in it is read.

    Raises:
        ModelError: no such file, or it is none of these, or damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if not head.startswith((b"\x93NUMPY", b"PK\x03\x04")):  # NumPy takes all else for a pickle
            raise ValueError(f"the file begins like {guess_format(head) or 'neither'}")
        loaded = np.load(path, allow_pickle=False)
    except _FAILURES as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else error
        raise ModelError(f"{path}: expected embeddings as NumPy writes them, .npy or .npz: {why}") from error
    arrays = {ONE_BIN: loaded} if isinstance(loaded, np.ndarray) else loaded
    return StoredEmbeddings(path, hash_file(path), arrays)
