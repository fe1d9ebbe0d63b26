"""Networks of `keras.applications`, without their classifiers."""

from collections.abc import Callable
from typing import Any

import keras

from fr_train.backbones.registry import BackboneOptions, register_backbone
from fr_train.errors import ConfigError

__all__ = ["APPLICATIONS"]

Tensor = Any
# Name → class, description. All of them take images in [-1, 1].
APPLICATIONS: dict[str, tuple[Callable[..., keras.Model], str, dict[str, Any]]] = {
    "resnet50v2": (keras.applications.ResNet50V2, "ResNet50V2, the original recipe's network", {}),
    "resnet101v2": (keras.applications.ResNet101V2, "ResNet101V2", {}),
    "mobilenetv2": (keras.applications.MobileNetV2, "MobileNetV2", {}),
    "efficientnetv2b0": (keras.applications.EfficientNetV2B0, "EfficientNetV2-B0", {"include_preprocessing": False}),
    "efficientnetv2b3": (keras.applications.EfficientNetV2B3, "EfficientNetV2-B3", {"include_preprocessing": False}),
    "efficientnetv2s": (keras.applications.EfficientNetV2S, "EfficientNetV2-S", {"include_preprocessing": False}),
}


def _register(name: str, make: Callable[..., keras.Model], description: str, options: dict[str, Any]) -> None:
    has_width = name == "mobilenetv2"

    @register_backbone(
        name,
        output="gap",
        has_width=has_width,
        has_imagenet=True,
        description=f"{description} of keras.applications",
    )
    def build(images: Tensor, chosen: BackboneOptions) -> Tensor:
        """Gives the feature map (B, H/32, W/32, c) of images (B, H, W, 3)."""
        width = {"alpha": chosen.width} if has_width else {}
        weights = "imagenet" if chosen.imagenet else None
        try:
            return make(include_top=False, weights=weights, input_tensor=images, **width, **options).output
        except Exception as error:  # whatever the download raises: Keras passes on what urllib and tarfile do
            if not chosen.imagenet:
                raise
            raise ConfigError(
                f"model.imagenet: the weights of {name} cannot be had ({error}). Keras loads them from storage.googleapis.com "
                "into ~/.keras/models: put the file there, go online, or begin with random weights."
            ) from error


for _name, (_make, _description, _options) in APPLICATIONS.items():
    _register(_name, _make, _description, _options)
