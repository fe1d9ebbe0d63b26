"""From a `.rec` set to a folder of shards: the whole flow on one page."""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import crc32c
from tqdm import tqdm

from fr_prep import manifest as manifests
from fr_prep.digests import crc32c_of_file, sha256_of_file
from fr_prep.errors import OutputError, SourceError
from fr_prep.files import write_error
from fr_prep.output_folder import OutputFolder
from fr_prep.plan import RECORD_OVERHEAD_BYTES, Plan, PlanSettings, make_plan
from fr_prep.pool import WorkerPool
from fr_prep.shard_task import ShardTask
from fr_prep.shards import ShardResult, receipt_path, write_shard
from fr_prep.sources.insightface import FaceSet, find_record_file, read_face_set, set_files
from fr_prep.tables import write_tables
from fr_prep.version import tool_version

__all__ = ["BuildSettings", "Conversion", "build_dataset", "plan_dataset"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")  # shard names add 40 letters, and file systems hold 255


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What the user may choose.

    Attributes:
        name: the data set's name: a letter, then letters, digits and underscores, as TensorFlow Datasets wants it.
        plan: order and division.
        num_workers: processes; they change nothing in the result.
        overwrite: replace what is in the folder.
        resume: go on with an interrupted conversion.
        quiet: no progress bar.
    """

    name: str = "faces"
    plan: PlanSettings = field(default_factory=PlanSettings)
    num_workers: int = 1
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
        source: the set's index.
        plan: which record goes where.
        num_bytes: about how many bytes the shards will take; never less than they do.
    """

    source: FaceSet
    plan: Plan
    num_bytes: int


def plan_dataset(source: Path, settings: BuildSettings) -> Conversion:
    """Reads the index of a set and plans its conversion; writes nothing.

    Raises:
        SourceError: if the set cannot be used.
    """
    face_set = read_face_set(source)
    plan = make_plan(face_set.labels, face_set.image_lengths, settings=settings.plan)
    kept = plan.labels >= 0
    num_bytes = int(face_set.image_lengths[kept].sum()) + RECORD_OVERHEAD_BYTES * int(kept.sum())
    return Conversion(source=face_set, plan=plan, num_bytes=num_bytes)


def build_dataset(source: Path, out: Path, *, settings: BuildSettings) -> manifests.Manifest:
    """Converts a set into a folder of TFRecord shards with class index and manifest.

    Args:
        source: the set's folder, or its `.rec`.
        out: the data set's folder.
        settings: the user's choices.

    Raises:
        SourceError: if the set cannot be used, is damaged, or changed while it was read.
        OutputError: if the folder is taken, or cannot be written.
        WorkerError: if a worker process died.
    """
    before = _file_states(source)
    with WorkerPool(settings.num_workers) as pool:
        digest = pool.submit(partial(crc32c_of_file, find_record_file(source)))  # while this process reads the index
        conversion = plan_dataset(source, settings)
        with OutputFolder(out) as folder:
            fingerprint = _fingerprint(conversion, before, settings)
            _require_space(folder.path, conversion.num_bytes - (folder.staged_bytes() if settings.resume else 0))
            folder.prepare(fingerprint, overwrite=settings.overwrite, resume=settings.resume)
            results = _write_shards(conversion, folder, pool, settings)
            source_crc32c = digest()
            if _file_states(source) != before:
                raise SourceError(
                    f"{source}: was changed while it was read. Leave it alone and convert it again, by --overwrite."
                )
            try:
                manifest = write_tables(
                    folder.staging,
                    source=conversion.source,
                    source_crc32c=source_crc32c,
                    plan=conversion.plan,
                    results=results,
                    arguments=settings.arguments(),
                )
            except OSError as error:
                raise write_error(folder.staging, error) from error
            folder.publish(manifest.file_names())
    return manifests.read_manifest(out)


def _file_states(source: Path) -> dict[str, list[int]]:
    """Size in bytes and time of change of each of the set's files."""
    states = {path.name: path.stat() for path in set_files(source)}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def _fingerprint(conversion: Conversion, states: Mapping[str, Any], settings: BuildSettings) -> dict[str, Any]:
    """What the shards depend on; a run can be resumed only where all of it is the same."""
    source, crc = conversion.source, 0
    for column in (source.keys, source.labels, source.offsets, source.image_lengths):
        crc = crc32c.crc32c(column.tobytes(), crc)
    return {
        "tool version": tool_version(),
        "source files": dict(states),
        "source index": f"{crc:08x}",
        **settings.arguments(),
    }


def _require_space(folder: Path, num_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < num_bytes:
        raise OutputError(
            f"{folder}: expected about {num_bytes:,} bytes of free space, {free_bytes:,} are left. "
            "Free some, or choose another folder."
        )


def _write_shards(
    conversion: Conversion, folder: OutputFolder, pool: WorkerPool, settings: BuildSettings
) -> dict[str, list[ShardResult]]:
    """Writes the shards that are missing; gives the results of all, by split."""
    results: dict[str, ShardResult] = {}
    missing: list[ShardTask] = []
    with tqdm(
        total=conversion.plan.num_images,
        unit=" images",
        unit_scale=True,
        desc="Writing shards",
        disable=settings.quiet or None,
    ) as bar:
        for task in _shard_tasks(conversion, folder.staging, settings.name):
            finished = _finished_result(folder, task)
            if finished:
                results[finished.file] = finished
                bar.update(finished.num_records)
            else:
                missing.append(task)
        for _, result in pool.run(partial(write_shard, task) for task in missing):
            results[result.file] = result
            bar.update(result.num_records)
    return {
        split: [results[manifests.shard_name(settings.name, split, i, len(shards))] for i in range(len(shards))]
        for split, shards in conversion.plan.splits.items()
    }


def _shard_tasks(conversion: Conversion, staging: Path, name: str) -> Iterator[ShardTask]:
    source, plan = conversion.source, conversion.plan
    for split, shards in plan.splits.items():
        for index, rows in enumerate(shards):
            yield ShardTask(
                source=source.path,
                path=staging / manifests.shard_name(name, split, index, len(shards)),
                record_offsets=source.offsets[rows],
                image_offsets=source.image_offsets[rows],
                image_lengths=source.image_lengths[rows],
                labels=plan.labels[rows],
                source_keys=source.keys[rows],
                source_labels=source.labels[rows],
            )


def _finished_result(folder: OutputFolder, task: ShardTask) -> ShardResult | None:
    """Gives the receipt of a shard that an interrupted run finished, if the shard is what the receipt says."""
    shard = folder.finished_file(task.path.name)
    if shard is None:
        return None
    try:
        result = ShardResult.from_json(receipt_path(task.path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = result.num_records == task.num_records and shard.stat().st_size == result.num_bytes
    return result if same and sha256_of_file(shard) == result.sha256 else None
