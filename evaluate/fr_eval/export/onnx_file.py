"""ONNX after InsightFace's contract: N x 3 x H x W RGB, (x - 127.5) / 127.5 done by the caller, one output (N, D)."""

from pathlib import Path
from typing import Any

from fr_eval.errors import ExportError
from fr_eval.export.network import KerasNetwork
from fr_eval.export.onnx_graph import fold_input_scaling, prefix_node_names, rename_value
from fr_eval.models.frameworks import hold_stderr, import_extra

__all__ = ["is_recognised", "write_onnx"]

OPSET = 17  # ONNX Runtime since 1.12 (2022) reads it
INPUT, OUTPUT, BATCH = "images", "embeddings", "batch"
CONTRACT = (
    "Face embeddings (N, D), not normalised, of aligned RGB faces (N, 3, H, W), pixels scaled to (x - 127.5) / 127.5"
)
_SCALE = 127.5


def write_onnx(network: KerasNetwork, path: Path) -> None:
    """Writes a network as `.onnx`.

    Whatever the network was trained with, its own scaling is reconciled with the contract: what is left of both is folded
    into the first convolution, where that is possible.

    Raises:
        MissingPackageError: tf2onnx is not installed.
        ExportError: the network holds something that ONNX does not know.
    """
    tf2onnx = import_extra("tf2onnx", extra="export", purpose="ONNX files are made by")
    import onnx  # noqa: PLC0415  tf2onnx brings it
    import tensorflow as tf  # noqa: PLC0415

    signature = tf.TensorSpec((None, 3, *network.embedder.input_size), tf.float32, name=INPUT)

    @tf.function(input_signature=[signature])
    def embed(images: Any) -> Any:
        return network.embed_pixels(tf.transpose(images, (0, 2, 3, 1)) * _SCALE + _SCALE)

    try:
        with hold_stderr():
            model, _ = tf2onnx.convert.from_function(embed, [signature], opset=OPSET)
        onnx.checker.check_model(model)
    # Neither tf2onnx nor ONNX has one class of errors for what it does not know.
    except Exception as error:
        raise ExportError(f"tf2onnx cannot convert {network.embedder.name}: {str(error)[:500]}") from error
    graph = model.graph
    fold_input_scaling(graph)
    prefix_node_names(graph)
    rename_value(graph, graph.output[0].name, OUTPUT)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]  # shapes in between, of values that are gone or renamed
    graph.doc_string = CONTRACT
    onnx.save(model, path)


def is_recognised(size: tuple[int, int]) -> bool:
    """Whether `insightface.model_zoo` takes a network for images (height, width) for a recognition model (`ModelRouter`)."""
    height, width = size
    return height == width and height >= 112 and height % 16 == 0 and height != 192  # 192 are landmarks
