"""ONNX models, InsightFace's foremost, run by ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np

from fr_eval.digests import hash_file
from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embedder, Embeddings, Images
from fr_eval.models.frameworks import import_extra
from fr_eval.models.scaling import resolve_scaling, scale_pixels
from fr_eval.models.shapes import read_image_input, read_num_values, require_one

__all__ = ["load_onnx"]

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_ERRORS_ONLY = 3  # old exports have a warning for each weight
_ARITHMETIC = ("Add", "Div", "Mul", "Sub")
_NEUTRAL = ("Cast", "Identity", "Transpose")
_FIRST_NODES = 8  # that InsightFace looks at


def load_onnx(path: Path, *, scaling: str | None, layout: str | None) -> Embedder:
    """Loads an `.onnx` file.

    Pixel scaling is found as the package `insightface` finds it (`model_zoo/arcface_onnx.py`): where names of the first nodes
    say subtraction and multiplication, the network scales by itself, else (x − 127.5) / 127.5 is done outside. Names may
    mislead: where the operations behind the input say the opposite, or the layout is not InsightFace's, the user is asked.

    Raises:
        ModelError: the file is damaged, has another shape, or its scaling is unknown.
        MissingPackageError: ONNX Runtime is not installed.
    """
    onnx = import_extra("onnx", extra="onnx", purpose="ONNX models are read by")
    runtime = import_extra("onnxruntime", extra="onnx", purpose="ONNX models are run by")
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    providers = [provider for provider in _PROVIDERS if provider in runtime.get_available_providers()]
    try:
        graph = onnx.load(path, load_external_data=False).graph
        session = runtime.InferenceSession(path, options, providers=providers)
    # ONNX Runtime's errors have no common class of their own.
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot load this model: {str(error)[:500]}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    require_one(inputs, name=str(path), kind="input", wanted="image")
    require_one(outputs, name=str(path), kind="output", wanted="embedding")
    (image,), (output,) = inputs, outputs
    if image.type not in _DTYPES:
        raise ModelError(f"{path}: expected an input of {', '.join(_DTYPES)}; received {image.type}")
    dtype = _DTYPES[image.type]
    image_input = read_image_input(_list_axes(image), layout, name=str(path))
    own, why = _find_scaling(graph, image.name, layout=image_input.layout)
    scaling = resolve_scaling(scaling, own, name=str(path), why=why, takes_bytes=dtype == np.uint8)

    def forward(images: Images) -> Embeddings:
        pixels = scale_pixels(images, scaling).astype(dtype, copy=False)
        if image_input.layout == "nchw":
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        try:
            embeddings: Embeddings = session.run([output.name], {image.name: pixels})[0].astype(np.float32, copy=False)
        except Exception as error:
            raise ModelError(f"{path}: ONNX Runtime fails on {len(images)} images: {str(error)[:500]}") from error
        return embeddings

    num_values = read_num_values(_list_axes(output), name=str(path))
    return Embedder(forward, image_input, num_values, scaling, "ONNX", path.name, path, hash_file(path))


def _list_axes(value: Any) -> list[int | None]:
    """Gives the axes of an input or output; those without a number have a name, or nothing."""
    return [axis if isinstance(axis, int) and axis > 0 else None for axis in value.shape]


def _find_scaling(graph: Any, image: str, *, layout: str) -> tuple[str | None, str]:
    """Gives the scaling that a graph asks for, or None and why it is not to be known."""
    named = _names_scaling(graph)
    scales = _begins_with_scaling(graph, image)
    if layout != "nchw":
        return ("none", "") if scales else (None, "a graph in the layout nhwc is none of InsightFace's")
    if named != scales:
        says = {True: "it scales by itself", False: "it does not scale by itself"}
        return None, f"by the names of its first nodes {says[named]}, by the operations behind its input {says[scales]}"
    return ("none" if scales else "127.5"), ""


def _names_scaling(graph: Any) -> bool:
    """Whether the names of the first nodes say subtraction and multiplication, by InsightFace's rule."""
    names = [node.name for node in graph.node[:_FIRST_NODES]]
    return all(any(name.startswith(begins) for name in names) for begins in (("Sub", "_minus"), ("Mul", "_mul")))


def _begins_with_scaling(graph: Any, image: str) -> bool:
    """Whether arithmetic with constants stands between a graph's input and all else."""
    while True:
        readers = [node for node in graph.node if image in node.input]
        if len(readers) != 1 or readers[0].op_type not in {*_ARITHMETIC, *_NEUTRAL}:
            return False
        if readers[0].op_type in _ARITHMETIC:
            return True
        image = readers[0].output[0]
