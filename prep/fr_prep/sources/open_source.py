"""What kind of source a path is."""

from pathlib import Path

from fr_prep.files import is_folder
from fr_prep.manifest import MANIFEST_FILE
from fr_prep.pool import default_workers
from fr_prep.sources.class_folder_source import ClassFolderSource
from fr_prep.sources.image_set import ImageSource
from fr_prep.sources.record_set import RecordSetSource
from fr_prep.sources.shard_folder import ShardFolderSource

__all__ = ["holds_class_folders", "open_source"]


def open_source(path: Path) -> ImageSource:
    """Gives a folder of shards, or one of class folders, as such; damaged images of the latter are left out.

    Anything else is given as a record set, which says what is wrong with it when it is read.
    """
    if (path / MANIFEST_FILE).is_file():
        return ShardFolderSource(path)
    if holds_class_folders(path):
        return ClassFolderSource(path, on_error="skip", num_workers=default_workers())
    return RecordSetSource(path)


def holds_class_folders(path: Path) -> bool:
    """Whether a path is a folder that holds folders, and no `.rec`."""
    if not is_folder(path):
        return False
    entries = list(path.iterdir())
    return not any(entry.suffix == ".rec" for entry in entries) and any(map(is_folder, entries))
