"""Verification bins: pickles of encoded image pairs and their truths, as InsightFace distributes them.

Reads every dialect that is met (`bytes`, Python 2 `str`, NumPy arrays of two module paths) without running anything that a
pickle names. Imports no TensorFlow, ever: data preparation uses this module as well.
"""

import hashlib
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fr_data.bins.pickled_arrays import Encoded, PickledArray, PickledScalar, describe
from fr_data.bins.safe_pickle import UnsafePickleError, read_pickle
from fr_data.errors import BinError
from fr_data.images.decode import check_image, decode_image, guess_format

__all__ = ["BinError", "VerificationBin", "decode_image", "read_bin", "write_bin"]

MAX_BIN_BYTES = 8 * 2**30  # the largest bin met has 0.3 GB; the whole file is held in memory

_WRITE_PROTOCOL = 4  # the first that stores `bytes` as they are, and that every Python 3 since 3.4 reads


@dataclass(frozen=True, eq=False)
class VerificationBin:
    """Pairs of encoded images and their truths.

    Attributes:
        images: 2·P encoded images; pair i is entries 2i and 2i + 1. Equal entries may be one object.
        issame: bool, shape (P,): whether a pair shows one person.
        path: the file, or the folder of shards.
        sha256: of the whole file, or of the folder's manifest. Files of one name differ, so a report gives this.
        entry_kinds: how the images were stored, with counts: `{"bytes": 40}`, `"str (Python 2)"`, `"array (n,)"`,
            `"array (n, 1)"`.
        protocol: the pickle's protocol; None for a folder of shards.
        given_name: the name that a folder of shards has given itself.
    """

    images: list[bytes] = field(repr=False)
    issame: npt.NDArray[np.bool_] = field(repr=False)
    path: Path
    sha256: str
    entry_kinds: dict[str, int]
    protocol: int | None
    given_name: str | None = None

    @property
    def num_pairs(self) -> int:
        """Number of pairs P."""
        return len(self.issame)

    @property
    def name(self) -> str:
        """The name that the pairs were given, else the file's without its ending."""
        return self.given_name or self.path.stem


def read_bin(path: str | os.PathLike[str], *, check_images: bool = True) -> VerificationBin:
    """Reads a verification bin.

    Args:
        path: a file that holds one pickle of `(images, truths)`.
        check_images: decode every image once, so that a damaged one is found here and not in mid-evaluation.

    Returns:
        The bin, checked.

    Raises:
        BinError: the file cannot be read, is no pickle, names anything outside the short list of plain data (nothing of it
            is run), or is not P truths and 2·P readable images.
    """
    path = Path(path)
    data = _read_file(path)
    try:
        loaded, protocol = read_pickle(data)
    except UnsafePickleError as error:
        guess = guess_format(data)
        like = f" The file begins like {guess}." if guess else ""
        raise BinError(f"{path}: refused as a verification bin, {error}.{like}") from None
    entries, truths = _split_pair(loaded, path)
    images, kinds = _convert_images(entries, protocol, path)
    issame = _convert_truths(truths, path)
    if len(images) != 2 * len(issame):
        raise BinError(
            f"{path}: expected two images for each truth; received {len(images)} images and {len(issame)} truths "
            f"(they need {2 * len(issame)} images). The file is cut short or was packed wrongly; get or pack it again"
        )
    if not images:
        raise BinError(f"{path}: holds no pairs")
    if check_images:
        _check_images(images, path)
    return VerificationBin(images, issame, path, hashlib.sha256(data).hexdigest(), kinds, protocol)


