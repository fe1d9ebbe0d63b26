"""The folder of a run: config, checkpoint, models, history and curves."""

import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fr_train.config.config import Config
from fr_train.config.config_file import dump_config, load_config, parse_config
from fr_train.errors import RunFolderError
from fr_train.run.checkpoint import list_checkpoints

__all__ = ["RunFolder"]

_HISTORY_ADVICE = "Give the folder of a run, with the file as fr-train wrote it."


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
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best.keras"
        self.last = path / "last.keras"
        self.centers = path / "centers.npy"
        self.history = path / "history.csv"
        self.curves = path / "curves.png"
        self.nonfinite = path / "nonfinite.json"
        self.tensorboard = path / "tensorboard"

    def start(self, config: Config, *, overwrite: bool) -> None:
        """Makes the folder ready for a new run and saves the config.

        Raises:
            RunFolderError: if a run is there and `overwrite` is not given, or the folder cannot be written.
        """
        files = (self.config, self.best, self.last, self.centers, self.history, self.curves, self.nonfinite)
        own = [path for path in (*files, self.checkpoints, self.tensorboard) if path.exists()]
        results = [path.name for path in own if path != self.config]  # a config alone is a run that never began
        if results and not overwrite:
            raise RunFolderError(
                f"{self.path}: a run is there ({', '.join(results)}). Go on with it by --resume, replace it by "
                "--overwrite, or choose another --out."
            )
        try:
            for path in own:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.path.mkdir(parents=True, exist_ok=True)
            _write(self.config, dump_config(config))
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror}. Choose another --out.") from error

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
            _write(self.config, text)
        except OSError as error:
            raise RunFolderError(f"{self.config}: cannot be written: {error.strerror}. Mend that.") from error

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
        _write(self.history, text.getvalue())

    def save_model(self, model: Any, path: Path) -> None:
        """Saves a network so that the file is whole or the old one."""
        partial = path.with_name(f"incomplete.{path.name}")
        model.save(partial)
        partial.replace(path)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".incomplete")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


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
