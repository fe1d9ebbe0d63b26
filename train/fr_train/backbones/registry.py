"""Networks by name. A network is registered with the function that makes it and a line about it."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fr_train.errors import ConfigError

__all__ = ["Backbone", "backbone_names", "find_backbone", "register_backbone"]

Features = Any


@dataclass(frozen=True, slots=True)
class Backbone:
    """A registered network.

    Attributes:
        name: as configs call it.
        build: (scaled images as a Keras tensor, width factor) → feature map (B, h, w, c).
        output: the output layer that the field gives it: `gap`, `e` or `gdc`.
        description: one line.
    """

    name: str
    build: Callable[[Any, float], Features]
    output: str
    description: str


_BACKBONES: dict[str, Backbone] = {}


def register_backbone(
    name: str, *, output: str, description: str
) -> Callable[[Callable[[Any, float], Features]], Callable[[Any, float], Features]]:
    """Registers the decorated function under a name."""

    def register(build: Callable[[Any, float], Features]) -> Callable[[Any, float], Features]:
        if name in _BACKBONES:
            raise ValueError(f"a network named {name} is registered already")
        _BACKBONES[name] = Backbone(name=name, build=build, output=output, description=description)
        return build

    return register


def backbone_names() -> list[str]:
    """The names of all registered networks, sorted."""
    _load()
    return sorted(_BACKBONES)


def find_backbone(name: str) -> Backbone:
    """Gives a registered network.

    Raises:
        ConfigError: if there is none of that name; names those there are.
    """
    _load()
    if name not in _BACKBONES:
        near = get_close_matches(name, _BACKBONES, n=1)
        raise ConfigError(
            f"model.backbone: expected one of {', '.join(sorted(_BACKBONES))}, received {name!r}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    return _BACKBONES[name]


def _load() -> None:
    """Imports the files in which networks are registered."""
    from fr_train.backbones import applications, mobilefacenet, plain  # noqa: F401, PLC0415
