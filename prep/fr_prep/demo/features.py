"""Skin, eyes, brows, nose, mouth, marks and glasses of a face, each drawn in face coordinates."""

import math

import numpy as np

from fr_prep.demo.appearance import Appearance
from fr_prep.demo.canvas import Canvas
from fr_prep.demo.colours import Colour, brow_colour, iris_colour, lip_colour, mix, skin_colour
from fr_prep.demo.geometry import NOSE_BUMP, Points, ellipse, eye_centre, face_outline, mouth_centre, nose_tip
from fr_prep.demo.identity import Identity

__all__ = ["draw_brows", "draw_eyes", "draw_glasses", "draw_head", "draw_marks", "draw_mouth", "draw_nose"]

_DARK: Colour = (40.0, 22.0, 18.0)
_OUTLINE_DEPTH = -12.0


def draw_head(canvas: Canvas, identity: Identity, *, cloth: Colour) -> None:
    """Draws clothes, neck, ears and the bare face."""
    skin = skin_colour(identity)
    shade = mix(skin, _DARK, share=0.28)
    canvas.polygon(np.array([(-62.0, 64.0), (-30.0, 50.0), (30.0, 50.0), (62.0, 64.0)]), cloth, depth=-18.0)
    neck = 0.62 * identity.head_half_width
    canvas.polygon(np.array([(-neck, 20.0), (neck, 20.0), (neck, 58.0), (-neck, 58.0)]), shade, depth=-18.0)
    for side in (-1, 1):
        centre = (side * (identity.head_half_width + identity.ear_protrusion - 4.0), -2.0)
        canvas.polygon(ellipse(centre, (5.0, identity.ear_half_height)), mix(skin, _DARK, share=0.12), depth=-20.0)
        canvas.polygon(ellipse(centre, (2.6, 0.6 * identity.ear_half_height)), shade, depth=-20.0)
    canvas.polygon(face_outline(identity), skin, depth=_OUTLINE_DEPTH)


def _lids(identity: Identity, appearance: Appearance, side: int) -> tuple[Points, Points]:
    """Returns the upper and the lower edge of an eye from its inner to its outer end, each of shape (13, 2)."""
    middle, drop = eye_centre(identity, side)
    places = np.linspace(-1.0, 1.0, 13)
    bow = 1.0 - np.abs(places) ** 2.3
    height = identity.eye_half_height * (1.0 - appearance.eye_closing)
    across = middle + side * identity.eye_half_width * places
    tilt = -identity.eye_half_width * math.tan(identity.eye_tilt) * places
    upper = np.stack([across, drop + tilt - height * bow], axis=1)
    lower = np.stack([across, drop + tilt + 0.75 * height * bow], axis=1)
    return upper, lower


def draw_eyes(canvas: Canvas, identity: Identity, appearance: Appearance) -> None:
    """Draws both eyes: fold, white, iris, pupil, glint, lashes."""
    skin = skin_colour(identity)
    for side in (-1, 1):
        upper, lower = _lids(identity, appearance, side)
        canvas.polygon(np.concatenate([upper, lower[::-1]]), (238.0, 234.0, 228.0))
        middle, drop = eye_centre(identity, side)
        gaze = middle + 2.0 * appearance.gaze
        for radius, colour in (
            (identity.iris_radius, mix(iris_colour(identity), _DARK, share=0.4)),
            (identity.iris_radius - 0.6, iris_colour(identity)),
            (0.45 * identity.iris_radius, (14.0, 10.0, 10.0)),
        ):
            canvas.polygon(_between_lids(ellipse((gaze, drop), (radius, radius)), upper, lower), colour)
        glint = ellipse((gaze - 1.0, drop - 1.0), (0.8, 0.8), num_points=8)
        canvas.polygon(_between_lids(glint, upper, lower), (255.0, 255.0, 255.0), alpha=0.9)
        canvas.line(upper, mix(_DARK, skin, share=0.1), width=identity.lash_width)
        canvas.line(lower, mix(skin, _DARK, share=0.5), width=0.4)
        if identity.lid_fold > 0.25:
            fold = upper[1:-1] + np.array([0.0, -1.0 - 1.4 * identity.lid_fold])
            canvas.line(fold, mix(skin, _DARK, share=0.45), width=0.6, alpha=0.8)
        if identity.eye_bags > 0.0:
            bag = lower[2:-1] + np.array([0.0, 2.6])
            canvas.line(bag, mix(skin, _DARK, share=0.4), width=0.9, alpha=0.2 + 0.5 * identity.eye_bags)


