"""Random backgrounds: a gradient and a few shapes out of focus."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fr_prep.demo.colours import Colour, mix

__all__ = ["draw_background", "random_colour"]

_COARSE_PIXELS = 28
"""Backgrounds are drawn this small and enlarged: they are out of focus anyway."""


def random_colour(rng: np.random.Generator) -> Colour:
    """Draws a muted colour, red, green and blue in [10, 245]."""
    red, green, blue = rng.uniform(10.0, 245.0, 3).tolist()
    grey = (red + green + blue) / 3.0
    return mix((red, green, blue), (grey, grey, grey), share=0.4)


def draw_background(size: int, *, supersampling: int, rng: np.random.Generator) -> Image.Image:
    """Draws a background that tells nothing about the person.

    Args:
        size: width and height of the crop in pixels.
        supersampling: how many times larger the canvas is.
        rng: source of colours and shapes.

    Returns:
        RGB, `size * supersampling` pixels wide and high.
    """
    corners = np.array([[random_colour(rng) for _ in range(2)] for _ in range(2)]).astype(np.uint8)
    coarse = Image.fromarray(corners).resize((_COARSE_PIXELS, _COARSE_PIXELS), Image.Resampling.BILINEAR)
    pencil = ImageDraw.Draw(coarse)
    for _ in range(int(rng.integers(0, 7))):
        x, y, width, height = rng.uniform((-6.0, -6.0, 3.0, 3.0), (26.0, 26.0, 16.0, 16.0)).tolist()
        red, green, blue = random_colour(rng)
        draw = pencil.ellipse if rng.random() < 0.5 else pencil.rectangle
        draw((x, y, x + width, y + height), fill=(round(red), round(green), round(blue)))
    blurred = coarse.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 2.0))))
    smooth = blurred.resize((size, size), Image.Resampling.BILINEAR)
    # Whole blocks of pixels: the canvas is averaged over them later, and they are much quicker than smooth ones.
    return smooth.resize((size * supersampling, size * supersampling), Image.Resampling.NEAREST)
