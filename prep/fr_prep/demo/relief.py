"""Soft shading of the face: what is drawn here is blurred and multiplied with the colours."""

import numpy as np
from PIL import Image, ImageFilter

from fr_prep.demo.appearance import Appearance
from fr_prep.demo.canvas import Canvas
from fr_prep.demo.geometry import CROP_PIXELS, Projection, ellipse, eye_centre, face_outline, mouth_centre, nose_tip
from fr_prep.demo.identity import Identity

__all__ = ["render_relief"]

_COARSE_PIXELS = 56
"""The relief is drawn this small, blurred and enlarged: it has no sharp edges."""
_BLUR_SIGMA = 1.3
_NEUTRAL = (128, 128, 128)


def render_relief(identity: Identity, appearance: Appearance, *, size: int) -> Image.Image:
    """Renders the shading of a face, RGB, `size` pixels wide and high; 128 leaves a colour as it is."""
    coarse = Image.new("RGB", (_COARSE_PIXELS, _COARSE_PIXELS), _NEUTRAL)
    _draw_relief(Canvas(coarse, Projection(appearance), scale=_COARSE_PIXELS / CROP_PIXELS), identity)
    blurred = coarse.filter(ImageFilter.GaussianBlur(_BLUR_SIGMA))
    return blurred.resize((size, size), Image.Resampling.BILINEAR)


def _draw_relief(canvas: Canvas, identity: Identity) -> None:
    """Draws hollows darker and bulges lighter than the neutral grey."""
    canvas.line(np.concatenate([face_outline(identity)] * 2)[:65], (96.0, 92.0, 92.0), width=3.0, depth=-12.0)
    middle, drop = nose_tip(identity)
    canvas.polygon(ellipse((middle, drop + 8.0), (identity.nose_half_width, 2.2)), (104.0, 98.0, 98.0), bump=4.0)
    for side in (-1, 1):
        across, eye_drop = eye_centre(identity, side)
        socket = ellipse((0.93 * across, eye_drop - 3.0), (identity.eye_half_width + 2.5, 6.5))
        canvas.polygon(socket, (112.0, 106.0, 106.0))
        flank = [
            (side * identity.nose_bridge, -10.0),
            (side * 6.5, -6.0),
            (side * (identity.nose_half_width + 1), drop + 2),
        ]
        canvas.polygon(np.array([*flank, (side * identity.nose_bridge, drop)]), (114.0, 108.0, 108.0), bump=2.0)
        canvas.polygon(ellipse((side * 21.0, 9.0), (8.0, 6.0)), (142.0, 126.0, 125.0))
    canvas.polygon(ellipse((0.0, -30.0), (16.0, 8.0)), (138.0, 138.0, 137.0))
    mouth_drop = mouth_centre(identity)[1]
    canvas.polygon(ellipse((0.0, mouth_drop + identity.lower_lip + 2.5), (8.0, 1.8)), (102.0, 96.0, 96.0))
    canvas.polygon(ellipse((0.0, identity.chin_drop - 6.0), (7.0, 3.5)), (138.0, 137.0, 136.0))
    canvas.polygon(ellipse((middle, drop - 1.0), (2.6, 3.0)), (142.0, 142.0, 141.0), bump=10.0)
