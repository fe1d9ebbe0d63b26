import json

import numpy as np
import pytest

from fr_data.bins.bins import read_bin, write_bin
from fr_eval.errors import ProtocolError
from fr_eval.jobs.evaluate import evaluate_bin
from fr_eval.models.embed import decode_bin, embed_bin
from fr_eval.models.keras_model import wrap_keras
from fr_eval.models.load import load_model
from fr_eval.protocols.verification import verify


@pytest.fixture(scope="module")
def embedder(tiny_model):
    return wrap_keras(tiny_model)


def test_a_result_holds_the_figures_and_where_they_come_from(bin_path, embedder):
    bin_ = read_bin(bin_path)
    result = evaluate_bin(embedder, bin_, num_folds=5, pca=3, decoded=decode_bin(bin_, embedder.input_size))
    embeddings = embed_bin(bin_, embedder)
    expected = verify(embeddings.plain, bin_.issame, mirrored=embeddings.mirrored, num_folds=5, num_components=3)
    assert result.verification.to_dict() == expected.to_dict()
    stored = json.loads(json.dumps(result.to_dict()))
    assert (stored["bin"], stored["sha256"], stored["num_pairs"]) == ("pairs", bin_.sha256, 40)
    assert result.num_unique_images == 80


def test_an_error_of_the_protocol_names_the_bin(tmp_path, images, embedder):
    write_bin(tmp_path / "same.bin", images, [True] * 6)
    with pytest.raises(ProtocolError, match=r"same\.bin: all 6 pairs"):
        evaluate_bin(embedder, read_bin(tmp_path / "same.bin"))


def test_a_diverged_model_is_named(tiny_model, bin_path):
    import keras

    model = keras.models.clone_model(tiny_model)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(ProtocolError, match=r"NaN or infinite values in row 0 .* diverged"):
        evaluate_bin(wrap_keras(model), read_bin(bin_path))


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "accuracy"), [("lfw_small", 0.9975), ("lfw_disjoint", 0.9950)])
def test_a_real_model_reaches_its_known_accuracy(shared, name, accuracy):
    embedder = load_model(shared / "models" / "mobilefacenet.keras", scaling="128")
    result = evaluate_bin(embedder, read_bin(shared / "faces" / f"{name}.bin", check_images=False))
    assert result.verification.mirrored.accuracy_mean == pytest.approx(accuracy, abs=1e-4)
