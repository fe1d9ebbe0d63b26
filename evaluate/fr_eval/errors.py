"""The exceptions of evaluation.

Each message says where it happened, what was expected, what was received, and what to do. Only the command line turns
them into a one-line failure; anything else that escapes is a bug and keeps its traceback.
"""

from fr_data.errors import BinError, ToolkitError

__all__ = [
    "BinError",
    "EmbeddingFileError",
    "EvalError",
    "ExportError",
    "FaceSetError",
    "MissingPackageError",
    "MissingTensorFlowError",
    "ModelError",
    "ProtocolError",
]


class EvalError(ToolkitError):
    """Base of everything that evaluation reports to its user."""


class EmbeddingFileError(EvalError):
    """A file of embeddings cannot be read, or is refused."""


class ExportError(EvalError):
    """A model cannot be exported, or its export does not agree with it."""


class FaceSetError(EvalError):
    """Faces with their people or templates cannot be read: class folders, shards, lists of an IJB set."""


class ModelError(EvalError):
    """A model cannot be loaded, or does not give usable embeddings."""


class MissingPackageError(EvalError):
    """A package of an extra is needed and not installed."""


class MissingTensorFlowError(MissingPackageError):
    """TensorFlow is needed and not installed."""


class ProtocolError(EvalError):
    """A protocol cannot be computed on the pairs it was given."""
