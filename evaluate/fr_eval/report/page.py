"""The report: one self-contained HTML page that loads nothing."""

import os
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from fr_data.bins.bins import VerificationBin
from fr_data.files import write_whole
from fr_eval.jobs.evaluate import BinResult
from fr_eval.jobs.hardest import HardestErrors, find_hardest
from fr_eval.jobs.outcome import ModelCard, Outcome
from fr_eval.protocols.bootstrap import MIN_ADMITTED
from fr_eval.protocols.confidence import Comparison, Confidence
from fr_eval.protocols.roc import FARS
from fr_eval.report.plots import choose_line, plot_histogram, plot_roc
from fr_eval.report.result_tables import OPTIMISTIC, choose_far
from fr_eval.report.table import format_accuracy, format_interval, format_rate

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

__all__ = ["render_report", "write_report"]


@dataclass(frozen=True)
class _ModelPart:
    """What the template needs of one model on one bin."""

    model: ModelCard
    result: BinResult
    confidence: Confidence | None
    comparison: Comparison | None
    histogram_svg: str
    rejected: HardestErrors
    accepted: HardestErrors


@dataclass(frozen=True)
class _BinPart:
    """What the template needs of one bin that was measured.

    Attributes:
        bin_: the bin.
        anchor: identifies the bin's section.
        parts: of the models that were measured on it; there is at least one.
        notes: each once, with the models that it is of where these are not all.
        roc_svg: the curves of all models.
        headline_far: the FAR of the TAR that stands in tables of several figures; None where none can be measured.
    """

    bin_: VerificationBin
    anchor: str
    parts: list[_ModelPart]
    notes: list[str]
    roc_svg: str
    headline_far: float | None


def render_report(outcome: Outcome, *, num_hardest: int = 6) -> str:
    """Gives the page: results, models, and for each bin curves, histograms, folds and the hardest errors.

    The same outcome gives the same text.

    Args:
        outcome: what a job gave.
        num_hardest: errors of each kind to show as image pairs; 0 keeps faces out of the page.

    Returns:
        HTML.
    """
    several = len(outcome.models) > 1
    title = f"Verification of {f'{len(outcome.models)} models' if several else outcome.models[0].label}"
    sections = [
        _describe_bin(outcome, bin_, number, num_hardest=num_hardest)
        for number, bin_ in enumerate(outcome.bins, 1)
        if any((model, bin_) in outcome.results for model in outcome.models)
    ]
    return _load_template().render(
        title=title,
        outcome=outcome,
        several=several,
        lines={model: choose_line(place) for place, model in enumerate(outcome.models)},
        sections=sections,
        parts={(part.model, section.bin_): part for section in sections for part in section.parts},
        has_pca=any(result.verification.pca for result in outcome.results.values()),
        all_mirrored=all(result.verification.mirrored for result in outcome.results.values()),
        level=next((f"{100 * each.level:.0f} %" for each in outcome.confidences.values()), None),
        num_resamples=next((each.num_resamples for each in outcome.confidences.values()), 0),
        min_admitted=MIN_ADMITTED,
        optimistic=OPTIMISTIC,
        num_hardest=num_hardest,
    )


def write_report(path: str | os.PathLike[str], outcome: Outcome, *, num_hardest: int = 6) -> None:
    """Writes the page; the file appears whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        outcome: what a job gave.
        num_hardest: errors of each kind to show as image pairs.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(path, render_report(outcome, num_hardest=num_hardest))


def _describe_bin(outcome: Outcome, bin_: VerificationBin, number: int, *, num_hardest: int) -> _BinPart:
    """Gathers what was measured on a bin, and draws it."""
    parts, curves = [], []
    for place, model in enumerate(outcome.models):
        result = outcome.results.get((model, bin_))
        if result is None:
            continue
        figures, key = result.verification, (model, bin_)
        rejected, accepted = find_hardest(figures, bin_, num_pairs=num_hardest)
        histogram = plot_histogram(
            figures,
            prefix=f"histogram{number}-{place}",
            label=f"Histogram of the cosines of same and different pairs: {model.label} on {bin_.name}",
        )
        confidence, comparison = outcome.confidences.get(key), outcome.comparisons.get(key)
        curves.append((choose_line(place), figures))
        parts.append(_ModelPart(model, result, confidence, comparison, histogram, rejected, accepted))
    roc = plot_roc(
        curves,
        prefix=f"roc{number}",
        label=f"ROC on {bin_.name}: {', '.join(part.model.label for part in parts)}; the tables have its figures",
    )
    far = choose_far(parts[0].result.verification)
    return _BinPart(bin_, f"bin{number}", parts, _list_notes(parts), roc, far)


def _list_notes(parts: list[_ModelPart]) -> list[str]:
    """Gives each note of a bin's results once: most are of the pairs, and so the same for every model."""
    notes = []
    for note in dict.fromkeys(chain.from_iterable(part.result.verification.notes for part in parts)):
        labels = [part.model.label for part in parts if note in part.result.verification.notes]
        notes.append(note if len(labels) == len(parts) else f"{', '.join(labels)}: {note}")
    return notes


def _load_template() -> "Template":
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fr_eval.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "accuracy": format_accuracy,
        "rate": format_rate,
        "interval": format_interval,
        "name": _break_name,
        "far": _format_far,
        "points": _format_points,
        "count": "{:,}".format,
    }
    return environment.get_template("report.html.j2")


def _format_far(far: float) -> str:
    """Gives 0.001 as "1e-3", and a measured 0.00125 as "1.2e-3"."""
    digits = 0 if far in FARS else 1
    return f"{far:.{digits}e}".replace("e-0", "e-").replace("e+00", "")


def _format_points(difference: float) -> str:
    """Gives -0.0012 as "−0.12 %", with a true minus sign."""
    return f"{100 * difference:+.2f} %".replace("-", "−")


def _break_name(name: str) -> "Markup":
    """Gives a name that a line may end within, behind its separators."""
    from markupsafe import Markup, escape  # noqa: PLC0415

    return Markup(re.sub(r"([-_./])", r"\1<wbr>", str(escape(name))))  # noqa: S704  escaped
