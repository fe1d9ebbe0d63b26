"""TensorFlow's import without its chatter, for command lines."""

import os
import sys
import tempfile

from fr_eval.errors import MissingTensorFlowError

__all__ = ["import_tensorflow"]


def import_tensorflow() -> None:
    """Imports TensorFlow, and keeps what its C++ code says meanwhile off stderr.

    Some of its lines (oneDNN, absl) come before any log level holds. What was said is shown after all if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        done = False
        try:
            import tensorflow  # noqa: F401, PLC0415  imported for its effect

            done = True
        except ModuleNotFoundError as error:
            if error.name != "tensorflow":
                raise
            done = True
            raise MissingTensorFlowError(
                "TensorFlow is not installed. Which build to take is your choice: "
                "pip install 'fr-toolkit[cpu]' or pip install 'fr-toolkit[gpu]'."
            ) from error
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if not done:
                said.seek(0)
                sys.stderr.write(said.read().decode(errors="replace"))
