"""From a source of images to a folder of shards: the whole flow on one page."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_data.bins.bins import write_bin
from fr_data.locations import Store
from fr_prep.digests import sha256_of_file
from fr_prep.errors import OutputError, SourceError
from fr_prep.files import write_bytes, write_error
from fr_prep.plan.plan import RECORD_OVERHEAD_BYTES, Plan, PlanSettings, make_plan
from fr_prep.plan.verification_pairs import PairSample
from fr_prep.sources.image_set import ImageSet, ImageSource
from fr_prep.sources.source_states import file_states, require_unchanged, source_fingerprint
from fr_prep.workers.pool import WorkerPool, open_pool
from fr_prep.write import manifest as manifests
from fr_prep.write.output_folder import OutputFolder, require_other_files
from fr_prep.write.pair_bins import bin_bytes, draw_validation_pairs, pair_warnings, read_validation_images
from fr_prep.write.record_table import RecordTableWriter
from fr_prep.write.shard_task import ShardTask
from fr_prep.write.shard_writer import ShardResult, receipt_path, write_shard
from fr_prep.write.store_folder import StoreFolder, write_shard_to_store
from fr_prep.write.tables import write_tables

__all__ = ["BuildSettings", "Conversion", "build_dataset", "plan_dataset"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")  # names of files add up to 55 letters, and file systems hold 255


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What the user may choose.

    Attributes:
        name: the data set's name: a letter, then letters, digits and underscores, as TensorFlow Datasets wants it.
        plan: order and division.
        num_workers: processes; they change nothing in the result.
        scheduler: address of a Dask scheduler whose workers do it instead.
        overwrite: replace what is in the folder.
        resume: go on with an interrupted conversion.
        quiet: no progress bar.
    """

    name: str = "faces"
    plan: PlanSettings = field(default_factory=PlanSettings)
    num_workers: int = 1
    scheduler: str | None = None
    overwrite: bool = False
    resume: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of at most 200 letters, digits and underscores, received {self.name!r}")
        if self.num_workers < 1:
            raise ValueError(f"expected at least 1 worker, received {self.num_workers}")
        if self.overwrite and self.resume:
            raise ValueError("expected either overwrite or resume, received both")

    def arguments(self) -> dict[str, Any]:
        """The choices that the result depends on, for the manifest."""
        return {"name": self.name, **asdict(self.plan)}


@dataclass(frozen=True, slots=True)
class Conversion:
    """A conversion that is planned but not carried out.

    Attributes:
        images: the source's index.
        plan: which record goes where.
        num_bytes: about how many bytes the files will take; never less than they do.
        pairs: those of the verification bin, if one is to be made.
    """

    images: ImageSet
    plan: Plan
    num_bytes: int
    pairs: PairSample | None = None

    @property
    def num_pairs(self) -> int:
        """Pairs of the verification bin, one that is made or one that goes along with the images."""
        return len(self.pairs.same) if self.pairs else (self.images.verification_bin or {"num_pairs": 0})["num_pairs"]

    def file_names(self, name: str) -> list[str]:
        """The files of the data set, under its name."""
        shards = [
            manifests.shard_name(name, split, index, len(shards))
            for split, shards in self.plan.splits.items()
            for index in range(len(shards))
        ]
        bins = [manifests.verification_bin_name(name)] if self.num_pairs else []
        return [*shards, *bins, *manifests.FACES_TABLES]

    def shard_task(self, path: Path, rows: NDArray[np.int64]) -> ShardTask:
        """Gives what writing these rows of the source into a shard needs."""
        return ShardTask(
            path=path,
            places=self.images.places.take(rows),
            integers={
                "label": self.plan.labels[rows],
                "source_key": self.images.keys[rows],
                "source_label": self.images.labels[rows],
            },
        )


