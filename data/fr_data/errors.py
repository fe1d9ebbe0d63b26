"""The exceptions of the ground floor, and the root of those of every stage.

Each message says where it happened, what was expected, what was received, and what to do. Only a command line turns them into
a one-line failure; anything else that escapes is a bug and keeps its traceback.
"""

__all__ = ["FileError", "OutputExistsError", "ToolkitError"]


class ToolkitError(Exception):
    """Base of everything that the toolkit reports to its user."""


class FileError(ToolkitError):
    """A file or folder cannot be read or written, or must not be replaced."""


class OutputExistsError(FileError):
    """An output is there already, and the user did not ask to replace it."""
