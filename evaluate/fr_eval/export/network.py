"""The Keras network that is exported, computing in float32 whatever it was trained in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embedder
from fr_eval.models.keras_model import open_keras, wrap_keras
from fr_eval.models.scaling import SCALINGS

__all__ = ["KerasNetwork", "load_network"]

Tensor = Any
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_HALF = ("float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class KerasNetwork:
    """A Keras model, and how it takes images.

    Attributes:
        model: the `keras.Model`.
        embedder: the same for uint8 images: what every export must agree with.
    """

    model: Any = field(repr=False)
    embedder: Embedder

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Gives embeddings (N, D) float32 of RGB pixels (N, H, W, 3) float32, 0 to 255. Meant to be traced."""
        import tensorflow as tf  # noqa: PLC0415  TensorFlow takes seconds to import

        offset, divisor = SCALINGS[self.embedder.scaling]
        if self.embedder.scaling != "none":
            pixels = (pixels - offset) / divisor
        if self.embedder.image_input.layout == "nchw":
            pixels = tf.transpose(pixels, (0, 3, 1, 2))
        outputs = self.model(tf.cast(pixels, self.model.inputs[0].dtype), training=False)
        return tf.cast(tf.nest.flatten(outputs)[0], tf.float32)


def load_network(path: Path, *, scaling: str | None = None) -> KerasNetwork:
    """Loads the network to export.

    Layers that were trained in half precision compute in float32 from here on: their weights are float32 anyway, and few
    programs run half-precision graphs on a CPU.

    Args:
        path: a `.keras` or legacy `.h5` file.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`; None where the model holds its scaling.

    Raises:
        ModelError: no Keras model, or none that gives embeddings of any number of images, or an unknown scaling.
    """
    if not path.exists():
        raise ModelError(f"{path}: there is no such file")
    if path.is_dir() or path.suffix not in KERAS_SUFFIXES:
        found = "a folder" if path.is_dir() else path.suffix or "a file without ending"
        raise ModelError(f"{path}: export begins with a Keras model, {' or '.join(KERAS_SUFFIXES)}; received {found}")
    model = open_keras(path)
    for layer in model._flatten_layers():
        if layer.compute_dtype in _HALF:
            layer.dtype_policy = "float32"
    embedder = wrap_keras(model, scaling=scaling, name=path.name, path=path)
    if embedder.image_input.batch_size is not None:
        raise ModelError(
            f"{path}: expected an input of any number of images; received the fixed number "
            f"{embedder.image_input.batch_size}. Build the network without batch_size and set its weights"
        )
    return KerasNetwork(model, embedder)
