"""How pixels reach a network: which scaling it was trained with, and whether it does it itself."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ModelError

__all__ = ["SCALINGS", "has_own_scaling", "resolve_scaling", "scale_pixels"]

# name: (offset, divisor) of (x - offset) / divisor, for x in 0..255
SCALINGS: dict[str, tuple[float, float]] = {
    "none": (0.0, 1.0),  # the network scales by itself, or takes 0..255
    "127.5": (127.5, 127.5),  # InsightFace
    "128": (127.5, 128.0),  # MXNet-era models and MobileFaceNet: (x - 127.5) / 128
    "255": (0.0, 255.0),
}

HELP = "none: 0..255, the model scales itself; 127.5: (x-127.5)/127.5; 128: (x-127.5)/128; 255: x/255"


def resolve_scaling(asked: str | None, own: str | None, *, name: str, why: str, takes_bytes: bool = False) -> str:
    """Gives the scaling that was asked for, else the model's own.

    Args:
        asked: a key of `SCALINGS`, or None.
        own: what the model itself says; None where it says nothing.
        name: the model's name or file, for the message.
        why: why the model says nothing, for the message.
        takes_bytes: its input is uint8, so that it scales by itself whatever was asked for.

    Raises:
        ModelError: an unknown name, none that suits the input, or none at all.
    """
    if asked is not None and asked not in SCALINGS:
        raise ModelError(f"{name}: expected a scaling of {', '.join(SCALINGS)}; received {asked!r} ({HELP})")
    if takes_bytes and asked not in {None, "none"}:
        raise ModelError(f"{name}: the model takes pixels as uint8, 0 to 255; leave --scaling {asked} out")
    scaling = "none" if takes_bytes else asked or own
    if scaling is None:
        raise ModelError(
            f"{name}: the model does not say how pixels are scaled: {why}. Say how it was trained with --scaling ({HELP})"
        )
    return scaling


def scale_pixels(images: npt.NDArray[np.uint8], scaling: str) -> npt.NDArray[np.float32]:
    """Scales pixels.

    Args:
        images: uint8, of any shape.
        scaling: a key of `SCALINGS`.

    Returns:
        float32, of the same shape.
    """
    offset, divisor = SCALINGS[scaling]
    pixels = images.astype(np.float32)
    if scaling != "none":
        pixels -= np.float32(offset)
        pixels /= np.float32(divisor)
    return pixels


def has_own_scaling(model: Any) -> bool:
    """Whether a Rescaling or Normalization layer stands before a Keras model's first weights."""
    import keras  # noqa: PLC0415  TensorFlow takes seconds to import

    for layer in _flatten(model):
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            return True
        if layer.weights:
            return False
    return False


def _flatten(model: Any) -> list[Any]:
    """Lists the layers in order, with nested models opened."""
    layers = []
    for layer in model.layers:
        layers.extend(_flatten(layer) if hasattr(layer, "layers") else [layer])
    return layers
