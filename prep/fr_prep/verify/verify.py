"""Checking a data set: every byte, every record, every count, and on demand every image and the source."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

from fr_data.images.header import ImageKind
from fr_data.locations import Store
from fr_prep.errors import ShardError
from fr_prep.verify.problems import KEPT_PER_FILE, Problem, ProblemLog
from fr_prep.verify.progress import WorkerProgress
from fr_prep.verify.record_check import make_record_check, shard_entries
from fr_prep.verify.shard_check import ShardCheck, check_shard, describe_kind
from fr_prep.verify.table_check import open_tables
from fr_prep.workers.pool import WorkerPool, open_pool
from fr_prep.write.manifest import FACES, KINDS, MANIFEST_FILE, Manifest, read_manifest

if TYPE_CHECKING:
    from fr_prep.verify.source_check import SourceCheck

__all__ = ["Verification", "check_dataset", "verify_dataset"]

_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked, and what is wrong.

    Attributes:
        num_shards: shards that the manifest names.
        num_records: records that could be read.
        num_bytes: bytes of all shards, as the manifest has them.
        num_classes: dense classes; None in a set of verification pairs.
        num_problems: how many things are wrong; none in a sound set.
        problems: what is wrong; of each file the first few.
        warnings: what is odd about the folder.
    """

    num_shards: int = 0
    num_records: int = 0
    num_bytes: int = 0
    num_classes: int | None = None
    num_problems: int
    problems: list[Problem]
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def without_manifest(cls, error: ShardError) -> Self:
        """Gives what can be said where no manifest can be read."""
        return cls(num_problems=1, problems=[Problem(file=MANIFEST_FILE, problem=str(error))])

    def require_sound(self, folder: Path | Store) -> None:
        """Refuses a set in which anything is wrong.

        Raises:
            ShardError: lists what is wrong, and where.
        """
        if not self.problems:
            return
        lines = [f"{folder}: {self.num_problems:,} problem{'s' if self.num_problems > 1 else ''} found."]
        lines += map(str, self.problems[:_LISTED])
        if self.num_problems >= len(lines):
            lines.append(
                f"… and {self.num_problems - len(lines) + 1:,} more; --json lists {KEPT_PER_FILE} of each file."
            )
        lines.append("Copy what is damaged again from where it is whole, or convert the set again.")
        raise ShardError("\n".join(lines))


def verify_dataset(folder: Path, *, num_workers: int = 1, quiet: bool = False) -> Verification:
    """Checks a data set as `check_dataset` does, and refuses it if anything is wrong.

    Raises:
        ShardError: if anything is not as the manifest says; lists what and where.
    """
    found = check_dataset(folder, num_workers=num_workers, quiet=quiet)
    found.require_sound(folder)
    return found


def check_dataset(
    folder: Path | Store,
    *,
    num_workers: int = 1,
    scheduler: str | None = None,
    decode: bool = False,
    source: Path | None = None,
    quiet: bool = False,
) -> Verification:
    """Checks a data set against its manifest, all of it, whatever is found.

    That is: size, SHA-256, CRCs and number of records of each shard; the form of each record, its class, and its row in the record
    table; the counts of the class index; the digest of each file beside the shards, and of the manifest itself.

    Args:
        folder: the data set's folder, of this machine or of a store.
        num_workers: processes.
        scheduler: address of a Dask scheduler whose workers do it instead.
        decode: decode every image, and compare encoding and size with what the manifest says.
        source: compare image, key and source label of every record with those of this set; not of a store's set.
        quiet: no progress bar.

    Raises:
        ShardError: if there is no manifest, or none that can be used.
        SourceError: if the source cannot be read.
        WorkerError: if a worker process died, or the workers of a scheduler cannot be used.
    """
    if isinstance(folder, Store):
        with tempfile.TemporaryDirectory(prefix="fr-prep-") as copy:
            _fetch_tables(folder, Path(copy))
            return _check(
                Path(copy),
                folder,
                num_workers=num_workers,
                scheduler=scheduler,
                decode=decode,
                source=None,
                quiet=quiet,
            )
    return _check(folder, None, num_workers=num_workers, scheduler=scheduler, decode=decode, source=source, quiet=quiet)


