"""Networks by name. A network is registered with the function that makes it and a line about it."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fr_train.errors import ConfigError

__all__ = ["Backbone", "BackboneOptions", "backbone_names", "find_backbone", "register_backbone"]

Features = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneOptions:
    """What may be chosen of a network.

    Attributes:
        width: factor of the channels.
        imagenet: begin with weights trained on ImageNet.
    """

    width: float = 1.0
    imagenet: bool = False


Builder = Callable[[Any, BackboneOptions], Features]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A registered network.

    Attributes:
        name: as configs call it.
        builder: (images (B, H, W, 3) in [-1, 1] as a Keras tensor, options) → feature map (B, h, w, c).
        output: the output layer that the field gives it: `gap`, `e` or `gdc`.
        description: one line.
        has_width: whether it takes a width factor.
        has_imagenet: whether it has weights trained on ImageNet.
        imagenet_widths: the width factors that these are of.
    """

    name: str
    builder: Builder
    output: str
    description: str
    has_width: bool
    has_imagenet: bool
    imagenet_widths: tuple[float, ...]

    def build(self, images: Any, options: BackboneOptions) -> Features:
        """Gives the feature map (B, h, w, c) of images (B, H, W, 3) in [-1, 1].

        Raises:
            ConfigError: if an option is chosen that the network does not have, or weights cannot be had.
        """
        if options.width != 1.0 and not self.has_width:
            raise ConfigError(f"model.width: {self.name} has no width factor; expected 1.0, received {options.width}.")
        if options.imagenet and not self.has_imagenet:
            raise ConfigError(
                f"model.imagenet: {self.name} has no weights trained on ImageNet. Choose one of "
                f"{', '.join(name for name in backbone_names() if _BACKBONES[name].has_imagenet)}, or begin with random weights."
            )
        if options.imagenet and options.width not in self.imagenet_widths:
            raise ConfigError(
                f"model.width: of {self.name} there are weights trained on ImageNet for "
                f"{', '.join(f'{width:g}' for width in self.imagenet_widths)}, received {options.width:g}. Choose one of these, "
                "or begin with random weights, by imagenet = false."
            )
        return self.builder(images, options)


_BACKBONES: dict[str, Backbone] = {}


def register_backbone(
    name: str,
    *,
    output: str,
    description: str,
    has_width: bool = False,
    has_imagenet: bool = False,
    imagenet_widths: tuple[float, ...] = (1.0,),
) -> Callable[[Builder], Builder]:
    """Registers the decorated function under a name."""

    def register(builder: Builder) -> Builder:
        if name in _BACKBONES:
            raise ValueError(f"a network named {name} is registered already")
        _BACKBONES[name] = Backbone(name, builder, output, description, has_width, has_imagenet, imagenet_widths)
        return builder

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
    from fr_train.model.backbones import applications, ghostnet, iresnet, mobilefacenet, plain  # noqa: F401, PLC0415
