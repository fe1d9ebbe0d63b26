"""What kind of source a path is."""

from pathlib import Path

from fr_prep.files import is_folder
from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
from fr_prep.sources.image_set import ImageSource
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.shards.shard_folder import ShardFolderSource
from fr_prep.workers.pool import default_workers
from fr_prep.write.manifest import MANIFEST_FILE

__all__ = ["holds_class_folders", "may_be_record_set", "open_source"]


def open_source(path: Path, settings: RecordSettings | None = None) -> ImageSource:
    """Gives a folder of shards, or one of class folders, as such; damaged images of the latter are left out.

    Anything else is given as a record set, which says what is wrong with it when it is read.

    Args:
        path: the source.
        settings: how a record set is to be read.
    """
    if (path / MANIFEST_FILE).is_file():
        return ShardFolderSource(path)
    if holds_class_folders(path):
        return ClassFolderSource(path, on_error="skip", num_workers=default_workers())
    return RecordSetSource(path, settings or RecordSettings())


def may_be_record_set(path: Path) -> bool:
    """Whether a path is none of the other kinds that a command may take."""
    is_bin = path.suffix == ".bin" and not is_folder(path)
    return not (is_bin or (path / MANIFEST_FILE).is_file() or holds_class_folders(path))


def holds_class_folders(path: Path) -> bool:
    """Whether a path is a folder that holds folders, and no `.rec`."""
    if not is_folder(path):
        return False
    entries = list(path.iterdir())
    return not any(entry.suffix == ".rec" for entry in entries) and any(map(is_folder, entries))
