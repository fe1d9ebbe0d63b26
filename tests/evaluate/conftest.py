"""A tiny network, and what it makes of drawn pairs."""

from pathlib import Path

import numpy as np
import pytest

from fr_data.bins.bins import VerificationBin


@pytest.fixture(scope="session")
def tiny_model():
    """A network of one convolution, which scales its pixels itself."""
    import keras

    keras.utils.set_random_seed(7)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.Dense(6)(keras.layers.Flatten()(x))
    return keras.Model(image, x, name="tiny")


@pytest.fixture(scope="session")
def tiny_model_path(tiny_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    tiny_model.save(path)
    return path


@pytest.fixture(scope="session")
def drawn_outcome():
    """Two models on two bins, of which one could not be measured."""
    from fr_eval.jobs.evaluate import measure_embeddings
    from fr_eval.jobs.outcome import Failure, ModelCard, Outcome
    from fr_eval.models.embed import BinEmbeddings

    rng = np.random.default_rng(0)
    issame = np.arange(30) % 2 == 0
    bins = [VerificationBin([b"x"] * 60, issame, Path(f"{name}.bin"), name, {}, 4) for name in ("lfw", "cfp")]
    models = [
        ModelCard("a.keras", Path("a.keras"), "0a", "Keras", "none", "nhwc", (112, 112), 512),
        ModelCard("e|f.npz", Path("e|f.npz"), "0e", "embeddings"),
    ]
    results = {}
    for model in models:
        for bin_ in bins:
            rows = rng.normal(size=(60, 8))
            rows[1::2][issame] = rows[0::2][issame] + 0.1
            mirrored = rows if model.format == "Keras" else None
            results[model, bin_] = measure_embeddings(BinEmbeddings(rows, mirrored), bin_, num_folds=40)
    del results[models[1], bins[1]]
    failures = [Failure("e|f.npz", "cfp", "no array"), Failure(None, "x.bin", "x.bin: damaged")]
    return Outcome("fr-eval …", models, bins, results, failures, {"python": "3.11"})
