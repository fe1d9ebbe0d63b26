import numpy as np
import pytest
from tests.made_pairs import draw_pairs

from fr_data.bins.bins import read_bin, write_bin
from fr_eval.errors import ProtocolError
from fr_eval.jobs.evaluate import evaluate_bin
from fr_eval.models.keras_model import wrap_keras
from fr_train.run.bin_scores import BinScores


@pytest.fixture
def network():
    import keras

    keras.utils.set_random_seed(7)
    image = keras.Input((16, 16, 3))
    pixels = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    return keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(pixels)))


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / "first.bin", tmp_path / "second.bin"]
    for seed, path in enumerate(paths):
        write_bin(path, *draw_pairs(20, seed=seed))
    return paths


def test_the_scores_are_those_of_the_evaluation_and_follow_the_network(network, paths):
    scores = BinScores(paths, network, batch_size=7)
    for _ in range(2):
        embedder = wrap_keras(network, scaling="none")
        expected = [evaluate_bin(embedder, read_bin(path)).verification.mirrored.accuracy_mean for path in paths]
        assert scores() == dict(zip(["first_accuracy", "second_accuracy"], np.round(expected, 6), strict=True))
        network.set_weights([np.random.default_rng(0).normal(size=weight.shape) for weight in network.get_weights()])


def test_bins_of_one_name_go_by_their_paths(network, tmp_path):
    paths = [tmp_path / folder / "lfw.bin" for folder in ("a", "b")]
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        write_bin(path, *draw_pairs(20, seed=seed))
    alone = [BinScores([path], network, batch_size=7)()["lfw_accuracy"] for path in paths]
    scores = BinScores(paths, network, batch_size=7)()
    assert scores == dict(zip([f"{path}_accuracy" for path in paths], alone, strict=True))


def test_a_network_that_has_diverged_is_named_with_the_bin(network, paths):
    scores = BinScores(paths[1:], network, batch_size=7)
    network.set_weights([np.full(weight.shape, np.nan) for weight in network.get_weights()])
    with pytest.raises(ProtocolError, match=r"second\.bin: embeddings: NaN .*has its training diverged"):
        scores()
