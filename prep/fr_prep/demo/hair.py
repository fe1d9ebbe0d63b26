"""Hair of the head, beard, moustache and hat."""

import math
from collections.abc import Callable

import numpy as np

from fr_prep.demo.appearance import Appearance
from fr_prep.demo.canvas import Canvas
from fr_prep.demo.colours import Colour, hair_colour, mix, skin_colour
from fr_prep.demo.geometry import Points, ellipse, face_outline, mouth_centre, nose_tip
from fr_prep.demo.identity import Identity

__all__ = ["HAIRLINES", "draw_back_hair", "draw_beard", "draw_front_hair", "draw_hat"]

_LONG_STYLES = (4, 7)
_HAIR_DEPTH = -12.0

Hairline = Callable[[Points, Identity], Points]
"""Maps places across the forehead in [-1, 1], shape (N,), to how far the hair reaches below the hairline's rise."""


def _short(places: Points, identity: Identity) -> Points:
    return np.zeros_like(places)


def _side_part(places: Points, identity: Identity) -> Points:
    away = places - identity.hair_part
    longer = np.where(away * np.sign(identity.hair_part) < 0, 13.0, 6.0)
    return longer * np.minimum(np.abs(away), 1.2) ** 0.8


def _fringe(places: Points, identity: Identity) -> Points:
    return 14.0 + 1.4 * np.sin(11.0 * places + 4.0 * identity.hair_part)


def _centre_part(places: Points, identity: Identity) -> Points:
    return 24.0 * np.abs(places - 0.3 * identity.hair_part) ** 1.1


def _curly(places: Points, identity: Identity) -> Points:
    return 3.0 + 2.4 * np.sin(15.0 * places + 6.0 * identity.hair_part)


def _receding(places: Points, identity: Identity) -> Points:
    return -9.0 * np.exp(-(((np.abs(places) - 0.55) / 0.22) ** 2))


def _side_fringe(places: Points, identity: Identity) -> Points:
    lean = math.copysign(1.0, identity.hair_part)
    return 12.0 + 10.0 * lean * places


HAIRLINES: tuple[Hairline | None, ...] = (
    None,  # bald
    _short,
    _side_part,
    _fringe,
    _centre_part,
    _curly,
    _receding,
    _side_fringe,
)
"""The hairline of every hair style; where there is none, there is no hair."""


def draw_back_hair(canvas: Canvas, identity: Identity) -> None:
    """Draws the hair that hangs behind the head of the long styles."""
    if identity.hair_style in _LONG_STYLES:
        half_width = identity.head_half_width + identity.hair_volume
        crown = ellipse((0.0, -20.0), (half_width, 50.0), num_points=24)[12:]
        outline = np.concatenate([crown, [(half_width + 3.0, 60.0), (-half_width - 3.0, 60.0)]])
        canvas.polygon(outline, mix(hair_colour(identity), (10.0, 8.0, 8.0), share=0.3), depth=-22.0)


def draw_front_hair(canvas: Canvas, identity: Identity, appearance: Appearance) -> None:
    """Draws the hair around the forehead, with a sheen of strands."""
    hairline = HAIRLINES[identity.hair_style]
    if hairline is None:
        return
    places = np.linspace(-1.0, 1.0, 41)
    rise = -identity.hairline_rise + appearance.hair_shift
    sides = 30.0 if identity.hair_style in _LONG_STYLES else identity.sideburn_drop
    middle = rise + hairline(places, identity)
    # The sides come down as a high power, so that the forehead keeps its height and the temples their corner.
    inner_drop = middle + np.maximum(sides - middle, 0.0) * np.abs(places) ** 9
    face_width = identity.head_half_width * np.where(inner_drop < 0, identity.forehead_ratio, 1.0)
    inner = np.stack([places * face_width, inner_drop], axis=1)

    angles = np.linspace(0.0, math.pi, 25)
    half_width = identity.head_half_width + 0.6 * identity.hair_volume
    bumps = 1.8 * np.sin(16.0 * angles) if identity.hair_style == 5 else np.zeros_like(angles)
    outer = np.stack([(half_width + bumps) * np.cos(angles), -16.0 - (50.0 + bumps) * np.sin(angles)], axis=1)
    ends = np.array([(half_width, sides - 2.0)]), np.array([(-half_width, sides - 2.0)])
    colour = hair_colour(identity)
    canvas.polygon(np.concatenate([inner, ends[0], outer, ends[1]]), colour, depth=_HAIR_DEPTH + 6.0)
    _draw_strands(canvas, inner, outer, colour)


