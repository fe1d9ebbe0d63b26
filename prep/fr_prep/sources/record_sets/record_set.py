"""A `.rec` set as a source of images."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fr_prep.digests import sha256_of_file
from fr_prep.errors import DamagedRecordError
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_files import set_files, warn_of_other_indices
from fr_prep.sources.record_sets.recordio import RecordFile
from fr_prep.sources.record_sets.unknown_images import find_unknown_images
from fr_prep.workers.pool import WorkerPool

__all__ = ["RecordSetSource"]


@dataclass(frozen=True, slots=True)
class RecordSetSource:
    """A record set: `train.rec`, with `train.idx` and `property` where they are there.

    Attributes:
        path: the set's folder, or its `.rec`.
        settings: how it is to be read.
    """

    path: Path
    settings: RecordSettings = field(default_factory=RecordSettings)

    def files(self) -> tuple[Path, ...]:
        """Gives the `.rec`, then what stands beside it."""
        return set_files(self.path)

    def arguments(self) -> dict[str, Any]:
        """Gives how the set is read: the label position, what becomes of damaged records, and by which reader."""
        return self.settings.arguments()

    def start_digests(self, pool: WorkerPool) -> Callable[[], list[dict[str, Any]]]:
        """Starts a CRC-32C of the `.rec`, which has the bulk; the small files get a SHA-256."""
        files = self.files()
        wait_for_crc = pool.submit(partial(_crc32c_of_records, files[0]))

        def wait() -> list[dict[str, Any]]:
            digests = [f"crc32c:{wait_for_crc()}", *(f"sha256:{sha256_of_file(path)}" for path in files[1:])]
            return [
                {"file": path.name, "num_bytes": path.stat().st_size, "digest": digest}
                for path, digest in zip(files, digests, strict=True)
            ]

        return wait

    def read(self) -> ImageSet:
        """Reads the index of the set."""
        try:
            images = read_face_set(self.path, self.settings)
            if self.settings.decode and self.settings.on_error == "fail":
                _require_decodable(images, self.settings)
        except DamagedRecordError as error:
            raise DamagedRecordError(
                f"{error} Or leave out what is damaged, by --on-error skip.", offset=error.offset, reason=error.reason
            ) from error
        return replace(images, warnings=[*warn_of_other_indices(images.path), *images.warnings])


def _require_decodable(images: ImageSet, settings: RecordSettings) -> None:
    damaged = find_unknown_images(images.places, settings)
    if damaged:
        row = min(damaged)
        raise DamagedRecordError(
            f"{images.places.describe(row)}, key {int(images.keys[row])}: is a damaged image: {damaged[row]}. "
            f"{len(damaged):,} of {len(images.keys):,} images are like that. Copy the file again.",
            offset=int(images.places.record_offsets[row]),
            reason=damaged[row],
        )


def _crc32c_of_records(path: Path) -> str:
    with RecordFile(path) as file:
        return file.crc32c()
