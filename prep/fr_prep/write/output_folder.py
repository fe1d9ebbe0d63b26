"""The folder of a data set while it is being written.

Everything is made in `<folder>/conversion.incomplete/` and moved to its place at the end, manifest last. So a folder with a
manifest is whole, an older set stays untouched until the new one is, and what an interrupted run finished is there for
`--resume`.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from fr_prep.errors import OutputError, ShardError
from fr_prep.files import INCOMPLETE_SUFFIX, is_folder, sync, sync_files, write_error, write_text
from fr_prep.write.manifest import KINDS, MANIFEST_FILE, read_manifest

__all__ = ["PLAN_FILE", "STAGING_FOLDER", "OutputFolder", "require_free", "require_place", "require_same"]

Json = TypeVar("Json", dict[str, Any], list[str])

STAGING_FOLDER = f"conversion{INCOMPLETE_SUFFIX}"
PLAN_FILE = "plan.json"
REPLACED_FILE = "replaced.json"  # names of the set that is being removed
PUBLISHING_FILE = "publishing.json"  # names of the set that is being moved to its place; whatever it replaces is gone


class OutputFolder:
    """A data set's folder, locked for one writer while it is entered.

    Args:
        path: the folder; made if it is missing.

    Attributes:
        staging: the folder inside in which everything is made.

    Raises:
        OutputError: on entering, if there is a file, the folder cannot be made, or another process writes there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = path / STAGING_FOLDER
        self._descriptor = -1
        self._missing = [place for place in (path, *path.parents) if not is_folder(place)]

    def __enter__(self) -> Self:
        self._lock()
        while not self._is_in_place():  # another writer ended, and removed its empty folder, before the lock was there
            os.close(self._descriptor)
            self._lock()
        return self

    def _lock(self) -> None:
        require_place(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise OutputError(
                f"{self.path}: another process is writing this data set. Wait until it is done, or choose another folder."
            ) from error
        except OSError:
            pass  # some network file systems lock no folders

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a folder goes only if it is empty
            for folder in self._missing:
                folder.rmdir()
        os.close(self._descriptor)

    def prepare(self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool) -> None:
        """Makes the staging folder ready, or refuses.

        Args:
            fingerprint: what the result depends on: source files, arguments, index. JSON values.
            overwrite: replace what is there.
            resume: go on with what an interrupted run with the same fingerprint left.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        try:
            if self._has_ended():
                self.discard()
            if self.can_go_on(fingerprint, overwrite=overwrite, resume=resume):
                for orphan in self.staging.glob(f"*{INCOMPLETE_SUFFIX}"):
                    orphan.unlink()
                return
            self.discard()
            self.staging.mkdir(exist_ok=True)
            write_text(self.staging / PLAN_FILE, json.dumps(fingerprint, indent=1))
        except OSError as error:
            raise write_error(self.staging, error) from error

    def can_go_on(self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool) -> bool:
        """Says whether an interrupted run is to be gone on with, or refuses as `prepare` does; writes nothing.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        if overwrite:
            return False
        if not self.staging.exists() or self._has_ended():
            self._refuse_others(resume=resume)
            return False
        if not resume:
            raise OutputError(
                f"{self.path}: an unfinished conversion is there. Go on with it by --resume, or start anew by --overwrite."
            )
        plan_path = self.staging / PLAN_FILE
        if not plan_path.exists():
            return False  # killed before it began: there is nothing to go on with
        require_same(str(self.path), _read_json(plan_path, dict), json.loads(json.dumps(fingerprint)))
        return True

    def _refuse_others(self, *, resume: bool) -> None:
        if (self.path / MANIFEST_FILE).exists():
            raise OutputError(
                f"{self.path}: a finished data set is there{', nothing is left to resume' if resume else ''}. "
                "Replace it by --overwrite, or choose another folder."
            )
        others = sorted(path.name for path in self.path.iterdir())
        if others:
            raise OutputError(
                f"{self.path}: expected a new or empty folder, it holds {', '.join(others[:5])}{' …' if len(others) > 5 else ''}. "
                "Choose another folder, or write there by --overwrite, which leaves alone what is no part of a data set."
            )

    def finished_file(self, name: str) -> Path | None:
        """Gives where a file stands that was finished for this conversion, or None.

        That is the staging folder, or the file's final place where a run was interrupted while it moved files there.
        """
        places = [self.staging / name]
        if self._is_publishing():
            places.append(self.path / name)
        return next((place for place in places if place.is_file()), None)

    def sizes(self) -> dict[str, int]:
        """Gives the files that are being made, and their bytes."""
        return {entry.name: entry.stat().st_size for entry in os.scandir(self.staging)}

    def staged_bytes(self) -> int:
        """Gives how many bytes an interrupted run has written already, also of files that it had moved to their place."""
        moved = _read_json(self.staging / PUBLISHING_FILE, list) if self._is_publishing() else []
        written = [*self.staging.glob("*"), *(self.path / name for name in moved)]
        return sum(path.stat().st_size for path in written if path.is_file())

    def publish(self, names: Sequence[str]) -> None:
        """Syncs finished files and moves them to their place, the manifest last; removes the set that they replace.

        Whatever this is interrupted at, a list in the staging folder says what is still to be removed, or what was moved.

        Args:
            names: all files of the data set, the manifest among them.

        Raises:
            OutputError: if a file cannot be moved.
        """
        try:
            sync_files([self.staging / name for name in names if (self.staging / name).exists()])
            if not self._is_publishing():
                self._require_free_places(names)
                replaced = self.staging / REPLACED_FILE
                if not replaced.exists():
                    write_text(replaced, json.dumps(self._old_names()))
                self._remove(_read_json(replaced, list))
                write_text(self.staging / PUBLISHING_FILE, json.dumps(names))
            sync(self.staging)
            for name in [*(name for name in names if name != MANIFEST_FILE), MANIFEST_FILE]:
                if (self.staging / name).exists():
                    (self.staging / name).replace(self.path / name)
            sync(self.path)
            (self.staging / PLAN_FILE).unlink()  # first: what is left without it is no conversion to go on with
            shutil.rmtree(self.staging)
        except OSError as error:
            raise write_error(self.path, error) from error

    def _has_ended(self) -> bool:
        """Whether the set in the folder is whole, and of an interrupted run there is nothing left to go on with."""
        return (self.path / MANIFEST_FILE).exists() and not (self.staging / PLAN_FILE).exists()

    def _is_publishing(self) -> bool:
        return (self.staging / PUBLISHING_FILE).exists()

    def _require_free_places(self, names: Sequence[str]) -> None:
        for name in names:
            if is_folder(self.path / name):
                raise OutputError(
                    f"{self.path / name}: a folder is where a file of the data set belongs. Move it away."
                )

    def _old_names(self) -> list[str]:
        """The files of the set that is in the folder, the manifest first: with it goes the set."""
        try:
            return read_manifest(self.path, kinds=KINDS).file_names()[::-1]
        except ShardError as error:
            if isinstance(error.__cause__, OSError):
                raise OutputError(f"{error} Mend that, then go on with --resume.") from error
            return []  # nothing is there, or nothing that can be told apart from other files

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes what an interrupted run left, also of what it had moved to its place already."""
        if not self.staging.exists():
            return
        for file in (REPLACED_FILE, PUBLISHING_FILE):
            unfinished = not (self.path / MANIFEST_FILE).exists()
            if unfinished and (self.staging / file).exists():
                self._remove([name for name in _read_json(self.staging / file, list) if Path(name).name == name])
        shutil.rmtree(self.staging)


def require_place(path: Path) -> None:
    """Refuses a path that no folder can be made at, since it, or what it lies in, is a file.

    Raises:
        OutputError: if that is so.
    """
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), None)
    if there and not is_folder(there):
        what = "it" if there == path else str(there)
        raise OutputError(
            f"{path}: cannot be written: {what} exists and is a file, expected a folder. Choose another folder."
        )


def require_free(path: Path, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool) -> None:
    """Refuses a folder that a run would refuse, for one that writes nothing; see `OutputFolder.prepare`.

    Raises:
        OutputError: if the folder cannot be one, is being written, or holds something that neither option covers.
    """
    require_place(path)
    if is_folder(path):
        with OutputFolder(path) as folder:
            folder.can_go_on(fingerprint, overwrite=overwrite, resume=resume)


def _read_json(path: Path, kind: type[Json]) -> Json:
    """Reads a file that this module wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: is damaged ({error}). Start anew by --overwrite.") from error
    if not isinstance(content, kind):
        raise OutputError(f"{path}: is damaged. Start anew by --overwrite.")
    return content


def require_same(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to go on with a conversion that had other arguments, another source or another version."""
    changed = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise OutputError(
            f"{path}: the unfinished conversion there is another one: {'; '.join(changed)}. "
            "Repeat its arguments, or start anew by --overwrite."
        )
