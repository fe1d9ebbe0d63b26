"""RandAugment: operations drawn at random for each image, all of one strength.

Reference:
    Cubuk et al. 2019, RandAugment: Practical automated data augmentation with a reduced search space. Its operations that turn
    values around or level them (solarize, equalize) are left out: they make of a face what no camera does.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fr_train.data.augment.choice import apply_by_choice
from fr_train.data.augment.colour import change_colours, change_sharpness, posterize, stretch_contrast
from fr_train.data.augment.geometry import rotate, shear, shift

__all__ = ["OPERATIONS", "rand_augment"]

Tensor = Any

# What an operation does to (n, H, W, 3) uint8 for amounts (n,) in [-1, 1]. Their sign is drawn; 1 is magnitude 10.
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda images, amounts: images,
    "stretch_contrast": lambda images, amounts: stretch_contrast(images),
    "brightness": lambda images, amounts: change_colours(images, brightness=1.0 + 0.9 * amounts),
    "contrast": lambda images, amounts: change_colours(images, contrast=1.0 + 0.9 * amounts),
    "saturation": lambda images, amounts: change_colours(images, saturation=1.0 + 0.9 * amounts),
    "sharpness": lambda images, amounts: change_sharpness(images, 1.0 + 0.9 * amounts),
    "posterize": lambda images, amounts: posterize(images, 8 - tf.cast(tf.round(4.0 * tf.abs(amounts)), tf.int32)),
    "rotate": lambda images, amounts: rotate(images, math.radians(30) * amounts),
    "shear_x": lambda images, amounts: shear(images, 0.3 * _along(0, amounts)),
    "shear_y": lambda images, amounts: shear(images, 0.3 * _along(1, amounts)),
    "shift_x": lambda images, amounts: _shift_by_part(images, 0.3 * _along(0, amounts)),
    "shift_y": lambda images, amounts: _shift_by_part(images, 0.3 * _along(1, amounts)),
}


def rand_augment(images: Tensor, seed: Tensor, *, num_operations: int, magnitude: float) -> Tensor:
    """Applies operations to each image, all equally likely.

    Args:
        images: (n, H, W, 3) uint8, with a known H and W.
        seed: (2,) integers.
        num_operations: drawn for each image, one after the other.
        magnitude: 0 to 10.

    Returns:
        (n, H, W, 3) uint8.
    """
    shape = [num_operations, tf.shape(images)[0]]
    drawn = tf.random.stateless_uniform(shape, seed, maxval=2 * len(OPERATIONS), dtype=tf.int32)
    amounts = tf.where(drawn % 2 == 0, -magnitude / 10.0, magnitude / 10.0)
    for number in range(num_operations):
        images = apply_by_choice(images, drawn[number] // 2, list(OPERATIONS.values()), amounts[number])
    return images


def _along(axis: int, amounts: Tensor) -> Tensor:
    return amounts[:, None] * tf.one_hot(axis, 2)


def _shift_by_part(images: Tensor, parts: Tensor) -> Tensor:
    height, width = images.shape[1:3]
    return shift(images, tf.cast(tf.round(parts * [float(width), float(height)]), tf.int32))
