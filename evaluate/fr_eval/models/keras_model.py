"""Keras models, in memory and saved as `.keras` or legacy `.h5`."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fr_eval.digests import hash_file
from fr_eval.errors import ModelError
from fr_eval.models import jax_forward, tensorflow_forward
from fr_eval.models.embedder import Embedder, Forward
from fr_eval.models.frameworks import import_keras
from fr_eval.models.scaling import has_own_scaling, resolve_scaling
from fr_eval.models.shapes import ImageInput, read_image_input, read_num_values, require_one

__all__ = ["load_keras", "open_keras", "wrap_keras"]

Network = Callable[[Any], Any]

# What Keras, h5py and zipfile raise on a file that is damaged, or that names layers which are not there.
_LOAD_FAILURES = (
    *(ValueError, TypeError, LookupError, OSError, EOFError, AttributeError, ImportError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


def load_keras(path: Path, *, scaling: str | None, layout: str | None) -> Embedder:
    """Loads a `.keras` or `.h5` file as an embedder.

    Raises:
        ModelError: as `open_keras` and `wrap_keras`.
    """
    model = open_keras(path)
    return wrap_keras(model, scaling=scaling, layout=layout, name=path.name, path=path, digest=hash_file(path))


def open_keras(path: Path) -> Any:
    """Gives the `keras.Model` of a `.keras` or `.h5` file. Keras's safe mode stays on: no code out of the file is run.

    Raises:
        ModelError: Keras cannot load it.
    """
    keras = import_keras()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except _LOAD_FAILURES as error:
        raise ModelError(
            f"{path}: Keras cannot load this model: {str(error)[:500]}. Expected a whole model with standard layers only, as "
            "model.save() writes it: not weights alone, no Lambda layers, and layers of your own only where the package "
            "that registers them is installed"
        ) from error


def wrap_keras(
    model: Any,
    *,
    scaling: str | None = None,
    layout: str | None = None,
    name: str | None = None,
    path: Path | None = None,
    digest: str = "",
    spread: Callable[[Network], Network] = lambda network: network,
) -> Embedder:
    """Makes an embedder of a Keras model in memory, which follows the model where that is trained on.

    Args:
        model: a built `keras.Model` with one image input and one output (N, D).
        scaling: a key of `SCALINGS`; None where the model begins with a Rescaling or Normalization layer.
        layout: a key of `LAYOUTS`; None to read it off the model's input.
        name: a name for messages and reports; the model's own by default.
        path: its file.
        digest: SHA-256 of that.
        spread: under TensorFlow, spreads the work of a call over devices.

    Raises:
        ModelError: the model has another shape, or its scaling is unknown.
    """
    name = name or str(model.name)
    named = str(path or name)
    if not getattr(model, "inputs", None):
        raise ModelError(
            f"{named}: the model is not built: its input has no shape. Call it once, or give it an Input layer"
        )
    require_one(model.inputs, name=named, kind="input", wanted="image")
    require_one(model.outputs, name=named, kind="output", wanted="embedding")
    image_input = read_image_input(model.inputs[0].shape, layout, name=named)
    embedding_size = read_num_values(model.outputs[0].shape, name=named)
    dtype = model.inputs[0].dtype
    scaling = resolve_scaling(
        scaling,
        "none" if has_own_scaling(model) else None,
        name=named,
        why="it holds no Rescaling or Normalization layer before its first weights",
        takes_bytes=dtype == "uint8",
    )

    forward = _compile_forward(model, image_input, spread, dtype=dtype, scaling=scaling, name=named)
    return Embedder(forward, image_input, embedding_size, scaling, "Keras", name, path, digest)


def _compile_forward(
    model: Any, image_input: ImageInput, spread: Callable[[Network], Network], **options: Any
) -> Forward:
    """Compiles it by what Keras runs on."""
    import keras  # noqa: PLC0415

    if keras.backend.backend() == "jax":
        return jax_forward.compile_forward(model, image_input, **options)
    from fr_eval.models.fast_layers import quicken  # noqa: PLC0415  TensorFlow takes seconds to import

    model = quicken(model)

    def network(images: Any) -> Any:
        # A model of one output may still give it in a list or a dictionary.
        return keras.tree.flatten(model(images, training=False))[0]

    return tensorflow_forward.compile_forward(spread(network), image_input, **options)
