"""The folder of class folders while it is being written.

The tree is made inside the staging folder of `OutputFolder`, and at the end each class folder is moved to its place: one rename a
class, not one a file. `images.csv` comes last, so a folder with it is whole; an older tree stays untouched until the new one is.
"""

import csv
import errno
import os
import re
import shutil
import stat
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fr_data.system import sync_file_system
from fr_prep.errors import OutputError
from fr_prep.export.image_files import COLUMNS
from fr_prep.files import INCOMPLETE_SUFFIX, is_folder, sync, write_error
from fr_prep.sources.class_folders.class_listing import TABLE_FILE
from fr_prep.write.output_folder import PLAN_FILE, OutputFolder, clear_staging

__all__ = ["ClassTree"]

REPLACED_FILE = "replaced.csv"  # the table of the older tree, while that is being removed
MOVED_FILE = "moved"  # is there when every class folder has been moved to its place
SECONDS_BETWEEN_SYNCS = 0.05
_KEY = re.compile(r"-?[0-9]+")


class ClassTree:
    """The class folders in an output folder, which is locked for one writer.

    Args:
        folder: the output folder, entered.
        durable: whether to wait until everything is on the disk, in the order that survives a power failure.

    Attributes:
        images: where class folders are made.
        receipts: where the receipts of finished tasks are.
    """

    def __init__(self, folder: OutputFolder, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self.images = folder.staging / "images"
        self.receipts = folder.staging / "receipts"
        self._new_table = folder.staging / TABLE_FILE
        self._table = folder.path / TABLE_FILE
        self._replaced = folder.staging / REPLACED_FILE
        self._moved = folder.staging / MOVED_FILE

    def prepare(
        self, fingerprint: Mapping[str, Any], *, class_folders: Collection[str], overwrite: bool, resume: bool
    ) -> None:
        """Makes the staging folder ready, or refuses.

        Args:
            fingerprint: what the result depends on; JSON values.
            class_folders: the names of all class folders.
            overwrite: replace the tree that is there; what is no part of it is left alone.
            resume: go on with what an interrupted run with the same fingerprint left.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        try:
            if not overwrite and not self._has_begun():
                self.discard()
            self.require_free(fingerprint, class_folders=class_folders, overwrite=overwrite, resume=resume)
            if overwrite:
                self.discard()
            if not self._has_begun():
                self._require_clear()
            self._folder.prepare(fingerprint, overwrite=overwrite, resume=resume)
            self.images.mkdir(exist_ok=True)
            self.receipts.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(self._folder.path, error) from error

    def require_free(
        self, fingerprint: Mapping[str, Any], *, class_folders: Collection[str], overwrite: bool, resume: bool
    ) -> None:
        """Refuses as `prepare` does; writes nothing.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        begun = self._has_begun()
        if overwrite:
            for table in self._tables():
                self._require_own(table)
            self._require_free_places(class_folders, then=", or choose another folder")
        elif self._table.exists() and not begun:
            raise OutputError(
                f"{self._folder.path}: finished class folders are there{', nothing is left to resume' if resume else ''}. "
                "Replace them by --overwrite, or choose another folder."
            )
        elif begun or not self._folder.staging.exists():
            self._folder.can_go_on(fingerprint, overwrite=False, resume=resume)

    def _require_clear(self) -> None:
        """Refuse to make the tree among files that somebody else put there: they would be moved with its class folders."""
        for folder in (self.images, self.receipts):
            if os.path.lexists(folder):
                raise OutputError(f"{folder}: is in the way, and holds what fr-prep did not write. Move it away.")

    def _has_begun(self) -> bool:
        return (self._folder.staging / PLAN_FILE).exists()

    def is_complete(self) -> bool:
        """Whether all is written, and is only to be published."""
        return self._new_table.exists() or self._moved.exists()

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """Waits until what is made meanwhile is on the disk, if it is to be durable; begins early, so that less is left at the end.

        Raises:
            OutputError: if it could not be written.
        """
        if not self._durable:
            yield
            return
        done = threading.Event()
        descriptor = os.open(self.images, os.O_RDONLY | os.O_CLOEXEC)

        def sync_until_done() -> None:
            try:
                while not done.wait(SECONDS_BETWEEN_SYNCS):
                    sync_file_system(descriptor)
                sync_file_system(descriptor)
            except OSError:
                # The kernel tells of a failed write once; after that files look whole until their pages leave memory.
                shutil.rmtree(self.receipts)
                raise

        try:
            with ThreadPoolExecutor(1) as thread:
                outcome = thread.submit(sync_until_done)
                try:
                    yield
                finally:
                    done.set()
            outcome.result()
        except OSError as error:
            raise write_error(self.images, error) from error
        finally:
            os.close(descriptor)

    def write_table(self, num_tasks: int) -> None:
        """Puts the table of images together from the receipts of tasks 0 to `num_tasks` - 1."""
        partial = self._new_table.with_name(TABLE_FILE + INCOMPLETE_SUFFIX)
        try:
            with partial.open("wb") as table:
                table.write(f"{','.join(COLUMNS)}\n".encode())
                for number in range(num_tasks):
                    with self.receipt(number).open("rb") as receipt:
                        shutil.copyfileobj(receipt, table)
            self._sync(partial)
            partial.replace(self._new_table)
        except OSError as error:
            raise write_error(self._new_table, error) from error

    def receipt(self, number: int) -> Path:
        """Where the receipt of a task is."""
        return self.receipts / f"{number:07d}.csv"

    def publish(self) -> None:
        """Removes the older tree, and moves each class folder to its place, the table last.

        Whatever this is interrupted at, it can be called again.

        Raises:
            OutputError: if a class folder cannot be moved.
        """
        out = self._folder.path
        try:
            if not self._moved.exists():
                if self._table.exists():
                    self._require_own(self._table)
                    new_folders = [folder.name for folder in self.images.iterdir()]
                    self._require_free_places(new_folders, then=", then go on with --resume")
                    self._table.replace(self._replaced)
                self._remove_listed(self._replaced)
                for folder in sorted(self.images.iterdir()):
                    self._move_class_folder(folder)
                self._moved.touch()
                self._sync(out)
            if self._new_table.exists():
                self._new_table.replace(self._table)
                self._sync(out)
            self.discard()
        except OSError as error:
            raise write_error(out, error) from error

    def _sync(self, path: Path) -> None:
        if self._durable:
            sync(path)

    def discard(self) -> None:
        """Removes the staging folder, and what a run moved to its place, or left of an older tree, without getting further."""
        staging = self._folder.staging
        if not staging.exists():
            return
        unfinished = [] if self._table.exists() else self._tables()
        for table in unfinished:
            self._require_own(table)
        (staging / PLAN_FILE).unlink(missing_ok=True)  # first: from here on there is nothing to go on with
        for table in unfinished:
            self._remove_listed(table)
        clear_staging(staging)

    def _move_class_folder(self, folder: Path) -> None:
        target = self._folder.path / folder.name
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise _taken(target, then=", then go on with --resume") from error

    def _require_free_places(self, class_folders: Collection[str], *, then: str) -> None:
        """Refuses where a class folder is to go and something is that no table lists."""
        out = self._folder.path
        present = sorted({path.name for path in out.iterdir()}.intersection(class_folders))
        if not present:
            return
        folders = set()

        def listed() -> Iterator[int]:
            for table in self._tables():
                for folder, name, _ in self._listed_files(table):
                    folders.add(folder)
                    yield hash((folder, name))

        def entries() -> Iterator[tuple[str, str]]:
            for folder in present:
                for name in sorted(os.listdir(out / folder)):  # noqa: PTH208  names are wanted
                    yield folder, name

        known = np.fromiter(listed(), dtype=np.int64)  # numbers, since the names of a large tree take a gigabyte
        strange = [folder for folder in present if folder not in folders or not is_folder(out / folder)]
        if strange:
            raise _taken(out / strange[0], then=then)
        is_strange = ~np.isin(np.fromiter(map(hash, entries()), dtype=np.int64), known)
        if is_strange.any():
            folder, name = next(islice(entries(), int(np.argmax(is_strange)), None))
            raise _taken(out / folder / name, then=then)

    def _tables(self) -> list[Path]:
        """The tables of what stands in the output folder: that of a whole tree, or those of what an interrupted run left."""
        tables = [self._table] if os.path.lexists(self._table) else [self._replaced, self._new_table]
        return [table for table in tables if os.path.lexists(table)]

    def _listed_files(self, table: Path) -> Iterator[tuple[str, str, int]]:
        """Yield class folder, name and bytes of each image that a table lists and that has been moved to its place.

        Raises:
            OutputError: the table is none that rec2jpeg writes, or lists a file by a name that it gives none.
        """
        waiting = {folder.name for folder in self.images.glob("*")} if table == self._new_table else ()
        if table.is_symlink() or not table.is_file():
            raise _not_ours(table, "is no file")
        with table.open(encoding="utf-8", newline="") as file:
            try:
                rows = csv.reader(file, strict=True)
                if next(rows, None) != list(COLUMNS):
                    raise _not_ours(table, f"does not begin with {','.join(COLUMNS)}")
                for path, key, _, _, num_bytes in rows:
                    folder, _, name = path.partition("/")
                    if (
                        name not in (f"{key}.jpg", f"{key}.png")
                        or not _KEY.fullmatch(key)
                        or folder in ("", ".", "..")
                        or "\0" in folder
                    ):
                        raise _not_ours(table, f"lists {path!r}")
                    if folder not in waiting:
                        yield folder, name, int(num_bytes)
            except (ValueError, csv.Error) as error:
                raise _not_ours(table, str(error)) from error

    def _require_own(self, table: Path) -> None:
        """Refuse a table that lists what rec2jpeg did not write there: anything but a file of that very size in a class folder.

        Raises:
            OutputError: names the file. Nothing is removed.
        """
        known = ""
        for folder, name, num_bytes in self._listed_files(table):
            place = self._folder.path / folder
            if folder != known and place.is_symlink():
                raise _taken(place, then="")
            known = folder
            try:
                state = os.lstat(place / name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISREG(state.st_mode) or state.st_size != num_bytes:
                raise OutputError(
                    f"{place / name}: expected the image of {num_bytes:,} bytes that {table.name} lists, received another file. "
                    "Nothing was removed. Move it away."
                )

    def _remove_listed(self, table: Path) -> None:
        """Remove the files that a table lists, class folders that are empty then, and the table."""
        if not table.exists():
            return
        self._require_own(table)
        folders = set()
        for folder, name, _ in self._listed_files(table):
            folders.add(folder)
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(f"{self._folder.path}/{folder}/{name}")  # noqa: PTH108  there may be millions
        for folder in folders:
            with suppress(OSError):  # holds something else as well, or is gone
                (self._folder.path / folder).rmdir()
        table.unlink()


def _taken(path: Path, *, then: str) -> OutputError:
    return OutputError(f"{path}: is no part of the class folders that {TABLE_FILE} lists. Move it away{then}.")


def _not_ours(table: Path, why: str) -> OutputError:
    return OutputError(
        f"{table}: expected a table of images as rec2jpeg writes it ({', '.join(COLUMNS)}), received something else: it {why}. "
        "Nothing was removed. Move it away, or choose another folder."
    )
