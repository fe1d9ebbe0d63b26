"""The folder of a data set while it is being written.

Everything is made in `<folder>/conversion.incomplete/` and moved to its place at the end, manifest last. So a folder with a
manifest is whole, an older set stays untouched until the new one is, and what an interrupted run finished is there for
`--resume`.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from fr_data.files import locked_folder, remove_listed
from fr_prep.errors import OutputError, ShardError
from fr_prep.files import INCOMPLETE_SUFFIX, is_folder, sync, sync_files, write_error, write_text
from fr_prep.write.manifest import KINDS, MANIFEST_FILE, is_set_file, read_manifest
from fr_prep.write.record_table import RECORD_TYPE, RECORDS_FILE

__all__ = [
    "PLAN_FILE",
    "PUBLISHING_FILE",
    "STAGING_FOLDER",
    "OutputFolder",
    "clear_staging",
    "require_free",
    "require_free_names",
    "require_other_files",
    "require_place",
    "require_same",
]

Json = TypeVar("Json", dict[str, Any], list[str])

STAGING_FOLDER = f"conversion{INCOMPLETE_SUFFIX}"
PLAN_FILE = "plan.json"
REPLACED_FILE = "replaced.json"  # names of the set that is being removed
PUBLISHING_FILE = "publishing.json"  # names of the set that is being moved to its place; whatever it replaces is gone
_NOTES = frozenset({PLAN_FILE, REPLACED_FILE, PUBLISHING_FILE, "images", "images.csv", "replaced.csv", "moved"})
_DRAFT = re.compile(r"(.+?)(?:\.[0-9a-f]{8})?\.incomplete|\.(.+)\.[a-z0-9_]{8}")


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
        self._lock = locked_folder(path)

    def __enter__(self) -> Self:
        require_place(self.path)
        try:
            self._lock.__enter__()
        except OutputError as error:
            if isinstance(error.__cause__, OSError) and not isinstance(
                error.__cause__, BlockingIOError | FileExistsError
            ):
                raise write_error(self.path, error.__cause__) from error
            raise
        if os.path.lexists(self.staging) and (self.staging.is_symlink() or not self.staging.is_dir()):
            self._lock.__exit__(None, None, None)
            raise OutputError(
                f"{self.staging}: expected a folder that fr-prep made, or nothing; received something else. Move it away."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, value, trace)

    def prepare(
        self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool, names: Collection[str] = ()
    ) -> None:
        """Makes the staging folder ready, or refuses.

        Args:
            fingerprint: what the result depends on: source files, arguments, index. JSON values.
            overwrite: replace what is there.
            resume: go on with what an interrupted run with the same fingerprint left.
            names: the files that are to take their place in the folder, as far as they are known.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        try:
            if self._has_ended():
                self.discard()
            if self.can_go_on(fingerprint, overwrite=overwrite, resume=resume, names=names):
                for orphan in self.staging.glob(f"*{INCOMPLETE_SUFFIX}"):
                    if _is_staged(orphan.name) and orphan.is_file() and not orphan.is_symlink():
                        orphan.unlink()
                return
            self.discard()
            self.staging.mkdir(exist_ok=True)
            write_text(self.staging / PLAN_FILE, json.dumps(fingerprint, indent=1))
        except OSError as error:
            raise write_error(self.staging, error) from error

    def can_go_on(
        self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool, names: Collection[str] = ()
    ) -> bool:
        """Says whether an interrupted run is to be gone on with, or refuses as `prepare` does; writes nothing.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        if overwrite:
            self._require_free_places(names, then="or choose another folder")
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
        moved = self._read_names(PUBLISHING_FILE) if self._is_publishing() else []
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
                self._require_free_places(names, then="then go on with --resume")
                replaced = self.staging / REPLACED_FILE
                if not replaced.exists():
                    write_text(replaced, json.dumps(self._old_names()))
                self._remove(REPLACED_FILE)
                write_text(self.staging / PUBLISHING_FILE, json.dumps(names))
            sync(self.staging)
            for name in [*(name for name in names if name != MANIFEST_FILE), MANIFEST_FILE]:
                if (self.staging / name).exists():
                    (self.staging / name).replace(self.path / name)
            sync(self.path)
            (self.staging / PLAN_FILE).unlink()  # first: what is left without it is no conversion to go on with
            clear_staging(self.staging)
        except OSError as error:
            raise write_error(self.path, error) from error

    def _has_ended(self) -> bool:
        """Whether the set in the folder is whole, and of an interrupted run there is nothing left to go on with."""
        return (self.path / MANIFEST_FILE).exists() and not (self.staging / PLAN_FILE).exists()

    def _is_publishing(self) -> bool:
        return (self.staging / PUBLISHING_FILE).exists()

    def _require_free_places(self, names: Iterable[str], *, then: str) -> None:
        """Refuse where a file is to go and something is that no conversion is known to have written."""
        present = [name for name in names if os.path.lexists(self.path / name)]
        own = self._own_names(present) if present else set()
        for name in present:
            path = self.path / name
            if name not in own or path.is_symlink() or not path.is_file():
                what = (
                    "a folder is where a file of the data set belongs"
                    if is_folder(path)
                    else "is no file of the data set"
                )
                raise OutputError(f"{path}: {what} that is to be replaced. Move it away, {then}.")

    def _own_names(self, present: Iterable[str]) -> set[str]:
        """The files in the folder that are part of the set there, or of one whose removal or publication was interrupted."""
        lists = [file for file in (REPLACED_FILE, PUBLISHING_FILE) if (self.staging / file).exists()]
        interrupted = {name for file in lists for name in self._read_names(file)}
        try:
            return {*interrupted, *read_manifest(self.path, kinds=KINDS).file_names()}
        except ShardError as error:
            is_ours = isinstance(error.__cause__, OSError) or _is_left_of_a_set(self.path)
            return {*interrupted, *(present if is_ours else ())}

    def _old_names(self) -> list[str]:
        """The files of the set that is in the folder, the manifest first: with it goes the set."""
        try:
            return read_manifest(self.path, kinds=KINDS).file_names()[::-1]
        except ShardError as error:
            if isinstance(error.__cause__, OSError):
                raise OutputError(f"{error} Mend that, then go on with --resume.") from error
            return []  # nothing is there, or nothing that can be told apart from other files

    def _read_names(self, file: str) -> list[str]:
        """Read a list of the set's files that an interrupted run left."""
        path = self.staging / file
        names = _read_json(path, list)
        for name in names:
            if not is_set_file(name):
                raise OutputError(
                    f"{path}: lists {name!r}, expected names that fr-prep gives the files of a data set. Nothing was removed. Move "
                    f"{self.staging} away, and start anew."
                )
        return names

    def _remove(self, file: str) -> None:
        try:
            remove_listed(self.path, self._read_names(file), list_name=str(self.staging / file))
        except OutputError as error:
            if isinstance(error.__cause__, OSError) and not isinstance(
                error.__cause__, BlockingIOError | FileExistsError
            ):
                raise write_error(self.path, error.__cause__) from error
            raise

    def discard(self) -> None:
        """Removes what an interrupted run left, also of what it had moved to its place already."""
        if not self.staging.exists():
            return
        for file in (REPLACED_FILE, PUBLISHING_FILE):
            unfinished = not (self.path / MANIFEST_FILE).exists()
            if unfinished and (self.staging / file).exists():
                self._remove(file)
        clear_staging(self.staging)


