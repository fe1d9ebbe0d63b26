"""Figures of a verification as inline SVG that follows the page's colours: ROC and score histograms.

Axes and text are drawn in one odd colour that is then replaced by `currentColor`, so that a page in the dark needs no
second figure. Same input gives the same bytes: no date, and identifiers that do not depend on chance.
"""

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from fr_eval.distances import Floats
from fr_eval.verification import Verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SAME_COLOUR", "plot_histogram", "plot_roc"]

SAME_COLOUR = "#2f86d6"
DIFFERENT_COLOUR = "#e0792b"
_INK = "#010203"  # becomes currentColor
_SIZE_INCHES = (5.6, 3.6)
_NUM_BINS = 60


def plot_roc(verification: Verification, *, prefix: str) -> str:
    """Draws TAR over FAR, with a logarithmic FAR axis that ends where the pairs can still measure it.

    Args:
        verification: the figures.
        prefix: begins every identifier of the figure: one page may hold several.

    Returns:
        An `<svg>` element.
    """
    figure, axes = _start()
    floor = 1 / verification.num_different
    far, tar = verification.roc.far, verification.roc.tar
    # A step, because between two distances nothing changes; FAR 0 stands at the left edge.
    axes.step(np.maximum(far, floor / 2), tar, where="post", color=SAME_COLOUR, linewidth=2)
    for target, value in verification.tars.items():
        if value is not None:
            axes.plot(target, value, "o", color=SAME_COLOUR, markersize=5)
    axes.set_xscale("log")
    axes.set_xlim(floor / 2, 1)
    lowest = float(min([value for value in verification.tars.values() if value is not None], default=0.0))
    axes.set_ylim(max(0.0, min(0.9, lowest - 0.05)), 1.005)
    axes.set_xlabel("false accept rate (FAR)")
    axes.set_ylabel("true accept rate (TAR)")
    return _finish(figure, prefix)


def plot_histogram(verification: Verification, *, prefix: str) -> str:
    """Draws the cosines of same and different pairs, with the protocol's mean threshold.

    Args:
        verification: the figures.
        prefix: begins every identifier of the figure.

    Returns:
        An `<svg>` element.
    """
    figure, axes = _start()
    cosines = 1 - verification.distances / 2
    edges = np.linspace(np.floor(10 * cosines.min()) / 10, 1, _NUM_BINS + 1)
    _draw_histogram(axes, cosines[~verification.issame], edges, DIFFERENT_COLOUR, "different")
    _draw_histogram(axes, cosines[verification.issame], edges, SAME_COLOUR, "same")
    threshold = 1 - float(np.mean(verification.best_protocol.thresholds)) / 2
    axes.axvline(threshold, color=_INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.2f}")
    axes.set_xlabel("cosine of the two embeddings")
    axes.set_ylabel("pairs")
    axes.legend(frameon=False, labelcolor=_INK, loc="upper left")
    axes.margins(x=0.01)
    return _finish(figure, prefix)


def _draw_histogram(axes: "Axes", cosines: Floats, edges: Floats, colour: str, label: str) -> None:
    axes.hist(
        cosines, bins=list(edges), color=colour, alpha=0.65, label=f"{label} ({len(cosines):,})", histtype="stepfilled"
    )


def _start() -> tuple["Figure", "Axes"]:
    """Makes an empty figure, without pyplot: that would choose a window system and keep global state."""
    from matplotlib.figure import Figure  # noqa: PLC0415  Matplotlib takes half a second to import

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_INK)
    axes.tick_params(which="both", colors=_INK, labelcolor=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(visible=True, color=_INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _finish(figure: "Figure", prefix: str) -> str:
    """Gives the figure as an element that can stand in a page beside others."""
    import matplotlib as mpl  # noqa: PLC0415

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": prefix, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Inside HTML the namespaces are known, and a page that names no address loads none.
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img">', svg, count=1, flags=re.DOTALL)
    return svg.replace(_INK, "currentColor").strip()
