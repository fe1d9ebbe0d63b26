"""Whether a source is still what it was: while it is read, and where an interrupted run goes on."""

from typing import Any

import crc32c
import numpy as np

from fr_prep.errors import SourceError
from fr_prep.sources.image_set import ImageSet, ImageSource
from fr_prep.version import tool_version

__all__ = ["FileStates", "file_states", "require_unchanged", "source_fingerprint"]

FileStates = list[tuple[str, int, int, int]]


def file_states(source: ImageSource) -> FileStates:
    """Gives name, size in bytes, time of the last writing and of the last change of any kind, of each file of a source."""
    states = [(path.name, path.stat()) for path in source.files()]
    return [(name, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in states]


def require_unchanged(source: ImageSource, before: FileStates) -> None:
    """Compares the files of a source with what they were.

    Raises:
        SourceError: if one was changed.
    """
    if file_states(source) != before:
        raise SourceError(f"{source.path}: was changed while it was read. Leave it alone and start anew.")


def source_fingerprint(source: ImageSource, images: ImageSet, states: FileStates) -> dict[str, Any]:
    """Gives what a result depends on, as JSON values; a run can be resumed only where all of it is the same."""
    crc = 0
    for column in (images.keys, images.labels, images.places.record_offsets, images.places.image_lengths):
        crc = crc32c.crc32c(np.ascontiguousarray(column), crc)
    return {
        "tool version": tool_version(),
        "source files": [list(state[:3]) for state in states],  # a copy of them will do
        "source index": f"{crc:08x}{images.stamp}",
        **images.origin,
        **source.arguments(),
    }
