"""Which augmentations are applied, how often and how strongly."""

from dataclasses import dataclass, fields

from fr_train.errors import ConfigError

__all__ = ["AugmentSettings"]

_PROBABILITIES = ("crop", "shift", "rand_augment", "brightness", "contrast", "saturation", "gray", "lower_face", "jpeg")
# What may be given, where it is not a part from 0 to 1.
LIMITS = {
    "crop_smallest": (0.05, 1),
    "crop_largest": (1, 4),
    "rand_augment_operations": (1, 10),
    "rand_augment_magnitude": (0, 10),
    "jpeg_lowest_quality": (1, 95),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """Each augmentation has a probability, by which each image undergoes it, in this order. All are off by default.

    Attributes:
        crop: a part is cut out and resized to the image's size.
        crop_smallest: the smallest part's side, as part of the image's.
        crop_largest: the largest part's; above 1 there is black around the image.
        shift: the image is moved by whole pixels, black coming in; what padding and cropping does.
        shift_farthest: by which part of a side at most.
        rand_augment: operations of RandAugment, drawn for each image.
        rand_augment_operations: how many.
        rand_augment_magnitude: their strength, 0 to 10.
        brightness: values are multiplied by a factor.
        brightness_change: how far from 1 that is at most.
        contrast: the distance from the image's mean luma is.
        contrast_change: as of brightness.
        saturation: the distance from each pixel's luma is.
        saturation_change: as of brightness.
        gray: colours become their luma.
        lower_face: nose, mouth and chin are covered in one colour, as by a mask.
        lower_face_largest: the part of the height that is covered at most, for faces aligned as usual; at least 0.1 less.
        jpeg: the image is compressed once more.
        jpeg_lowest_quality: from which quality on; to 95.
    """

    crop: float = 0.0
    crop_smallest: float = 0.8
    crop_largest: float = 1.0
    shift: float = 0.0
    shift_farthest: float = 0.1
    rand_augment: float = 0.0
    rand_augment_operations: int = 2
    rand_augment_magnitude: float = 5.0
    brightness: float = 0.0
    brightness_change: float = 0.4
    contrast: float = 0.0
    contrast_change: float = 0.4
    saturation: float = 0.0
    saturation_change: float = 0.4
    gray: float = 0.0
    lower_face: float = 0.0
    lower_face_largest: float = 0.5
    jpeg: float = 0.0
    jpeg_lowest_quality: int = 30

    def __post_init__(self) -> None:
        for item in fields(self):
            value, (lowest, highest) = getattr(self, item.name), LIMITS.get(item.name, (0, 1))
            if not lowest <= value <= highest:
                raise ConfigError(
                    f"augment.{item.name}: expected a number from {lowest} to {highest}, received {value}."
                )

    def is_on(self) -> bool:
        """Whether any image undergoes anything."""
        return any(getattr(self, name) > 0 for name in _PROBABILITIES)
