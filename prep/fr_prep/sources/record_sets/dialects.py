"""What kind of record set it is, in words, and where its header, ranges and property disagree with its images.

InsightFace writes a header record (key 0, labels `[N + 1, N + 1 + identities]`) and one record an identity (labels `[first_key,
past_last_key]`), all without an image; other writers have images only. These numbers are float32, exact only to 2^24, so they
are never trusted: images are counted, labels are taken from each image, and a disagreement is a warning.
"""

import numpy as np
from numpy.typing import NDArray

from fr_prep.sources.image_set import SPLIT_RECORD, Property
from fr_prep.sources.record_sets.face_records import FaceRecords

__all__ = ["check_counts", "name_dialect"]

EXACT_FLOAT32 = 1 << 24


def name_dialect(found: FaceRecords, labels: NDArray[np.int64], num_classes: int) -> str:
    """Says what kind of set it is.

    Args:
        found: its records.
        labels: (n,) int64, the class of each image, in file order.
        num_classes: how many different ones there are.
    """
    rows = found.image_rows
    words = [_name_packer(found)]
    if np.count_nonzero(labels[1:] != labels[:-1]) >= num_classes:
        words.append("classes mixed (shuffled)")
    num_labels = np.unique(found.records.num_labels[rows]).tolist()
    arrays = " and ".join(str(number) for number in num_labels if number)
    if arrays:
        packed = " (im2rec --pack-label, for one)" if len(labels) == len(found.keys) else ""
        words.append(f"labels in arrays of {arrays}{' or alone' if num_labels[0] == 0 else ''}{packed}")
    num_split = np.count_nonzero(found.records.image_offsets[rows] == SPLIT_RECORD)
    if num_split:
        words.append(f"{num_split} {'record' if num_split == 1 else 'records'} split at the magic")
    if len(labels) > EXACT_FLOAT32:
        words.append("more images than float32 can count")
    return "; ".join([*words, *found.layout])


def _name_packer(found: FaceRecords) -> str:
    num_others = int(np.count_nonzero(~found.is_image))
    if num_others == 0:
        return "image records only (im2rec, shuffled, or packed by hand)"
    has_header = 0 in found.keys[~found.is_image]
    if num_others == has_header:
        return "InsightFace, with header record but no identity records"
    return f"InsightFace, with {'header and ' if has_header else ''}identity records{'' if has_header else ' but no header'}"


def check_counts(
    found: FaceRecords, classes: NDArray[np.int64], counts: NDArray[np.int64], stated: Property | None
) -> list[str]:
    """Says where header, ranges and property disagree with the images themselves.

    Args:
        found: the records of the set.
        classes: (C,) int64, the classes of the images, each once.
        counts: (C,) int64, how many images each has.
        stated: what the `property` file says.
    """
    warnings = _check_ranges(found, counts) if not found.is_image.all() else []
    if stated and stated.num_classes != len(classes):
        warnings.append(
            f"property promises {stated.num_classes} classes, the images have {len(classes)}. The images count."
        )
    if np.abs(classes).max() >= EXACT_FLOAT32:
        warnings.append(
            "Labels reach past 16,777,216, where float32 is no longer exact: classes may have run into one another."
        )
    return warnings


def _check_ranges(found: FaceRecords, counts: NDArray[np.int64]) -> list[str]:
    num_images = int(counts.sum())
    is_header = found.keys[~found.is_image] == 0
    header, identities = found.ranges[is_header, 0], found.ranges[~is_header]
    numbers = found.ranges[np.isfinite(found.ranges)]
    trap = " (they are float32, exact only to 16,777,216)" if (np.abs(numbers) >= EXACT_FLOAT32).any() else ""
    warnings = []
    if len(header) and not np.isfinite(header[0]):
        warnings.append(f"The header record holds no number of images; the file holds {num_images}. The images count.")
    elif len(header) and header[0] != np.float32(num_images + 1):
        warnings.append(
            f"The header record promises {float(header[0]) - 1:.0f} images, the file holds {num_images}{trap}. The images count."
        )
    if len(identities) != len(counts):
        warnings.append(
            f"The file has {len(identities)} identity records, its images {len(counts)} classes. The images count."
        )
    elif (np.sort(identities[:, 1] - identities[:, 0]) != np.sort(counts)).any():
        warnings.append(
            f"The ranges of the identity records disagree with the labels of the images{trap}. The labels count."
        )
    return warnings
