"""Networks of `keras.applications`, without their classifiers."""

from collections.abc import Callable
from typing import Any

import keras

from fr_train.errors import ConfigError
from fr_train.model.backbones.registry import BackboneOptions, register_backbone

__all__ = ["APPLICATIONS"]

Tensor = Any
IMAGENET_WIDTHS = {"mobilenetv2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)}  # where there are others than 1
# All weights of ImageNet are of images in [-1, 1], but those of EfficientNetV2's B variants: of (p - mean) / deviation, where p is
# from 0 to 1.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Name → class, description, arguments.
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
        imagenet_widths=IMAGENET_WIDTHS.get(name, (1.0,)),
        description=f"{description} of keras.applications",
    )
    def build(images: Tensor, chosen: BackboneOptions) -> Tensor:
        """Gives the feature map (B, H/32, W/32, c) of images (B, H, W, 3)."""
        width = {"alpha": chosen.width} if has_width else {}
        weights = "imagenet" if chosen.imagenet else None
        if chosen.imagenet and name.startswith("efficientnetv2b"):
            images = _standardize(images)
        try:
            return make(include_top=False, weights=weights, input_tensor=images, **width, **options).output
        except Exception as error:  # whatever the download raises: Keras passes on what urllib and tarfile do
            if not chosen.imagenet:
                raise
            raise ConfigError(
                f"model.imagenet: the weights of {name} cannot be had ({error}). Keras loads them from storage.googleapis.com "
                "into ~/.keras/models: put the file there, go online, or begin with random weights."
            ) from error


def _standardize(images: Tensor) -> Tensor:
    """Gives (p - mean) / deviation of images 2p - 1, as `include_preprocessing` gives it of pixels from 0 to 255."""
    scale = [0.5 / deviation for deviation in DEVIATION]
    offset = [(0.5 - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="standardization")(images)


for _name, (_make, _description, _options) in APPLICATIONS.items():
    _register(_name, _make, _description, _options)
