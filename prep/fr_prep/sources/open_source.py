"""What kind of source a path is."""

from pathlib import Path

from fr_prep.manifest import MANIFEST_FILE
from fr_prep.sources.image_set import ImageSource
from fr_prep.sources.record_set import RecordSetSource
from fr_prep.sources.shard_folder import ShardFolderSource

__all__ = ["open_source"]


def open_source(path: Path) -> ImageSource:
    """Gives a folder of shards as such, and anything else as a record set, which says what is wrong with it when it is read."""
    return ShardFolderSource(path) if (path / MANIFEST_FILE).is_file() else RecordSetSource(path)
