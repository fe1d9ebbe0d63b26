"""Images, and one linear network in every format, so that NumPy can say what it must give."""

from pathlib import Path

import numpy as np
import pytest

SIZE = (8, 6)
NUM_VALUES = 5


@pytest.fixture(scope="package")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="package")
def weights() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(SIZE[0] * SIZE[1] * 3, NUM_VALUES)).astype(np.float32) / 10


@pytest.fixture(scope="package")
def expected(images, weights):
    """Gives the embeddings of images that were scaled as (x - offset) / divisor."""

    def compute(offset: float, divisor: float) -> np.ndarray:
        return ((images.astype(np.float64) - offset) / divisor).reshape(len(images), -1) @ weights

    return compute


@pytest.fixture(scope="package")
def make_linear(weights):
    """Makes the Keras model of these weights."""

    def make(*, scaling_layer=None, batch_size=None, dtype="float32", layout="nhwc"):
        import keras

        shape = (*SIZE, 3) if layout == "nhwc" else (3, *SIZE)
        image = keras.Input(shape, batch_size=batch_size, dtype=dtype)
        x = scaling_layer(image) if scaling_layer else image
        x = keras.layers.Permute((2, 3, 1))(x) if layout == "nchw" else x
        model = keras.Model(
            image, keras.layers.Dense(NUM_VALUES, use_bias=False, name="dense")(keras.layers.Flatten()(x))
        )
        model.get_layer("dense").set_weights([weights])
        return model

    return make


@pytest.fixture(scope="package")
def saved_model(make_linear, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("linear") / "saved"
    make_linear().export(path, format="tf_saved_model", verbose=False)
    return path
