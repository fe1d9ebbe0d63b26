"""Figures of a verification as inline SVG that follows the page's colours: ROC and score histograms.

Axes and text are drawn in one odd colour that is then replaced by `currentColor`, so that a page in the dark needs no
second figure. Same input gives the same bytes: no date, and identifiers that do not depend on chance.
"""

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fr_eval.protocols.distances import Floats
from fr_eval.protocols.verification import Verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "Line", "choose_line", "plot_histogram", "plot_roc"]

# Each stands out from white paper and from a dark page: a contrast of 3 or more to both.
COLOURS = ("#2f86d6", "#cf6a1c", "#2e9a5c", "#9b62c9", "#d1495b", "#1c93a0", "#94703f", "#7a8693")
_SAME_COLOUR, _DIFFERENT_COLOUR = COLOURS[:2]
_DASHES = ((), (5.0, 2.0), (1.5, 1.5), (7.0, 2.0, 1.5, 2.0))
_INK = "#010203"  # becomes currentColor
_SIZE_INCHES = (4.6, 3.1)  # so small that its text can still be read on a phone
_NUM_BINS = 60


@dataclass(frozen=True)
class Line:
    """How the curve of one model is drawn.

    Attributes:
        colour: as `#rrggbb`.
        dashes: lengths of strokes and gaps in points; empty for a solid line.
    """

    colour: str
    dashes: tuple[float, ...]


def choose_line(number: int) -> Line:
    """Gives model `number`, from 0, a line that the other 31 do not have; neighbours differ in colour and in dashes."""
    return Line(COLOURS[number % len(COLOURS)], _DASHES[(number + number // len(COLOURS)) % len(_DASHES)])


def plot_roc(curves: Sequence[tuple[Line, Verification]], *, prefix: str, label: str) -> str:
    """Draws TAR over FAR, with a logarithmic FAR axis that ends where the pairs can still measure it.

    Args:
        curves: the figures of each model on the same pairs; points mark the TARs that tables give.
        prefix: begins every identifier of the figure: one page may hold several.
        label: what the figure shows, for those who do not see it.

    Returns:
        An `<svg>` element.
    """
    figure, axes = _start()
    floor = 1 / curves[0][1].num_different
    tars: list[float] = []
    for line, figures in curves:
        style = (0, line.dashes) if line.dashes else "solid"
        # A step, because between two distances nothing changes; FAR 0 stands at the left edge.
        far = np.maximum(figures.roc.far, floor / 2)
        axes.step(far, figures.roc.tar, where="post", color=line.colour, linewidth=1.7, linestyle=style)
        points = {target: tar for target, tar in figures.tars.items() if tar is not None}
        axes.plot(list(points), list(points.values()), "o", color=line.colour, markersize=4)
        tars += points.values()
    axes.set_xscale("log")
    axes.set_xlim(floor / 2, 1)
    axes.set_ylim(max(0.0, min(0.9, min(tars, default=0.0) - 0.05)), 1.005)
    axes.set_xlabel("false accept rate (FAR)")
    axes.set_ylabel("true accept rate (TAR)")
    return _finish(figure, prefix, label)


def plot_histogram(verification: Verification, *, prefix: str, label: str) -> str:
    """Draws the cosines of same and different pairs, each kind as shares of its own, with the protocol's mean threshold.

    Args:
        verification: the figures.
        prefix: begins every identifier of the figure.
        label: what the figure shows, for those who do not see it.

    Returns:
        An `<svg>` element.
    """
    figure, axes = _start()
    cosines = 1 - verification.distances / 2
    edges = np.linspace(np.floor(10 * cosines.min()) / 10, 1, _NUM_BINS + 1)
    _draw_histogram(axes, cosines[~verification.issame], edges, _DIFFERENT_COLOUR, "different")
    _draw_histogram(axes, cosines[verification.issame], edges, _SAME_COLOUR, "same")
    threshold = 1 - float(np.mean(verification.best_protocol.thresholds)) / 2
    axes.axvline(threshold, color=_INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.2f}")
    axes.set_xlabel("cosine of the two embeddings")
    axes.set_ylabel("% of the pairs of a kind")
    axes.margins(x=0.01)
    size = {"fontsize": 9, "columnspacing": 1.2, "handlelength": 1.4}
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, labelcolor=_INK, **size)
    return _finish(figure, prefix, label)


def _draw_histogram(axes: "Axes", cosines: Floats, edges: Floats, colour: str, kind: str) -> None:
    label = f"{kind} ({len(cosines):,})"
    shares = np.full(len(cosines), 100 / len(cosines))
    axes.hist(cosines, bins=list(edges), weights=shares, color=colour, alpha=0.65, label=label, histtype="stepfilled")


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


def _finish(figure: "Figure", prefix: str, label: str) -> str:
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
    (view,) = re.findall(r'^<svg [^>]*?(viewBox="[^"]*")', svg)
    svg = f'<svg {view} role="img" aria-label="{html.escape(label)}">' + svg[svg.index(">") + 1 :]
    return svg.replace(_INK, "currentColor").strip()
