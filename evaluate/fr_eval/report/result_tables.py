"""An outcome as plain text, Markdown or CSV."""

import csv
import io
from dataclasses import dataclass
from typing import Any

from fr_data.bins.bins import VerificationBin
from fr_eval.jobs.evaluate import BinResult
from fr_eval.jobs.outcome import ModelCard, Outcome
from fr_eval.protocols.verification import Verification
from fr_eval.report.table import (
    format_accuracy,
    format_difference,
    format_interval,
    format_markdown_table,
    format_rate,
    format_table,
)

__all__ = ["OPTIMISTIC", "choose_far", "format_csv", "format_markdown", "format_text"]

OPTIMISTIC = "optimistic: threshold chosen on the same pairs"


@dataclass(frozen=True)
class _Table:
    title: str
    header: list[str]
    rows: list[list[str]]


def choose_far(verification: Verification) -> float | None:
    """Gives the FAR of the TAR that stands in tables: 1e-3, or the smallest above it that can be measured, if any."""
    return min((far for far, tar in verification.tars.items() if tar is not None and far >= 1e-3), default=None)


def format_text(outcome: Outcome) -> str:
    """Gives the tables as plain text, without a newline at the end.

    Of several models, one table of models × bins comes first, then one a model with a row a bin.
    """
    tables = [f"{table.title}\n{format_table(table.header, table.rows)}".strip() for table in _list_tables(outcome)]
    return "\n\n".join([*tables, "\n".join(_list_notes(outcome))])


def format_markdown(outcome: Outcome) -> str:
    """Gives the same tables as GitHub-flavoured Markdown, with a newline at the end."""
    blocks = []
    for table in _list_tables(outcome):
        blocks += [f"### {table.title}"] if table.title else []
        blocks.append(format_markdown_table(table.header, table.rows))
    notes = "\n".join(f"- {note}" for note in _list_notes(outcome)).replace("*", r"\*")
    return "\n\n".join([*blocks, notes]) + "\n"


