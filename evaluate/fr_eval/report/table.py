"""Tables with aligned columns, as plain text or Markdown, and the figures in their cells."""

from collections.abc import Sequence

from fr_eval.protocols.confidence import Difference, Interval
from fr_eval.protocols.folds import TenFold

__all__ = [
    "format_accuracy",
    "format_difference",
    "format_interval",
    "format_markdown_table",
    "format_rate",
    "format_table",
]


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Gives lines of columns, the first aligned left and the others right.

    Args:
        header: column titles.
        rows: cells, as many a row as there are titles.

    Returns:
        The lines, joined by newlines, without one at the end.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def format_markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Gives the lines of a table of GitHub-flavoured Markdown, the first column aligned left and the others right.

    Args and Returns: as `format_table`.
    """
    rule = [":--", *["--:" for _ in header[1:]]]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:]))


def format_accuracy(folds: TenFold | None) -> str:
    """Gives "99.75 ± 0.75 %", or "-" where it was not measured."""
    return "-" if folds is None else f"{100 * folds.accuracy_mean:.2f} ± {100 * folds.accuracy_std:.2f} %"


def format_rate(rate: float | None) -> str:
    """Gives "99.75 %", or "n/a" where it cannot be measured."""
    return "n/a" if rate is None else f"{100 * rate:.2f} %"


def format_interval(interval: Interval | None) -> str:
    """Gives "99.64 – 99.86 %", or "n/a" where there is none."""
    return "n/a" if interval is None else f"{100 * interval.low:.2f} – {100 * interval.high:.2f} %"


def format_difference(difference: Difference) -> str:
    """Gives "+0.12 (−0.04 to +0.28) %", or the value alone where there is no interval; with a true minus sign."""
    value, interval = f"{100 * difference.value:+.2f}", difference.interval
    span = f" ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})" if interval else ""
    return f"{value}{span} %".replace("-", "−")
