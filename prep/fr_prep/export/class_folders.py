"""From a source of images to class folders, `OUT/<class>/<key>.jpg`: the whole flow on one page."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fr_prep.errors import OutputError, SourceError
from fr_prep.export.class_tree import ClassTree
from fr_prep.export.image_files import ImageFilesTask, write_image_files
from fr_prep.files import INCOMPLETE_SUFFIX, is_folder
from fr_prep.sources.class_folders.class_listing import TABLE_FILE
from fr_prep.sources.image_set import ImageSet, ImageSource
from fr_prep.sources.source_states import FileStates, file_states, require_unchanged, source_fingerprint
from fr_prep.workers.pool import WorkerPool, open_pool
from fr_prep.write.output_folder import OutputFolder, require_place

__all__ = ["ClassFolders", "ExportSettings", "export_class_folders", "plan_class_folders", "require_free_tree"]

IMAGES_PER_TASK = 4096
DISK_BLOCK_BYTES = 4096  # a file takes whole ones
MAX_NAME_BYTES = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What the user may choose.

    Attributes:
        num_workers: processes; they change nothing in the result.
        scheduler: address of a Dask scheduler whose workers do it instead.
        overwrite: replace the class folders that are there.
        resume: go on with an interrupted run.
        durable: wait until all is on the disk, so that it survives a power failure as well.
        quiet: no progress bar.
    """

    num_workers: int = 1
    scheduler: str | None = None
    overwrite: bool = False
    resume: bool = False
    durable: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise ValueError(f"expected at least 1 worker, received {self.num_workers}")
        if self.overwrite and self.resume:
            raise ValueError("expected either overwrite or resume, received both")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFolders:
    """Class folders that are planned, or written.

    Attributes:
        images: the source's index.
        names: class name by source label; the label where the source has no names.
        folders: name of the class folder by source label.
        num_bytes: bytes of all images.
        warnings: what is odd, each a sentence.
    """

    images: ImageSet
    names: Mapping[int, str]
    folders: Mapping[int, str]
    num_bytes: int
    warnings: list[str]


def plan_class_folders(source: ImageSource) -> ClassFolders:
    """Reads the index of a source and names its class folders; writes nothing.

    Raises:
        SourceError: if the source cannot be used, or two images share a key.
    """
    images = source.read()
    keys = np.sort(images.keys)
    again = keys[1:][keys[1:] == keys[:-1]]
    if len(again):
        raise SourceError(
            f"{source.path}: expected unique keys, which become the files' names, received {again[0]} twice "
            f"({len(again)} such images). Merge or convert the set again."
        )
    labels = np.unique(images.labels).tolist()
    names = {label: images.class_names.get(label, str(label)) for label in labels}
    folders, warnings = _name_folders(names)
    return ClassFolders(
        images=images,
        names=names,
        folders=folders,
        num_bytes=int(images.places.image_lengths.sum()),
        warnings=[*images.warnings, *warnings],
    )


def _name_folders(names: Mapping[int, str]) -> tuple[Mapping[int, str], list[str]]:
    """Names all folders after the classes; or all after the labels, where one name will not do."""
    seen: set[str] = set()
    for label, name in names.items():
        folded = name.casefold()  # some file systems do not tell upper from lower case
        if not _is_file_name(name) or folded in seen:
            why = "stands for two classes" if folded in seen else "can be no folder's name"
            return {label: str(label) for label in names}, [
                f"Class folders are named by source label, since the class name {name!r} (label {label}) {why}."
            ]
        seen.add(folded)
    return names, []


def _is_file_name(name: str) -> bool:
    return (
        name.isprintable()
        and 0 < len(name.encode()) <= MAX_NAME_BYTES
        and not name.startswith(".")
        and not {"/", "\\"}.intersection(name)
        and name != TABLE_FILE
        and not name.endswith(INCOMPLETE_SUFFIX)
    )