def _draw_strands(canvas: Canvas, inner: Points, outer: Points, colour: Colour) -> None:
    """Draws lighter and darker strands from the hairline towards the crown."""
    light, dark = mix(colour, (255.0, 240.0, 220.0), share=0.25), mix(colour, (0.0, 0.0, 0.0), share=0.35)
    for number, index in enumerate(range(3, 38, 3)):
        start = inner[index]
        end = outer[24 - round(index * 24 / 40)]
        bend = 0.5 * (start + end) + np.array([2.5 * math.sin(index), 0.0])
        strand = np.stack([start, bend, end])
        canvas.line(strand, light if number % 2 else dark, width=0.7, alpha=0.5, depth=_HAIR_DEPTH + 6.0)


def draw_beard(canvas: Canvas, identity: Identity) -> None:
    """Draws beard and moustache; the lips are drawn over them."""
    colour = mix(hair_colour(identity), (40.0, 30.0, 26.0), share=0.25)
    middle, mouth_drop = mouth_centre(identity)
    if identity.beard_style in (1, 2):
        stubble = identity.beard_style == 1
        outline = face_outline(identity, grow=0.0 if stubble else 1.5)
        jaw = outline[outline[:, 1] > 2.0]
        across = np.linspace(-0.86, 0.86, 15)
        # The upper edge falls from the sideburns to just below the lower lip.
        edge_drop = mouth_drop + 8.0 - (mouth_drop + 6.0) * np.abs(across) ** 3
        edge = np.stack([across * identity.head_half_width, edge_drop], axis=1)
        shape = np.concatenate([jaw[np.argsort(-jaw[:, 0])], edge])
        tone = mix(skin_colour(identity), colour, share=0.6) if stubble else colour
        canvas.polygon(shape, tone, alpha=0.45 if stubble else 0.95)
    elif identity.beard_style == 3:
        canvas.polygon(ellipse((middle, identity.chin_drop - 4.0), (7.5, 7.0)), colour, alpha=0.9)
    if identity.moustache_style:
        thick = 4.4 if identity.moustache_style == 2 else 2.2
        across = np.linspace(-1.0, 1.0, 15)
        top = max(nose_tip(identity)[1] + 6.0, mouth_drop - identity.upper_lip - 1.0 - thick)
        upper = np.stack([across * 13.0, top + 4.0 * across**2], axis=1)
        lower = np.stack([across * 15.0, top + thick * (1.0 - 0.7 * across**4) + 4.5 * across**2], axis=1)
        canvas.polygon(np.concatenate([upper, lower[::-1]]), colour, alpha=0.92, bump=3.0)


def draw_hat(canvas: Canvas, identity: Identity, appearance: Appearance, *, colour: Colour) -> None:
    """Draws a cap or a woollen hat over the hair."""
    if not appearance.hat_style:
        return
    half_width = identity.head_half_width + 3.0
    angles = np.linspace(0.0, math.pi, 21)
    crown = np.stack([half_width * np.cos(angles), -34.0 - 36.0 * np.sin(angles)], axis=1)
    canvas.polygon(crown, colour, depth=-6.0)
    dark = mix(colour, (0.0, 0.0, 0.0), share=0.3)
    if appearance.hat_style == 1:
        brim = np.stack([(half_width - 3) * np.cos(angles), -36.0 + 7.0 * np.sin(angles)], axis=1)
        canvas.polygon(np.concatenate([brim, brim[::-1] - np.array([0.0, 4.0])]), dark, depth=10.0)
    else:
        band = [(-half_width - 1, -40.0), (half_width + 1, -40.0), (half_width + 1, -30.0), (-half_width - 1, -30.0)]
        canvas.polygon(np.array(band), dark, depth=-4.0)
