"""Gradients under whichever backend Keras runs on, and numeric ones to hold them against."""

import keras
import numpy as np
from keras import ops


def gradients(function, *arrays):
    """Gradients of the sum of what a function of float32 tensors gives, by each of them."""
    arrays = [np.asarray(array, dtype=np.float32) for array in arrays]
    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.grad(lambda *tensors: ops.sum(function(*tensors)), argnums=range(len(arrays)))
        found = jax.jit(gradient)(*arrays)
    else:
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = ops.sum(function(*tensors))
        found = tape.gradient(total, tensors, unconnected_gradients="zero")
    return [ops.convert_to_numpy(gradient) for gradient in found]


def numeric_gradients(function, *arrays, step=1e-6):
    """The same by central differences in float64, for a function of NumPy arrays that sums up to a number."""
    arrays = [np.array(array, dtype=np.float64) for array in arrays]
    found = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            value = array[place]
            array[place] = value + step
            above = np.sum(function(*arrays))
            array[place] = value - step
            gradient[place] = (above - np.sum(function(*arrays))) / (2 * step)
            array[place] = value
        found.append(gradient)
    return found
