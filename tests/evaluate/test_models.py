import hashlib
import zipfile

import numpy as np
import pytest

from fr_eval.errors import ModelError
from fr_eval.models import Embedder, load_model
from fr_eval.scaling import SCALINGS, has_own_scaling


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 255, (7, 16, 16, 3), dtype=np.uint8)


def make_model(*, shape=(16, 16, 3), batch_size=None, scaling_layer=None):
    import keras

    image = keras.Input(shape, batch_size=batch_size)
    x = scaling_layer(image) if scaling_layer else image
    return keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(x)))


def test_a_saved_model_gives_the_embeddings_of_keras(tiny_model, tiny_model_path, images):
    embedder = load_model(tiny_model_path)
    assert (embedder.input_size, embedder.embedding_size, embedder.scaling) == ((16, 16), 6, "none")
    assert embedder.digest == hashlib.sha256(tiny_model_path.read_bytes()).hexdigest()
    embeddings = embedder.embed(images, batch_size=3)
    assert embeddings.dtype == np.float32
    assert np.allclose(embeddings, tiny_model(images.astype(np.float32), training=False).numpy(), atol=1e-5)


def test_mirror_gives_the_sum_of_both(tiny_model, images):
    embedder = Embedder.from_model(tiny_model)
    both = embedder.embed(images) + embedder.embed(images[:, :, ::-1])
    assert np.allclose(embedder.embed(images, mirror=True), both)
    assert not np.allclose(both, 2 * embedder.embed(images))


def test_batches_of_any_count_are_compiled_once(tiny_model, images):
    embedder = Embedder.from_model(tiny_model)
    whole = embedder.embed(images, batch_size=4)
    assert np.allclose(whole[:5], embedder.embed(images[:5], batch_size=4), atol=1e-6)
    assert embedder.embed(images[:0], batch_size=4).shape == (0, 6)
    assert embedder._forward.experimental_get_tracing_count() == 1


def test_an_embedder_follows_a_model_in_training(images):
    import keras

    model = make_model(scaling_layer=keras.layers.Rescaling(1 / 255))
    embedder = Embedder.from_model(model)
    before = embedder.embed(images)
    model.set_weights([2 * weight for weight in model.get_weights()])
    assert np.allclose(embedder.embed(images), 2 * before, atol=1e-4)


def test_every_scaling_is_applied_before_the_network(images):
    model = make_model()
    kernel, bias = (weight.astype(np.float64) for weight in model.get_weights())
    for name, (offset, divisor) in SCALINGS.items():
        expected = ((images.astype(np.float64) - offset) / divisor).reshape(7, -1) @ kernel + bias
        found = Embedder.from_model(model, scaling=name).embed(images)
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-2 * np.abs(expected).max())


def test_scaling_inside_the_model_is_found_and_is_asked_for_otherwise():
    import keras

    assert has_own_scaling(make_model(scaling_layer=keras.layers.Rescaling(1 / 255)))
    assert has_own_scaling(make_model(scaling_layer=keras.layers.Normalization(mean=0.5, variance=1.0)))
    nested = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)])
    assert has_own_scaling(make_model(scaling_layer=nested))
    late = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1), keras.layers.Rescaling(1 / 255)])
    assert not has_own_scaling(make_model(scaling_layer=late))
    with pytest.raises(ModelError, match=r"no Rescaling .* --scaling \(none"):
        Embedder.from_model(make_model())
    with pytest.raises(ModelError, match="received 'x'"):
        Embedder.from_model(make_model(), scaling="x")


def test_models_of_another_shape_are_refused():
    import keras

    image = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(image)
    models = {
        "input of RGB images": make_model(shape=(16, 16, 1)),
        r"received \(None, 16\)": keras.Sequential([keras.Input((16,)), keras.layers.Dense(2)]),
        r"\(None, None, None, 3\)": keras.Model(
            inputs := keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()(inputs)
        ),
        "fixed size 4": make_model(batch_size=4),
        "2 outputs": keras.Model(image, [flat, flat]),
        r"output of embeddings \(None, D\)": keras.Model(image, keras.layers.Conv2D(2, 1)(image)),
        "2 inputs": keras.Model([image, other := keras.Input((3,))], keras.layers.Concatenate()([flat, other])),
        "not built": keras.Sequential([keras.layers.Dense(2)]),
    }
    for message, model in models.items():
        with pytest.raises(ModelError, match=message):
            Embedder.from_model(model, scaling="none")


def test_images_of_another_shape_or_type_are_refused(tiny_model, images):
    embedder = Embedder.from_model(tiny_model)
    with pytest.raises(ModelError, match="uint8"):
        embedder.embed(images.astype(np.float32))
    with pytest.raises(ModelError, match="16, 16, 3"):
        embedder.embed(images[:, :8])


def test_files_that_are_no_model_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "missing.keras")
    with pytest.raises(ModelError, match="a folder"):
        load_model(tmp_path)
    text = tmp_path / "text.keras"
    text.write_text("text")
    with pytest.raises(ModelError, match="another format"):
        load_model(text)
    for name, message in (("archive.keras", "cannot load"), ("archive.zip", "named .keras")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("readme.txt", "no model")
        with pytest.raises(ModelError, match=message):
            load_model(tmp_path / name)


def test_a_model_that_carries_code_is_refused_in_safe_mode(tmp_path):
    import keras

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Flatten()(keras.layers.Lambda(lambda x: x * 2)(image)))
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ModelError, match="Lambda"):
        load_model(tmp_path / "lambda.keras", scaling="none")
