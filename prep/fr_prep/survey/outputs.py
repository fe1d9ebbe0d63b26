"""The files that a survey leaves: tables as CSV, and a picture; each is whole or not there."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fr_data.files import require_outputs, whole_file, write_whole
from fr_prep.errors import SourceError
from fr_prep.survey.classes import CLASS_COLUMNS, ClassedImages, list_classes
from fr_prep.survey.cleaning import OVERLAY_COLUMNS, Cleaning, list_drops
from fr_prep.survey.picture import draw_counts
from fr_prep.survey.report import LIST_COLUMNS, list_findings
from fr_prep.survey.survey import Survey

__all__ = ["SurveyFiles"]


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
            OutputError: if a file may not be written, or two are one.
        """
        if self.overlay and not classed.is_shards:
            raise SourceError(
                f"{classed.images.path}: an overlay is for a folder of shards. Convert the set first: fr-prep rec2tfrecord."
            )
        options = {
            "--table": self.table,
            "--picture": self.picture,
            "--list": self.findings,
            "--overlay": self.overlay,
        }
        require_outputs(options, overwrite=overwrite, sources=sources)

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
            write_whole(self.picture, draw_counts(classed.counts, title=title))
        if self.findings and survey:
            _write_rows(self.findings, LIST_COLUMNS, list_findings(survey))
        if self.overlay and cleaning:
            _write_rows(self.overlay, OVERLAY_COLUMNS, list_drops(classed, cleaning))


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file, however long, so that it is whole or not there.

    Raises:
        OutputError: if it cannot be written.
    """
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
