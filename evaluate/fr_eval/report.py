"""The report: one self-contained HTML page that loads nothing."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fr_eval.errors import EvalError
from fr_eval.evaluate import BinResult
from fr_eval.hardest import HardPair, find_hardest
from fr_eval.job import Outcome
from fr_eval.plots import plot_histogram, plot_roc
from fr_eval.table import OPTIMISTIC, format_accuracy, format_rate

__all__ = ["render_report", "write_report"]


@dataclass(frozen=True)
class _Section:
    """What the template needs of one bin."""

    result: BinResult
    roc_svg: str
    histogram_svg: str
    rejected: list[HardPair]
    accepted: list[HardPair]


def render_report(outcome: Outcome, *, num_hardest: int = 6) -> str:
    """Gives the page: model, versions, results, curves, histograms and the hardest errors.

    The same outcome gives the same text.

    Args:
        outcome: what a job gave.
        num_hardest: errors of each kind to show as image pairs; 0 keeps faces out of the page.

    Returns:
        HTML.
    """
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fr_eval"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {"accuracy": format_accuracy, "rate": format_rate, "far": "{:.0e}".format}
    environment.filters.update(filters)
    sections = []
    for number, (result, bin_) in enumerate(zip(outcome.results, outcome.pairs, strict=True)):
        rejected, accepted = find_hardest(result.verification, bin_, num_pairs=num_hardest)
        roc = plot_roc(result.verification, prefix=f"roc{number}")
        histogram = plot_histogram(result.verification, prefix=f"histogram{number}")
        sections.append(_Section(result, roc, histogram, rejected, accepted))
    template = environment.get_template("report.html.j2")
    return template.render(outcome=outcome, sections=sections, optimistic=OPTIMISTIC, num_hardest=num_hardest)


def write_report(path: str | os.PathLike[str], outcome: Outcome, *, num_hardest: int = 6) -> None:
    """Writes the page; the file appears whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        outcome: what a job gave.
        num_hardest: errors of each kind to show as image pairs.

    Raises:
        EvalError: the file cannot be written.
    """
    path = Path(path)
    page = render_report(outcome, num_hardest=num_hardest)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            draft = Path(folder) / path.name
            draft.write_text(page, encoding="utf-8")
            draft.replace(path)
    except OSError as error:
        raise EvalError(f"{path}: the report cannot be written: {error}") from error
