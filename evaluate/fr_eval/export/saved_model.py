"""SavedModel with a serving signature: uint8 RGB images in, embeddings out, scaling inside."""

from pathlib import Path
from typing import Any

from fr_eval.export.network import KerasNetwork
from fr_eval.models.frameworks import hold_stderr

__all__ = ["write_saved_model"]

SIGNATURE = "serving_default"


def write_saved_model(network: KerasNetwork, folder: Path, *, dtype: str = "uint8") -> None:
    """Writes a network as the folder of a SavedModel.

    Its signature `serving_default` goes from `images` (N, H, W, 3), 0 to 255, to `embeddings` (N, D) float32.

    Args:
        network: the network.
        folder: where to write; made anew.
        dtype: of the images.
    """
    import tensorflow as tf  # noqa: PLC0415

    @tf.function(input_signature=[tf.TensorSpec((None, *network.embedder.input_size, 3), dtype, name="images")])
    def embed(images: Any) -> Any:
        return {"embeddings": network.embed_pixels(tf.cast(images, tf.float32))}

    module = tf.Module()  # Keras's own ExportArchive stores every variable twice
    module.kept = [variable.value for variable in network.model.variables]
    with hold_stderr():
        tf.saved_model.save(module, str(folder), signatures={SIGNATURE: embed})
