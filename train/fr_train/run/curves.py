"""The training curve as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fr_data.files import whole_file

__all__ = ["BIN_SUFFIX", "draw_curves"]

BIN_SUFFIX = "_accuracy"


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Draws loss, training accuracy with learning rate, and verification accuracies over the epochs.

    Args:
        runs: name → a row an epoch, as `history.csv` holds them; several runs are laid over each other, a colour each.
        path: a PNG.

    Raises:
        OutputError: it cannot be written.
    """
    bins = [
        key for key in dict.fromkeys(key for h in runs.values() for row in h for key in row) if key.endswith(BIN_SUFFIX)
    ]
    figure = Figure(figsize=(4.6 * (3 if bins else 2), 3.6), layout="constrained")
    axes = figure.subplots(1, 3 if bins else 2, squeeze=False)[0]
    rates = axes[1].twinx()
    for number, (run, history) in enumerate(runs.items()):
        colour = f"C{number}" if len(runs) > 1 else None

        def plot(axis: Any, key: str, history: Any = history, **style: Any) -> None:
            points = [(row["epoch"], row[key]) for row in history if isinstance(row.get(key), int | float)]
            if points:
                axis.plot(*zip(*points, strict=True), **style)

        marks = {"marker": "o", "markersize": 3, "color": colour}
        plot(axes[0], "loss", label=run, **marks)
        plot(axes[1], "accuracy", label="accuracy (no margin)" if len(runs) == 1 else run, **marks)
        plot(rates, "learning_rate", color=colour or "0.6", linestyle="--", alpha=0.6, label="learning rate")
        for name, line in zip(bins, ("-", ":", "-.", "--") * len(bins), strict=False):
            label = name.removesuffix(BIN_SUFFIX) if len(runs) == 1 else f"{run} {name.removesuffix(BIN_SUFFIX)}"
            plot(axes[2], name, label=label, linestyle=line if len(runs) > 1 else "-", **marks)
    axes[0].set(title="Training loss", xlabel="epoch", ylabel="loss")
    axes[1].set(title="Training accuracy and learning rate", xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    rates.set(ylabel="learning rate (dashed)", ylim=(0, None))
    if len(runs) == 1:
        handles = [*axes[1].get_lines(), *rates.get_lines()]
        axes[1].legend(handles, [str(handle.get_label()) for handle in handles], loc="center right", fontsize="small")
    else:
        axes[0].legend(loc="upper right", fontsize="small")
    if bins:
        axes[2].set(title="Verification accuracy (10 folds)", xlabel="epoch", ylabel="accuracy")
        axes[2].legend(loc="lower right", fontsize="small")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    with whole_file(path) as draft:
        figure.savefig(draft, dpi=110, format="png")
