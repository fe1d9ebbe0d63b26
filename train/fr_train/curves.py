"""The training curve as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["BIN_SUFFIX", "draw_curves"]

BIN_SUFFIX = "_accuracy"


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws loss, training accuracy with learning rate, and verification accuracies over the epochs.

    Args:
        history: a row an epoch, as `history.csv` holds them.
        path: a PNG.
    """
    epochs = [row["epoch"] for row in history]
    bins = [key for key in dict.fromkeys(key for row in history for key in row) if key.endswith(BIN_SUFFIX)]
    figure = Figure(figsize=(4.6 * (3 if bins else 2), 3.6), layout="constrained")
    axes = figure.subplots(1, 3 if bins else 2, squeeze=False)[0]
    axes[0].plot(epochs, [row["loss"] for row in history], marker="o", markersize=3)
    axes[0].set(title="Training loss", xlabel="epoch", ylabel="loss")
    axes[1].plot(epochs, [row["accuracy"] for row in history], marker="o", markersize=3, label="accuracy (no margin)")
    axes[1].set(title="Training accuracy and learning rate", xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    rates = axes[1].twinx()
    rates.plot(epochs, [row["learning_rate"] for row in history], color="0.6", linestyle="--", label="learning rate")
    rates.set(ylabel="learning rate", ylim=(0, None))
    handles = [*axes[1].get_lines(), *rates.get_lines()]
    axes[1].legend(handles, [str(handle.get_label()) for handle in handles], loc="center right", fontsize="small")
    for name in bins:
        points = [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
        axes[2].plot(*zip(*points, strict=True), marker="o", markersize=3, label=name.removesuffix(BIN_SUFFIX))
    if bins:
        axes[2].set(title="Verification accuracy (10 folds)", xlabel="epoch", ylabel="accuracy")
        axes[2].legend(loc="lower right", fontsize="small")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=110, format="png")
