"""Named embeddings on disk, as NPZ or Parquet."""

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fr_data.files import whole_file
from fr_eval.errors import EmbeddingFileError
from fr_eval.models.embedder import Embeddings
from fr_eval.models.frameworks import import_extra

__all__ = ["SUFFIXES", "Origin", "read_embeddings", "read_origin", "write_embeddings"]

Content = TypeVar("Content")

_METADATA_KEY = b"fr_eval"
# What NumPy, zipfile and PyArrow raise on damaged files, and the reading of `Origin` on metadata that is not ours.
_FAILURES = (
    *(ValueError, TypeError, LookupError, AttributeError, OSError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Origin:
    """What embeddings are of, and what made them.

    Attributes:
        names: N image files: their paths in the folder, with /.
        model: the file name of the network.
        model_sha256: its digest.
        mirror: whether they are f(x) + f(mirror(x)), or f(x).
    """

    names: list[str] = field(repr=False)
    model: str
    model_sha256: str
    mirror: bool


class _Format(NamedTuple):
    read_origin: Callable[[Path], Origin]
    read_embeddings: Callable[[Path], Embeddings]
    write: Callable[[Path, Origin, Embeddings], None]


def write_embeddings(path: Path, origin: Origin, embeddings: Embeddings) -> None:
    """Writes embeddings; the ending says how.

    Args:
        path: `.npz` or `.parquet`; a file that is there is replaced.
        origin: N names, and what made the embeddings.
        embeddings: float32, shape (N, D), not normalised.

    Raises:
        MissingPackageError: Parquet, and pyarrow is not installed.
        EmbeddingFileError: a name is no Unicode.
        OutputError: the file cannot be written.
    """
    for name in origin.names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise EmbeddingFileError(f"{name!r}: the name of this image is no UTF-8; rename the file") from error
    with whole_file(path) as draft:
        _find_format(path).write(draft, origin, embeddings)


def read_origin(path: Path) -> Origin:
    """Reads names and origin of a file of embeddings; the embeddings themselves stay on the disk.

    Raises:
        MissingPackageError: Parquet, and pyarrow is not installed.
        EmbeddingFileError: no such file, or it is none of these, or damaged.
    """
    return _read(path, _find_format(path).read_origin)


def read_embeddings(path: Path) -> Embeddings:
    """Reads the embeddings of such a file: float32, shape (N, D), not normalised, each finite and not zero.

    Raises:
        MissingPackageError: Parquet, and pyarrow is not installed.
        EmbeddingFileError: no such file, or it is none of these, or damaged.
    """
    embeddings = _read(path, _find_format(path).read_embeddings)
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise EmbeddingFileError(f"{path}: expected embeddings of the shape (N, D); received {embeddings.shape}")
    lengths = np.einsum("ij,ij->i", embeddings, embeddings)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise EmbeddingFileError(f"{path}: holds embeddings that are NaN, infinite or zero; make it anew")
    return embeddings


def _find_format(path: Path) -> _Format:
    if path.suffix not in SUFFIXES:
        raise EmbeddingFileError(f"{path}: expected a file of embeddings, {' or '.join(SUFFIXES)}; see `fr-eval embed`")
    return SUFFIXES[path.suffix]


def _read(path: Path, read: Callable[[Path], Content]) -> Content:
    try:
        return read(path)
    except FileNotFoundError as error:
        raise EmbeddingFileError(f"{path}: there is no such file; make it with `fr-eval embed`") from error
    except _FAILURES as error:
        raise EmbeddingFileError(f"{path}: is damaged, or not written by `fr-eval embed`: {error}") from error


def _read_npz_origin(path: Path) -> Origin:
    with np.load(path, allow_pickle=False) as file:
        return Origin(file["names"].tolist(), str(file["model"]), str(file["model_sha256"]), bool(file["mirror"]))


def _read_npz(path: Path) -> Embeddings:
    with np.load(path, allow_pickle=False) as file:
        return np.ascontiguousarray(file["embeddings"], np.float32)


def _write_npz(path: Path, origin: Origin, embeddings: Embeddings) -> None:
    np.savez(
        path,
        allow_pickle=False,
        names=np.array(origin.names),
        embeddings=embeddings,
        model=np.array(origin.model),
        model_sha256=np.array(origin.model_sha256),
        mirror=np.array(origin.mirror),
    )


def _read_parquet_origin(path: Path) -> Origin:
    table = _import_parquet().read_table(path, columns=["name"])
    about = json.loads(table.schema.metadata[_METADATA_KEY])
    return Origin(table["name"].to_pylist(), about["model"], about["model_sha256"], about["mirror"])


def _read_parquet(path: Path) -> Embeddings:
    rows = _import_parquet().read_table(path, columns=["embedding"])["embedding"].combine_chunks()
    return np.ascontiguousarray(rows.flatten().to_numpy().reshape(len(rows), -1), np.float32)


def _write_parquet(path: Path, origin: Origin, embeddings: Embeddings) -> None:
    parquet = _import_parquet()
    import pyarrow  # noqa: PLC0415

    rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(embeddings.reshape(-1)), embeddings.shape[1])
    about = {"model": origin.model, "model_sha256": origin.model_sha256, "mirror": origin.mirror}
    table = pyarrow.table({"name": pyarrow.array(origin.names, pyarrow.string()), "embedding": rows})
    parquet.write_table(table.replace_schema_metadata({_METADATA_KEY: json.dumps(about)}), path)


def _import_parquet() -> Any:
    return import_extra("pyarrow.parquet", extra="parquet", purpose="Parquet files are read and written by")


SUFFIXES = {
    ".npz": _Format(_read_npz_origin, _read_npz, _write_npz),
    ".parquet": _Format(_read_parquet_origin, _read_parquet, _write_parquet),
}
