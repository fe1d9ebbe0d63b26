"""TensorFlow Lite, in float32, float16 or int8: uint8 RGB images (N, H, W, 3) in, float32 embeddings out, scaling inside."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fr_eval.errors import ExportError
from fr_eval.export.network import KerasNetwork
from fr_eval.export.saved_model import write_saved_model
from fr_eval.models.embedder import Images
from fr_eval.models.frameworks import hold_stderr

__all__ = ["write_tflite"]


def write_tflite(network: KerasNetwork, path: Path, *, precision: str, calibration: Images) -> None:
    """Writes a network as `.tflite`.

    Args:
        network: the network.
        path: the file.
        precision: `float32`; `float16`: weights of half the size, computed in float32 on a CPU; or `int8`: weights (a scale a
            channel) and activations, with ranges from `calibration`.
        calibration: images, uint8, (N, H, W, 3); used for int8 alone.

    Raises:
        ExportError: the network holds something that TensorFlow Lite does not know.
    """
    import tensorflow as tf  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=path.parent) as folder, hold_stderr():
        # For int8 the input itself is quantised, and uint8 with step 1 is its quantised form.
        write_saved_model(network, Path(folder), dtype="float32" if precision == "int8" else "uint8")
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        elif precision == "int8":
            _quantise(converter, calibration)
        try:
            converted = converter.convert()
        # The converter's own class of errors is not the only one that it raises.
        except Exception as error:
            raise ExportError(f"TensorFlow cannot convert {network.embedder.name}: {str(error)[:500]}") from error
        path.write_bytes(converted)


def _quantise(converter: Any, calibration: Images) -> None:
    """Has a converter quantise everything, with ranges from images."""
    import tensorflow as tf  # noqa: PLC0415

    pixels = calibration.astype(np.float32)
    pixels[0, 0, 0, 0], pixels[0, 0, 1, 0] = 0, 255  # the input's range is that of bytes, whatever the images show
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in pixels)
