"""The files that a survey leaves: tables as CSV, and a picture; each is whole or not there."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fr_prep.errors import OutputError, SourceError
from fr_prep.files import INCOMPLETE_SUFFIX, write_bytes, write_error
from fr_prep.survey.classes import CLASS_COLUMNS, ClassedImages, list_classes
from fr_prep.survey.cleaning import OVERLAY_COLUMNS, Cleaning, list_drops
from fr_prep.survey.picture import draw_counts
from fr_prep.survey.report import LIST_COLUMNS, list_findings
from fr_prep.survey.survey import Survey

__all__ = ["SurveyFiles", "require_free", "write_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyFiles:
    """Where results go; None for what is not wanted.

    Attributes:
        table: CSV of the classes.
        picture: PNG of the images per class.
        findings: CSV of everything that was found in the images.
        overlay: label overlay that drops it.
    """

    table: Path | None = None
    picture: Path | None = None
    findings: Path | None = None
    overlay: Path | None = None

    def paths(self) -> list[Path]:
        """The files that are wanted."""
        return [path for path in (self.table, self.picture, self.findings, self.overlay) if path]

    def require_writable(self, classed: ClassedImages, *, overwrite: bool, sources: Iterable[Path]) -> None:
        """Makes sure, before long work, that the files make sense and may be written.

        Args:
            classed: the set.
            overwrite: whether files that are there may be replaced.
            sources: files that are read, and never replaced.

        Raises:
            SourceError: if the set takes no overlay.
            OutputError: if a file may not be written.
        """
        if self.overlay and not classed.is_shards:
            raise SourceError(
                f"{classed.images.path}: an overlay is for a folder of shards. Convert the set first: fr-prep rec2tfrecord."
            )
        read = {source.resolve() for source in sources}
        for path in self.paths():
            if path.resolve() in read:
                raise OutputError(f"{path}: is read as a source. Choose another name.")
            require_free(path, overwrite=overwrite)

    def write(self, classed: ClassedImages, *, survey: Survey | None, cleaning: Cleaning | None) -> None:
        """Writes the files.

        Args:
            classed: the set.
            survey: what was found in its images, for `findings`.
            cleaning: what is to go, for `overlay`.

        Raises:
            SourceError: if an overlay cannot name an image.
            OutputError: if a file cannot be written.
        """
        if self.table:
            _write_rows(self.table, CLASS_COLUMNS, list_classes(classed))
        if self.picture:
            path = classed.images.path.absolute()
            name = path.parent.name if path.suffix == ".rec" else path.name
            title = f"{name}: {classed.num_images:,} images in {classed.num_classes:,} classes"
            write_file(self.picture, draw_counts(classed.counts, title=title))
        if self.findings and survey:
            _write_rows(self.findings, LIST_COLUMNS, list_findings(survey))
        if self.overlay and cleaning:
            _write_rows(self.overlay, OVERLAY_COLUMNS, list_drops(classed, cleaning))


def require_free(path: Path, *, overwrite: bool) -> None:
    """Makes sure, before long work, that a file may be written.

    Raises:
        OutputError: if it is there already, or its folder is not.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: is there already. Replace it by --overwrite, or choose another name.")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}. Make it first, or choose another one.")


def write_file(path: Path, content: bytes) -> None:
    """Writes a file that is whole or not there.

    Raises:
        OutputError: if it cannot be written.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        raise write_error(path, error, then="try again") from error


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file, however long, so that it is whole or not there.

    Raises:
        OutputError: if it cannot be written.
    """
    partial = path.with_name(path.name + INCOMPLETE_SUFFIX)
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise write_error(path, error, then="try again") from error