def clear_staging(staging: Path) -> None:
    """Remove the files that conversions and exports make in a staging folder, and the folder where nothing else is in it.

    Raises:
        OSError: a file cannot be removed.
    """
    _clear(staging / "images", re.compile(r"-?[0-9]+\.(jpg|png)").fullmatch, depth=1)
    _clear(staging / "receipts", re.compile(r"[0-9]{7,}\.csv(\.incomplete)?").fullmatch)
    _clear(staging, _is_staged)


def _clear(folder: Path, is_own: Callable[[str], object], *, depth: int = 0) -> None:
    """Remove the files of a folder, and of the folders in it down to a depth, that have names of ours; and what is empty then."""
    if folder.is_symlink() or not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if depth and entry.is_dir(follow_symlinks=False):
                _clear(Path(entry), is_own, depth=depth - 1)
            elif is_own(entry.name) and entry.is_file(follow_symlinks=False):
                os.unlink(entry)  # noqa: PTH108  there may be millions
    with suppress(OSError):  # holds something else
        folder.rmdir()


def _is_staged(name: str) -> bool:
    """Whether conversions give this name to a file in a staging folder: of the set, a receipt, a note, or a draft of one."""
    draft = _DRAFT.fullmatch(name)
    name = draft[1] or draft[2] if draft else name
    return name in _NOTES or is_set_file(name.removesuffix(".json")) or is_set_file(name)


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


def require_free_names(path: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse a folder in which files of these names cannot be written, or are there and are not to be replaced.

    Raises:
        OutputError: if that is so.
    """
    require_place(path)
    present = [name for name in names if os.path.lexists(path / name)]
    for name in present:
        if (path / name).is_symlink() or not (path / name).is_file():
            raise OutputError(f"{path / name}: expected a file, or nothing; received something else. Move it away.")
    if present and not overwrite:
        raise OutputError(
            f"{path}: holds {', '.join(present)} already. Replace them by --overwrite, or choose another folder."
        )


def require_other_files(path: Path, sources: Iterable[Path]) -> None:
    """Refuse a folder for a set where a file that is read has the name of one that may be replaced.

    Raises:
        OutputError: if that is so.
    """
    folder = path.resolve()
    for source in sources:
        if is_set_file(source.name) and source.resolve().parent == folder:
            raise OutputError(
                f"{source}: is read by this command, and may be replaced by it. Choose another folder than {path}."
            )


def require_free(
    path: Path, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool, names: Collection[str] = ()
) -> None:
    """Refuses a folder that a run would refuse, for one that writes nothing; see `OutputFolder.prepare`.

    Raises:
        OutputError: if the folder cannot be one, is being written, or holds something that neither option covers.
    """
    require_place(path)
    if is_folder(path):
        with OutputFolder(path) as folder:
            folder.can_go_on(fingerprint, overwrite=overwrite, resume=resume, names=names)


def _read_json(path: Path, kind: type[Json]) -> Json:
    """Reads a file that this module wrote."""
    if not path.is_file():
        raise OutputError(f"{path}: expected a file that fr-prep wrote, received something else. Move it away.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: is damaged ({error}). Start anew by --overwrite.") from error
    if not isinstance(content, kind):
        raise OutputError(f"{path}: is damaged. Start anew by --overwrite.")
    return content


def _is_left_of_a_set(folder: Path) -> bool:
    """Whether files of a set without a sound manifest are this program's: its damaged manifest says so, or its record table."""
    manifest, table = folder / MANIFEST_FILE, folder / RECORDS_FILE
    try:
        if os.path.lexists(manifest):
            return manifest.is_file() and b'"name": "fr-toolkit"' in manifest.read_bytes()
        if not table.is_file():
            return False
        with table.open("rb") as file:
            return repr(RECORD_TYPE.descr).encode() in file.read(1024)
    except OSError:
        return False


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
