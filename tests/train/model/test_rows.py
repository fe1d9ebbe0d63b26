import keras
import numpy as np
import pytest
from keras import ops

from fr_train.model.rows import set_rows, take_rows


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3)])
def test_some_rows_are_read_and_written_and_others_left_alone(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    variable, indices = keras.Variable(values), ops.convert_to_tensor([5, 0, 5], dtype="int32")
    rows = ops.convert_to_numpy(take_rows(variable, indices))
    np.testing.assert_array_equal(rows, values[[5, 0, 5]])
    set_rows(variable, indices, ops.convert_to_tensor(-rows))
    values[[5, 0]] *= -1
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), values)
