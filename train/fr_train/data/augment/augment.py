"""All augmentations of a batch, each on the images that a coin chooses."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fr_train.data.augment.choice import apply_by_choice
from fr_train.data.augment.colour import change_colours
from fr_train.data.augment.compression import compress
from fr_train.data.augment.geometry import crop, shift
from fr_train.data.augment.occlusion import cover_lower_face
from fr_train.data.augment.rand_augment import rand_augment
from fr_train.data.augment.settings import AugmentSettings

__all__ = ["augment"]

Tensor = Any
fold_in = tf.random.experimental.stateless_fold_in


def augment(images: Tensor, seed: Tensor, settings: AugmentSettings) -> Tensor:
    """Augments images. The same seed gives the same, eagerly and in a graph; what is off costs nothing.

    Args:
        images: (n, H, W, 3) uint8, with a known H and W.
        seed: (2,) integers.
        settings: what is done how often, and how strongly.

    Returns:
        (n, H, W, 3) uint8.
    """

    def crop_some(some: Tensor, seed: Tensor) -> Tensor:
        drawn = _draw(some, seed, 0, 1, 3)
        extent = settings.crop_largest - settings.crop_smallest
        return crop(some, settings.crop_smallest + extent * drawn[:, 0], drawn[:, 1:])

    def shift_some(some: Tensor, seed: Tensor) -> Tensor:
        height, width = some.shape[1:3]
        farthest = [settings.shift_farthest * width, settings.shift_farthest * height]
        return shift(some, tf.cast(tf.round(_draw(some, seed, -1, 1, 2) * farthest), tf.int32))

    def rand_augment_some(some: Tensor, seed: Tensor) -> Tensor:
        count, magnitude = settings.rand_augment_operations, settings.rand_augment_magnitude
        return rand_augment(some, seed, num_operations=count, magnitude=magnitude)

    def cover_some(some: Tensor, seed: Tensor) -> Tensor:
        drawn = _draw(some, seed, 0, 1, 4)
        heights = settings.lower_face_largest - 0.1 * drawn[:, 0]
        return cover_lower_face(some, heights, tf.cast(drawn[:, 1:] * 256, tf.uint8))

    def compress_some(some: Tensor, seed: Tensor) -> Tensor:
        return compress(some, tf.cast(_draw(some, seed, settings.jpeg_lowest_quality, 96), tf.int32))

    images = tf.convert_to_tensor(images)
    images = _apply_to_some(images, fold_in(seed, 0), settings.crop, crop_some)
    images = _apply_to_some(images, fold_in(seed, 1), settings.shift, shift_some)
    images = _apply_to_some(images, fold_in(seed, 2), settings.rand_augment, rand_augment_some)
    images = _change_colours_of_some(images, fold_in(seed, 3), settings)
    images = _apply_to_some(images, fold_in(seed, 4), settings.lower_face, cover_some)
    return _apply_to_some(images, fold_in(seed, 5), settings.jpeg, compress_some)


def _draw(images: Tensor, seed: Tensor, lowest: float, highest: float, *shape: int) -> Tensor:
    """Draws numbers for each image, (n, *shape) float32."""
    return tf.random.stateless_uniform([tf.shape(images)[0], *shape], seed, lowest, highest)


def _apply_to_some(
    images: Tensor, seed: Tensor, probability: float, augmentation: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    if probability == 0:
        return images
    chosen = tf.cast(_draw(images, fold_in(seed, 0), 0, 1) < probability, tf.int32)
    return apply_by_choice(images, chosen, [lambda rest: rest, lambda some: augmentation(some, fold_in(seed, 1))])


def _change_colours_of_some(images: Tensor, seed: Tensor, settings: AugmentSettings) -> Tensor:
    """Brightness, contrast, saturation and gray, each with its own coin, in one go on the images that have any."""
    if not (settings.brightness or settings.contrast or settings.saturation or settings.gray):
        return images
    coins, drawn = _draw(images, fold_in(seed, 0), 0, 1, 4), _draw(images, fold_in(seed, 1), -1, 1, 3)
    probabilities = [settings.brightness, settings.contrast, settings.saturation, settings.gray]
    changes = [settings.brightness_change, settings.contrast_change, settings.saturation_change]
    chosen = coins < probabilities
    factors = tf.where(chosen[:, :3], 1.0 + drawn * changes, 1.0)
    factors *= tf.where(chosen[:, 3:], [1.0, 1.0, 0.0], 1.0)

    def change(some: Tensor, factors: Tensor) -> Tensor:
        return change_colours(some, brightness=factors[:, 0], contrast=factors[:, 1], saturation=factors[:, 2])

    choices = tf.cast(tf.reduce_any(chosen, axis=1), tf.int32)
    return apply_by_choice(images, choices, [lambda rest, factors: rest, change], factors)
