import subprocess
import sys

import numpy as np
import pytest

from fr_eval.errors import MissingPackageError, ModelError
from fr_eval.models.load import load_model

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")


@pytest.fixture
def write_onnx(weights, tmp_path):
    """Writes a graph: the nodes given, each one's output the next one's input, then the linear network."""

    def write(*nodes, shape=("N", 3, 8, 6), dtype=onnx.TensorProto.FLOAT, outputs=1, channels_first=True):
        helper, numpy_helper = onnx.helper, onnx.numpy_helper
        made, last = [], "image"
        for number, (op, name, constant, attributes) in enumerate(nodes):
            inputs = [last] if constant is None else [last, f"constant{number}"]
            made.append(helper.make_node(op, inputs, [f"x{number}"], name=name, **attributes))
            last = f"x{number}"
        constants = [
            numpy_helper.from_array(np.float32(constant), f"constant{number}")
            for number, (_, _, constant, _) in enumerate(nodes)
            if constant is not None
        ]
        if channels_first:
            made.append(helper.make_node("Transpose", [last], ["last"], name="Transpose_0", perm=(0, 2, 3, 1)))
            last = "last"
        if dtype != onnx.TensorProto.FLOAT:
            made.insert(0, helper.make_node("Cast", ["image"], ["floats"], to=onnx.TensorProto.FLOAT))
            made[1].input[0] = "floats"
        made.append(helper.make_node("Flatten", [last], ["flat"], name="Flatten_0"))
        made.append(helper.make_node("MatMul", ["flat", "weights"], ["embedding"], name="MatMul_0"))
        values = [helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, [shape[0], 5])]
        if outputs == 2:
            values.append(helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, [shape[0], 144]))
        graph = helper.make_graph(
            made,
            "linear",
            [helper.make_tensor_value_info("image", dtype, shape)],
            values,
            [numpy_helper.from_array(weights, "weights"), *constants],
        )
        path = tmp_path / "linear.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path

    return write


SUB = ("Sub", "_minusscalar0", 127.5, {})
MUL = ("Mul", "_mulscalar0", 1 / 128, {})


def test_an_insightface_model_gets_its_scaling_and_its_layout(write_onnx, images, expected):
    embedder = load_model(write_onnx())
    assert (embedder.format, embedder.scaling, embedder.image_input.layout) == ("ONNX", "127.5", "nchw")
    assert (embedder.input_size, embedder.embedding_size) == ((8, 6), 5)
    assert np.allclose(embedder.embed(images, batch_size=3), expected(127.5, 127.5), atol=1e-4)


@pytest.mark.parametrize("names", [("_minusscalar0", "_mulscalar0"), ("Sub_0", "Mul_1")])
def test_a_graph_that_scales_by_itself_gets_pixels_as_they_are(names, write_onnx, images, expected):
    embedder = load_model(write_onnx(("Sub", names[0], 127.5, {}), ("Mul", names[1], 1 / 128, {})))
    assert embedder.scaling == "none"
    assert np.allclose(embedder.embed(images), expected(127.5, 128), atol=1e-4)


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_fixed_batch_is_filled(fixed, write_onnx, images, expected):
    embedder = load_model(write_onnx(shape=(fixed, 3, 8, 6)))
    assert np.allclose(embedder.embed(images), expected(127.5, 127.5), atol=1e-4)


def test_channels_may_come_last_and_then_the_scaling_is_asked_for(write_onnx, images, expected):
    path = write_onnx(shape=("N", 8, 6, 3), channels_first=False)
    with pytest.raises(ModelError, match="a graph in the layout nhwc is none of InsightFace's"):
        load_model(path)
    assert np.allclose(load_model(path, scaling="255").embed(images), expected(0, 255), atol=1e-4)
    scaled = load_model(write_onnx(SUB, MUL, shape=("N", 8, 6, 3), channels_first=False))
    assert np.allclose(scaled.embed(images), expected(127.5, 128), atol=1e-4)


def test_a_graph_of_bytes_scales_by_itself(write_onnx, images, expected):
    embedder = load_model(write_onnx(SUB, MUL, dtype=onnx.TensorProto.UINT8))
    assert np.allclose(embedder.embed(images), expected(127.5, 128), atol=1e-4)


@pytest.mark.parametrize(
    "nodes",
    [
        [("Sub", "/Sub", 127.5, {}), ("Mul", "/Mul", 1 / 128, {})],  # as PyTorch names them: InsightFace misses it
        [("Relu", "r", None, {}), ("Sub", "Sub_0", 0.0, {}), ("Mul", "Mul_0", 1.0, {})],  # it sees some that are none
    ],
)
def test_names_and_operations_that_disagree_are_said_and_the_scaling_asked_for(nodes, write_onnx):
    path = write_onnx(*nodes)
    with pytest.raises(ModelError, match=r"by the names of its first nodes it .*, by the operations behind its input"):
        load_model(path)
    assert load_model(path, scaling="none").scaling == "none"


def test_graphs_of_another_shape_are_refused(write_onnx):
    for options, message in (
        ({"outputs": 2}, "received 2 outputs"),
        ({"shape": ("N", 1, 24, 6)}, r"received \(None, 1, 24, 6\)"),
        ({"shape": ("N", 3, "H", "W")}, r"received \(None, 3, None, None\)"),
    ):
        with pytest.raises(ModelError, match=rf"linear\.onnx: .*{message}"):
            load_model(write_onnx(**options))


def test_inputs_of_another_type_are_refused(write_onnx):
    path = write_onnx(SUB, dtype=onnx.TensorProto.INT64)
    with pytest.raises(ModelError, match=r"expected an input of tensor\(float\), .*; received tensor\(int64\)"):
        load_model(path)


def test_a_graph_that_fails_on_the_images_is_named(write_onnx, images):
    path = write_onnx(("Reshape", "r", None, {}))
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 3, 8, 6]), "baked"))
    model.graph.node[0].input.append("baked")
    onnx.save(model, path)
    embedder = load_model(path, scaling="none")
    with pytest.raises(ModelError, match=r"linear\.onnx: ONNX Runtime fails on 7 images: "):
        embedder.embed(images)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"<html>" * 9])
def test_a_damaged_file_is_refused(damage, write_onnx):
    path = write_onnx()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=r"linear\.onnx: ONNX Runtime cannot load this model: "):
        load_model(path)


def test_a_missing_runtime_is_said_with_the_extra(write_onnx, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"onnxruntime.* pip install 'fr-toolkit\[onnx\]'"):
        load_model(write_onnx())


def test_no_tensorflow_is_loaded(write_onnx):
    load = f"from fr_eval.models.load import load_model; load_model({str(write_onnx())!r})"
    code = f"import sys; {load}; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
