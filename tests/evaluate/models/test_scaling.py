import numpy as np
import pytest

from fr_eval.errors import ModelError
from fr_eval.models.scaling import SCALINGS, has_own_scaling, resolve_scaling, scale_pixels


@pytest.mark.parametrize(
    ("scaling", "ends"), [("none", (0, 255)), ("127.5", (-1, 1)), ("128", (-0.99609375, 0.99609375)), ("255", (0, 1))]
)
def test_black_and_white_become_what_the_scaling_says(scaling, ends):
    pixels = np.array([0, 255], np.uint8)
    scaled = scale_pixels(pixels, scaling)
    assert scaled.dtype == np.float32
    assert tuple(scaled) == ends
    assert pixels.tolist() == [0, 255]
    assert set(SCALINGS) == {"none", "127.5", "128", "255"}


def test_what_is_asked_for_goes_before_what_the_model_says():
    assert resolve_scaling(None, "none", name="m", why="") == "none"
    assert resolve_scaling("128", "none", name="m", why="") == "128"
    assert resolve_scaling(None, None, name="m", why="", takes_bytes=True) == "none"
    with pytest.raises(ModelError, match=r"m: the model does not say how pixels are scaled: it is mute\. Say"):
        resolve_scaling(None, None, name="m", why="it is mute")
    with pytest.raises(ModelError, match="received 'x'"):
        resolve_scaling("x", None, name="m", why="")
    with pytest.raises(ModelError, match="leave --scaling 255 out"):
        resolve_scaling("255", None, name="m", why="", takes_bytes=True)


def test_a_scaling_layer_counts_before_the_first_weights_alone():
    import keras

    def begin_with(*layers):
        return keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Conv2D(2, 1)])

    scaling = keras.layers.Rescaling(1 / 255)
    assert has_own_scaling(begin_with(scaling))
    assert has_own_scaling(begin_with(keras.layers.Normalization(mean=0.5, variance=1.0)))
    assert has_own_scaling(begin_with(keras.Sequential([keras.layers.RandomFlip(), scaling])))
    assert not has_own_scaling(begin_with(keras.layers.Conv2D(3, 1), scaling))
    assert not has_own_scaling(begin_with())
