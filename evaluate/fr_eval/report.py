"""The report: one self-contained HTML page that loads nothing."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fr_eval.evaluate import BinResult
from fr_eval.hardest import HardPair, find_hardest
from fr_eval.outcome import ModelCard, Outcome
from fr_eval.output_file import write_whole
from fr_eval.plots import plot_histogram, plot_roc
from fr_eval.result_tables import OPTIMISTIC
from fr_eval.table import format_accuracy, format_rate

__all__ = ["render_report", "write_report"]


@dataclass(frozen=True)
class _Section:
    """What the template needs of one model and bin."""

    model: ModelCard
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
    for number, ((model, bin_), result) in enumerate(outcome.results.items()):
        rejected, accepted = find_hardest(result.verification, bin_, num_pairs=num_hardest)
        roc = plot_roc(result.verification, prefix=f"roc{number}")
        histogram = plot_histogram(result.verification, prefix=f"histogram{number}")
        sections.append(_Section(model, result, roc, histogram, rejected, accepted))
    template = environment.get_template("report.html.j2")
    title = f"Verification of {', '.join(model.label for model in outcome.models)}"
    return template.render(
        title=title, outcome=outcome, sections=sections, optimistic=OPTIMISTIC, num_hardest=num_hardest
    )


def write_report(path: str | os.PathLike[str], outcome: Outcome, *, num_hardest: int = 6) -> None:
    """Writes the page; the file appears whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        outcome: what a job gave.
        num_hardest: errors of each kind to show as image pairs.

    Raises:
        EvalError: the file cannot be written.
    """
    write_whole(path, render_report(outcome, num_hardest=num_hardest))
