"""Draws face crops of people who do not exist.

`render` is a pure function of who is drawn and how; `face_jpeg` is what a set of drawn people stores. Both give the same
bytes for the same arguments with the same NumPy and Pillow, whatever was drawn before and in whichever process.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fr_prep.demo.appearance import Appearance, draw_appearance
from fr_prep.demo.background import draw_background, random_colour
from fr_prep.demo.camera import develop
from fr_prep.demo.canvas import Canvas
from fr_prep.demo.features import (
    draw_brows,
    draw_eyes,
    draw_glasses,
    draw_head,
    draw_marks,
    draw_mouth,
    draw_nose,
)
from fr_prep.demo.geometry import CROP_PIXELS, Projection
from fr_prep.demo.hair import draw_back_hair, draw_beard, draw_front_hair, draw_hat
from fr_prep.demo.identity import Identity, draw_identity
from fr_prep.demo.relief import render_relief

__all__ = ["Appearance", "Identity", "draw_appearance", "draw_identity", "encode_jpeg", "face_jpeg", "render"]

_SUPERSAMPLING = 3


def render(identity: Identity, appearance: Appearance, *, size: int = CROP_PIXELS) -> NDArray[np.uint8]:
    """Draws one aligned face crop, its five landmarks near where InsightFace's alignment puts them.

    Args:
        identity: who is drawn.
        appearance: pose, light, expression, accessories, background and camera.
        size: width and height of the crop in pixels, at least 16.

    Returns:
        RGB pixels, shape (size, size, 3), uint8 in [0, 255].

    Raises:
        ValueError: `size` is below 16.

    Example:
        >>> render(draw_identity(0, 7), draw_appearance(0, 7, 0)).shape
        (112, 112, 3)
    """
    if size < 16:
        raise ValueError(f"Expected a size of at least 16 pixels. Received: {size}")
    rng = np.random.Generator(np.random.PCG64(appearance.texture_seed))
    projection = Projection(appearance)
    large = draw_background(size, supersampling=_SUPERSAMPLING, rng=rng)
    canvas = Canvas(large, projection, scale=size * _SUPERSAMPLING / CROP_PIXELS)
    cloth, hat, frame = (random_colour(rng) for _ in range(3))
    draw_back_hair(canvas, identity)
    draw_head(canvas, identity, cloth=cloth)
    draw_marks(canvas, identity)
    draw_beard(canvas, identity)
    draw_mouth(canvas, identity, appearance)
    draw_nose(canvas, identity)
    draw_eyes(canvas, identity, appearance)
    draw_brows(canvas, identity, appearance)
    draw_front_hair(canvas, identity, appearance)
    draw_hat(canvas, identity, appearance, colour=hat)
    draw_glasses(canvas, identity, appearance, colour=frame)
    relief = render_relief(identity, appearance, size=size)
    return develop(large.reduce(_SUPERSAMPLING), relief, appearance=appearance, rng=rng)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Encodes RGB pixels as a baseline JPEG without metadata.

    Args:
        image: RGB, shape (height, width, 3), uint8.
        quality: Pillow's quality, 1 to 95.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def face_jpeg(seed: int, identity_index: int, *, image_index: int, size: int = CROP_PIXELS, quality: int = 95) -> bytes:
    """Draws image `image_index` of person `identity_index` and encodes it.

    Args:
        seed: seed of the set, at least 0.
        identity_index: person, at least 0.
        image_index: image of that person, at least 0.
        size: width and height of the crop in pixels, at least 16.
        quality: quality of the JPEG, 1 to 95.

    Returns:
        A JPEG file; the same bytes for the same arguments.

    Raises:
        ValueError: a number is out of range.
    """
    appearance = draw_appearance(seed, identity_index, image_index)
    return encode_jpeg(render(draw_identity(seed, identity_index), appearance, size=size), quality)
