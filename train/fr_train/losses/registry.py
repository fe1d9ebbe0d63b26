"""Losses by name, as configs and the command line call them."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from fr_train.errors import ConfigError
from fr_train.losses.margin_softmax import ArcFace, CombinedMargin, CosFace, NormalizedSoftmax, Softmax

__all__ = ["LOSSES", "build_loss"]

LOSSES = {
    "arcface": ArcFace,
    "combined_margin": CombinedMargin,
    "cosface": CosFace,
    "normalized_softmax": NormalizedSoftmax,
    "softmax": Softmax,
}


def build_loss(name: str, options: Mapping[str, Any]) -> Any:
    """Makes a loss.

    Args:
        name: one of `LOSSES`.
        options: its arguments: margins and scale.

    Raises:
        ConfigError: if the name or an option is unknown, or a value cannot be.
    """
    if name not in LOSSES:
        near = get_close_matches(name, LOSSES, n=1)
        raise ConfigError(
            f"loss.name: expected one of {', '.join(sorted(LOSSES))}, received {name!r}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    known = [key for key in inspect.signature(LOSSES[name]).parameters if key not in ("name", "reduction")]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"loss: {name} takes {' and '.join(known) if known else 'no options'}, received {', '.join(unknown)}."
        )
    try:
        return LOSSES[name](**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"loss: {name}: {error}.") from error
