"""TensorFlow Lite models, of floating-point numbers or quantised, run by LiteRT."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_eval.cores import count_cores
from fr_eval.digests import hash_file
from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embedder, Embeddings, Images
from fr_eval.models.frameworks import hold_stderr, import_extra
from fr_eval.models.scaling import SCALINGS, resolve_scaling, scale_pixels
from fr_eval.models.shapes import read_image_input, read_num_values, require_one

__all__ = ["load_tflite"]

_FAILURES = (ValueError, RuntimeError, OSError)


def load_tflite(path: Path, *, scaling: str | None, layout: str | None) -> Embedder:
    """Loads a `.tflite` file.

    A quantised input says by its quantization which pixels it was calibrated on; 127.5 and 128 are too close to be told apart.

    Raises:
        ModelError: the file is damaged, has another shape, or its scaling is unknown.
        MissingPackageError: LiteRT is not installed.
    """
    litert = import_extra("ai_edge_litert.interpreter", extra="tflite", purpose="TFLite models are run by")
    try:
        with hold_stderr():
            interpreter = litert.Interpreter(model_path=str(path), num_threads=count_cores())
            interpreter.allocate_tensors()
    except _FAILURES as error:
        raise ModelError(f"{path}: LiteRT cannot load this model: {str(error)[:500]}") from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    require_one(inputs, name=str(path), kind="input", wanted="image")
    require_one(outputs, name=str(path), kind="output", wanted="embedding")
    (image,), (output,) = inputs, outputs
    image_input = read_image_input(_list_axes(image), layout, name=str(path))
    num_values = read_num_values(_list_axes(output), name=str(path))
    fits = _find_scalings(image)
    why = (
        f"its quantization fits {' and '.join(fits)} alike" if fits else "its input's type and quantization do not tell"
    )
    scaling = resolve_scaling(
        scaling,
        fits[0] if len(fits) == 1 else None,
        name=str(path),
        why=why,
        takes_bytes=image["dtype"] == np.uint8 and not image["quantization"][0],
    )

    def forward(images: Images) -> Embeddings:
        pixels = scale_pixels(images, scaling)
        if image_input.layout == "nchw":
            pixels = pixels.transpose(0, 3, 1, 2)
        try:
            if tuple(interpreter.get_input_details()[0]["shape"]) != pixels.shape:
                interpreter.resize_tensor_input(image["index"], pixels.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(image["index"], _quantise(pixels, image))
            interpreter.invoke()
        except _FAILURES as error:
            raise ModelError(f"{path}: LiteRT fails on {len(images)} images: {str(error)[:500]}") from error
        return _dequantise(interpreter.get_tensor(output["index"]), output)

    return Embedder(forward, image_input, num_values, scaling, "TFLite", path.name, path, hash_file(path))


def _list_axes(details: dict[str, Any]) -> list[int | None]:
    return [int(axis) if axis > 0 else None for axis in details["shape_signature"]]


def _find_scalings(details: dict[str, Any]) -> list[str]:
    """Gives the scalings that map the pixels 0 to 255 to the whole range of a quantised input."""
    step, zero_point = details["quantization"]
    if not step or not np.issubdtype(details["dtype"], np.integer):
        return []
    zero_pixel = zero_point - np.iinfo(details["dtype"]).min  # the pixel that becomes 0.0
    return [
        name
        for name, (offset, divisor) in SCALINGS.items()
        if abs(step * divisor - 1) < 0.01 and abs(zero_pixel - offset) <= 2
    ]


def _quantise(values: npt.NDArray[np.float32], details: dict[str, Any]) -> npt.NDArray[Any]:
    """Gives values in the type of a tensor: q = round(v / step) + zero point."""
    step, zero_point = details["quantization"]
    dtype = details["dtype"]
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values / (step or 1)) + zero_point, limits.min, limits.max)
    return values.astype(dtype)


def _dequantise(values: npt.NDArray[Any], details: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Gives the values that a tensor stands for: v = step · (q − zero point)."""
    step, zero_point = details["quantization"]
    numbers = values.astype(np.float32)
    if np.issubdtype(details["dtype"], np.integer):
        numbers -= np.float32(zero_point)
        numbers *= np.float32(step or 1)
    return numbers
