"""How pixels reach a network: which scaling it was trained with, and whether it does it itself."""

from typing import Any

from fr_eval.errors import ModelError

__all__ = ["SCALINGS", "has_own_scaling", "resolve_scaling"]

# name: (offset, divisor) of (x - offset) / divisor, for x in 0..255
SCALINGS: dict[str, tuple[float, float]] = {
    "none": (0.0, 1.0),  # the network holds a Rescaling layer, or takes 0..255
    "127.5": (127.5, 127.5),  # InsightFace
    "128": (127.5, 128.0),  # MXNet-era models and MobileFaceNet: (x - 127.5) / 128
    "255": (0.0, 255.0),
}

HELP = "none: 0..255, the model scales itself; 127.5: (x-127.5)/127.5; 128: (x-127.5)/128; 255: x/255"


def resolve_scaling(model: Any, scaling: str | None, *, name: str) -> str:
    """Gives the scaling to use: the one that was asked for, or "none" where the network scales by itself.

    Args:
        model: a built Keras model.
        scaling: a key of `SCALINGS`, or None to look into the model.
        name: the model's name or file, for the message.

    Raises:
        ModelError: an unknown name; or none was given, and the network does not begin with a scaling layer.
    """
    if scaling is None:
        if has_own_scaling(model):
            return "none"
        raise ModelError(
            f"{name}: the model holds no Rescaling or Normalization layer before its first weights, so it does not scale "
            f"pixels by itself. Say how it was trained with --scaling ({HELP})"
        )
    if scaling not in SCALINGS:
        raise ModelError(f"{name}: expected a scaling of {', '.join(SCALINGS)}; received {scaling!r} ({HELP})")
    return scaling


def has_own_scaling(model: Any) -> bool:
    """Whether a Rescaling or Normalization layer stands before the network's first weights."""
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
