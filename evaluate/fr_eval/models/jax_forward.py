"""The forward pass of a Keras model that JAX runs."""

from typing import Any

import numpy as np

from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embeddings, Forward, Images
from fr_eval.models.scaling import SCALINGS
from fr_eval.models.shapes import ImageInput

__all__ = ["compile_forward"]


def compile_forward(model: Any, image_input: ImageInput, *, dtype: Any, scaling: str, name: str) -> Forward:
    """Compiles a model once for each number of images; a number below an earlier one is filled up to that.

    The function of a model in training follows it. Where `keras.distribution` laid the model over devices, each takes its part of
    the images.

    Args:
        model: a built `keras.Model`, embeddings (B, D) of scaled images in its own layout.
        image_input: their size, layout and number.
        dtype: of these images.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`.
        name: for messages.

    Returns:
        float32 embeddings (B, D) of uint8 images (B, H, W, 3).
    """
    import jax  # noqa: PLC0415  takes seconds to import
    import keras  # noqa: PLC0415
    from jax import numpy as jnp  # noqa: PLC0415

    offset, divisor = SCALINGS[scaling]
    most = 0

    @jax.jit
    def compiled(values: Any, images: Any) -> Any:
        pixels = images if scaling == "none" else (images.astype("float32") - offset) / divisor
        pixels = pixels.astype(dtype)
        if image_input.layout == "nchw":
            pixels = jnp.transpose(pixels, (0, 3, 1, 2))
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            # A model of one output may still give it in a list or a dictionary.
            return keras.tree.flatten(model(pixels, training=False))[0].astype("float32")

    def forward(images: Images) -> Embeddings:
        nonlocal most
        count, distribution = len(images), keras.distribution.distribution()
        num_devices = 1 if distribution is None else distribution.num_model_replicas
        most = max(most, -(-count // num_devices) * num_devices)
        if image_input.batch_size is None and count < most:
            images = np.concatenate([images, np.zeros((most - count, *images.shape[1:]), images.dtype)])
        if distribution is not None:
            images = jax.device_put(images, distribution.get_data_layout(images.shape).backend_layout)
        try:
            embeddings = np.asarray(compiled([variable.value for variable in model.variables], images))
        except jax.errors.JaxRuntimeError as error:
            raise ModelError(
                f"{name}: the network fails on {count} images: {str(error)[:500]}. If memory is short, give a smaller --batch-size"
            ) from error
        return embeddings[:count]

    return forward
