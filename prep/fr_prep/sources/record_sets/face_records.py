"""How a record set is to be read, and its records as a reader finds them, before it is known what kind of set they make."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from fr_prep.sources.image_set import LeftOut
from fr_prep.sources.record_sets.image_records import ImageRecords

__all__ = ["FaceRecords", "RecordSettings", "as_sentence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """What the user may choose about the reading of a record set.

    Attributes:
        label_position: which label is the class, where records have several.
        on_error: whether a damaged record ends the conversion, or is left out.
        reader: our own, or MXNet's where it is installed.
        decode: whether each image is decoded to find damaged ones.
        for_pairs: whether they are decoded as evaluation does, which takes fewer kinds of pixels.
        num_workers: processes that look at the images to find damaged ones.
        quiet: no progress bar.
    """

    label_position: int = 0
    on_error: Literal["fail", "skip"] = "fail"
    reader: Literal["native", "mxnet"] = "native"
    decode: bool = False
    for_pairs: bool = False
    num_workers: int = 1
    quiet: bool = True

    def __post_init__(self) -> None:
        if self.label_position < 0:
            raise ValueError(f"expected a label position of 0 or more, received {self.label_position}")
        if self.on_error not in ("fail", "skip"):
            raise ValueError(f"expected to fail or to skip on an error, received {self.on_error!r}")
        if self.reader not in ("native", "mxnet"):
            raise ValueError(f"expected the native or the mxnet reader, received {self.reader!r}")
        if self.on_error == "skip" and self.reader == "mxnet":
            raise ValueError("expected the native reader, since MXNet's skips no damaged records, received mxnet")

    def arguments(self) -> dict[str, Any]:
        """The choices that the result depends on, for the manifest."""
        others = (
            "decode",
            "for_pairs",
            "num_workers",
            "quiet",
        )  # whether it is for pairs follows from the other arguments
        chosen = {name: value for name, value in asdict(self).items() if name not in others}
        return {**chosen, "decode": True} if self.decode else chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRecords:
    """The records of a set, one row a record, in the order of the file.

    Attributes:
        keys: (n,) int64, from the `.idx`, or else the positions in the file.
        records: what frames and headers say.
        ranges: (k, 2) float32, the first two labels of the k records without an image, NaN where they have fewer.
        layout: what is special about the files, for the name of the dialect.
        left_out: damaged records that were skipped.
        warnings: what is odd, each a sentence.
    """

    keys: NDArray[np.int64]
    records: ImageRecords
    ranges: NDArray[np.float32]
    layout: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_image(self) -> NDArray[np.bool_]:
        """(n,) bool: which records hold an image; header and identity records do not."""
        return self.records.image_lengths > 0

    @property
    def image_rows(self) -> slice | NDArray[np.int64]:
        """The rows that hold an image: a slice where they stand together, as nearly always, so that columns need no copies."""
        rows = np.flatnonzero(self.is_image)
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            return slice(int(rows[0]), int(rows[-1]) + 1)
        return rows

    def leave_out(self, reasons: dict[int, str]) -> Self:
        """Gives the records without some of them: row → what is wrong with it, as in `as_sentence`."""
        if not reasons:
            return self
        kept = np.ones(len(self.keys), dtype=np.bool_)
        kept[list(reasons)] = False
        left_out = [
            LeftOut(int(self.records.offsets[row]), int(self.keys[row]), as_sentence(reason))
            for row, reason in reasons.items()
        ]
        return type(self)(
            keys=self.keys[kept],
            records=ImageRecords(*(getattr(self.records, column.name)[kept] for column in fields(ImageRecords))),
            ranges=self.ranges[kept[~self.is_image]],
            layout=self.layout,
            left_out=tuple(sorted([*self.left_out, *left_out], key=lambda record: record.offset)),
            warnings=self.warnings,
        )


def as_sentence(reason: str) -> str:
    """Makes `expected this, received that` a sentence."""
    return f"{reason[:1].upper()}{reason[1:]}."