def write_bin(path: str | os.PathLike[str], images: Sequence[bytes], issame: Sequence[bool]) -> None:
    """Writes a bin that InsightFace's own code reads: `bins, issame = pickle.load(file, encoding="bytes")`.

    The pickle has protocol 4, `bytes` entries and a list of bool; equal input gives equal bytes, and equal images are
    stored once. The file appears whole or not at all.

    Args:
        path: the file to write; one that is there is replaced.
        images: 2·P encoded images, which are stored as they are.
        issame: P truths, Python's or NumPy's bool.

    Raises:
        BinError: the counts do not fit, or an entry or truth has another type.
        OSError: the file cannot be written.
    """
    path = Path(path)
    for index, image in enumerate(images):
        if not isinstance(image, bytes) or not image:
            raise BinError(f"{path}: entry {index} is {describe(image)}; expected an encoded image as bytes")
    truths = []
    for index, truth in enumerate(issame):
        if not isinstance(truth, bool | np.bool_):
            raise BinError(f"{path}: truth {index} is {describe(truth)}; expected a bool")
        truths.append(bool(truth))
    if not truths or len(images) != 2 * len(truths):
        raise BinError(f"{path}: expected two images a truth; received {len(images)} images and {len(truths)} truths")
    # The pickler stores an object that it has met as a reference. One object per content makes that independent of the caller.
    unique: dict[bytes, bytes] = {}
    entries = [unique.setdefault(image, image) for image in images]
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            pickle.dump((entries, truths), file, protocol=_WRITE_PROTOCOL)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o666 & ~_umask())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    """Gives the process's mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _read_file(path: Path) -> bytes:
    """Reads a regular file of bearable size."""
    try:
        if path.is_dir():
            raise BinError(f"{path}: expected a verification bin; received a folder")
        if not path.exists():
            raise BinError(f"{path}: there is no such file")
        if not path.is_file():  # a pipe would keep us waiting
            raise BinError(f"{path}: expected a regular file")
        size = path.stat().st_size
        if size > MAX_BIN_BYTES:
            raise BinError(f"{path}: has {size:,} bytes; a verification bin has less than {MAX_BIN_BYTES:,}")
        data = path.read_bytes()
    except (OSError, MemoryError) as error:
        raise BinError(f"{path}: cannot be read: {error or 'not enough memory'}") from error
    if not data:
        raise BinError(f"{path}: is empty (0 bytes); the download was perhaps broken off")
    return data


def _split_pair(loaded: object, path: Path) -> tuple[object, object]:
    """Takes `(images, truths)` apart."""
    if not isinstance(loaded, tuple | list) or len(loaded) != 2:
        raise BinError(f"{path}: expected a pickle of (images, truths); received {describe(loaded)}")
    return loaded[0], loaded[1]


def _convert_images(entries: object, protocol: int, path: Path) -> tuple[list[bytes], dict[str, int]]:
    """Gives the encoded images as bytes, and how they were stored."""
    try:
        if isinstance(entries, PickledArray) and entries.dtype is not None and entries.dtype.is_object:
            entries = entries.list_objects()
        if not isinstance(entries, list | tuple):
            raise ValueError(f"expected a list of images; received {describe(entries)}")
    except ValueError as error:
        raise BinError(f"{path}: {error}") from None
    images: list[bytes] = []
    kinds: Counter[str] = Counter()
    for index, entry in enumerate(entries):
        try:
            image, kind = _convert_image(entry, protocol)
        except ValueError as error:
            raise BinError(f"{path}: {_place(index)}: {error}") from None
        images.append(image)
        kinds[kind] += 1
    return images, dict(sorted(kinds.items()))


def _convert_image(entry: object, protocol: int) -> tuple[bytes, str]:
    """Gives one encoded image and the kind of its entry."""
    match entry:
        case b"":
            raise ValueError("the image has no bytes")
        case bytes():
            # Python 3 writes bytes with opcodes of protocol 3 and later, or as `_codecs.encode` before.
            return entry, "bytes" if protocol >= 3 else "str (Python 2)"
        case Encoded():
            return entry.encode(), "bytes"
        case PickledArray():
            shape = entry.checked_shape()
            if not 1 <= len(shape) <= 2 or (len(shape) == 2 and 1 not in shape):
                raise ValueError(f"expected an encoded image as an array (n,) or (n, 1); received the shape {shape}")
            raw = entry.raw_bytes()
            if len(raw) != max(shape) or not raw:
                raise ValueError("expected an array of bytes (uint8) that is not empty")
            if len(shape) == 1:
                return raw, "array (n,)"
            return raw, "array (n, 1)" if shape[1] == 1 else "array (1, n)"
        case _:
            raise ValueError(f"expected an encoded image as bytes or a uint8 array; received {describe(entry)}")


def _convert_truths(truths: object, path: Path) -> npt.NDArray[np.bool_]:
    """Gives the truths as bool, shape (P,)."""
    try:
        if isinstance(truths, PickledArray):
            is_object = truths.dtype is not None and truths.dtype.is_object
            if len(truths.checked_shape()) != 1:
                raise ValueError(f"expected one row of truths; received the shape {truths.checked_shape()}")
            truths = truths.list_objects() if is_object else truths.convert().tolist()
        if not isinstance(truths, list | tuple):
            raise ValueError(f"expected a list or an array of truths; received {describe(truths)}")
        values = [truth.convert() if isinstance(truth, PickledScalar) else truth for truth in truths]
    except ValueError as error:
        raise BinError(f"{path}: {error}") from None
    for index, value in enumerate(values):
        if not isinstance(value, int) or value not in {0, 1}:
            raise BinError(f"{path}: truth {index}: expected True or False (or 1 or 0); received {describe(value)}")
    return np.array(values, dtype=np.bool_)


def _check_images(images: list[bytes], path: Path) -> None:
    """Decodes every image once."""
    seen: set[int] = set()
    for index, image in enumerate(images):
        if id(image) in seen:
            continue
        seen.add(id(image))
        try:
            check_image(image)
        except BinError as error:
            raise BinError(f"{path}: {_place(index)}: {error}") from error


def _place(index: int) -> str:
    return f"entry {index} (pair {index // 2}, image {index % 2 + 1} of 2)"
