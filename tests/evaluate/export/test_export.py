from pathlib import Path

import numpy as np
import pytest

from fr_eval.digests import hash_path
from fr_eval.errors import ExportError, MissingPackageError
from fr_eval.export.export import ExportJob, run_export
from fr_eval.models.load import load_model

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
NAMES = {"onnx": "out.onnx", "tflite": "out.tflite", "saved_model": "out"}
RUNTIMES = {"onnx": ("tf2onnx", "onnxruntime"), "tflite": ("ai_edge_litert",), "saved_model": ()}


@pytest.mark.parametrize("format_", NAMES)
def test_an_export_is_read_back_without_being_told_its_scaling(unscaled_model_path, tmp_path, format_):
    for package in RUNTIMES[format_]:
        pytest.importorskip(package)
    path = tmp_path / NAMES[format_]
    result = run_export(ExportJob(unscaled_model_path, path, format_, scaling="128"))
    assert (result.num_images, result.kind, result.sha256) == (32, "drawn", hash_path(path))
    assert result.min_cosine > 0.9999
    assert ["insightface takes" in warning for warning in result.warnings] == ([True] if format_ == "onnx" else [])
    assert result.to_dict()["path"] == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    reference = load_model(unscaled_model_path, scaling="128").embed(IMAGES)
    assert np.allclose(load_model(path).embed(IMAGES), reference, atol=1e-4)


@pytest.mark.parametrize("scaling", ["none", "255"])
def test_an_offset_that_stays_in_the_graph_is_no_hindrance(unscaled_model_path, tmp_path, scaling):
    pytest.importorskip("tf2onnx")
    result = run_export(ExportJob(unscaled_model_path, tmp_path / "out.onnx", "onnx", scaling=scaling))
    assert result.min_cosine > 0.9999


def test_int8_is_calibrated_and_checked_on_real_images(prelu_model_path, face_shards, tmp_path):
    pytest.importorskip("ai_edge_litert")
    job = ExportJob(
        prelu_model_path, tmp_path / "out.tflite", "tflite", precision="int8", shards=face_shards, num_images=10
    )
    result = run_export(job)
    assert (result.num_images, result.kind, result.precision) == (10, "real", "int8")
    assert 0.98 < result.min_cosine < 1


def test_an_export_that_differs_is_not_written_and_what_was_there_stays(prelu_model_path, tmp_path, monkeypatch):
    from fr_eval.export import export
    from fr_eval.export.network import KerasNetwork

    path = tmp_path / "out"
    run_export(ExportJob(prelu_model_path, path, "saved_model"))
    before = hash_path(path)
    write = export.write_saved_model

    class Wrong(KerasNetwork):
        def embed_pixels(self, pixels):
            return super().embed_pixels(pixels[:, ::-1])

    monkeypatch.setattr(export, "write_saved_model", lambda net, to: write(Wrong(net.model, net.embedder), to))
    with pytest.raises(
        ExportError, match=r"out: not written: of 32 images, the least cosine .* expected at least 0\.9999"
    ):
        run_export(ExportJob(prelu_model_path, path, "saved_model", overwrite=True))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert hash_path(path) == before


def test_a_network_of_nan_is_not_exported(tmp_path):
    import keras

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)))
    model.set_weights([np.full(weight.shape, np.nan) for weight in model.get_weights()])
    model.save(tmp_path / "nan.keras")
    with pytest.raises(ExportError, match=r"nan\.keras: gives embeddings that are NaN"):
        run_export(ExportJob(tmp_path / "nan.keras", tmp_path / "out", "saved_model", scaling="none"))
    assert not (tmp_path / "out").exists()


def test_sizes_are_judged_as_the_router_of_insightface_does():
    from fr_eval.export.onnx_file import is_recognised

    sizes = [(112, 112), (128, 128), (224, 224), (96, 96), (192, 192), (113, 113), (112, 128)]
    assert [is_recognised(size) for size in sizes] == [True, True, True, False, False, False, False]


def test_choices_that_do_not_go_together_are_refused():
    for arguments, message in (
        ({"format": "onnx", "precision": "int8"}, "onnx is written in float32; received int8"),
        ({"format": "onnx", "output": Path("out.bin")}, r"by the ending \.onnx"),
        ({"format": "tflite", "precision": "int8"}, "give --shards"),
    ):
        with pytest.raises(ExportError, match=message):
            ExportJob(**{"model": Path("m.keras"), "output": Path(f"out.{arguments['format']}"), **arguments})


def test_a_missing_package_names_its_extra(prelu_model_path, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(
        MissingPackageError, match=r"tf2onnx, which is not installed: pip install 'fr-toolkit\[export\]'"
    ):
        run_export(ExportJob(prelu_model_path, tmp_path / "out.onnx", "onnx"))
    assert list(tmp_path.iterdir()) == []
