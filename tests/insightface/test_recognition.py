"""Exported ONNX files in the real package `insightface`: taken for its own recognition models, with the same embeddings."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fr_eval.export.export import ExportJob, run_export
from fr_eval.export.sample_images import draw_images
from fr_eval.models.load import load_model

pytest.importorskip("tf2onnx")

ENVIRONMENT = Path(__file__).parents[2] / ".venv-insightface"


@pytest.fixture
def embed_by_insightface(tmp_path):
    if not (ENVIRONMENT / ".installed").is_file():
        pytest.skip("no insightface: make insightface installs it in an environment of its own")

    def embed(model, images):
        np.save(tmp_path / "images.npy", images)
        side = Path(__file__).with_name("insightface_side.py")
        command = [ENVIRONMENT / "bin/python", side, model, tmp_path / "images.npy", tmp_path / "embeddings.npy"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), np.load(tmp_path / "embeddings.npy")

    return embed


def check(found, expected):
    facts, embeddings = found
    assert facts["class"] == "ArcFaceONNX"
    assert facts["task"] == "recognition"
    assert (facts["input_size"], facts["mean"], facts["std"]) == ([112, 112], 127.5, 127.5)
    assert facts["single_agrees"]
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
    assert (np.einsum("ij,ij->i", embeddings, expected) / lengths).min() > 0.9999
    assert np.allclose(embeddings, expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())


def train_a_little(model):
    """Statistics and slopes that are not those of the first step."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("moving_mean", "beta", "bias")):
            weight.assign(rng.normal(0, 0.1, weight.shape))
        elif weight.path.endswith(("moving_variance", "gamma", "alpha")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


# One of each way of building networks; `tests/contract` holds all of them against ONNX Runtime.
@pytest.mark.parametrize("backbone", ["plaincnn", "mobilefacenet"])
def test_a_network_of_the_trainer_is_a_recognition_model(backbone, embed_by_insightface, tmp_path):
    from fr_train.model.backbones.embedding import build_embedding_network

    model = build_embedding_network(backbone)
    train_a_little(model)
    model.save(tmp_path / "model.keras")
    run_export(ExportJob(tmp_path / "model.keras", tmp_path / "model.onnx", "onnx"))
    images = draw_images(6, size=(112, 112), seed=1)
    check(embed_by_insightface(tmp_path / "model.onnx", images), load_model(tmp_path / "model.keras").embed(images))


@pytest.mark.shared
def test_a_published_network_with_another_scaling_is_a_recognition_model(shared, embed_by_insightface, tmp_path):
    from fr_data.bins.bins import read_bin
    from fr_data.images.decode import decode_image

    source = shared / "models/mobilefacenet.keras"
    run_export(ExportJob(source, tmp_path / "model.onnx", "onnx", scaling="128"))
    faces = np.stack([decode_image(data) for data in read_bin(shared / "faces/lfw_tiny.bin").images[:40]])
    expected = load_model(source, scaling="128").embed(faces)
    check(embed_by_insightface(tmp_path / "model.onnx", faces), expected)
