"""Keras models as embedders: uint8 images in, embeddings out."""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ModelError
from fr_eval.scaling import SCALINGS, resolve_scaling
from fr_eval.startup import import_tensorflow

__all__ = ["Embedder", "load_model"]

_CHUNK_BYTES = 2**20
# What Keras, h5py and zipfile raise on a file that is damaged, or that names layers which are not there.
_LOAD_FAILURES = (
    *(ValueError, TypeError, LookupError, OSError, EOFError, AttributeError, ImportError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


class Embedder:
    """A network that gives embeddings of RGB images, with its pixel scaling.

    The forward pass is compiled once: batches have one size, and the last is filled up. The model's variables are not
    copied, so that an embedder made of a model in training follows it.

    Attributes:
        model: the Keras model.
        name: its file name or own name.
        path: its file, where it has one.
        digest: SHA-256 of that file; empty for a model in memory.
        scaling: a key of `fr_eval.scaling.SCALINGS`.
        input_size: (height, width) of the images.
        embedding_size: D.
    """

    def __init__(self, model: Any, *, scaling: str, name: str, path: Path | None = None, digest: str = "") -> None:
        self.model = model
        self.name = name
        self.path = path
        self.digest = digest
        self.scaling = scaling
        self.input_size = _check_input(model, name)
        self.embedding_size = _check_output(model, name)
        self._forward = _compile(model, scaling)

    @classmethod
    def from_model(cls, model: Any, *, scaling: str | None = None, name: str | None = None) -> "Embedder":
        """Makes an embedder of a Keras model in memory.

        Args:
            model: a built `keras.Model` with one image input (N, H, W, 3) and one output (N, D).
            scaling: a key of `SCALINGS`; None where the model begins with a Rescaling or Normalization layer.
            name: a name for messages and reports; the model's own by default.

        Raises:
            ModelError: the model has another shape, or its scaling is unknown.
        """
        name = name or str(model.name)
        _check_input(model, name)
        return cls(model, scaling=resolve_scaling(model, scaling, name=name), name=name)

    def embed(
        self, images: npt.NDArray[np.uint8], *, mirror: bool = False, batch_size: int = 64
    ) -> npt.NDArray[np.float32]:
        """Gives embeddings, not normalised.

        Args:
            images: RGB, uint8, shape (N, H, W, 3) with the model's H and W.
            mirror: give f(x) + f(mirror(x)), as the InsightFace protocol does, and not f(x).
            batch_size: images that go through the network at a time. Each size that is used is compiled once.

        Returns:
            float32, shape (N, D).

        Raises:
            ModelError: the images have another shape or type.
        """
        plain = self._embed_batches(images, batch_size)
        return plain + self._embed_batches(images[:, :, ::-1], batch_size) if mirror else plain

    def _embed_batches(self, images: npt.NDArray[np.uint8], batch_size: int) -> npt.NDArray[np.float32]:
        expected = (*self.input_size, 3)
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            raise ModelError(
                f"{self.name}: expected images of uint8 and the shape (N, {', '.join(map(str, expected))}); "
                f"received {images.dtype} and {images.shape}"
            )
        embeddings = np.empty((len(images), self.embedding_size), np.float32)
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            count = len(batch)
            if count < batch_size:
                batch = np.concatenate([batch, np.zeros((batch_size - count, *expected), np.uint8)])
            embeddings[start : start + count] = self._forward(np.ascontiguousarray(batch)).numpy()[:count]
        return embeddings


def load_model(path: str | os.PathLike[str], *, scaling: str | None = None) -> Embedder:
    """Loads a saved `.keras` model as an embedder. Keras's safe mode stays on: no code out of the file is run.

    Args:
        path: a `.keras` file.
        scaling: a key of `SCALINGS`; None where the model begins with a Rescaling or Normalization layer.

    Raises:
        ModelError: no such file, no `.keras` file, a model that cannot be loaded or gives no embeddings, or an unknown scaling.
    """
    path = Path(path)
    if not path.exists():
        raise ModelError(f"{path}: there is no such file")
    if path.is_dir() or not zipfile.is_zipfile(path):
        found = "a folder (perhaps a SavedModel)" if path.is_dir() else "a file of another format (perhaps HDF5)"
        raise ModelError(
            f"{path}: expected a .keras file; received {found}. Save the model with model.save('name.keras')"
        )
    if path.suffix != ".keras":
        raise ModelError(f"{path}: Keras loads only files that are named .keras; rename it if it is one")
    import_tensorflow()  # only now: it takes seconds, and a missing file should be said at once
    import keras  # noqa: PLC0415

    try:
        model = keras.models.load_model(path, compile=False)
    except _LOAD_FAILURES as error:
        raise ModelError(
            f"{path}: Keras cannot load this model: {str(error)[:500]}. A model with layers of its own has to be saved with "
            "standard layers only, or the package that registers them must be installed; Lambda layers are refused"
        ) from error
    name = str(path)
    _check_input(model, name)
    scaling = resolve_scaling(model, scaling, name=name)
    return Embedder(model, scaling=scaling, name=path.name, path=path, digest=_hash_file(path))


def _check_input(model: Any, name: str) -> tuple[int, int]:
    """Gives the (height, width) of the model's images."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ModelError(
            f"{name}: the model is not built: its input has no shape. Call it once, or give it an Input layer"
        )
    if len(inputs) != 1:
        raise ModelError(
            f"{name}: expected one input, the image; received {len(inputs)} inputs. Save the embedding network alone"
        )
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[2] is None:
        raise ModelError(f"{name}: expected an input of RGB images (None, height, width, 3); received {shape}")
    if shape[0] is not None:
        raise ModelError(f"{name}: expected an input of any batch size; received the fixed size {shape[0]}")
    return int(shape[1]), int(shape[2])


def _check_output(model: Any, name: str) -> int:
    """Gives the number of values of an embedding."""
    outputs = model.outputs
    if len(outputs) != 1:
        raise ModelError(
            f"{name}: expected one output, the embedding; received {len(outputs)} outputs. Save the embedding network alone"
        )
    shape = tuple(outputs[0].shape)
    if len(shape) != 2 or shape[1] is None:
        raise ModelError(f"{name}: expected an output of embeddings (None, D); received {shape}")
    return int(shape[1])


def _compile(model: Any, scaling: str) -> Any:
    """Gives the compiled function from uint8 images to float32 embeddings."""
    import tensorflow as tf  # noqa: PLC0415  TensorFlow takes seconds to import

    offset, divisor = SCALINGS[scaling]
    dtype = model.inputs[0].dtype

    @tf.function
    def forward(images: Any) -> Any:
        if scaling == "none":
            pixels = tf.cast(images, dtype)
        else:
            pixels = (tf.cast(images, tf.float32) - offset) / divisor
        outputs = model(pixels, training=False)
        # A model of one output may still give it in a list or a dictionary.
        return tf.cast(tf.nest.flatten(outputs)[0], tf.float32)

    return forward


def _hash_file(path: Path) -> str:
    """Gives the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
