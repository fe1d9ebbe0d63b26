"""The images of a source as they are handed around, whatever the source is: a `.rec`, class folders, or shards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fr_prep.workers.pool import WorkerPool

__all__ = ["ENCODED", "SPLIT_RECORD", "THROUGH_MXNET", "ImagePlaces", "ImageSet", "ImageSource", "LeftOut", "Property"]

# In place of an image's offset:
SPLIT_RECORD = -1  # the record is split into parts, which must be joined
ENCODED = -2  # the file is a picture that becomes a PNG, which the length is of
THROUGH_MXNET = -3  # the record is to be read by MXNet


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlaces:
    """Where encoded images lie, one row an image.

    Attributes:
        folder: the folder that file names are relative to.
        files: the files that images are read from.
        file_numbers: (n,) int64, which of the files.
        record_offsets: (n,) int64, byte offset of the record in its file; 0 where a file is one image.
        image_offsets: (n,) int64, byte offset of the image in its file, or `SPLIT_RECORD`, `ENCODED` or `THROUGH_MXNET`.
        image_lengths: (n,) int64, bytes of the image.
    """

    folder: Path
    files: Sequence[str]
    file_numbers: NDArray[np.int64]
    record_offsets: NDArray[np.int64]
    image_offsets: NDArray[np.int64]
    image_lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_lengths)

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Gives the places of some rows, in that order, with the files that they need."""
        if len(self.files) == 1:
            files, numbers = self.files, np.zeros(len(rows), dtype=np.int64)
        else:
            used, numbers = np.unique(self.file_numbers[rows], return_inverse=True)
            files = tuple(self.files[number] for number in used.tolist())
        return type(self)(
            folder=self.folder,
            files=files,
            file_numbers=numbers,
            record_offsets=self.record_offsets[rows],
            image_offsets=self.image_offsets[rows],
            image_lengths=self.image_lengths[rows],
        )

    def path(self, row: int) -> Path:
        """Gives the file of an image."""
        return self.folder / self.files[int(self.file_numbers[row])]

    def describe(self, row: int) -> str:
        """Says where an image lies, for an error."""
        if self.image_offsets[row] in (0, ENCODED):  # the file is the image
            return str(self.path(row))
        return f"{self.path(row)}, record at byte {int(self.record_offsets[row])}"


@dataclass(frozen=True, slots=True)
class Property:
    """The first line of a `property` file: `classes,height,width`."""

    num_classes: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A damaged record that was left out, as the user allowed.

    Attributes:
        offset: byte offset at which it starts, or seems to.
        key: its key, where the source has one for it.
        reason: what is wrong with it, a sentence.
    """

    offset: int
    key: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """The images of a source, one row an image, in the order in which they stand there.

    Attributes:
        path: what the user calls the source: the `.rec`, or a folder.
        dialect: what kind of set it is, in words.
        places: where the images lie.
        keys: (n,) int64, the number by which a record can be found again in the source.
        labels: (n,) int64, the class as the source numbers it.
        class_names: names by source label, where the source has names.
        property: what the `property` file says, if there is one.
        num_other_records: header and identity records, which hold no image.
        validation: (n,) bool, the images of a validation split that is kept; None lets the plan divide the images.
        verification_bin: the entry in the manifest of a bin that stands in `path` and goes along, if there is one.
        origin: what else the manifest is to say of the source; JSON values.
        stamp: a digest of what else must be the same where a conversion is resumed; the manifest does not say it.
        left_out: damaged records that were skipped.
        warnings: what is odd about the set, each a sentence.
    """

    path: Path
    dialect: str
    places: ImagePlaces
    keys: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_names: Mapping[int, str] = field(default_factory=dict)
    property: Property | None = None
    num_other_records: int = 0
    validation: NDArray[np.bool_] | None = None
    verification_bin: Mapping[str, Any] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    stamp: str = ""
    left_out: tuple[LeftOut, ...] = ()
    warnings: list[str] = field(default_factory=list)


class ImageSource(Protocol):
    """Where images come from, before anything is read."""

    @property
    def path(self) -> Path:
        """What the user calls it."""
        ...

    def files(self) -> tuple[Path, ...]:
        """Gives the files whose size and time must not change while the source is read.

        Raises:
            SourceError: if the source is not there.
        """
        ...

    def arguments(self) -> dict[str, Any]:
        """Gives the choices about its reading that the result depends on, for the manifest; JSON values."""
        ...

    def start_digests(self, pool: "WorkerPool") -> Callable[[], list[dict[str, Any]]]:
        """Starts digesting (or checking) the files; gives what waits for `file`, `num_bytes` and `digest` of each."""
        ...

    def read(self) -> ImageSet:
        """Reads everything about each image but its bytes.

        Raises:
            SourceError: if the source cannot be used.
        """
        ...
