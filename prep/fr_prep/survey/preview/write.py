"""A contact sheet as a file, whole or not there."""

from pathlib import Path

from fr_data.files import write_whole
from fr_prep.survey.preview.page import render_page
from fr_prep.survey.preview.picture import render_picture
from fr_prep.survey.preview.sheet import Sheet

__all__ = ["write_sheet"]


def write_sheet(sheet: Sheet, path: Path, *, dry_run: bool) -> int:
    """Writes a sheet as its ending says, `.png` or `.html`; gives how many bytes that takes.

    Raises:
        OutputError: if it would be too large.
        OutputError: if it cannot be written.
    """
    content = render_picture(sheet) if path.suffix.lower() == ".png" else render_page(sheet).encode("utf-8")
    if not dry_run:
        write_whole(path, content)
    return len(content)