def format_csv(outcome: Outcome) -> str:
    """Gives a line a model and bin, with rates as numbers from 0 to 1; what was not measured is empty."""
    lines = [_flatten(outcome, model, bin_) for model in outcome.models for bin_, _ in outcome.of_model(model)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _list_tables(outcome: Outcome) -> list[_Table]:
    several = len(outcome.models) > 1
    tables = [_compare_models(outcome)] if several else []
    for model in outcome.models:
        if outcome.of_model(model):
            tables.append(_describe_model(outcome, model, model.label if several else ""))
    return [*tables, _compare_with_first(outcome)] if outcome.comparisons else tables


def _compare_models(outcome: Outcome) -> _Table:
    """Gives the accuracy of each model on each bin: by one protocol, so that they can be compared."""
    mirrored = all(result.verification.mirrored for result in outcome.results.values())

    def show(model: ModelCard, bin_: VerificationBin) -> str:
        result = outcome.results.get((model, bin_))
        if result is None:
            return "failed"
        return format_accuracy(result.verification.mirrored if mirrored else result.verification.plain)

    header = [f"accuracy ({'mirror sum' if mirrored else 'no mirror'})", *(bin_.name for bin_ in outcome.bins)]
    return _Table(
        "", header, [[model.label, *(show(model, bin_) for bin_ in outcome.bins)] for model in outcome.models]
    )


def _describe_model(outcome: Outcome, model: ModelCard, title: str) -> _Table:
    """Gives all figures of a model, one bin a row."""
    results = outcome.of_model(model)
    has_pca = any(result.verification.pca for _, result in results)
    header = ["bin", "pairs", "accuracy (mirror sum)", "accuracy (no mirror)"]
    header += ["95 % interval†"] if outcome.confidences else []
    header += ["accuracy (PCA)"] if has_pca else []
    header += ["TAR@FAR", "AUC", "EER", "recipe's own*"]
    rows = []
    for bin_, result in results:
        figures = result.verification
        row = [result.name, f"{figures.num_pairs:,}", format_accuracy(figures.mirrored), format_accuracy(figures.plain)]
        row += [format_interval(outcome.confidences[model, bin_].accuracy)] if outcome.confidences else []
        row += [format_accuracy(figures.pca)] if has_pca else []
        row += [_format_tar(result), f"{figures.roc.auc:.5f}", format_rate(figures.roc.eer)]
        rows.append([*row, format_rate(figures.recipe.accuracy)])
    return _Table(title, header, rows)


def _compare_with_first(outcome: Outcome) -> _Table:
    """Gives the difference of each model to the first, on the same pairs."""
    first = outcome.models[0].label
    rows = []
    for (model, bin_), comparison in outcome.comparisons.items():
        figures = [comparison.accuracy, comparison.auc, comparison.eer]
        counts = f"{comparison.only_second:,} : {comparison.only_first:,}"
        rows.append([model.label, bin_.name, *map(format_difference, figures), counts, f"{comparison.p_value:.3g}"])
    header = ["model", "bin", "accuracy", "AUC", "EER", "right alone", "p‡"]
    return _Table(f"Difference to {first}, with 95 % interval", header, rows)


def _format_tar(result: BinResult) -> str:
    """Gives TAR at the FAR of `choose_far`."""
    far = choose_far(result.verification)
    return "n/a" if far is None else f"{format_rate(result.verification.tars[far])} @{far:.0e}".replace("e-0", "e-")


def _list_notes(outcome: Outcome) -> list[str]:
    folds = sorted({result.verification.num_folds for result in outcome.results.values()})
    notes = [
        f"accuracy: mean ± standard deviation over {' or '.join(map(str, folds))} folds, threshold from the other folds",
        "TAR@FAR, AUC and EER: of the mirror sum where it was measured",
        f"* {OPTIMISTIC}",
    ]
    if outcome.confidences:
        num_resamples = next(iter(outcome.confidences.values())).num_resamples
        notes.append(f"† bootstrap of {num_resamples:,} sets of pairs; of the mirror sum where it was measured")
    if outcome.comparisons:
        notes.append("right alone: pairs that the model, and that the first model, alone tells rightly")
        notes.append("‡ McNemar's exact test of these, two-sided: how likely so uneven a division is by chance")
    # Most notes are of the pairs, and so the same for every model.
    of_bins = [
        f"note, {result.name}: {note}" for result in outcome.results.values() for note in result.verification.notes
    ]
    return [*notes, *dict.fromkeys(of_bins)]


def _flatten(outcome: Outcome, model: ModelCard, bin_: VerificationBin) -> dict[str, Any]:
    """Gives the line of a model and a bin."""
    result = outcome.results[model, bin_]
    figures = result.verification
    confidence, comparison = outcome.confidences.get((model, bin_)), outcome.comparisons.get((model, bin_))
    line: dict[str, Any] = {
        "model": model.label,
        "model_sha256": model.sha256,
        "bin": result.name,
        "bin_sha256": result.sha256,
        "num_pairs": figures.num_pairs,
        "num_same": figures.num_same,
        "num_different": figures.num_different,
        "num_folds": figures.num_folds,
    }
    for name, folds in (("mirror_sum", figures.mirrored), ("no_mirror", figures.plain), ("pca", figures.pca)):
        line[f"accuracy_{name}_mean"] = folds and folds.accuracy_mean
        line[f"accuracy_{name}_std"] = folds and folds.accuracy_std
    line["accuracy_low"] = confidence and confidence.accuracy.low
    line["accuracy_high"] = confidence and confidence.accuracy.high
    line["mcnemar_p_with_first"] = comparison and comparison.p_value
    line |= {f"tar_at_far_{far:.0e}": tar for far, tar in figures.tars.items()}
    return line | {"auc": figures.roc.auc, "eer": figures.roc.eer, "recipe_optimistic": figures.recipe.accuracy}
