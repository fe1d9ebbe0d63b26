"""Losses by name, as configs and the command line call them."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from fr_train.errors import ConfigError
from fr_train.losses.adaface import AdaFace
from fr_train.losses.center import CenterLoss
from fr_train.losses.curricularface import CurricularFace
from fr_train.losses.magface import MagFace
from fr_train.losses.margin_softmax import AirFace, ArcFace, CombinedMargin, CosFace, NormalizedSoftmax, Softmax
from fr_train.losses.triplet_losses import BatchHardTriplet, OfflineTriplet, SemiHardTriplet
from fr_train.losses.weighted_sum import WeightedSum

__all__ = ["LOSSES", "build_loss", "build_losses"]

LOSSES: Mapping[str, Any] = {
    "adaface": AdaFace,
    "airface": AirFace,
    "arcface": ArcFace,
    "center": CenterLoss,
    "combined_margin": CombinedMargin,
    "cosface": CosFace,
    "curricularface": CurricularFace,
    "magface": MagFace,
    "normalized_softmax": NormalizedSoftmax,
    "softmax": Softmax,
    "triplet_batch_hard": BatchHardTriplet,
    "triplet_offline": OfflineTriplet,
    "triplet_semi_hard": SemiHardTriplet,
}
NO_OPTIONS = ("name", "reduction", "kwargs", "num_classes", "embedding_size")  # arguments that are no user's affair


def build_losses(table: Mapping[str, Any], *, num_classes: int, embedding_size: int) -> WeightedSum:
    """Makes what a config's `[loss]` table says.

    Args:
        table: `name` is a loss, or several joined by `+`. The other keys are the options of the one; of several they are tables by
            loss, with its options. `weight` stands among them and is 1 where it does not.
        num_classes: C.
        embedding_size: D.

    Raises:
        ConfigError: if a name or an option is unknown, a value cannot be, or the losses do not go together.

    Example:
        >>> build_losses(
        ...     {"name": "center+arcface", "center": {"weight": 0.01}, "arcface": {"margin_radians": 0.45}},
        ...     num_classes=85742,
        ...     embedding_size=512,
        ... )
    """
    options = {key: value for key, value in table.items() if key != "name"}
    names = str(table["name"]).split("+")
    if len(names) > 1:
        wrong = sorted(key for key, value in options.items() if key not in names or not isinstance(value, Mapping))
        if wrong or len(set(names)) < len(names):
            raise ConfigError(
                f"loss: of {table['name']} expected different losses, each with a table of options of its own, "
                + (f"received {', '.join(wrong)}." if wrong else "received one twice.")
            )
        tables = {name: options.get(name, {}) for name in names}
    else:
        tables = {names[0]: options}
    terms, weights = [], []
    for name, values in tables.items():
        own = {key: value for key, value in values.items() if key != "weight"}
        terms.append(build_loss(name, own, num_classes=num_classes, embedding_size=embedding_size))
        weights.append(values.get("weight", 1.0))
    try:
        return WeightedSum(terms, weights=weights, name="loss")
    except (TypeError, ValueError) as error:
        raise ConfigError(f"loss: {table['name']}: {error}.") from error


def build_loss(
    name: str, options: Mapping[str, Any], *, num_classes: int | None = None, embedding_size: int | None = None
) -> Any:
    """Makes a loss.

    Args:
        name: one of `LOSSES`.
        options: its arguments: margins, scale and the like.
        num_classes: C, where the loss keeps something a class.
        embedding_size: D, likewise.

    Raises:
        ConfigError: if the name or an option is unknown, or a value cannot be.
    """
    if name not in LOSSES:
        near = get_close_matches(name, LOSSES, n=1)
        raise ConfigError(
            f"loss.name: expected one of {', '.join(sorted(LOSSES))}, received {name!r}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    parameters = inspect.signature(LOSSES[name]).parameters
    known = [key for key in parameters if key not in NO_OPTIONS]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"loss: {name} takes {' and '.join(known) if known else 'no options'}, received {', '.join(unknown)}."
        )
    sizes = {"num_classes": num_classes, "embedding_size": embedding_size}
    given = {key: size for key, size in sizes.items() if key in parameters}
    try:
        return LOSSES[name](**given, **options, name=name)  # so that variables have the same path in every process
    except (TypeError, ValueError) as error:
        raise ConfigError(f"loss: {name}: {error}.") from error
