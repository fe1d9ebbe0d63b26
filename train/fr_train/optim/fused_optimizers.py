"""SGD and Adam whose update of a variable is one TensorFlow kernel, where Keras makes about ten passes over memory.

Formulas, slots and weight decay are those of Keras. Weights of 85,742 classes are 176 MB, and so is what a pass makes of them.
"""

from typing import Any

import keras
import tensorflow as tf

__all__ = ["FusedAdam", "FusedSGD"]


class FusedSGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD`, and takes its arguments."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves a variable and its momentum."""
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, and takes its arguments but `amsgrad`; with a weight decay it is AdamW."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves a variable and its two moments."""
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, variable.dtype)
        beta1, beta2, epsilon = (tf.cast(value, variable.dtype) for value in (self.beta_1, self.beta_2, self.epsilon))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta1**step,
            beta2_power=beta2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
