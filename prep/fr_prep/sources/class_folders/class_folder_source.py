"""Class folders as a source of images: `SRC/<class>/…/<image>`, of any format that Pillow reads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fr_prep.errors import SourceError
from fr_prep.sources.class_folders.class_listing import ClassListing, list_class_folders
from fr_prep.sources.class_folders.file_check import DAMAGED, NO_IMAGE, TO_ENCODE, FileCheck, check_files
from fr_prep.sources.image_set import ENCODED, ImagePlaces, ImageSet, LeftOut
from fr_prep.workers.pool import WorkerPool

__all__ = ["ClassFolderSource"]

_NUM_NAMED = 5  # files that a message names; the others are counted


class ClassFolderSource:
    """A folder with a folder for each class.

    JPEG and PNG files are taken over byte for byte, pictures of other formats become PNG.

    Args:
        path: the folder of the class folders.
        on_error: whether an image that cannot be decoded is an error, or is left out.
        decode: decode JPEG and PNG images as well, of which else only the header is checked.
        for_pairs: decode all, as evaluation does, which takes fewer kinds of pixels.
        num_workers: processes that look into the files.
        quiet: no progress bars.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_error: Literal["fail", "skip"] = "fail",
        decode: bool = False,
        for_pairs: bool = False,
        num_workers: int = 1,
        quiet: bool = True,
    ) -> None:
        self.path = path
        self._on_error = on_error
        self._decode = decode
        self._for_pairs = for_pairs
        self._num_workers = num_workers
        self._quiet = quiet
        self._listed: ClassListing | None = None

    def files(self) -> tuple[Path, ...]:
        """Gives the folder; what is in it is compared by `start_digests`."""
        if not self.path.is_dir():
            raise SourceError(f"{self.path}: expected a folder of class folders, there is no such folder.")
        return (self.path,)

    def arguments(self) -> dict[str, Any]:
        """Gives what becomes of damaged images, and how they are found."""
        return {"on_error": self._on_error, "decode": self._decode}

    def start_digests(self, pool: WorkerPool) -> Callable[[], list[dict[str, Any]]]:
        """Lists the files; gives what lists them again, compares, and digests the list (paths and sizes)."""
        before = self._listing()

        def wait() -> list[dict[str, Any]]:
            changed = before.first_difference(list_class_folders(self.path, quiet=self._quiet))
            if changed is not None:
                raise SourceError(
                    f"{self.path / changed}: was changed while the source was read. Leave it alone and convert it again, "
                    "by --overwrite."
                )
            num_bytes = int(before.sizes[before.sizes > 0].sum())
            return [{"file": self.path.resolve().name, "num_bytes": num_bytes, "digest": f"sha256:{before.digest()}"}]

        return wait

    def read(self) -> ImageSet:
        """Looks into every file.

        Raises:
            SourceError: if there is no image, or one is damaged and none may be left out.
        """
        listing = self._listing()
        check = check_files(
            self.path,
            listing.names,
            listing.sizes,
            decode=self._decode,
            for_pairs=self._for_pairs,
            num_workers=self._num_workers,
            quiet=self._quiet,
        )
        damaged = [f"{listing.names[row]}: {reason}" for row, reason in check.reasons.items()]
        if damaged and self._on_error == "fail":
            raise SourceError(
                f"{self.path}: {_count(len(damaged), 'image cannot', 'images cannot')} be read: {_name(damaged, '; ')}. "
                "Mend or remove them, or leave them out by --on-error skip."
            )
        is_image = check.kinds != NO_IMAGE
        keys = np.cumsum(is_image) - 1
        rows = np.flatnonzero(is_image & (check.kinds != DAMAGED))
        if not len(rows):
            raise SourceError(
                f"{self.path}: expected images in its class folders, received none. Give the folder with a folder for each class."
            )
        return ImageSet(
            path=self.path,
            dialect="class folders",
            places=ImagePlaces(
                folder=self.path,
                files=listing.names,
                file_numbers=rows,
                record_offsets=np.zeros(len(rows), dtype=np.int64),
                image_offsets=np.where(check.kinds[rows] == TO_ENCODE, ENCODED, 0),
                image_lengths=check.lengths[rows],
            ),
            keys=keys[rows],
            labels=listing.class_numbers[rows],
            class_names=dict(enumerate(listing.class_names)),
            num_other_records=int((~is_image).sum()) + len(listing.hidden) + len(listing.beside),
            stamp=listing.stamp(),
            left_out=tuple(LeftOut(0, int(keys[row]), text) for row, text in zip(check.reasons, damaged, strict=True)),
            warnings=_warnings(listing, check, damaged),
        )

    def _listing(self) -> ClassListing:
        """Lists the files, once: whatever changes later is found by comparing."""
        if self._listed is None:
            self._listed = list_class_folders(self.path, quiet=self._quiet)
        return self._listed


def _warnings(listing: ClassListing, check: FileCheck, damaged: Sequence[str]) -> list[str]:
    """Says what was left alone, what was changed, and what is odd."""
    used = np.bincount(listing.class_numbers[check.kinds <= TO_ENCODE], minlength=len(listing.class_names))
    no_image = np.flatnonzero(check.kinds == NO_IMAGE).tolist()
    beside, empty = listing.beside, [listing.class_names[number] for number in np.flatnonzero(used == 0).tolist()]
    others = [listing.names[row] for row in no_image[: _NUM_NAMED + 1]] + listing.hidden[: _NUM_NAMED + 1]
    num_others, num_encoded = len(no_image) + len(listing.hidden), check.formats.total()
    formats = ", ".join(f"{count:,} {name}" for name, count in sorted(check.formats.items()))
    said = (
        (len(beside), f"{_count(len(beside), 'entry is', 'entries are')} no class folder: {_name(beside)}."),
        (num_others, f"{_count(num_others, 'file is', 'files are')} no image: {_name(others)}."),
        (len(empty), f"{_count(len(empty), 'class folder holds', 'class folders hold')} no image: {_name(empty)}."),
        (
            num_encoded,
            f"{_count(num_encoded, 'picture is no', 'pictures are no')} JPEG or PNG, and encoded as PNG: {formats}.",
        ),
        (
            check.num_animated,
            f"{_count(check.num_animated, 'file holds', 'files hold')} several pictures, of which the first is taken.",
        ),
        (
            check.num_turned,
            f"{_count(check.num_turned, 'image has', 'images have')} an EXIF orientation, which readers of shards ignore. Turn "
            "the pixels themselves, and convert again.",
        ),
        (
            len(damaged),
            f"{_count(len(damaged), 'damaged image is', 'damaged images are')} left out: {_name(damaged, '; ')}.",
        ),
    )
    return [sentence for number, sentence in said if number]


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _name(items: Sequence[str], separator: str = ", ") -> str:
    return separator.join(items[:_NUM_NAMED]) + (f"{separator}…" if len(items) > _NUM_NAMED else "")
