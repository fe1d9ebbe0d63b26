import keras
import numpy as np
import pytest

from fr_train.errors import ConfigError
from fr_train.model.backbones.embedding import OUTPUT_LAYERS, build_embedding_network
from fr_train.model.backbones.registry import backbone_names, find_backbone
from fr_train.model.backbones.restyle import ACTIVATIONS


@pytest.mark.parametrize("name", backbone_names())
def test_each_network_gives_embeddings_and_survives_saving(name, tmp_path):
    network = build_embedding_network(name, image_size=(64, 64), embedding_size=24)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    embeddings = np.asarray(network(images))
    assert (embeddings.shape, embeddings.dtype) == ((2, 24), np.float32)
    assert np.isfinite(embeddings).all()
    network.save(tmp_path / "network.keras")
    twin = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(np.asarray(twin(images)), embeddings, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("output", sorted(OUTPUT_LAYERS))
def test_each_output_layer_fits_a_feature_map(output):
    network = build_embedding_network("mobilefacenet", image_size=(48, 32), embedding_size=8, width=0.25, output=output)
    assert network.output_shape == (None, 8)


def test_pixels_are_scaled_inside_the_network():
    network = build_embedding_network("mobilefacenet", image_size=(32, 32), width=0.25)
    scaled = keras.Model(network.input, network.get_layer("scaling").output)
    pixels = np.array([0, 127.5, 255], dtype=np.float32).reshape(1, 3, 1, 1) * np.ones((1, 1, 32, 3), dtype=np.float32)
    images = np.repeat(pixels, 11, axis=1)[:, :32]
    np.testing.assert_allclose(np.unique(np.asarray(scaled(images))), [-1, 0, 1], atol=1e-6)


def test_a_network_may_look_at_the_middle_of_the_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 36, 3)).astype("float32")
    middle = build_embedding_network("plaincnn", image_size=(40, 36), center_crop=(32, 28), embedding_size=8)
    whole = build_embedding_network("plaincnn", image_size=(32, 28), embedding_size=8)
    whole.set_weights(middle.get_weights())
    middle.save(tmp_path / "model.keras")
    for network in (middle, keras.saving.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(network(images), whole(images[:, 4:36, 4:32]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match=r"center_crop: expected at most \[32, 28\].*received \[32, 32\]"):
        build_embedding_network("plaincnn", image_size=(32, 28), center_crop=(32, 32))


def test_mobilefacenet_has_the_size_that_its_paper_states():
    network = build_embedding_network("mobilefacenet", embedding_size=128)
    trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert 0.98e6 < trained < 1.01e6


@pytest.mark.parametrize(
    ("name", "millions"),
    [("iresnet18", 24.02), ("iresnet50", 43.59), ("mbf", 2.06), ("ghostnet", 3.21), ("resnet50v2", 24.57)],
)
def test_networks_have_the_size_that_the_field_states(name, millions):
    network = build_embedding_network(name, embedding_size=512)
    trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert trained == pytest.approx(millions * 1e6, rel=0.002)


@pytest.mark.parametrize("name", ["iresnet18", "mobilefacenet", "mbf", "ghostnet"])
def test_the_fields_networks_end_in_seven_by_seven(name):
    network = build_embedding_network(name, image_size=(112, 112), width=0.25, embedding_size=8, output="gap")
    assert network.get_layer("pool").input.shape[1:3] == (7, 7)


def test_a_width_factor_thins_the_network():
    sizes = [build_embedding_network("mobilefacenet", width=width).count_params() for width in (0.25, 0.5, 1.0)]
    assert sizes == sorted(sizes)


def test_an_unknown_network_is_named_with_its_neighbour():
    with pytest.raises(ConfigError, match="Did you mean mobilefacenet"):
        find_backbone("mobilefacnet")


def test_an_unknown_output_layer_is_refused():
    with pytest.raises(ConfigError, match=r"model\.output"):
        build_embedding_network("mobilefacenet", output="x")


def test_a_width_where_there_is_none_is_refused():
    with pytest.raises(ConfigError, match="no width factor"):
        build_embedding_network("resnet50v2", width=0.5)


def test_weights_of_imagenet_that_cannot_be_had_say_where_they_come_from(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", unreachable)
    with pytest.raises(ConfigError, match=r"~/.keras/models"):
        build_embedding_network("mobilenetv2", image_size=(96, 96), imagenet=True)


def test_a_width_of_which_imagenet_has_no_weights_is_told_from_a_failed_download():
    expected = r"model\.width: of mobilenetv2 .* for 0\.35, 0\.5, 0\.75, 1, 1\.3, 1\.4, received 0\.25\."
    with pytest.raises(ConfigError, match=expected):
        build_embedding_network("mobilenetv2", image_size=(96, 96), width=0.25, imagenet=True)


def test_weights_of_imagenet_see_pixels_as_keras_gives_them(monkeypatch, tmp_path):
    whole = keras.applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=(32, 32, 3))
    whole.save_weights(tmp_path / "drawn.weights.h5")
    monkeypatch.setattr(
        "keras.src.applications.efficientnet_v2.file_utils.get_file",
        lambda *_, **__: str(tmp_path / "drawn.weights.h5"),
    )
    network = build_embedding_network("efficientnetv2b0", image_size=(32, 32), embedding_size=8, imagenet=True)
    # As far as the stem, behind which both are the same.
    reference, stem = (keras.Model(model.input, model.get_layer("stem_conv").output) for model in (whole, network))
    stem.save(tmp_path / "stem.keras")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    for model in (stem, keras.saving.load_model(tmp_path / "stem.keras")):
        np.testing.assert_allclose(model(images), reference(images), atol=1e-4)


def test_networks_without_weights_of_imagenet_say_which_have_some():
    with pytest.raises(ConfigError, match="resnet50v2"):
        build_embedding_network("mbf", imagenet=True)


@pytest.mark.parametrize("name", ["mobilefacenet", "mobilenetv2", "ghostnet"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_activation_can_be_chosen_and_nothing_else_changes(name, activation):
    def build(**options):
        keras.utils.set_random_seed(1)
        return build_embedding_network(name, image_size=(32, 32), width=0.25, embedding_size=8, **options)

    plain, restyled = build(), build(activation=activation)
    kernels = [[v.numpy() for v in network.trainable_variables if "kernel" in v.path] for network in (plain, restyled)]
    for before, after in zip(*kernels, strict=True):
        np.testing.assert_array_equal(before, after)
    kinds = {type(layer) for layer in restyled.layers}
    assert (keras.layers.PReLU in kinds) == (activation == "prelu")
    assert keras.layers.ReLU not in kinds


def test_l2_is_the_sum_of_squares_of_all_kernels():
    network = build_embedding_network("plaincnn", image_size=(32, 32), embedding_size=8, l2=0.5)
    kernels = [v.numpy() for v in network.trainable_variables if "kernel" in v.path]
    assert float(sum(network.losses)) == pytest.approx(
        sum(0.5 * np.sum(np.square(kernel)) for kernel in kernels), rel=1e-4
    )
    assert len(kernels) == 7


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match=r"model\.activation"):
        build_embedding_network("plaincnn", activation="tanh")
