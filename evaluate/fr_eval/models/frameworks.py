"""Imports that take time, talk, or may fail: TensorFlow without its chatter, and packages of extras."""

import importlib
import os
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from fr_eval.errors import MissingPackageError, MissingTensorFlowError

__all__ = ["hold_stderr", "import_extra", "import_keras", "import_tensorflow"]

# Keras and TensorFlow import these where they are installed, for parts that are not used here. It takes as long as all the rest.
_NOT_NEEDED = ("jax", "matplotlib", "pandas", "sklearn")


def import_tensorflow() -> None:
    """Imports TensorFlow, and keeps what its C++ code says meanwhile off stderr.

    Some of its lines (oneDNN, absl) come before any log level holds. Packages that it and Keras would import for parts that are not
    used here stay out: who wants those parts (data frames in `fit`, scikit-learn wrappers) imports Keras before.

    Raises:
        MissingTensorFlowError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with hold_stderr(), _hidden(_NOT_NEEDED):
            import tensorflow  # noqa: F401, PLC0415  imported for its effect
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise MissingTensorFlowError(
            "TensorFlow is not installed. Which build to take is your choice: "
            "pip install 'fr-toolkit[cpu]' or pip install 'fr-toolkit[gpu]'."
        ) from error


def import_keras() -> Any:
    """Imports Keras, and what it runs on: TensorFlow, unless `KERAS_BACKEND` names another.

    Returns:
        The module.

    Raises:
        MissingPackageError: one of them is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend == "tensorflow":
        import_tensorflow()
    elif backend == "jax":
        import_extra("jax", extra="jax", purpose="KERAS_BACKEND=jax needs")
    with _hidden(_NOT_NEEDED):  # JAX is there by now where it is the backend
        return import_extra("keras", extra="cpu", purpose="Keras models are run by")


def import_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Imports a package that one of the toolkit's extras installs.

    Args:
        module: the dotted name.
        extra: the extra's name in `pyproject.toml`.
        purpose: what it is needed for: "ONNX models are run by".

    Returns:
        The module.

    Raises:
        MissingPackageError: the package is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".", 1)[0]
        if not error.name or error.name.split(".", 1)[0] != package:
            raise
        raise MissingPackageError(
            f"{purpose} {package}, which is not installed: pip install 'fr-toolkit[{extra}]'"
        ) from error


@contextmanager
def _hidden(packages: Collection[str]) -> Iterator[None]:
    """Has packages that are not imported yet look as if they were not installed."""
    names = [name for name in packages if name not in sys.modules]
    absent: Any = dict.fromkeys(names)  # None stands for a package that is not there
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


@contextmanager
def hold_stderr() -> Iterator[None]:
    """Keeps off stderr what C++ code writes there; it is shown after all where the block fails.

    A package that is missing speaks for itself: then nothing is shown.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        shown = True
        try:
            yield
            shown = False
        except ModuleNotFoundError:
            shown = False
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if shown:
                said.seek(0)
                sys.stderr.write(said.read().decode(errors="replace"))
