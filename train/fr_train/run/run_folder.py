"""The folder of a run: config, checkpoint, models, history and curves.

A run that is replaced is set aside in `replaced.incomplete/`, and removed when the new one has its first checkpoint. Where that
never comes, `settle` puts it back.
"""

import csv
import io
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from fr_data.errors import OutputError
from fr_data.files import INCOMPLETE_SUFFIX, find_strangers, remove_drafts, remove_listed, whole_file, write_whole
from fr_train.config.config import Config
from fr_train.config.config_file import dump_config, load_config, parse_config
from fr_train.errors import RunFolderError
from fr_train.run.checkpoint import CHECKPOINT_NAME, list_checkpoints

__all__ = ["PUT_BACK", "RunFolder"]

PUT_BACK = "the run that was to be replaced is back, since the new one had no checkpoint yet."

_HISTORY_ADVICE = "Give the folder of a run, with the file as fr-train wrote it."
_CONFIG, _NONFINITE, _CHECKPOINTS, _TENSORBOARD = "config.toml", "nonfinite.json", "checkpoints", "tensorboard"
_FILES = (_CONFIG, _NONFINITE, "best.keras", "last.keras", "centers.npy", "history.csv", "curves.png")
# Folder → the names that fr-train gives files in it.
_OWN_NAMES = {
    "": re.compile("|".join(map(re.escape, _FILES))),
    _CHECKPOINTS: CHECKPOINT_NAME,
    _TENSORBOARD: re.compile(r"events\.out\.tfevents\..+"),
}