def _fetch_tables(store: Store, folder: Path) -> None:
    """Copies what stands beside the shards."""
    names = store.sizes()
    if MANIFEST_FILE not in names:
        raise ShardError(
            f"{store}: expected {MANIFEST_FILE}, which is missing: the folder is no data set, or unfinished."
        )
    store.fetch(MANIFEST_FILE, folder / MANIFEST_FILE)
    for name in read_manifest(folder, kinds=KINDS).tables():
        if name in names:
            store.fetch(name, folder / name)


def _check(
    folder: Path,
    store: Store | None,
    *,
    num_workers: int,
    scheduler: str | None,
    decode: bool,
    source: Path | None,
    quiet: bool,
) -> Verification:
    manifest = read_manifest(folder, kinds=KINDS)
    tables, problems = open_tables(manifest)
    log = ProblemLog(problems)
    entries, record_check = shard_entries(manifest), make_record_check(manifest, tables)
    promised_kinds, found_kinds = _promised_kinds(manifest), Counter[ImageKind]()
    kinds = frozenset(promised_kinds) if decode else None
    num_records, complete, num_bytes = 0, True, sum(entry.promised["num_bytes"] for entry in entries)
    with (
        open_pool(num_workers, scheduler=scheduler) as pool,
        tqdm(total=num_bytes, unit="B", unit_scale=True, desc="Verifying", disable=quiet or None) as bar,
        WorkerProgress(bar, num_workers=pool.num_processes) as progress,
    ):
        pool.require_shared([] if store else [folder / name for name in manifest.file_names()])
        comparison = _start_comparison(source, manifest, pool, num_workers) if source else None
        check_entry = partial(check_shard, names=record_check.names, kinds=kinds, report=progress.report, store=store)
        tasks = (partial(check_entry, folder / entry.file, entry.promised) for entry in entries)
        for entry, check in zip(entries, _in_order(pool.run(tasks, meanwhile=progress.show)), strict=True):
            log.add(record_check.add(entry, check))
            if comparison:
                log.add(comparison.compare(entry.file, check.records))
            num_records += len(check.records)
            complete &= check.complete
            found_kinds += check.image_kinds
            progress.finish(entry.promised["num_bytes"])
        if comparison:
            log.add(comparison.finish(complete=complete))
    if complete:
        log.add(record_check.finish())
    if found_kinds.total() == manifest.num_images and found_kinds != promised_kinds:
        problem = f"expected images of {_describe(found_kinds)}, as in the shards, received {_describe(promised_kinds)}"
        log.add([Problem(file=MANIFEST_FILE, problem=problem)])
    return Verification(
        num_shards=len(entries),
        num_records=num_records,
        num_bytes=num_bytes,
        num_classes=manifest.num_classes if manifest.kind == FACES else None,
        num_problems=log.num_problems,
        problems=log.in_order(manifest.file_names()),
        warnings=manifest.warn_of_strangers(store.sizes() if store else [path.name for path in folder.iterdir()]),
    )


def _start_comparison(source: Path, manifest: Manifest, pool: WorkerPool, num_workers: int) -> "SourceCheck":
    from fr_prep.verify.source_check import SourceCheck  # noqa: PLC0415  its pandas takes as long as half a gigabyte of shards

    return SourceCheck(source, manifest, pool, num_workers=num_workers)


def _in_order(results: Iterator[tuple[int, ShardCheck]]) -> Iterator[ShardCheck]:
    """Gives results by position, so that nothing depends on which worker is the faster one."""
    early: dict[int, ShardCheck] = {}
    following = 0
    for position, result in results:
        early[position] = result
        while following in early:
            yield early.pop(following)
            following += 1


def _promised_kinds(manifest: Manifest) -> Counter[ImageKind]:
    kinds = manifest.content["image"]["kinds"]
    return Counter(
        {
            ImageKind(str(kind.get("encoding")), kind["height"], kind["width"], kind["channels"]): kind["num_images"]
            for kind in kinds
        }
    )


def _describe(kinds: Counter[ImageKind]) -> str:
    return ", ".join(f"{count} {describe_kind(kind)}" for kind, count in sorted(kinds.items()))