def _between_lids(points: Points, upper: Points, lower: Points) -> Points:
    """Clips a shape to the opening of the eye, so that no mask is needed."""
    order = np.argsort(upper[:, 0])
    across = np.clip(points[:, 0], upper[order[0], 0], upper[order[-1], 0])
    top = np.interp(across, upper[order, 0], upper[order, 1])
    bottom = np.interp(across, lower[order, 0], lower[order, 1])
    return np.stack([across, np.clip(points[:, 1], top, bottom)], axis=1)


def draw_brows(canvas: Canvas, identity: Identity, appearance: Appearance) -> None:
    """Draws both brows, thick inside and thin outside."""
    places = np.linspace(-1.0, 1.0, 13)
    for side in (-1, 1):
        middle, drop = eye_centre(identity, side)
        across = middle + side * (1.0 + identity.brow_half_length * places)
        arch = identity.brow_arch * (1.0 - (places - 0.25) ** 2)
        lift = identity.brow_gap + 1.8 * appearance.brow_raise + 0.8 * side * identity.asymmetry
        line = drop - lift - arch - identity.brow_half_length * math.tan(identity.brow_angle) * places
        half = 0.5 * identity.brow_thickness * np.sqrt(np.maximum(1.0 - ((places + 0.2) / 1.21) ** 4, 0.0))
        edges = [np.stack([across, line - half], axis=1), np.stack([across, line + half], axis=1)[::-1]]
        canvas.polygon(np.concatenate(edges), brow_colour(identity), alpha=0.92, bump=1.0)


def draw_nose(canvas: Canvas, identity: Identity) -> None:
    """Draws bridge, wings, nostrils and the light on the tip."""
    skin = skin_colour(identity)
    shade, light = mix(skin, _DARK, share=0.42), mix(skin, (255.0, 250.0, 240.0), share=0.4)
    middle, drop = nose_tip(identity)
    wing = identity.nose_half_width
    for side in (-1, 1):
        bridge = [
            (side * identity.nose_bridge, -14.0),
            (side * identity.nose_bridge, -2.0),
            (side * 0.7 * wing, drop - 2),
        ]
        canvas.line(np.array(bridge), shade, width=0.7, alpha=0.35, bump=4.0)
        angles = np.linspace(-1.9, 1.1, 9)
        curve = [middle + side * (wing - 3.0 + 3.0 * np.cos(angles)), drop + 2.2 + 3.6 * np.sin(angles)]
        canvas.line(np.stack(curve, axis=1), shade, width=0.9, bump=5.0)
        nostril = ellipse(
            (middle + side * 0.52 * wing, drop + 4.6), (1.25 * identity.nostril_size, identity.nostril_size)
        )
        canvas.polygon(nostril, mix(skin, _DARK, share=0.75), bump=6.0)
    places = np.linspace(-1.0, 1.0, 9)
    base = np.stack([middle + 0.45 * wing * places, drop + 6.4 - 1.3 * places**2], axis=1)
    canvas.line(base, shade, width=0.8, bump=7.0)
    canvas.polygon(ellipse((middle, drop - 0.5), (0.3 * wing, 2.0)), light, alpha=0.55, bump=NOSE_BUMP)
    canvas.polygon(ellipse((0.0, -4.0), (0.4 * identity.nose_bridge, 9.0)), light, alpha=0.3, bump=6.0)