def plan_dataset(source: ImageSource, settings: BuildSettings) -> Conversion:
    """Reads the index of a source and plans its conversion; writes nothing.

    Raises:
        SourceError: if the source cannot be used.
    """
    images = source.read()
    image_lengths = images.places.image_lengths
    plan = make_plan(images.labels, image_lengths, settings=settings.plan, validation=images.validation)
    num_bytes = int(image_lengths.sum(where=plan.labels >= 0)) + RECORD_OVERHEAD_BYTES * plan.num_images
    if not settings.plan.verification_pairs:
        if images.verification_bin:
            num_bytes += (images.path / images.verification_bin["file"]).stat().st_size
        return Conversion(images=images, plan=plan, num_bytes=num_bytes)
    pairs = draw_validation_pairs(plan, num_pairs=settings.plan.verification_pairs, seed=settings.plan.seed)
    read_validation_images(images, pairs)  # what the bin cannot hold is to end this before anything is written
    num_bytes += bin_bytes(pairs, image_lengths)
    images = replace(images, warnings=[*images.warnings, *pair_warnings(pairs)])
    return Conversion(images=images, plan=plan, num_bytes=num_bytes, pairs=pairs)


def build_dataset(source: ImageSource, out: Path | Store, *, settings: BuildSettings) -> manifests.Manifest:
    """Converts a source into a folder of TFRecord shards with class index, record table and manifest.

    Args:
        source: where the images come from.
        out: the data set's folder, of this machine or of a store.
        settings: the user's choices.

    Raises:
        SourceError: if the source cannot be used, is damaged, or changed while it was read.
        OutputError: if the folder is taken, or cannot be written.
        WorkerError: if a worker process died, or the workers of a scheduler cannot be used.
    """
    before = file_states(source)
    # In this order, so that the folder stays locked until the last worker has ended.
    with (
        StoreFolder(out) if isinstance(out, Store) else OutputFolder(out) as folder,
        open_pool(settings.num_workers, scheduler=settings.scheduler, resumable=True) as pool,
    ):
        pool.require_shared(source.files(), out=None if isinstance(out, Store) else out)
        wait_for_digests = source.start_digests(pool)  # while this process reads the index
        conversion = plan_dataset(source, settings)
        fingerprint = {**source_fingerprint(source, conversion.images, before), **settings.arguments()}
        names = conversion.file_names(settings.name)
        if isinstance(folder, OutputFolder):
            _require_space(folder.path, conversion.num_bytes - folder.staged_bytes())
            require_other_files(folder.path, source.files())
        folder.prepare(fingerprint, overwrite=settings.overwrite, resume=settings.resume, names=names)
        write = _shard_writer(folder, pool)
        results, record_table = _write_shards(conversion, folder, pool, write, settings)
        verification_bin = _write_verification_bin(conversion, folder.staging, settings.name)
        try:
            source_files = wait_for_digests()
            require_unchanged(source, before)
        except SourceError:
            folder.discard()
            raise
        try:
            manifest = write_tables(
                folder.staging,
                images=conversion.images,
                source_files=source_files,
                plan=conversion.plan,
                results=results,
                record_table=record_table,
                arguments={**settings.arguments(), **source.arguments()},
                verification_bin=verification_bin,
            )
        except OSError as error:
            raise write_error(folder.staging, error) from error
        folder.publish(manifest.file_names())
    return manifest if isinstance(out, Store) else manifests.read_manifest(out)