def export_class_folders(
    source: ImageSource, out: Path, *, settings: ExportSettings, check_digests: bool = False
) -> ClassFolders:
    """Writes each image of a source to a file of its own, byte for byte, and `images.csv`, which marks a finished tree.

    Args:
        source: where the images come from.
        out: the folder of the class folders.
        settings: the user's choices.
        check_digests: whether the source has digests that its bytes are to be checked against, as shards have.

    Raises:
        SourceError: if the source cannot be used, is damaged, or changed while it was read.
        OutputError: if the folder is taken, or cannot be written.
        WorkerError: if a worker process died, or the workers of a scheduler cannot be used.
    """
    before = file_states(source)
    # In this order, so that the folder stays locked until the last worker has ended.
    with (
        OutputFolder(out) as folder,
        open_pool(settings.num_workers, scheduler=settings.scheduler, resumable=True) as pool,
    ):
        pool.require_shared(source.files(), out=folder.path)
        wait_for_digests = source.start_digests(pool) if check_digests else list  # while this process reads the index
        plan = plan_class_folders(source)
        tree = ClassTree(folder, durable=settings.durable)
        if not settings.resume:
            _require_space(out, plan)
        tree.prepare(
            _fingerprint(source, plan, before, settings),
            class_folders=plan.folders.values(),
            overwrite=settings.overwrite,
            resume=settings.resume,
        )
        if not tree.is_complete():
            with tree.syncing():
                num_tasks = _write_images(plan, tree, pool, settings)
            try:
                wait_for_digests()
                require_unchanged(source, before)
            except SourceError:
                tree.discard()
                raise
            tree.write_table(num_tasks)
        tree.publish()
    return plan


def require_free_tree(source: ImageSource, plan: ClassFolders, out: Path, *, settings: ExportSettings) -> None:
    """Refuses a folder that `export_class_folders` would refuse; writes nothing.

    Raises:
        OutputError: if the folder cannot be one, is being written, or holds something that no option covers.
    """
    require_place(out)
    if is_folder(out):
        with OutputFolder(out) as folder:
            ClassTree(folder, durable=settings.durable).require_free(
                _fingerprint(source, plan, file_states(source), settings),
                class_folders=plan.folders.values(),
                overwrite=settings.overwrite,
                resume=settings.resume,
            )


def _fingerprint(
    source: ImageSource, plan: ClassFolders, before: FileStates, settings: ExportSettings
) -> dict[str, Any]:
    return {"output": "class folders", "sync": settings.durable, **source_fingerprint(source, plan.images, before)}


def _require_space(out: Path, plan: ClassFolders) -> None:
    lengths = plan.images.places.image_lengths
    num_bytes = int((-(-lengths // DISK_BLOCK_BYTES)).sum()) * DISK_BLOCK_BYTES
    num_files = len(lengths) + len(plan.folders)
    free = os.statvfs(out)
    if free.f_bavail * free.f_frsize < num_bytes:
        raise OutputError(
            f"{out}: expected about {num_bytes:,} bytes of free space, {free.f_bavail * free.f_frsize:,} are left. "
            "Free some, or choose another folder."
        )
    if free.f_files and free.f_favail < num_files:  # some file systems count none
        raise OutputError(
            f"{out}: expected room for {num_files:,} files and folders, the file system has {free.f_favail:,} inodes left. "
            "Remove files, or choose another folder."
        )


def _write_images(plan: ClassFolders, tree: ClassTree, pool: WorkerPool, settings: ExportSettings) -> int:
    """Writes the images that are missing; gives the number of tasks."""
    images = plan.images
    starts = range(0, len(images.keys), IMAGES_PER_TASK)

    def tasks() -> Iterator[ImageFilesTask]:
        for number, start in enumerate(starts):
            rows = np.arange(start, min(start + IMAGES_PER_TASK, len(images.keys)))
            labels = np.unique(images.labels[rows]).tolist()
            yield ImageFilesTask(
                root=tree.images,
                receipt=tree.receipt(number),
                places=images.places.take(rows),
                keys=images.keys[rows],
                labels=images.labels[rows],
                folders={label: plan.folders[label] for label in labels},
                names={label: plan.names[label] for label in labels},
            )

    with tqdm(
        total=len(images.keys),
        unit=" images",
        unit_scale=True,
        desc="Writing images",
        disable=settings.quiet or None,
    ) as bar:
        # Other machines sync their own writing; for this one's, the tree does.
        write = partial(write_image_files, durable=settings.durable and not pool.num_processes)
        for _, num_images in pool.run(partial(write, task) for task in tasks()):
            bar.update(num_images)
    return len(starts)
