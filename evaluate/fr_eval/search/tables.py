"""Similarities as text."""

from collections.abc import Sequence

from fr_eval.protocols.distances import Floats
from fr_eval.report.table import format_table

__all__ = ["format_matrix", "format_pair"]


def format_pair(images: Sequence[str], cosines: Floats, threshold: float | None) -> str:
    """Gives the line about two images.

    Args:
        images: their names.
        cosines: shape (2, 2).
        threshold: one person from this cosine on; None where nothing is to be decided.
    """
    cosine = cosines[0, 1]
    line = f"cosine of {images[0]} and {images[1]}: {cosine:.4f}"
    if threshold is None:
        return line
    verdict = f"one person (at least {threshold:.4f})" if cosine >= threshold else f"two people (below {threshold:.4f})"
    return f"{line}, {verdict}"


def format_matrix(images: Sequence[str], cosines: Floats, threshold: float | None) -> str:
    """Gives the matrix of N images, whose columns are numbered as the rows are; a star marks one person.

    Args:
        images: their names.
        cosines: shape (N, N).
        threshold: one person from this cosine on; None where nothing is to be decided.
    """
    marks = [["*" if threshold is not None and cosine >= threshold else " " for cosine in row] for row in cosines]
    rows = []
    for number, (image, values) in enumerate(zip(images, cosines, strict=True)):
        cells = [f"{value:.4f}{mark}" for value, mark in zip(values, marks[number], strict=True)]
        cells[number] = "- "
        rows.append([f"{number + 1} {image}", *cells])
    table = format_table(["cosine", *(f"{number + 1} " for number in range(len(images)))], rows)
    return table if threshold is None else f"{table}\n\n* one person: a cosine of at least {threshold:.4f}"
