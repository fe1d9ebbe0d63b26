"""Each format, written and read by its own runtime without the help of this package."""

import numpy as np
import pytest

from fr_eval.export.network import load_network
from fr_eval.export.sample_images import draw_images

IMAGES = draw_images(9, size=(16, 16))


def cosines(a, b):
    return np.einsum("ij,ij->i", a, b) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def find_insightface_scaling(path):
    """`ArcFaceONNX.__init__` of insightface 2.1, transcribed: mean and standard deviation."""
    import onnx

    names = [node.name for node in onnx.load(path).graph.node[:8]]
    find_sub = any(name.startswith(("Sub", "_minus")) for name in names)
    find_mul = any(name.startswith(("Mul", "_mul")) for name in names)
    return (0.0, 1.0) if find_sub and find_mul else (127.5, 127.5)


@pytest.mark.parametrize(
    ("scaling", "beginning"), [("none", "Mul"), ("127.5", "Conv"), ("128", "Conv"), ("255", "Mul"), (None, "Conv")]
)
def test_onnx_follows_the_contract_of_insightface(unscaled_model_path, prelu_model_path, tmp_path, scaling, beginning):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    from fr_eval.export.onnx_file import write_onnx

    path = tmp_path / "network.onnx"
    network = load_network(prelu_model_path if scaling is None else unscaled_model_path, scaling=scaling)
    write_onnx(network, path)
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    assert nodes[0] == beginning
    assert nodes.count("Transpose") <= 1  # before the flattening, whose order is that of NHWC
    session = runtime.InferenceSession(path)
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("images", ["batch", 3, 16, 16], "tensor(float)")
    assert (output.name, output.shape) == ("embeddings", ["batch", 6])
    mean, std = find_insightface_scaling(path)
    blob = ((IMAGES.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
    for count in (1, 9):
        found = session.run(None, {"images": blob[:count]})[0]
        assert cosines(found, network.embedder.embed(IMAGES[:count])).min() > 0.99999


def test_a_saved_model_serves_bytes(network, tmp_path):
    import tensorflow as tf

    from fr_eval.export.saved_model import write_saved_model

    write_saved_model(network, tmp_path / "served")
    signature = tf.saved_model.load(tmp_path / "served").signatures["serving_default"]
    ((_, specs),) = [signature.structured_input_signature]
    assert specs == {"images": tf.TensorSpec((None, 16, 16, 3), tf.uint8, name="images")}
    for count in (1, 9):
        found = signature(images=tf.constant(IMAGES[:count]))["embeddings"].numpy()
        assert np.allclose(found, network.embedder.embed(IMAGES[:count]), atol=1e-5)


def test_the_variables_of_a_saved_model_are_stored_once(network, tmp_path):
    from fr_eval.export.saved_model import write_saved_model

    write_saved_model(network, tmp_path / "served")
    stored = (tmp_path / "served/variables/variables.data-00000-of-00001").stat().st_size
    assert stored < 1.5 * 4 * network.model.count_params() + 10_000


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.99999), ("float16", 0.9999), ("int8", 0.98)])
def test_tflite_takes_bytes_in_every_precision(network, tmp_path, precision, least):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    from fr_eval.export.tflite_file import write_tflite

    path = tmp_path / "network.tflite"
    write_tflite(network, path, precision=precision, calibration=IMAGES)
    interpreter = litert.Interpreter(str(path))
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], output["dtype"]) == (np.uint8, np.float32)
    if precision == "int8":
        assert image["quantization"] == (1.0, 0)  # a byte is its own quantised value
    for count in (1, 9):
        interpreter.resize_tensor_input(image["index"], (count, 16, 16, 3))
        interpreter.allocate_tensors()
        interpreter.set_tensor(image["index"], IMAGES[:count])
        interpreter.invoke()
        found = interpreter.get_tensor(output["index"])
        assert cosines(found, network.embedder.embed(IMAGES[:count])).min() > least


@pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`:UserWarning")
def test_int8_computes_in_integers_alone(network, tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    from fr_eval.export.tflite_file import write_tflite

    dim = (IMAGES // 4) + 64  # the input's range must not come from these
    write_tflite(network, tmp_path / "network.tflite", precision="int8", calibration=dim)
    interpreter = litert.Interpreter(str(tmp_path / "network.tflite"), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["quantization"] == (1.0, 0)
    floats = [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] == np.float32]
    assert floats == [interpreter.get_output_details()[0]["name"]]


@pytest.mark.parametrize(("ending", "package"), [("onnx", "tf2onnx"), ("tflite", "ai_edge_litert")])
def test_a_network_that_a_format_cannot_express_is_told(tmp_path, ending, package):
    import keras

    from fr_eval.errors import ExportError
    from fr_eval.export.export import ExportJob, run_export

    pytest.importorskip(package)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    keras.Model(image, keras.ops.erfinv(keras.ops.tanh(x))).save(tmp_path / "strange.keras")
    with pytest.raises(ExportError, match=r"cannot convert strange\.keras: .*Erfinv"):
        run_export(ExportJob(tmp_path / "strange.keras", tmp_path / f"out.{ending}", ending))
    assert [entry.name for entry in tmp_path.iterdir()] == ["strange.keras"]
