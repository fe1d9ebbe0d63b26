"""Comparing the records of a data set with the source that it was made from, record by record."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fr_prep.errors import ShardError, SourceError
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ENCODED, ImagePlaces, ImageSource
from fr_prep.sources.open_source import open_source
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify.problems import Problem
from fr_prep.verify.shard_check import record_problem
from fr_prep.workers.pool import WorkerPool
from fr_prep.write.manifest import FACES, MANIFEST_FILE, Manifest

__all__ = ["SourceCheck"]

BLOCK_BYTES = 4 << 20


class SourceCheck:
    """Compares shard after shard with a source, in a pool, and keeps account of which of its records were met.

    Args:
        path: the source.
        manifest: the set's manifest.
        pool: what reads the images.
        num_workers: processes that list a source.

    Raises:
        SourceError: if the source cannot be read, or the set was not made of one source as it is.
        ShardError: if the manifest does not say what was left out.
    """

    def __init__(self, path: Path, manifest: Manifest, pool: WorkerPool, *, num_workers: int) -> None:
        content = manifest.content
        if manifest.kind != FACES or "sets" in content["source"]:
            raise SourceError(
                f"{manifest.folder}: expected faces of one source, as they are there, to compare with {path}; the set was made by "
                "bin2tfrecord, merge or rewrite. Leave out --source."
            )
        try:
            self._files = {entry["file"]: entry for entry in content["source"]["files"]}
            self._dropped_labels = [entry["source_label"] for entry in content["dropped"]["classes"]]
            keys = [entry["key"] for entry in content["left_out"]["records"]]
            self._left_out_keys = [key for key in keys if key is not None]
            source = _open(path, content["arguments"], num_workers)
        except (KeyError, TypeError, ValueError) as error:
            raise ShardError(
                f"{manifest.folder / MANIFEST_FILE}: does not say what the set was made of ({error!r}). Convert it again."
            ) from error
        self._folder, self._pool, self._max_waiting = manifest.folder, pool, 2 * pool.num_workers
        self._waiting = deque[Callable[[], list[Problem]]]()
        pool.require_shared(source.files())
        self._wait_for_digests = source.start_digests(pool)
        self._images = source.read()
        self._order = np.argsort(self._images.keys, kind="stable")
        self._keys = self._images.keys[self._order]
        self._met = np.zeros(len(self._keys), dtype=np.bool_)

    def compare(self, file: str, records: NDArray[np.void]) -> list[Problem]:
        """Compares the records of a shard with those of the source that have their keys; gives what is wrong so far."""
        images, problems = self._images, []
        places = np.minimum(np.searchsorted(self._keys, records["source_key"]), len(self._keys) - 1)
        known = self._keys[places] == records["source_key"]
        problems += [
            record_problem(file, record, "the source has no record with this key") for record in records[~known]
        ]
        records, rows = records[known], self._order[places[known]]
        again = np.ones(len(rows), dtype=np.bool_)
        again[np.unique(rows, return_index=True)[1]] = False
        again |= self._met[rows]
        problems += [record_problem(file, record, "another record has the same key") for record in records[again]]
        self._met[rows] = True
        for what, expected, received in (
            ("source label", images.labels[rows], records["source_label"]),
            ("bytes of image", images.places.image_lengths[rows], records["image_length"]),
        ):
            for row in np.flatnonzero(expected != received).tolist():
                problem = f"expected {what} {expected[row]}, as in {images.places.describe(rows[row])}, received {received[row]}"
                problems.append(record_problem(file, records[row], problem))
        same_length = images.places.image_lengths[rows] == records["image_length"]
        task = partial(_compare_images, self._folder, file, records[same_length], images.places.take(rows[same_length]))
        self._waiting.append(self._pool.submit(task))
        return problems + self._wait(self._max_waiting)

    def _wait(self, num_left: int) -> list[Problem]:
        """Waits for comparisons of images until no more than some are left."""
        problems = []
        while len(self._waiting) > num_left:
            problems += self._waiting.popleft()()
        return problems

    def finish(self, *, complete: bool) -> Iterator[Problem]:
        """Says which records of the source were not met, and which of its files are not those that the manifest names.

        Args:
            complete: whether all records of the set were read; if not, some of those not met may be among the unread ones.
        """
        yield from self._wait(0)
        images = self._images
        expected = ~np.isin(images.labels, self._dropped_labels) & ~np.isin(images.keys, self._left_out_keys)
        for row in np.flatnonzero(expected & ~self._met).tolist() if complete else ():
            is_file = images.places.image_offsets[row] in (0, ENCODED)
            yield Problem(
                file=images.places.files[int(images.places.file_numbers[row])],
                offset=None if is_file else int(images.places.record_offsets[row]),
                key=int(images.keys[row]),
                problem="is in no shard of the set, though the manifest does not say that it was left out",
            )
        try:
            received = {entry["file"]: entry for entry in self._wait_for_digests()}
        except SourceError as error:
            yield Problem(file=images.path.name, problem=str(error))
            return
        for file in sorted({*self._files, *received}):
            if self._files.get(file) != received.get(file):
                before, now = _describe_file(self._files.get(file)), _describe_file(received.get(file))
                yield Problem(file=file, problem=f"expected {before}, as when the set was made, received {now}")


def _open(path: Path, arguments: Mapping[str, Any], num_workers: int) -> ImageSource:
    """Opens the source as when the set was made: with the same label of several, and without the same damaged records."""
    source = open_source(path)
    if not isinstance(source, RecordSetSource):
        return source
    settings = RecordSettings(
        label_position=arguments.get("label_position", 0),
        on_error=arguments.get("on_error", "fail"),
        num_workers=num_workers,
    )
    return replace(source, settings=settings)


def _describe_file(entry: Mapping[str, Any] | None) -> str:
    return f"{entry.get('num_bytes')} bytes with {entry.get('digest')}" if entry else "no such file"


def _compare_images(folder: Path, file: str, records: NDArray[np.void], source: ImagePlaces) -> list[Problem]:
    """Compares the images of a shard with those at places of a source, which are as many and as long."""
    lengths = records["image_length"]
    places = ImagePlaces(
        folder=folder,
        files=(file,),
        file_numbers=np.zeros(len(records), dtype=np.int64),
        record_offsets=records["offset"],
        image_offsets=records["image_offset"],
        image_lengths=lengths,
    )
    ends = np.cumsum(lengths)
    problems = []
    bounds = [0, *(np.flatnonzero(np.diff(ends // BLOCK_BYTES)) + 1).tolist(), len(records)]
    try:
        with ImageReader(places) as reader, ImageReader(source) as source_reader:
            for first, past_last in pairwise(bounds if len(records) else []):
                starts = ends[first:past_last] - lengths[first:past_last] - (ends[first] - lengths[first])
                received, expected = (
                    _read(each, first, starts, lengths[first:past_last]) for each in (reader, source_reader)
                )
                different = np.flatnonzero(received != expected)
                rows = np.searchsorted(starts, different, side="right") - 1
                for row, first_place, count in zip(
                    *np.unique(rows, return_index=True, return_counts=True), strict=True
                ):
                    place = f"{count} bytes from byte {different[first_place] - starts[row]} on"
                    problem = f"the image differs from that of {source.describe(first + row)} in {place}"
                    problems.append(record_problem(file, records[first + row], problem))
    except SourceError as error:
        problems.append(Problem(file=file, problem=f"its images cannot be compared with the source: {error}"))
    return problems


def _read(
    reader: ImageReader, first_row: int, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Reads images of consecutive rows, one behind the other: (total,) uint8."""
    memory = np.empty(int(lengths.sum()), dtype=np.uint8)
    reader.read_into(
        list(map(memory.data.__getitem__, map(slice, starts.tolist(), (starts + lengths).tolist()))), first_row
    )
    return memory