def draw_mouth(canvas: Canvas, identity: Identity, appearance: Appearance) -> None:
    """Draws the lips, and what lies between them when the mouth is open."""
    middle, drop = mouth_centre(identity)
    places = np.linspace(-1.0, 1.0, 17)
    smile, opening = appearance.smile + 0.35, 5.0 * appearance.mouth_open
    half_width = identity.mouth_half_width * (1.0 + 0.10 * smile - 0.08 * appearance.mouth_open)
    across = middle + half_width * places
    bow = 1.0 - places**2
    # A smile lifts the corners and thins the lips; a resting mouth is drawn friendly.
    seam = drop - 3.0 * smile * (places**2 - 0.3)
    thin = 1.0 - 0.2 * smile
    dip = identity.cupid_bow * 1.3 * np.exp(-((places / 0.22) ** 2))
    top = seam - identity.upper_lip * thin * bow**0.8 + dip * (bow > 0) - 0.25 * opening * bow
    upper_seam, lower_seam = seam - 0.25 * opening * bow, seam + 0.75 * opening * bow
    bottom = lower_seam + identity.lower_lip * thin * bow**0.7
    lip = lip_colour(identity)
    edges = [np.stack([across, line], axis=1) for line in (np.minimum(top, upper_seam), upper_seam, lower_seam, bottom)]
    canvas.polygon(np.concatenate([edges[0], edges[1][::-1]]), mix(lip, _DARK, share=0.16), bump=2.0)
    canvas.polygon(np.concatenate([edges[2], edges[3][::-1]]), lip, bump=2.0)
    if opening > 0.0:
        canvas.polygon(np.concatenate([edges[1], edges[2][::-1]]), (62.0, 20.0, 22.0), bump=2.0)
        teeth = np.minimum(upper_seam + 0.5 * opening * bow, lower_seam)
        rows = [edges[1][2:-2], np.stack([across, teeth], axis=1)[2:-2][::-1]]
        canvas.polygon(np.concatenate(rows), (240.0, 236.0, 228.0), bump=2.0)
    else:
        canvas.line(edges[1], mix(lip, _DARK, share=0.7), width=0.8, bump=2.0)
    shine = ellipse(
        (middle, float(lower_seam[8]) + 0.45 * identity.lower_lip), (0.35 * half_width, 0.2 * identity.lower_lip)
    )
    canvas.polygon(shine, (255.0, 240.0, 235.0), alpha=0.25, bump=2.0)


def draw_marks(canvas: Canvas, identity: Identity) -> None:
    """Draws folds, freckles and a mole."""
    skin = skin_colour(identity)
    mouth_drop = mouth_centre(identity)[1]
    if identity.age_lines > 0.0:
        for side in (-1, 1):
            start, end = identity.nose_half_width + 2.0, identity.mouth_half_width + 3.5
            fold = [
                (side * start, 13.0),
                (side * (0.4 * start + 0.6 * end + 1.0), 21.0),
                (side * end, mouth_drop + 1.0),
            ]
            canvas.line(np.array(fold), mix(skin, _DARK, share=0.45), width=0.9, alpha=0.25 + 0.5 * identity.age_lines)
    if identity.num_freckles:
        rng = np.random.Generator(np.random.PCG64(identity.freckle_seed))
        spots = rng.uniform((-25.0, 0.0), (25.0, 15.0), (identity.num_freckles, 2)).tolist()
        for across, drop in spots:
            spot = ellipse((across, drop), (0.75, 0.75), num_points=6)
            canvas.polygon(spot, mix(skin, (120.0, 60.0, 30.0), share=0.55), alpha=0.8)
    if identity.mole_radius > 0.3:
        spot = ellipse(
            (identity.mole_across, identity.mole_drop), (identity.mole_radius, identity.mole_radius), num_points=10
        )
        canvas.polygon(spot, mix(skin, (50.0, 24.0, 18.0), share=0.85))


def draw_glasses(canvas: Canvas, identity: Identity, appearance: Appearance, *, colour: Colour) -> None:
    """Draws glasses where the appearance wears them."""
    if not appearance.glasses_style:
        return
    exponent = 0.5 if appearance.glasses_style == 2 else 1.0
    for side in (-1, 1):
        middle, drop = eye_centre(identity, side)
        unit = ellipse((0.0, 0.0), (1.0, 1.0), num_points=28)
        rim = np.sign(unit) * np.abs(unit) ** exponent * np.array([12.5, 10.0]) + np.array([1.06 * middle, drop + 1.0])
        if appearance.glasses_style == 3:
            canvas.polygon(rim, (24.0, 22.0, 26.0), alpha=0.88, bump=6.0)
        canvas.line(np.concatenate([rim, rim[:2]]), colour, width=1.2, bump=6.0)
        temple = np.array([(side * (1.06 * identity.eye_half_distance + 12.5), drop), (side * 38.0, drop - 2.0)])
        canvas.line(temple, colour, width=1.2, depth=-6.0)
    inner = 1.06 * identity.eye_half_distance - 12.5
    canvas.line(np.array([(-inner, -10.0), (0.0, -11.5), (inner, -10.0)]), colour, width=1.2, bump=6.0)
