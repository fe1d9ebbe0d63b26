import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from fr_eval.export.onnx_graph import fold_input_scaling, prefix_node_names, rename_value  # noqa: E402

X = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(4, 3, 3, 3)).astype(np.float32)


def make_graph(nodes, constants, output="y"):
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, list("nchw"))]
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "test", values, outputs, tensors)


def run(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = runtime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": X})[0]


def operations(graph):
    return [node.op_type for node in graph.node]


def scaled_convolution(steps, *, transposed=False):
    """x, arithmetic with numbers, then a convolution (or, behind a transposition, a sigmoid)."""
    nodes, constants, name = [], {"w": WEIGHTS}, "x"
    if transposed:
        nodes.append(helper.make_node("Transpose", ["x"], ["t"], perm=(0, 2, 3, 1)))
        name = "t"
    for number, (operation, value, swapped) in enumerate(steps):
        constants[f"c{number}"] = value
        inputs = [f"c{number}", name] if swapped else [name, f"c{number}"]
        nodes.append(helper.make_node(operation, inputs, [f"s{number}"], name=f"{operation}{number}"))
        name = f"s{number}"
    last = helper.make_node("Sigmoid", [name], ["y"]) if transposed else helper.make_node("Conv", [name, "w"], ["y"])
    return make_graph([*nodes, last], constants)


steps = st.lists(
    st.tuples(
        st.sampled_from(["Add", "Sub", "Mul", "Div"]),
        st.floats(0.25, 4).map(lambda value: float(np.float32(value))),
        st.booleans(),
    ).filter(lambda step: not (step[0] == "Div" and step[2])),
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps, transposed=st.booleans())
def test_folding_keeps_the_function_and_leaves_at_most_one_scale_and_one_offset(steps, transposed):
    graph = scaled_convolution(steps, transposed=transposed)
    before = run(graph)
    fold_input_scaling(graph)
    assert np.allclose(run(graph), before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
    left = operations(graph)[transposed:-1]
    assert left in ([], ["Mul"], ["Add"], ["Mul", "Add"])


def test_scaling_that_undoes_the_contract_vanishes():
    graph = scaled_convolution([("Mul", 127.5, 0), ("Add", 127.5, 0), ("Mul", 1 / 127.5, 0), ("Add", -1, 0)])
    fold_input_scaling(graph)
    assert operations(graph) == ["Conv"]
    assert [tensor.name for tensor in graph.initializer] == ["w_scaled"]


def test_a_scale_alone_moves_into_the_weights():
    graph = scaled_convolution([("Mul", 127.5, 0), ("Add", 127.5, 0), ("Sub", 127.5, 0), ("Div", 128, 0)])
    before = run(graph)
    fold_input_scaling(graph)
    assert operations(graph) == ["Conv"]
    assert np.allclose(run(graph), before, rtol=1e-4, atol=1e-4)


def test_an_offset_stays_since_the_padding_of_a_convolution_does_not_know_it():
    graph = scaled_convolution([("Mul", 127.5, 0), ("Add", 127.5, 0), ("Div", 255, 0)])
    fold_input_scaling(graph)
    assert operations(graph) == ["Mul", "Add", "Conv"]
    values = [numpy_helper.to_array(tensor).item() for tensor in graph.initializer if tensor.name.startswith("input_")]
    assert values == [0.5, 0.5]


def test_arithmetic_that_is_read_twice_or_with_a_vector_stays():
    twice = make_graph(
        [helper.make_node("Mul", ["x", "c"], ["s"]), helper.make_node("Add", ["x", "s"], ["y"])], {"c": 3.0}
    )
    vector = make_graph(
        [helper.make_node("Mul", ["x", "c"], ["s"]), helper.make_node("Sigmoid", ["s"], ["y"])],
        {"c": np.ones((3, 1, 1)) * 2},
    )
    for graph in (twice, vector):
        before, expected = operations(graph), run(graph)
        fold_input_scaling(graph)
        assert operations(graph) == before
        assert np.array_equal(run(graph), expected)


def test_names_of_nodes_begin_as_insightface_does_not_look_for_and_values_are_renamed():
    graph = make_graph([helper.make_node("Mul", ["x", "c"], ["y"], name="Mul")], {"c": 2.0})
    prefix_node_names(graph)
    rename_value(graph, "y", "embeddings")
    assert graph.node[0].name == "network/Mul"
    assert graph.output[0].name == "embeddings"
    assert np.array_equal(run(graph), 2 * X)
