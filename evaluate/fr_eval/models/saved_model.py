"""SavedModel folders of TensorFlow.

Their graphs are programs that TensorFlow runs: they hold no Python, but may read and write files. Load only what you trust.
"""

from pathlib import Path
from typing import Any

from fr_eval.digests import hash_path
from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embedder
from fr_eval.models.frameworks import import_tensorflow
from fr_eval.models.scaling import resolve_scaling
from fr_eval.models.shapes import read_image_input, read_num_values, require_one
from fr_eval.models.tensorflow_forward import compile_forward

__all__ = ["load_saved_model"]

SIGNATURE = "serving_default"


def load_saved_model(path: Path, *, scaling: str | None, layout: str | None) -> Embedder:
    """Loads the serving signature of a SavedModel.

    Raises:
        ModelError: the folder is damaged, has no such signature or one of another shape, or the scaling is unknown.
    """
    import_tensorflow()
    import tensorflow as tf  # noqa: PLC0415

    try:
        loaded = tf.saved_model.load(path)
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, AttributeError, tf.errors.OpError) as error:
        raise ModelError(f"{path}: TensorFlow cannot load this SavedModel: {str(error)[:500]}") from error
    signature = loaded.signatures.get(SIGNATURE)
    if signature is None:
        names = ", ".join(loaded.signatures) or "none"
        raise ModelError(
            f"{path}: expected a SavedModel with the signature {SIGNATURE}; received {names}. Write it with Keras's "
            "model.export()"
        )
    inputs = signature.structured_input_signature[1]
    require_one(inputs, name=str(path), kind="input", wanted="image")
    require_one(signature.structured_outputs, name=str(path), kind="output", wanted="embedding")
    ((key, image),), (output,) = inputs.items(), signature.structured_outputs.values()
    image_input = read_image_input(_list_axes(image), layout, name=str(path))
    num_values = read_num_values(_list_axes(output), name=str(path))
    scaling = resolve_scaling(
        scaling,
        None,
        name=str(path),
        why="a SavedModel of floating-point images cannot",
        takes_bytes=image.dtype == tf.uint8,
    )

    def network(
        images: Any, loaded: Any = loaded
    ) -> Any:  # `loaded` holds the variables: without it they would be gone
        (embeddings,) = signature(**{key: images}).values()
        return embeddings

    forward = compile_forward(network, image_input, dtype=image.dtype, scaling=scaling, name=str(path))
    return Embedder(forward, image_input, num_values, scaling, "SavedModel", path.name, path, hash_path(path))


def _list_axes(tensor: Any) -> list[int | None]:
    return [] if tensor.shape.rank is None else tensor.shape.as_list()
