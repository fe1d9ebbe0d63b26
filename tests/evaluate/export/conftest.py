"""A network with all that exports have to get right, and real small shards."""

import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_eval.export.network import load_network
from fr_eval.export.sample_images import draw_images
from fr_prep.cli import main as prep


def build_prelu_network(*, scaling_layer=None, dtype="float32"):
    """PReLU, batch normalisation with statistics of its own, a depthwise convolution, and an addition."""
    import keras

    keras.utils.set_random_seed(3)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        images = keras.Input((16, 16, 3))
        x = scaling_layer(images) if scaling_layer else images
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = y = keras.layers.PReLU(shared_axes=[1, 2])(x)
        x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
        x = keras.layers.PReLU(shared_axes=[1, 2])(x)
        x = keras.layers.Add()([x, y])
        x = keras.layers.Dense(6)(keras.layers.Flatten()(x))
        model = keras.Model(images, keras.layers.Activation("linear", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy(previous)
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if "alpha" in weight.path or "gamma" in weight.path or "variance" in weight.path:
            weight.assign(rng.uniform(0.1, 0.9, weight.shape))
        elif "bias" in weight.path or "beta" in weight.path or "mean" in weight.path:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture(scope="session")
def prelu_model_path(tmp_path_factory):
    """As fr-train saves networks: (x - 127.5) / 127.5 inside."""
    import keras

    path = tmp_path_factory.mktemp("prelu") / "prelu.keras"
    build_prelu_network(scaling_layer=keras.layers.Rescaling(1 / 127.5, offset=-1)).save(path)
    return path


@pytest.fixture(scope="session")
def unscaled_model_path(tmp_path_factory):
    """As most published networks: pixels come scaled."""
    path = tmp_path_factory.mktemp("unscaled") / "unscaled.keras"
    build_prelu_network().save(path)
    return path


@pytest.fixture(scope="session")
def network(prelu_model_path):
    return load_network(prelu_model_path)


def make_shards(folder, images):
    """A data set of PNG images in three classes, in the order of its source."""
    for number, data in enumerate(images):
        file = folder / "source" / f"{number // 4}" / f"{number % 4}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    arguments = ["folder2tfrecord", str(folder / "source"), str(folder / "shards"), "--shards", "2", "--no-shuffle"]
    result = CliRunner().invoke(prep, [*arguments, "--quiet"])
    assert result.exit_code == 0, result.output
    return folder / "shards"


@pytest.fixture(scope="session")
def face_pixels():
    return draw_images(12, size=(20, 20))


@pytest.fixture(scope="session")
def face_shards(tmp_path_factory, face_pixels):
    return make_shards(tmp_path_factory.mktemp("faces"), [encode(pixels, "PNG") for pixels in face_pixels])


@pytest.fixture(scope="session")
def damaged_shards(tmp_path_factory, face_pixels):
    """Image 7 ends too early; its header is sound, so that the conversion takes it."""
    images = [encode(pixels, "PNG") for pixels in face_pixels]
    images[7] = images[7][:200]
    return make_shards(tmp_path_factory.mktemp("damaged"), images)
