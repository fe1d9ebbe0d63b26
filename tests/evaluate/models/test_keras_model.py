import hashlib
import zipfile

import numpy as np
import pytest

from fr_eval.errors import ModelError
from fr_eval.models.keras_model import wrap_keras
from fr_eval.models.load import load_model
from fr_eval.models.scaling import SCALINGS


@pytest.mark.parametrize("name", ["linear.keras", "linear.h5"])
def test_a_saved_model_gives_the_embeddings_of_the_network(name, make_linear, images, expected, tmp_path):
    path = tmp_path / name
    make_linear().save(path)
    embedder = load_model(path, scaling="128")
    assert (embedder.format, embedder.name, embedder.path) == ("Keras", name, path)
    assert (embedder.input_size, embedder.embedding_size, embedder.scaling) == ((8, 6), 5, "128")
    assert embedder.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    found = embedder.embed(images, batch_size=3)
    assert found.dtype == np.float32
    assert np.allclose(found, expected(127.5, 128), atol=1e-4)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_every_scaling_is_applied_before_the_network(scaling, make_linear, images, expected):
    wanted = expected(*SCALINGS[scaling])
    found = wrap_keras(make_linear(), scaling=scaling).embed(images)
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_scaling_inside_the_model_is_recognised_and_asked_for_otherwise(make_linear, images, expected):
    import keras

    scaled = make_linear(scaling_layer=keras.layers.Rescaling(1 / 127.5, offset=-1))
    embedder = wrap_keras(scaled)
    assert embedder.scaling == "none"
    assert np.allclose(embedder.embed(images), expected(127.5, 127.5), atol=1e-4)
    with pytest.raises(ModelError, match=r"no Rescaling or Normalization layer .* --scaling \(none"):
        wrap_keras(make_linear())


def test_a_model_of_bytes_scales_by_itself(make_linear, images, expected):
    import keras

    model = make_linear(dtype="uint8", scaling_layer=keras.layers.Rescaling(1 / 255))
    assert np.allclose(wrap_keras(model).embed(images), expected(0, 255), atol=1e-4)
    with pytest.raises(ModelError, match="takes pixels as uint8"):
        wrap_keras(model, scaling="128")


def test_channels_may_come_first(make_linear, images, expected):
    embedder = wrap_keras(make_linear(layout="nchw"), scaling="128")
    assert embedder.image_input.layout == "nchw"
    assert np.allclose(embedder.embed(images), expected(127.5, 128), atol=1e-4)


def test_a_fixed_batch_is_filled(make_linear, images, expected):
    embedder = wrap_keras(make_linear(batch_size=4), scaling="128")
    assert np.allclose(embedder.embed(images), expected(127.5, 128), atol=1e-4)


def test_batches_of_any_number_are_traced_once(make_linear, images):
    calls = []
    model = make_linear()
    embedder = wrap_keras(model, scaling="none")
    last = model.layers[-1]
    call = last.call
    last.call = lambda *arguments, **options: calls.append(1) or call(*arguments, **options)
    for count in (7, 5, 1):
        embedder.embed(images[:count], batch_size=4)
    assert len(calls) == 1


def test_an_embedder_follows_a_model_in_training(make_linear, images):
    model = make_linear()
    embedder = wrap_keras(model, scaling="255")
    before = embedder.embed(images)
    model.set_weights([2 * weight for weight in model.get_weights()])
    assert np.allclose(embedder.embed(images), 2 * before, atol=1e-4)


def test_models_of_another_shape_are_refused():
    import keras

    image = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(image)
    models = {
        "input of RGB images": keras.Model(gray := keras.Input((16, 16, 1)), keras.layers.Flatten()(gray)),
        r"received \(None, 16\)": keras.Sequential([keras.Input((16,)), keras.layers.Dense(2)]),
        "fixed height and width": keras.Model(
            free := keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()(free)
        ),
        "2 outputs": keras.Model(image, [flat, flat]),
        r"output of embeddings \(None, D\)": keras.Model(image, keras.layers.Conv2D(2, 1)(image)),
        "2 inputs": keras.Model([image, other := keras.Input((3,))], keras.layers.Concatenate()([flat, other])),
        "not built": keras.Sequential([keras.layers.Dense(2)]),
    }
    for message, model in models.items():
        with pytest.raises(ModelError, match=message):
            wrap_keras(model, scaling="none")


@pytest.mark.parametrize("name", ["code.keras", "code.h5"])
def test_a_model_that_carries_code_is_refused_in_safe_mode(name, tmp_path):
    import keras

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Flatten()(keras.layers.Lambda(lambda x: x * 2)(image)))
    model.save(tmp_path / name)
    with pytest.raises(ModelError, match="Lambda"):
        load_model(tmp_path / name, scaling="none")


def test_weights_alone_and_damaged_files_are_refused(make_linear, tmp_path):
    make_linear().save_weights(tmp_path / "linear.weights.h5")
    make_linear().save(tmp_path / "whole.h5")
    (tmp_path / "half.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:3000])
    with zipfile.ZipFile(tmp_path / "archive.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    for name in ("linear.weights.h5", "half.h5", "archive.keras"):
        with pytest.raises(ModelError, match=rf"{name}: Keras cannot load this model: .* not weights alone"):
            load_model(tmp_path / name, scaling="none")


def test_a_network_that_fails_is_named_with_the_number_of_images(images):
    import keras

    @keras.saving.register_keras_serializable("tests")
    class Impossible(keras.layers.Layer):
        def call(self, x):
            return keras.ops.reshape(x, (-1, 5))  # 144 values an image: fits no batch that is no multiple of 5

        def compute_output_shape(self, shape):
            return (shape[0], 5)

    image = keras.Input((8, 6, 3))
    embedder = wrap_keras(keras.Model(image, Impossible()(image)), scaling="none", name="m")
    with pytest.raises(ModelError, match="m: the network fails on 7 images: "):
        embedder.embed(images)
