"""The fused updates against those of Keras."""

import keras
import numpy as np
import pytest

from fr_train.optim.fused_optimizers import FusedAdam, FusedSGD

PAIRS = [
    (FusedSGD, keras.optimizers.SGD, {"learning_rate": 0.1}),
    (FusedSGD, keras.optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (FusedSGD, keras.optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "global_clipnorm": 0.5}),
    (FusedAdam, keras.optimizers.Adam, {"learning_rate": 0.01, "epsilon": 1e-3}),
    (FusedAdam, keras.optimizers.AdamW, {"learning_rate": 0.01, "weight_decay": 0.1, "beta_1": 0.8}),
]


def trained(optimizer, gradients, dtype):
    variables = [keras.Variable(np.linspace(-1, 1, 12).reshape(4, 3), dtype=dtype, name="kernel")]
    optimizer.build(variables)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, dtype=dtype)], variables)
    return {v.path.split("/")[-1]: keras.ops.convert_to_numpy(v) for v in [*variables, *optimizer.variables]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("fused", "plain", "options"), PAIRS)
def test_weights_and_slots_move_as_in_keras(fused, plain, options, dtype):
    gradients = np.random.default_rng(0).normal(size=(20, 4, 3))
    one, two = (trained(make(**options), gradients, dtype) for make in (fused, plain))
    assert one.keys() == two.keys()
    for name, value in two.items():
        np.testing.assert_allclose(one[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("make", "num_slots"), [(FusedSGD, 1), (FusedAdam, 2)])
def test_an_update_is_one_kernel(make, num_slots):
    import tensorflow as tf

    variable = keras.Variable(np.zeros((100, 7)), dtype="float32", name="kernel")
    optimizer = make(learning_rate=0.1, **({"momentum": 0.9} if make is FusedSGD else {}))
    optimizer.build([variable])
    assert sum(slot.shape == (100, 7) for slot in optimizer.variables) == num_slots

    @tf.function
    def update(gradient):
        optimizer.apply([gradient], [variable])

    graph = update.get_concrete_function(tf.TensorSpec((100, 7))).graph
    operations = graph.get_operations()
    assert sum("ResourceApply" in op.type for op in operations) == 1
    large = {op.type for op in operations if any(output.shape == (100, 7) for output in op.outputs)}
    assert large == {"Placeholder", "Identity", "IdentityN"}  # nothing else as large as the weights is made
