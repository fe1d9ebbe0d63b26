"""The forward pass of a network that TensorFlow runs."""

from collections.abc import Callable
from typing import Any

from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embeddings, Forward, Images
from fr_eval.models.scaling import SCALINGS
from fr_eval.models.shapes import ImageInput

__all__ = ["compile_forward"]


def compile_forward(
    network: Callable[[Any], Any], image_input: ImageInput, *, dtype: Any, scaling: str, name: str
) -> Forward:
    """Compiles a network once, for batches of any number.

    Variables are not copied: the function of a model in training follows it.

    Args:
        network: embeddings (B, D) of scaled images in its own layout.
        image_input: their size, layout and number.
        dtype: of these images.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`.
        name: for messages.

    Returns:
        float32 embeddings (B, D) of uint8 images (B, H, W, 3).
    """
    import tensorflow as tf  # noqa: PLC0415  TensorFlow takes seconds to import

    offset, divisor = SCALINGS[scaling]

    @tf.function(input_signature=[tf.TensorSpec((image_input.batch_size, *image_input.size, 3), tf.uint8)])
    def compiled(images: Any) -> Any:
        pixels = images if scaling == "none" else (tf.cast(images, tf.float32) - offset) / divisor
        pixels = tf.cast(pixels, dtype)
        if image_input.layout == "nchw":
            pixels = tf.transpose(pixels, (0, 3, 1, 2))
        return tf.cast(network(pixels), tf.float32)

    def forward(images: Images) -> Embeddings:
        try:
            embeddings: Embeddings = compiled(images).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise ModelError(
                f"{name}: not enough memory for {len(images)} images; give a smaller --batch-size"
            ) from error
        except tf.errors.OpError as error:
            raise ModelError(f"{name}: the network fails on {len(images)} images: {str(error)[:500]}") from error
        return embeddings

    return forward
