"""Small images on disk, and the network that embeds them."""

import numpy as np
import pytest
from tests.made_pairs import encode

from fr_eval.export.sample_images import draw_images
from fr_eval.models.load import load_model

PIXELS = draw_images(7, size=(16, 16), seed=4)


@pytest.fixture(scope="session")
def embedder(tiny_model_path):
    return load_model(tiny_model_path)


@pytest.fixture
def folder(tmp_path):
    """Seven images in two folders: 10.png sorts before 2.png."""
    path = tmp_path / "faces"
    for number, pixels in enumerate(PIXELS):
        file = path / ("a" if number < 4 else "b") / f"{number + 8}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(pixels, "PNG"))
    return path


@pytest.fixture
def unit_rows():
    def make(count, size, seed=0):
        rows = np.random.default_rng(seed).normal(size=(count, size))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    return make
