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
from typing import Any, Self

from fr_prep.errors import OutputError, ShardError
from fr_prep.files import INCOMPLETE_SUFFIX, sync, write_error, write_text
from fr_prep.manifest import MANIFEST_FILE, read_manifest

__all__ = ["OutputFolder"]

STAGING_FOLDER = f"conversion{INCOMPLETE_SUFFIX}"
PLAN_FILE = "plan.json"
PUBLISHING_FILE = "publishing"


class OutputFolder:
    """A data set's folder, locked for one writer while it is entered.

    Args:
        path: the folder; made if it is missing.

    Attributes:
        staging: the folder inside in which everything is made.

    Raises:
        OutputError: on entering, if the folder cannot be made, or another process writes there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = path / STAGING_FOLDER
        self._descriptor: int | None = None
        self._was_there = path.exists()

    def __enter__(self) -> Self:
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        if not self._was_there:
            with suppress(OSError):  # goes only if it is empty
                self.path.rmdir()

    def prepare(self, fingerprint: Mapping[str, Any], *, overwrite: bool, resume: bool) -> None:
        """Makes the staging folder ready, or refuses.

        Args:
            fingerprint: what the result depends on: source files, arguments, index. JSON values.
            overwrite: replace what is there.
            resume: go on with what an interrupted run with the same fingerprint left.

        Raises:
            OutputError: if something is there that neither option covers, or the interrupted run was another one.
        """
        fingerprint = json.loads(json.dumps(fingerprint))
        plan_path = self.staging / PLAN_FILE
        try:
            if overwrite:
                shutil.rmtree(self.staging, ignore_errors=True)
            elif not self.staging.exists():
                self._refuse_others(resume=resume)
            elif not resume:
                raise OutputError(
                    f"{self.path}: an unfinished conversion is there. Go on with it by --resume, or start anew by --overwrite."
                )
            elif plan_path.exists():
                _require_same(self.path, json.loads(plan_path.read_text(encoding="utf-8")), fingerprint)
                for orphan in self.staging.glob(f"*{INCOMPLETE_SUFFIX}"):
                    orphan.unlink()
                return
            self.staging.mkdir(exist_ok=True)
            write_text(plan_path, json.dumps(fingerprint, indent=1))
        except OSError as error:
            raise write_error(self.staging, error) from error

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
        if (self.staging / PUBLISHING_FILE).exists():
            places.append(self.path / name)
        return next((place for place in places if place.is_file()), None)

    def publish(self, names: Sequence[str]) -> None:
        """Syncs finished files and moves them to their place, the manifest last; removes the set that they replace.

        Args:
            names: all files of the data set, the manifest among them.

        Raises:
            OutputError: if a file cannot be moved.
        """
        try:
            marker = self.staging / PUBLISHING_FILE
            if not marker.exists():
                for name in names:
                    sync(self.staging / name)
                sync(self.staging)
                self._remove_old_set()
                write_text(marker, "Files are being moved to their place.\n")
            for name in [*(name for name in names if name != MANIFEST_FILE), MANIFEST_FILE]:
                if (self.staging / name).exists():
                    (self.staging / name).replace(self.path / name)
            sync(self.path)
            shutil.rmtree(self.staging)
        except OSError as error:
            raise write_error(self.path, error) from error

    def _remove_old_set(self) -> None:
        try:
            old_names = read_manifest(self.path).file_names()
        except ShardError:
            return  # nothing is there, or nothing that can be told apart from other files
        for name in reversed(old_names):  # the manifest first: from here on the old set is no more
            (self.path / name).unlink(missing_ok=True)


def _require_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
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
