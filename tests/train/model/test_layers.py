import keras
import numpy as np
import pytest
from keras import ops

from fr_train.model.layers import WeightNormalizedDense

X = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def built(**options):
    layer = WeightNormalizedDense(4, **options)
    layer.build((None, 5))
    return layer


def test_the_weights_are_g_times_v_over_its_length():
    layer, rng = built(), np.random.default_rng(0)
    v, g, bias = rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=4)
    for variable, value in ((layer.v, v), (layer.g, g), (layer.bias, bias)):
        variable.assign(value)
    expected = [[x @ (g[j] * v[:, j] / np.linalg.norm(v[:, j])) + bias[j] for j in range(4)] for x in X]
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, rtol=1e-5, atol=1e-6)


def test_it_begins_as_a_dense_layer_of_the_same_seed():
    initializer = keras.initializers.GlorotUniform(seed=3)
    dense = keras.layers.Dense(4, kernel_initializer=initializer)
    received = built(kernel_initializer=initializer)(X)
    np.testing.assert_allclose(ops.convert_to_numpy(received), ops.convert_to_numpy(dense(X)), rtol=1e-5, atol=1e-6)


def test_the_length_of_v_changes_nothing():
    layer = built(use_bias=False, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    before = ops.convert_to_numpy(layer(X))
    layer.v.assign(7.0 * layer.v)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), before, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_variables_are_float32_and_outputs_of_the_policy(policy):
    layer = built(dtype=policy)
    assert {v.dtype for v in layer.variables} == {"float32"}
    assert layer(X).dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(layer(X), "float32")).shape, (3, 4))


def test_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((5,)), WeightNormalizedDense(4, use_bias=False)])
    model.save(tmp_path / "dense.keras")
    twin = keras.saving.load_model(tmp_path / "dense.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), ops.convert_to_numpy(twin(X)))
    assert [v.name for v in twin.trainable_variables] == ["v", "g"]


def test_no_unit_is_refused():
    with pytest.raises(ValueError, match="at least 1 unit"):
        WeightNormalizedDense(0)