def _require_space(folder: Path, num_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < num_bytes:
        raise OutputError(
            f"{folder}: expected about {num_bytes:,} bytes of free space, {free_bytes:,} are left. "
            "Free some, or choose another folder."
        )


def _shard_writer(folder: OutputFolder | StoreFolder, pool: WorkerPool) -> Callable[[ShardTask], ShardResult]:
    if isinstance(folder, StoreFolder):
        return partial(write_shard_to_store, store=folder.made)
    return partial(write_shard, own_name=pool.num_processes == 0)


def _write_shards(
    conversion: Conversion,
    folder: OutputFolder | StoreFolder,
    pool: WorkerPool,
    write: Callable[[ShardTask], ShardResult],
    settings: BuildSettings,
) -> tuple[dict[str, list[ShardResult]], str]:
    """Writes the shards that are missing, and the record table; gives the results of all, by split, and its SHA-256."""
    results: dict[str, ShardResult] = {}
    num_images = conversion.plan.num_images
    with (
        RecordTableWriter(folder.staging, num_images) as table,
        tqdm(
            total=num_images, unit=" images", unit_scale=True, desc="Writing shards", disable=settings.quiet or None
        ) as bar,
    ):

        def missing() -> Iterator[ShardTask]:
            for task in _shard_tasks(conversion, folder.staging, settings.name):
                table.append(task)
                finished = _finished_result(folder, task)
                if finished:
                    results[finished.file] = finished
                    bar.update(finished.num_records)
                else:
                    yield task

        written = []
        for _, result in pool.run(partial(write, task) for task in missing()):
            results[result.file] = result
            written.append(result)
            bar.update(result.num_records)
    _require_written(folder, written)
    if isinstance(folder, OutputFolder):
        _require_durable(folder, written, pool)
    by_split = {
        split: [results[manifests.shard_name(settings.name, split, i, len(shards))] for i in range(len(shards))]
        for split, shards in conversion.plan.splits.items()
    }
    return by_split, table.sha256


def _require_written(folder: OutputFolder | StoreFolder, results: Sequence[ShardResult]) -> None:
    """Makes sure that what workers wrote stands here: one that came late may see another folder under this path."""
    sizes = folder.sizes()
    for result in results:
        if sizes.get(result.file) != result.num_bytes:
            raise OutputError(
                f"{folder.path}/{result.file}: expected {result.num_bytes:,} bytes, as a worker wrote, received "
                f"{sizes.get(result.file, 'no file')}. Have all workers see one folder there, then go on with --resume."
            )


def _require_durable(folder: OutputFolder, results: Sequence[ShardResult], pool: WorkerPool) -> None:
    """Has workers elsewhere put on the disk what they wrote; where one of them is gone, looks whether all of it is there."""
    paths = [folder.staging / result.file for result in results]
    if pool.sync(paths):
        return
    for position, digest in pool.run([partial(sha256_of_file, path) for path in paths]):
        if digest != results[position].sha256:
            paths[position].unlink(missing_ok=True)
            raise OutputError(
                f"{paths[position]}: expected what a worker wrote that is gone now, received other bytes: some had not left its "
                "memory. Go on with --resume, which writes it again."
            )


def _write_verification_bin(conversion: Conversion, staging: Path, name: str) -> dict[str, Any] | None:
    """Writes the bin of the validation split, or copies the source's, if there is one; gives its entry of the manifest."""
    images, pairs = conversion.images, conversion.pairs
    path = staging / manifests.verification_bin_name(name)
    if pairs:
        write = partial(write_bin, path, read_validation_images(images, pairs), pairs.same.tolist())
    elif images.verification_bin:
        write = partial(write_bytes, path, (images.path / images.verification_bin["file"]).read_bytes())
    else:
        return None
    try:
        write()
    except OSError as error:
        raise write_error(path, error) from error
    return {"file": path.name, "sha256": sha256_of_file(path), "num_pairs": conversion.num_pairs}


def _shard_tasks(conversion: Conversion, staging: Path, name: str) -> Iterator[ShardTask]:
    for split, shards in conversion.plan.splits.items():
        for index, rows in enumerate(shards):
            yield conversion.shard_task(staging / manifests.shard_name(name, split, index, len(shards)), rows)


def _finished_result(folder: OutputFolder | StoreFolder, task: ShardTask) -> ShardResult | None:
    """Gives the receipt of a shard that an interrupted run finished, if the shard is what the receipt says."""
    if isinstance(folder, StoreFolder):
        return folder.finished_result(task)
    shard = folder.finished_file(task.path.name)
    if shard is None:
        return None
    try:
        result = ShardResult.from_json(receipt_path(task.path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = (result.file, result.num_records) == (task.path.name, task.num_records)
    same = same and shard.stat().st_size == result.num_bytes
    return result if same and sha256_of_file(shard) == result.sha256 else None
