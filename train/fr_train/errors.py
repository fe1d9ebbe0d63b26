"""The exceptions of training.

Each message says where it happened, what was expected, what was received, and what to do. Only the command line turns them
into a one-line failure; anything else that escapes is a bug and keeps its traceback.
"""

from fr_data.errors import ToolkitError

__all__ = [
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "RunFolderError",
    "ShardSetError",
    "TrainError",
    "TrainingError",
]


class TrainError(ToolkitError):
    """Base of everything that training reports to its user."""


class ConfigError(TrainError):
    """A config holds an unknown key, or a value that cannot be."""


class ShardSetError(TrainError):
    """The shards cannot be used: no finished set, a later format, or files that are missing."""


class RunFolderError(TrainError):
    """The run's folder is taken, or cannot be written."""


class CheckpointError(TrainError):
    """A checkpoint is missing, damaged, or of another model."""


class TrainingError(TrainError):
    """Training cannot go on, for instance because the loss is no longer a number."""


class ClusterError(TrainError):
    """Processes that train together cannot reach each other, or one is gone."""
