"""Layers of embedding networks that Keras does not have."""

from typing import Any

import keras
from keras import ops

from fr_train.model.heads import l2_norm, l2_normalize

__all__ = ["WeightNormalizedDense"]

Tensor = Any


@keras.saving.register_keras_serializable("fr_train")
class WeightNormalizedDense(keras.layers.Layer):
    """A dense layer whose weights are w = g · v/|v|: direction and length are learned apart.

    v is initialised as the kernel of a dense layer and g as |v|, so that both layers begin alike. w is computed in float32.

    Args:
        units: outputs.
        use_bias: whether a bias is added.
        kernel_initializer: of v.
        kwargs: of `keras.layers.Layer`.

    Reference:
        Salimans and Kingma 2016, Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural Networks.
    """

    def __init__(
        self, units: int, *, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"expected at least 1 unit, received {units}")
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes v (inputs, units), g (units,) and the bias (units,)."""
        self.v = self.add_weight(
            name="v", shape=(input_shape[-1], self.units), initializer=self.kernel_initializer, autocast=False
        )
        self.g = self.add_weight(
            name="g", shape=(self.units,), initializer=lambda *_, **__: l2_norm(self.v, axis=0), autocast=False
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros") if self.use_bias else None

    def call(self, x: Tensor) -> Tensor:
        """Gives (..., units) for (..., inputs)."""
        outputs = ops.matmul(x, ops.cast(self._kernel(), x.dtype))
        return outputs if self.bias is None else outputs + self.bias

    def to_dense(self) -> keras.layers.Dense:
        """Gives the plain layer with the same outputs, as a network is saved."""
        dense = keras.layers.Dense(self.units, use_bias=self.use_bias, dtype=self.dtype_policy, name=self.name)
        dense.build((None, self.v.shape[0]))
        dense.set_weights([self._kernel(), *([] if self.bias is None else [self.bias])])
        return dense

    def _kernel(self) -> Tensor:
        return self.g * l2_normalize(self.v, axis=0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(..., units)."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for serialisation."""
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
