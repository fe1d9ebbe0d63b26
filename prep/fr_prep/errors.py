"""The exceptions of data preparation; those that every stage shares are in `fr_data.errors`.

Each message says where it happened, what was expected, what was received, and what to do. Only the command line turns
them into a one-line failure; anything else that escapes is a bug and keeps its traceback.
"""

from fr_data.errors import OutputError, ShardError, SourceError, ToolkitError

__all__ = ["DamagedRecordError", "OutputError", "ShardError", "SourceError", "WorkerError"]


class DamagedRecordError(SourceError):
    """A record of a source is damaged.

    Attributes:
        offset: byte offset in the file at which the record's frame starts.
        reason: what is wrong with it, without the file and without advice.
    """

    def __init__(self, message: str, *, offset: int, reason: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.reason = reason or message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_damaged_record, (str(self), self.offset, self.reason))


def _rebuild_damaged_record(message: str, offset: int, reason: str) -> DamagedRecordError:
    """Lets the error cross from a worker process with its offset."""
    return DamagedRecordError(message, offset=offset, reason=reason)


class WorkerError(ToolkitError):
    """A worker process died without a report."""
