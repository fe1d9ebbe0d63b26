import shutil

import numpy as np
import pytest

from fr_data.bins.bins import write_bin
from fr_eval.jobs.job import Job, ModelFile, find_versions, run_job


@pytest.fixture
def other_path(tmp_path, images):
    """A bin of the same name in another folder."""
    path = tmp_path / "other" / "pairs.bin"
    path.parent.mkdir()
    write_bin(path, images, [True, False] * 3)
    return path


def test_every_model_is_measured_on_every_bin(tiny_model_path, tmp_path, bin_path, other_path):
    np.savez(tmp_path / "e.npz", pairs=np.random.default_rng(0).normal(size=(80, 4)))
    twin = tmp_path / "twin" / tiny_model_path.name
    twin.parent.mkdir()
    shutil.copy(tiny_model_path, twin)
    job = Job((ModelFile(tiny_model_path), ModelFile(twin, "none", "nhwc")), (bin_path, other_path))
    outcome = run_job(job)
    assert [model.label for model in outcome.models] == [str(tiny_model_path), str(twin)]
    assert [bin_.name for bin_ in outcome.bins] == [str(bin_path), str(other_path)]
    assert [(model.path, bin_.path) for model, bin_ in outcome.results] == [
        (model, path) for model in (tiny_model_path, twin) for path in (bin_path, other_path)
    ]
    first, second = (outcome.results[model, outcome.bins[0]].verification for model in outcome.models)
    assert first.to_dict() == second.to_dict()
    assert outcome.failures == []


def test_what_fails_is_recorded_and_said_at_once_and_the_others_go_on(tiny_model_path, tmp_path, bin_path):
    (tmp_path / "bad.bin").write_bytes(b"<html>")
    np.save(tmp_path / "zeros.npy", np.zeros((80, 4)))
    said = []
    job = Job(
        (ModelFile(tmp_path / "missing.keras"), ModelFile(tiny_model_path)),
        (tmp_path / "bad.bin", bin_path),
        (tmp_path / "zeros.npy",),
    )
    outcome = run_job(job, on_failure=said.append)
    assert said == outcome.failures
    assert [(failure.model, failure.bin_name) for failure in said] == [
        (None, str(tmp_path / "bad.bin")),
        ("missing.keras", None),
        ("zeros.npy", "pairs"),
    ]
    assert [model.label for model in outcome.models] == ["tiny.keras", "zeros.npy"]
    assert len(outcome.results) == 1


def test_without_a_bin_no_model_is_loaded(tmp_path):
    outcome = run_job(Job((ModelFile(tmp_path / "missing.keras"),), (tmp_path / "missing.bin",)))
    assert [failure.bin_name for failure in outcome.failures] == [str(tmp_path / "missing.bin")]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job((ModelFile("m.keras"),), ("a b.bin",)), "fr-eval --model m.keras 'a b.bin'"),
        (
            Job((ModelFile("m.keras", "128"), ModelFile("n.onnx", "128")), ("a.bin",), ("e.npz",), 32, 5, 64, False),
            "fr-eval --model m.keras --model n.onnx --embeddings e.npz --scaling 128 --folds 5 --pca 64 --no-mirror a.bin",
        ),
        (
            Job((ModelFile("m.keras"), ModelFile("n.onnx", "255", "nchw")), ("a.bin",)),
            "fr-eval --model m.keras --model n.onnx --scaling auto --scaling 255 --layout auto --layout nchw a.bin",
        ),
    ],
)
def test_the_command_does_the_job_again(job, words):
    assert job.command == words


def test_versions_are_of_what_was_loaded():
    versions = find_versions()
    assert {"python", "fr-toolkit", "numpy"} <= set(versions)
