"""Plain-text tables with aligned columns, and the table of results."""

from collections.abc import Sequence

from fr_eval.evaluate import BinResult
from fr_eval.folds import TenFold

__all__ = ["format_accuracy", "format_rate", "format_results", "format_table"]

OPTIMISTIC = "optimistic: threshold chosen on the same pairs"


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


def format_accuracy(folds: TenFold | None) -> str:
    """Gives "99.75 ± 0.75 %", or "-" where it was not measured."""
    return "-" if folds is None else f"{100 * folds.accuracy_mean:.2f} ± {100 * folds.accuracy_std:.2f} %"


def format_rate(rate: float | None) -> str:
    """Gives "99.75 %", or "n/a" where it cannot be measured."""
    return "n/a" if rate is None else f"{100 * rate:.2f} %"


def format_results(results: Sequence[BinResult]) -> str:
    """Gives the table of results, one bin a row, with the notes below it."""
    has_pca = any(result.verification.pca for result in results)
    header = ["bin", "pairs", "accuracy (mirror sum)", "accuracy (no mirror)"]
    header += ["accuracy (PCA)"] if has_pca else []
    header += ["TAR@FAR", "AUC", "EER", "recipe's own*"]
    rows = []
    for result in results:
        figures = result.verification
        row = [result.name, f"{figures.num_pairs:,}", format_accuracy(figures.mirrored), format_accuracy(figures.plain)]
        row += [format_accuracy(figures.pca)] if has_pca else []
        row += [_format_tar(result), f"{figures.roc.auc:.5f}", format_rate(figures.roc.eer)]
        rows.append([*row, format_rate(figures.recipe.accuracy)])
    folds = sorted({result.verification.num_folds for result in results})
    lines = [
        format_table(header, rows),
        "",
        f"accuracy: mean ± standard deviation over {' or '.join(map(str, folds))} folds, threshold from the other folds",
        "TAR@FAR, AUC and EER: of the mirror sum where it was measured",
        f"* {OPTIMISTIC}",
    ]
    lines += [f"note, {result.name}: {note}" for result in results for note in result.verification.notes]
    return "\n".join(lines)


def _format_tar(result: BinResult) -> str:
    """Gives TAR at FAR 1e-3, or at the smallest FAR above it that can be measured."""
    measurable = [(far, tar) for far, tar in result.verification.tars.items() if tar is not None and far >= 1e-3]
    if not measurable:
        return "n/a"
    far, tar = min(measurable)
    return f"{format_rate(tar)} @{far:.0e}".replace("e-0", "e-")
