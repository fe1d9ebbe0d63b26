"""A folder of an object store, or of whatever else `fsspec` reaches by a URL: `s3://bucket/folder`, `gs://…`, `memory://…`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fr_data.errors import OutputError, SourceError, ToolkitError

if TYPE_CHECKING:
    import fsspec

__all__ = ["Store"]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder behind a URL. Files in it are whole or not there: a store shows an object when all of it has arrived.

    Attributes:
        url: the folder's URL.

    Raises:
        OutputError: from what writes, if the store cannot be reached or refuses.
        SourceError: from what reads, likewise.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Gives the files in the folder, or in one inside it, and their bytes."""
        with self._opened(SourceError) as (files, root):
            files.invalidate_cache()  # other machines write there
            path = f"{root}/{folder}".rstrip("/")
            listed = files.ls(path, detail=True) if files.exists(path) else []
            return {str(entry["name"]).rpartition("/")[2]: entry["size"] for entry in listed if entry["type"] == "file"}

    def read(self, name: str) -> str | None:
        """Gives the text of a small file, or None if it is not there."""
        with self._opened(SourceError) as (files, root):
            try:
                return bytes(files.cat_file(f"{root}/{name}")).decode("utf-8")
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, name: str) -> Iterator[BufferedIOBase]:
        """Opens a file for reading."""
        with self._opened(SourceError) as (files, root):
            if not files.exists(f"{root}/{name}"):
                raise SourceError(f"{self.url}/{name}: is missing.")
            with files.open(f"{root}/{name}", "rb") as file:
                yield cast(BufferedIOBase, file)

    def fetch(self, name: str, target: Path) -> None:
        """Copies a file to this machine."""
        with self._opened(SourceError) as (files, root):
            files.get_file(f"{root}/{name}", str(target))

    def put(self, source: Path, name: str | None = None) -> None:
        """Copies a file of this machine there, under its own name or another one."""
        with self._opened(OutputError) as (files, root):
            self._make_folder(files, root)
            files.put_file(str(source), f"{root}/{name or source.name}")

    def write(self, name: str, text: str) -> None:
        """Writes a small file."""
        with self._opened(OutputError) as (files, root):
            self._make_folder(files, f"{root}/{name}".rpartition("/")[0])
            files.pipe_file(f"{root}/{name}", text.encode("utf-8"))

    def remove(self, names: Iterable[str]) -> None:
        """Removes files, in this order, that may be gone already."""
        with self._opened(OutputError) as (files, root):
            for name in names:
                if files.exists(f"{root}/{name}"):
                    files.rm_file(f"{root}/{name}")

    def take(self, other: "Store", names: Sequence[str]) -> None:
        """Move files of another folder of the same store here; all are copied before the first is removed there."""
        with self._opened(OutputError) as (files, root), other._opened(OutputError) as (_, start):
            files.copy([f"{start}/{name}" for name in names], [f"{root}/{name}" for name in names])
        other.remove(names)

    def remove_folder(self, folder: str) -> None:
        """Removes a folder inside if it is empty, where the store knows folders."""
        with self._opened(OutputError) as (files, root):
            files.invalidate_cache()
            if files.isdir(f"{root}/{folder}") and not files.ls(f"{root}/{folder}", detail=False):
                files.rmdir(f"{root}/{folder}")

    def _make_folder(self, files: "fsspec.AbstractFileSystem", path: str) -> None:
        bucket = path.partition("/")[0]
        if bucket and not files.exists(bucket):  # which would be made, whatever was mistyped
            raise OutputError(
                f"{self.url}: expected a bucket {bucket}, there is none. Check the URL, or make it first."
            )
        files.makedirs(path, exist_ok=True)

    @contextmanager
    def _opened(self, kind: type[ToolkitError]) -> Iterator[tuple["fsspec.AbstractFileSystem", str]]:
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415  only where there is a URL

            files, root = url_to_fs(self.url)
            yield files, str(root).rstrip("/")
        except ToolkitError:
            raise
        except ImportError as error:
            raise kind(
                f"{self.url}: what reads such a URL is missing ({error}): pip install 'fr-toolkit[cluster]', and s3fs for s3://, "
                "gcsfs for gs://, on every machine."
            ) from error
        except Exception as error:  # each library has its own
            reason = str(error) or type(error).__name__
            raise kind(
                f"{self.url}: the store does not do as asked: {reason}. Check the URL, and who may go there."
            ) from error
