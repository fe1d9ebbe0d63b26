"""The plan of a conversion: which record goes to which split and shard, and at which place there.

It depends on the source's index, the settings and the seed alone. Shards are tasks that can be done in any order, by any process.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fr_data.shards.classes import ClassIndex, index_classes
from fr_prep.errors import SourceError

__all__ = ["DEFAULT_SHARD_BYTES", "Plan", "PlanSettings", "make_plan", "mix_bits", "shuffle_keys"]

DEFAULT_SHARD_BYTES = 128 << 20
RECORD_OVERHEAD_BYTES = 160  # frame and Example around an image take no more than this
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_BLOCK_KEYS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What the user may choose about the order and the division of a set.

    Attributes:
        num_shards: shards of the train split; None derives it from `shard_bytes`.
        shard_bytes: about how large a shard should be, in bytes.
        shuffle: global shuffle, or the source's order.
        seed: seed of the shuffle and of the split.
        validation_fraction: part of the images or of the identities, in [0, 1), that goes to the validation split.
        split_by: `image` takes images of each class in proportion; `identity` takes whole classes, which training never sees.
        min_images: classes with fewer images are dropped.
        verification_pairs: pairs of a verification bin of the identities that training never sees; 0 makes none.
    """

    num_shards: int | None = None
    shard_bytes: int = DEFAULT_SHARD_BYTES
    shuffle: bool = True
    seed: int = 0
    validation_fraction: float = 0.0
    split_by: Literal["image", "identity"] = "image"
    min_images: int = 1
    verification_pairs: int = 0

    def __post_init__(self) -> None:
        if self.num_shards is not None and not 1 <= self.num_shards <= 99_999:
            raise ValueError(f"expected between 1 and 99999 shards, received {self.num_shards}")
        if self.shard_bytes < 1:
            raise ValueError(f"expected a positive shard size in bytes, received {self.shard_bytes}")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"expected a seed from 0 to 2^63 - 1, received {self.seed}")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"expected a validation fraction in [0, 1), received {self.validation_fraction}")
        if self.split_by not in ("image", "identity"):
            raise ValueError(f"expected a split by image or by identity, received {self.split_by!r}")
        if self.min_images < 1:
            raise ValueError(f"expected at least 1 image a class, received {self.min_images}")
        if self.verification_pairs < 0 or self.verification_pairs % 20:
            raise ValueError(f"expected a multiple of 20 verification pairs, received {self.verification_pairs}")
        if self.verification_pairs and (self.split_by != "identity" or not self.validation_fraction):
            raise ValueError(
                "expected verification pairs with a split by identity and a validation fraction, received "
                f"{self.validation_fraction} by {self.split_by}"
            )
        if self.split_by == "identity" and not self.validation_fraction:
            raise ValueError("expected a validation fraction with a split by identity, received none")


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan.

    Attributes:
        classes: the class index.
        labels: (n,) int64 dense class of each source row, -1 where dropped.
        splits: name of the split → its shards, each an int64 array of source rows in the order of writing.
        split_classes: name of the split → the range of its classes.
    """

    classes: ClassIndex
    labels: NDArray[np.int64]
    splits: dict[str, list[NDArray[np.int64]]]
    split_classes: dict[str, range]

    @property
    def num_images(self) -> int:
        """Images in all splits."""
        return sum(len(rows) for shards in self.splits.values() for rows in shards)

    @property
    def num_shards(self) -> int:
        """Shards in all splits."""
        return sum(map(len, self.splits.values()))

    def images_per_class(self, split: str) -> NDArray[np.int64]:
        """(C,) int64, how many images each class has in a split."""
        counts = np.zeros(self.classes.num_classes, dtype=np.int64)
        for rows in self.splits.get(split, ()):
            np.add.at(counts, self.labels[rows], 1)
        return counts


def shuffle_keys(num_records: int, seed: int) -> NDArray[np.uint64]:
    """Gives each record a pseudo-random number; sorting by it is the shuffle.

    SplitMix64 (Steele, Lea and Flood 2014) of seed and position: NumPy does not promise that its own permutations stay the
    same from release to release, and shards must.

    Returns:
        (num_records,) uint64.
    """
    with np.errstate(over="ignore"):
        base = mix_bits(np.array([seed], dtype=np.uint64) + np.uint64(_GOLDEN_GAMMA))
        keys = np.arange(1, num_records + 1, dtype=np.uint64)
        for start in range(0, num_records, _BLOCK_KEYS):  # which stays in a processor's cache
            block = keys[start : start + _BLOCK_KEYS]
            block[:] = mix_bits(base + block * np.uint64(_GOLDEN_GAMMA))
        return keys


def mix_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Gives each number another one, pseudo-random and different for each: the last step of SplitMix64."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def make_plan(
    source_labels: NDArray[np.int64],
    image_lengths: NDArray[np.int64],
    *,
    settings: PlanSettings,
    validation: NDArray[np.bool_] | None = None,
) -> Plan:
    """Plans a conversion.

    Args:
        source_labels: (n,) int64, the source's label of each image, in source order.
        image_lengths: (n,) int64 bytes of each image.
        settings: the user's choices.
        validation: (n,) bool, the images of a validation split that the source has and that is kept.

    Raises:
        SourceError: if no image is left, there are fewer images than shards, or a split that is kept is to be made as well.
    """
    classes, labels = index_classes(source_labels, min_images=settings.min_images)
    if classes.num_classes == 0:
        raise SourceError(
            f"No class has {settings.min_images} images or more; the largest has {int(classes.dropped_num_images.max())}. "
            "Lower --min-images."
        )
    keys = shuffle_keys(len(labels), settings.seed)
    everyone = range(classes.num_classes)
    split_classes = {"train": everyone, "validation": everyone}
    fraction = settings.validation_fraction
    if validation is not None:
        classes, labels, num_train = _keep_validation(classes, labels, validation, settings)
        in_validation = validation & (labels >= 0)
        fraction = float(in_validation.sum() / (labels >= 0).sum())
        shared = bool((labels[in_validation] < num_train).any())
        split_classes = {"train": everyone[:num_train], "validation": everyone if shared else everyone[num_train:]}
    elif settings.split_by == "image":
        in_validation = _choose_validation(labels, keys, classes, settings.validation_fraction)
    else:
        classes, labels, num_train = _set_identities_apart(classes, labels, settings)
        in_validation = labels >= num_train
        split_classes = {"train": everyone[:num_train], "validation": everyone[num_train:]}
    kept = labels >= 0
    num_shards = settings.num_shards or _derive_num_shards(image_lengths, kept & ~in_validation, settings.shard_bytes)
    order = np.argsort(keys) if settings.shuffle else None
    del keys  # they take as much memory as the order
    splits = {}
    for name, members, wanted in (
        ("train", kept & ~in_validation, num_shards),
        (
            "validation",
            in_validation,
            _validation_shards(num_shards, fraction, int(in_validation.sum())),
        ),
    ):
        rows = np.flatnonzero(members) if order is None else order[members[order]]
        if name == "validation" and len(rows) == 0:
            continue
        if len(rows) < wanted:
            raise SourceError(f"The {name} split has {len(rows)} images, too few for {wanted} shards. Lower --shards.")
        splits[name] = np.array_split(rows, wanted)
    return Plan(
        classes=classes,
        labels=labels,
        splits=splits,
        split_classes={name: classes_ for name, classes_ in split_classes.items() if name in splits},
    )


def _set_identities_apart(
    classes: ClassIndex, labels: NDArray[np.int64], settings: PlanSettings
) -> tuple[ClassIndex, NDArray[np.int64], int]:
    """Chooses the fraction of the classes for validation and numbers them behind the others.

    Returns:
        The index and the dense classes in the new order, and how many classes are left to train on.
    """
    num_classes = classes.num_classes
    num_validation = round(num_classes * settings.validation_fraction)
    if settings.validation_fraction > 0 and not 0 < num_validation < num_classes:
        raise SourceError(
            f"Expected a fraction that sets at least 1 of {num_classes} identities apart and leaves at least 1, received "
            f"{settings.validation_fraction}, which sets {num_validation} apart. Change --validation-fraction."
        )
    chosen = np.zeros(num_classes, dtype=np.bool_)
    chosen[np.argsort(shuffle_keys(num_classes, settings.seed), kind="stable")[:num_validation]] = True
    return _number_behind(classes, labels, chosen)


def _keep_validation(
    classes: ClassIndex, labels: NDArray[np.int64], validation: NDArray[np.bool_], settings: PlanSettings
) -> tuple[ClassIndex, NDArray[np.int64], int]:
    """Numbers the classes that have images in the validation split alone behind the others.

    Returns:
        The index and the dense classes in the new order, and how many classes there are to train on.
    """
    if settings.validation_fraction > 0:
        raise SourceError(
            "The source has a validation split, which is kept, so --validation-fraction cannot make another. "
            "Divide all images anew by --split pool, or take one split by --split train."
        )
    trained = labels[(labels >= 0) & ~validation]
    if not len(trained):
        raise SourceError("No image is left in the train split.")
    return _number_behind(classes, labels, np.bincount(trained, minlength=classes.num_classes) == 0)


def _number_behind(
    classes: ClassIndex, labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> tuple[ClassIndex, NDArray[np.int64], int]:
    """Numbers the chosen classes behind the others; returns the index, the dense classes, and how many the others are."""
    order = np.argsort(
        chosen, kind="stable"
    )  # those that stay first, each part in ascending order of the source's label
    new_label = np.append(np.argsort(order, kind="stable"), -1)  # the last serves -1, which means dropped
    reordered = replace(classes, source_labels=classes.source_labels[order], num_images=classes.num_images[order])
    return reordered, new_label[labels], int((~chosen).sum())


def _derive_num_shards(image_lengths: NDArray[np.int64], members: NDArray[np.bool_], shard_bytes: int) -> int:
    """Enough shards for the wished size, and at least 8 (where there are as many images), to read and write in parallel."""
    num_images = int(np.count_nonzero(members))
    total_bytes = int(image_lengths.sum(where=members)) + RECORD_OVERHEAD_BYTES * num_images
    return min(max(-(-total_bytes // shard_bytes), 8), num_images, 99_999)


def _validation_shards(num_train_shards: int, fraction: float, num_images: int) -> int:
    """As many as keep the size of the train shards."""
    return max(1, min(round(num_train_shards * fraction / (1 - fraction)), num_images))


def _choose_validation(
    labels: NDArray[np.int64], keys: NDArray[np.uint64], classes: ClassIndex, fraction: float
) -> NDArray[np.bool_]:
    """Takes the fraction of the images, of each class in proportion, and never the last image of a class.

    Each class gives the whole part of its share; the largest remainders give one more until the total is met (Hamilton's
    method). Within a class, the images with the smallest shuffle keys go.
    """
    chosen = np.zeros(len(labels), dtype=np.bool_)
    if fraction == 0:
        return chosen
    shares = classes.num_images * fraction
    quotas = np.minimum(np.floor(shares).astype(np.int64), classes.num_images - 1)
    missing = round(float(shares.sum())) - int(quotas.sum())
    can_give = quotas < classes.num_images - 1
    by_remainder = np.argsort(-(shares - quotas), kind="stable")
    quotas[by_remainder[can_give[by_remainder]][: max(missing, 0)]] += 1
    if not quotas.any():
        raise SourceError(
            f"Expected a fraction that sets at least 1 of {int(classes.num_images.sum()):,} images apart, received {fraction}, "
            "which sets none apart: the last image of a class stays in training. Change --validation-fraction."
        )
    rows = np.flatnonzero((labels >= 0) & (quotas[labels] > 0))
    order = rows[np.lexsort((keys[rows], labels[rows]))]
    sizes = classes.num_images[quotas > 0]
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen[order[ranks < np.repeat(quotas[quotas > 0], sizes)]] = True
    return chosen
