"""Images per class as a picture: the classes in order of size, and a histogram."""

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_counts"]

_INK, _FILL, _MARK = "#22313f", "#a9bccd", "#b3541e"  # apart in grey as well
_GROWTH = 1.3  # of the bars of the histogram


def draw_counts(counts: NDArray[np.int64], *, title: str) -> bytes:
    """Draws how many images classes have, on logarithmic axes.

    Args:
        counts: (C,) int64, images of each class.
        title: of the picture.

    Returns:
        A PNG. Same input gives the same bytes from the same Matplotlib.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  Matplotlib takes half a second to import

    figure = Figure(figsize=(11, 4.4), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(title, color=_INK, fontsize=13)
    _draw_sizes(left, counts)
    _draw_histogram(right, counts)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _draw_sizes(axes: "Axes", counts: NDArray[np.int64]) -> None:
    sizes = np.sort(counts)[::-1]
    edges = np.arange(len(sizes) + 1) + 0.5
    axes.stairs(sizes, edges, baseline=0.8, fill=True, color=_FILL)
    axes.stairs(sizes, edges, baseline=None, color=_INK, linewidth=1.5)
    shown = -1
    for fraction, name, side in ((0.5, "median", 1), (0.9, "90 % quantile", 1), (0.1, "10 % quantile", -1)):
        size = int(np.quantile(sizes, fraction, method="inverted_cdf"))
        if size != shown:
            place = (max(len(sizes) * (1 - fraction), 1), size)
            axes.plot(*place, "o", color=_MARK, markersize=5)
            axes.annotate(
                f"{name} {size:,}",
                place,
                xytext=(6, 7) if side > 0 else (-6, -16),
                textcoords="offset points",
                color=_INK,
                horizontalalignment="left" if side > 0 else "right",
            )
        shown = size if shown < 0 else shown
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0.8, float(sizes[0]) * 1.6)
    axes.set_yscale("log")
    axes.set_xlabel("class, the largest first")
    axes.set_ylabel("images in the class")
    _style(axes, "y")


def _draw_histogram(axes: "Axes", counts: NDArray[np.int64]) -> None:
    edges = [1]
    while edges[-1] <= counts.max():
        edges.append(
            max(edges[-1] + 1, int(edges[-1] * _GROWTH))
        )  # whole images, and no bar narrower than the one before
    axes.hist(counts, bins=[edge - 0.5 for edge in edges], color=_FILL, edgecolor=_INK, linewidth=0.8)
    for value, name, line in ((np.median(counts), "median", "--"), (counts.mean(), "mean", ":")):
        axes.axvline(float(value), color=_MARK, linestyle=line, linewidth=1.5, label=f"{name} {value:,.1f}")
    axes.set_xlim(float(counts.min()) / 1.5, float(counts.max()) * 1.5)
    axes.set_xscale("log")
    axes.set_xlabel("images in the class")
    axes.set_ylabel("classes")
    axes.legend(frameon=False, labelcolor=_INK)
    _style(axes, "x")


def _style(axes: "Axes", logarithmic: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter  # noqa: PLC0415

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name == logarithmic:
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 2000 else (1,)))
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.label.set_color(_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", colors=_INK)
    axes.grid(axis="y", color="#d8dde2", linewidth=0.6)
    axes.set_axisbelow(True)