class RunFolder:
    """The folder of a run.

    Args:
        path: the folder.

    Attributes:
        config: `config.toml`, the resolved config.
        checkpoints: `checkpoints/`, from whose newest one `--resume` goes on.
        best: `best.keras`, the embedding network with the best score.
        last: `last.keras`, the embedding network as it is.
        centers: `centers.npy`, those of a center loss.
        history: `history.csv`, a row an epoch.
        curves: `curves.png`.
        nonfinite: `nonfinite.json`, about a loss that was no number.
        tensorboard: `tensorboard/`.
        replaced: `replaced.incomplete/`, the run that this one replaces, until this one has its first checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / _CONFIG
        self.checkpoints = path / _CHECKPOINTS
        self.best = path / "best.keras"
        self.last = path / "last.keras"
        self.centers = path / "centers.npy"
        self.history = path / "history.csv"
        self.curves = path / "curves.png"
        self.nonfinite = path / _NONFINITE
        self.tensorboard = path / _TENSORBOARD
        self.replaced = path / f"replaced{INCOMPLETE_SUFFIX}"

    def require_free(self, config: Config, *, overwrite: bool) -> list[str]:
        """Refuse a folder that `start` would refuse; write nothing.

        Returns:
            The files of the run that is to be replaced, relative to the folder.

        Raises:
            RunFolderError: a run is there and `overwrite` is not given, the new run reads a file of it, or something is in the way
                that fr-train did not write.
        """
        own = _list_own(self.path)
        if own in ([], [_CONFIG]):
            if own and not _is_config(self.config, as_saved=True):
                raise RunFolderError(
                    f"{self.config}: was not saved by fr-train, which would write its own config there. Rename it, or choose "
                    "another --out."
                )
            return []  # a config alone is a run that never began
        parts = ", ".join(sorted({name.split("/")[0] for name in own} - {_CONFIG}))
        if not overwrite:
            raise RunFolderError(
                f"{self.path}: a run is there ({parts}). Go on with it by --resume, replace it by --overwrite, or choose "
                "another --out."
            )
        if not _is_config(self.config):
            raise RunFolderError(
                f"{self.path}: holds {parts}, but no {_CONFIG} of fr-train, which would have written them. Move them away, or "
                "choose another --out."
            )
        taken = {path.resolve() for path in (self.path, *(self.path / name for name in own))}
        for source in (config.model.file, config.start_from, config.start_centers, config.overlay, *config.bins):
            if source and Path(source).resolve() in taken:
                raise RunFolderError(
                    f"{source}: is read by this run, and belongs to the run that --overwrite replaces. Choose another --out."
                )
        return own

    def start(self, config: Config, *, overwrite: bool) -> None:
        """Make the folder ready for a new run and save the config; a run that is there is set aside.

        Raises:
            RunFolderError: as `require_free`, or the folder cannot be written.
        """
        self.settle()
        own = self.require_free(config, overwrite=overwrite)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _move(own, self.path, self.replaced)
            write_whole(self.config, dump_config(config))
        except OutputError as error:
            raise RunFolderError(f"{error} Choose another --out.") from error
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror}. Choose another --out.") from error

    def settle(self) -> bool:
        """Finish or undo a replacement that did not come to its end: what the folder then holds is one run.

        The config of the old run is set aside last and comes back first, so where it is says how far the replacement had come.

        Returns:
            Whether the old run was put back, because the new one has no checkpoint yet.

        Raises:
            RunFolderError: `replaced.incomplete` holds something that fr-train did not put there, or the folder cannot be written.
        """
        if not os.path.lexists(self.replaced):
            return False
        _require_folder(self.replaced)
        aside = _list_own(self.replaced)
        strangers = find_strangers(self.replaced, [*aside, *(f"{place}/any" for place in _OWN_NAMES if place)])
        if strangers:
            raise RunFolderError(
                f"{self.replaced / strangers[0]}: expected only files of a run that was set aside. Move it away."
            )
        try:
            if _CONFIG in aside:
                if list_checkpoints(self.checkpoints):
                    self.drop_replaced()
                    return False
                begun = [
                    name for name in _list_own(self.path) if name != _NONFINITE
                ]  # which says why the new run ended
                remove_listed(self.path, begun, list_name=str(self.path))
            _move(aside[::-1], self.replaced, self.path)
            _remove_empty(self.replaced)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror}. Mend that.") from error
        return bool(aside)

    def remove_drafts(self) -> None:
        """Remove what a killed process had not written to its end; only for who holds the folder's lock."""
        remove_drafts(self.path, _FILES.__contains__)
        remove_drafts(self.checkpoints, lambda name: CHECKPOINT_NAME.fullmatch(name) is not None)

    def require_settled(self) -> None:
        """Refuse a folder whose old run `settle` would put back, for a process that writes nothing there.

        Raises:
            RunFolderError: that is so.
        """
        if os.path.lexists(self.replaced) and not list_checkpoints(self.checkpoints):
            raise RunFolderError(
                f"{self.path}: a run was to be replaced, and the new one has no checkpoint. Process 0 puts the old one back: "
                "start all processes again."
            )

    def drop_replaced(self) -> None:
        """Remove the run that was set aside, if there is one: the new one stands.

        Raises:
            OSError: it cannot be removed.
        """
        if os.path.lexists(self.replaced):
            remove_listed(self.replaced, _list_own(self.replaced), list_name=str(self.replaced))
            _remove_empty(self.replaced)

    def read_config(self, changes: Mapping[tuple[str, ...], Any] | None = None) -> Config:
        """Gives the config of the run that is there, with changes on top.

        Raises:
            RunFolderError: if there is no run.
        """
        if not self.config.is_file():
            raise RunFolderError(f"{self.path}: there is no run to resume; {self.config.name} is missing. Check --out.")
        return parse_config(load_config(self.config), overrides=changes)

    @contextmanager
    def change_config(self, config: Config) -> Iterator[None]:
        """Saves another config for what runs within; the old one comes back where that writes no checkpoint with the new one.

        Raises:
            RunFolderError: if it cannot be written.
        """
        before, newest = self.config.read_text(encoding="utf-8"), list_checkpoints(self.checkpoints)[:1]
        self._save_config(dump_config(config))
        try:
            yield
        finally:
            if list_checkpoints(self.checkpoints)[:1] == newest:  # of the old config, with which --resume compares it
                self._save_config(before)

    def _save_config(self, text: str) -> None:
        try:
            write_whole(self.config, text)
        except OutputError as error:
            raise RunFolderError(f"{error} Mend that.") from error

    def read_history(self) -> list[dict[str, Any]]:
        """Gives the rows of the history, numbers as numbers.

        Raises:
            RunFolderError: if the file cannot be read, or holds something else.
        """
        if not self.history.exists():
            return []
        try:
            rows = list(csv.DictReader(io.StringIO(self.history.read_text(encoding="utf-8"), newline="")))
        except OSError as error:
            raise RunFolderError(f"{self.history}: cannot be read: {error.strerror}.") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise RunFolderError(f"{self.history}: expected CSV in UTF-8: {error}. {_HISTORY_ADVICE}") from error
        for line, row in enumerate(rows, start=2):
            _check_row(row, f"{self.history}, line {line}")
        return [{key: _number(value) for key, value in row.items()} for row in rows]

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the history anew, so that a killed run leaves the old or the new one."""
        text = io.StringIO()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.history, text.getvalue())

    def save_model(self, model: Any, path: Path) -> None:
        """Saves a network so that the file is whole or the old one."""
        with whole_file(path) as draft:
            model.save(draft)


def _list_own(folder: Path) -> list[str]:
    """Return the files in a folder that have names which fr-train gives the files of a run, relative to it; the config last.

    Raises:
        RunFolderError: something else than a file, or than a folder of files, has such a name.
    """
    found = []
    for place, names in _OWN_NAMES.items():
        inside = folder / place
        if place and os.path.lexists(inside):
            _require_folder(inside)
        for entry in inside.iterdir() if inside.is_dir() else ():
            if names.fullmatch(entry.name):
                if entry.is_symlink() or not entry.is_file():
                    raise RunFolderError(f"{entry}: expected a file of a run, received something else. Move it away.")
                found.append(entry.relative_to(folder).as_posix())
    return sorted(found, key=lambda name: (name == _CONFIG, name))


def _require_folder(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        raise RunFolderError(f"{path}: expected a folder that fr-train made, received something else. Move it away.")


def _is_config(path: Path, *, as_saved: bool = False) -> bool:
    """Whether a file is the config of a run; `as_saved` asks for the very form in which fr-train saves it, with no comment."""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return False
    return {"model", "phases", "shards"} <= values.keys() and (not as_saved or tomli_w.dumps(values) == text)


def _move(names: Sequence[str], source: Path, target: Path) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(target / name)


def _remove_empty(folder: Path) -> None:
    for place in (_CHECKPOINTS, _TENSORBOARD, ""):
        with suppress(OSError):  # holds something else, or is not there
            (folder / place).rmdir()


def _check_row(row: Mapping[Any, Any], place: str) -> None:
    if None in row or None in row.values():
        raise RunFolderError(f"{place}: expected a value for each column, received more or fewer. {_HISTORY_ADVICE}")
    if not {"epoch", "loss"} <= set(row):
        found = ", ".join(row)
        raise RunFolderError(f"{place}: expected the columns epoch and loss, received {found}. {_HISTORY_ADVICE}")
    for key, kinds, expected in (("epoch", (int,), "a whole number"), ("loss", (int, float), "a number")):
        if not isinstance(_number(row[key]), kinds):
            raise RunFolderError(f"{place}: {key}: expected {expected}, received {row[key]!r}. {_HISTORY_ADVICE}")


def _number(text: str) -> int | float | str | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
