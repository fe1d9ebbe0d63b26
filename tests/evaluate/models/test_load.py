import zipfile

import pytest

from fr_eval.errors import ModelError
from fr_eval.models.load import load_model


def test_files_that_are_no_model_are_refused_with_what_they_look_like(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.keras").write_text("<html>")
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "model.hdf").write_bytes(b"\x89HDF\r\n\x1a\n")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    for name, message in (
        ("missing.keras", "there is no such file; expected a model: .keras, .h5, .onnx, .tflite, or the folder"),
        ("folder", "a folder without saved_model.pb"),
        ("text.keras", "received a file that begins like HTML"),
        ("empty.h5", "received a file that begins with nothing$"),
        ("model.hdf", r"begins like an HDF5 file\. Keras goes by the ending"),
        ("model.zip", r"begins like a ZIP archive .* name it \.keras"),
    ):
        with pytest.raises(ModelError, match=message):
            load_model(tmp_path / name)


def test_an_unknown_scaling_or_layout_is_refused(tiny_model_path):
    with pytest.raises(ModelError, match=r"expected a scaling of none, 127\.5, 128, 255; received 'x'"):
        load_model(tiny_model_path, scaling="x")
    with pytest.raises(ModelError, match="expected a layout of nhwc, nchw; received 'x'"):
        load_model(tiny_model_path, layout="x")
