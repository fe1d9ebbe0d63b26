"""The exceptions of the ground floor, and the root of those of every stage.

Each message says where it happened, what was expected, what was received, and what to do. Only a command line turns them into
a one-line failure; anything else that escapes is a bug and keeps its traceback.
"""

__all__ = ["BinError", "OutputError", "OutputExistsError", "OverlayError", "ShardError", "SourceError", "ToolkitError"]


class ToolkitError(Exception):
    """Base of everything that the toolkit reports to its user."""


class BinError(ToolkitError):
    """A verification bin cannot be read, or is refused."""


class OutputError(ToolkitError):
    """An output cannot be written: it exists, is locked, is foreign, must not be replaced, or the disk is full."""


class OutputExistsError(OutputError):
    """An output is there already, and the user did not ask to replace it."""


class ShardError(ToolkitError):
    """A shard set does not hold what its manifest promises."""


class SourceError(ToolkitError):
    """A source cannot be used: missing, unreadable, inconsistent, or changed while it was read."""


class OverlayError(SourceError):
    """A label overlay cannot be read, does not fit the data set, or was changed."""
