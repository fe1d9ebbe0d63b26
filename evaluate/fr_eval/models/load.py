"""The door to models: a file or folder becomes an embedder by what it is."""

import os
from collections.abc import Callable
from pathlib import Path

from fr_data.images.decode import guess_format
from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embedder

__all__ = ["FORMATS", "Embedder", "load_model"]

FORMATS = ".keras, .h5, .onnx, .tflite, or the folder of a SavedModel"

# The first bytes, and the endings by which Keras knows such files.
_ZIP = (b"PK\x03\x04", (".keras",))
_HDF5 = (b"\x89HDF", (".h5", ".hdf5"))

Loader = Callable[..., Embedder]


def load_model(path: str | os.PathLike[str], *, scaling: str | None = None, layout: str | None = None) -> Embedder:
    """Loads a saved embedding network: `.keras`, legacy `.h5`, `.onnx`, `.tflite`, or a SavedModel folder.

    Args:
        path: the file or folder.
        scaling: a key of `fr_eval.models.scaling.SCALINGS`; None where the model says it.
        layout: "nhwc" or "nchw"; None where the shape of the model's input says it.

    Returns:
        The network, ready to embed images.

    Raises:
        ModelError: no such file, no model, one that cannot be loaded or gives no embeddings, or an unknown scaling.
        MissingPackageError: the package that runs such models is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise ModelError(f"{path}: there is no such file; expected a model: {FORMATS}")
    return _find_loader(path)(path, scaling=scaling, layout=layout)


def _find_loader(path: Path) -> Loader:
    """Gives the loader of a file by its beginning. Loaders are imported late: each brings its own runtime."""
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ModelError(f"{path}: a folder without saved_model.pb, so no SavedModel; expected a model: {FORMATS}")
        from fr_eval.models.saved_model import load_saved_model  # noqa: PLC0415

        return load_saved_model
    head = _read_head(path)
    for magic, suffixes in (_ZIP, _HDF5):
        if head.startswith(magic) and path.suffix in suffixes:
            from fr_eval.models.keras_model import load_keras  # noqa: PLC0415

            return load_keras
    if head[4:8] == b"TFL3":
        from fr_eval.models.tflite_model import load_tflite  # noqa: PLC0415

        return load_tflite
    if path.suffix == ".onnx":  # a bare protocol buffer: it begins with nothing of its own
        from fr_eval.models.onnx_model import load_onnx  # noqa: PLC0415

        return load_onnx
    begins = f"like {guess}" if (guess := guess_format(head)) else f"with {head[:8].hex(' ') or 'nothing'}"
    is_named_wrongly = head.startswith((_ZIP[0], _HDF5[0]))
    advice = ". Keras goes by the ending: name it .keras, or .h5 where it is HDF5" if is_named_wrongly else ""
    raise ModelError(f"{path}: expected a model: {FORMATS}; received a file that begins {begins}{advice}")


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
