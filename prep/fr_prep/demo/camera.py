"""Light and camera: from evenly lit colours to the pixels of one photograph."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fr_prep.demo.appearance import Appearance

__all__ = ["develop"]

Floats = NDArray[np.float32]

_GREY = 128.0
_LUMA = (0.299, 0.587, 0.114)
_SCENE_LUMA = 132.0
_SHOULDER = 200.0
"""Above this level highlights are compressed, so that they do not become flat white."""


@cache
def _normals(size: int) -> tuple[Floats, Floats, Floats]:
    """Returns the surface normals of a head that fills the crop: right, up, towards the viewer, each (size, size)."""
    line = (np.arange(size) + 0.5) / size - 0.5
    right, down = np.meshgrid(line / 0.52, line / 0.66)
    length = np.hypot(right, down)
    squeeze = np.minimum(1.0, 0.97 / np.maximum(length, 1e-6))
    right, down = right * squeeze, down * squeeze
    near = np.sqrt(1.0 - right**2 - down**2)
    return right.astype(np.float32), (-down).astype(np.float32), near.astype(np.float32)


def develop(
    image: Image.Image, relief: Image.Image, *, appearance: Appearance, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Lights a drawn face and takes its picture.

    Args:
        image: evenly lit colours, RGB, square.
        relief: soft shading of the face as RGB of the same size, where 128 leaves a pixel as it is.
        appearance: light and camera.
        rng: source of the sensor noise.

    Returns:
        The photograph, RGB, shape (size, size, 3), uint8.
    """
    size = image.width
    pixels = np.asarray(image, dtype=np.float32)
    pixels *= np.asarray(relief)
    pixels *= (_light(size, appearance) * np.float32(1.0 / _GREY))[:, :, None]
    # Automatic exposure, as cameras have it, metered on the face: most of its own brightness is taken out again.
    metered = pixels[size // 4 : -size // 8 : 4, size // 4 : -size // 4 : 4].mean(axis=(0, 1))
    exposure = appearance.brightness * (_SCENE_LUMA / max(float(metered @ np.array(_LUMA)), 1.0)) ** 0.75
    pixels = pixels.reshape(-1, 3) @ _colour_matrix(appearance, exposure=exposure)
    pixels += np.float32(_GREY * (1.0 - appearance.contrast))
    over = np.maximum(pixels - np.float32(_SHOULDER), 0.0)
    pixels += over * (55.0 / (70.0 + over) - 1.0)
    pixels = np.clip(pixels, 0.0, 255.0, out=pixels).reshape(size, size, 3)
    if appearance.blur_sigma > 0.2:
        blur = ImageFilter.GaussianBlur(appearance.blur_sigma * size / 112)
        pixels = np.asarray(Image.fromarray(pixels.astype(np.uint8)).filter(blur), dtype=np.float32)
    noise = rng.standard_normal((size, size, 3), dtype=np.float32)
    noise *= np.float32(appearance.noise_sigma)
    noise += pixels
    return np.clip(noise, 0.0, 255.0, out=noise).astype(np.uint8)


def _colour_matrix(appearance: Appearance, *, exposure: float) -> Floats:
    """Returns exposure, white balance, saturation and contrast as one matrix (3, 3), applied as `pixels @ matrix`."""
    warm, green = appearance.temperature, appearance.tint
    gains = np.array([1.0 + 0.22 * warm, 1.0 + 0.09 * green, 1.0 - 0.28 * warm]) * exposure
    to_grey = np.outer(_LUMA, np.ones(3))
    mixing = appearance.saturation * np.eye(3) + (1.0 - appearance.saturation) * to_grey
    return (gains[:, None] * mixing * appearance.contrast).astype(np.float32)


def _light(size: int, appearance: Appearance) -> Floats:
    """Returns how much light falls on each pixel, about 1 on average, shape (size, size)."""
    right, up, near = _normals(size)
    across, above, ahead = appearance.light_across, appearance.light_above, math.sqrt(0.5)
    length = math.hypot(across, above, ahead)
    lambert = across / length * right + above / length * up + ahead / length * near
    hardness = appearance.light_hardness
    light = (1.0 - hardness) + 1.5 * hardness * np.maximum(lambert, 0.0)
    if appearance.shadow_depth > 0.0:
        side = math.cos(appearance.shadow_angle) * right + math.sin(appearance.shadow_angle) * up
        light *= 1.0 - appearance.shadow_depth / (1.0 + np.exp(-14.0 * (side - appearance.shadow_offset)))
    return np.asarray(light, dtype=np.float32)
