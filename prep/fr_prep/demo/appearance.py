"""What changes from one image of a drawn person to the next."""

from dataclasses import dataclass
from typing import Annotated

from fr_prep.demo.parameters import Range, check_ranges, draw_parameters, seeded_generator

__all__ = ["NEUTRAL", "Appearance", "draw_appearance"]

_KIND = 2


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Pose, light, expression, accessories, background and camera of one image.

    The ranges are wide on purpose: light, colour and background must vary more within a person than between persons,
    or a set of drawn people would be told apart by its mean colour alone. Angles are in radians, lengths in pixels of the
    112 x 112 crop, the rest without unit.
    """

    # Pose, around a crop that is already aligned.
    yaw: Annotated[float, Range(-0.40, 0.40)]
    pitch: Annotated[float, Range(-0.24, 0.24)]
    roll: Annotated[float, Range(-0.12, 0.12)]
    scale: Annotated[float, Range(0.91, 1.08)]
    shift_across: Annotated[float, Range(-4.0, 4.0)]
    shift_down: Annotated[float, Range(-4.0, 4.0)]

    # Light: where it comes from, how hard it is, a cast shadow.
    light_across: Annotated[float, Range(-1.0, 1.0)]
    light_above: Annotated[float, Range(-0.5, 0.9)]
    light_hardness: Annotated[float, Range(0.10, 0.95)]
    shadow_depth: Annotated[float, Range(0.0, 0.60, share=0.35)]
    shadow_angle: Annotated[float, Range(0.0, 6.28)]
    shadow_offset: Annotated[float, Range(-0.5, 0.5)]

    # Camera.
    brightness: Annotated[float, Range(0.72, 1.38)]
    contrast: Annotated[float, Range(0.75, 1.25)]
    temperature: Annotated[float, Range(-1.0, 1.0)]
    tint: Annotated[float, Range(-1.0, 1.0)]
    saturation: Annotated[float, Range(0.35, 1.10)]
    blur_sigma: Annotated[float, Range(0.0, 1.1)]
    noise_sigma: Annotated[float, Range(1.0, 8.0)]

    # Expression.
    smile: Annotated[float, Range(-0.4, 1.0)]
    mouth_open: Annotated[float, Range(0.0, 1.0, share=0.4)]
    brow_raise: Annotated[float, Range(-1.0, 1.0)]
    eye_closing: Annotated[float, Range(0.0, 0.6, share=0.5)]
    gaze: Annotated[float, Range(-1.0, 1.0)]

    # Accessories. Glasses: 1 round, 2 square, 3 dark. Hat: 1 cap, 2 woollen.
    glasses_style: Annotated[int, Range(0, 3, share=0.20)]
    hat_style: Annotated[int, Range(0, 2, share=0.15)]
    hair_shift: Annotated[float, Range(-2.5, 2.5)]

    # Colours and positions of the background, clothes, hat and frame, and the noise.
    texture_seed: Annotated[int, Range(0, 2**31 - 1)]

    def __post_init__(self) -> None:
        check_ranges(self)


NEUTRAL = Appearance(
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    scale=1.0,
    shift_across=0.0,
    shift_down=0.0,
    light_across=0.0,
    light_above=0.3,
    light_hardness=0.3,
    shadow_depth=0.0,
    shadow_angle=0.0,
    shadow_offset=0.0,
    brightness=1.0,
    contrast=1.0,
    temperature=0.0,
    tint=0.0,
    saturation=1.0,
    blur_sigma=0.0,
    noise_sigma=1.0,
    smile=0.0,
    mouth_open=0.0,
    brow_raise=0.0,
    eye_closing=0.0,
    gaze=0.0,
    glasses_style=0,
    hat_style=0,
    hair_shift=0.0,
    texture_seed=0,
)
"""A frontal face in even light without expression or accessories."""


def draw_appearance(seed: int, identity_index: int, image_index: int) -> Appearance:
    """Draws the circumstances of one image, whatever was drawn before.

    Args:
        seed: seed of the set, at least 0.
        identity_index: person, at least 0.
        image_index: image of that person, at least 0.

    Raises:
        ValueError: a number is negative.
    """
    return draw_parameters(Appearance, seeded_generator(seed, _KIND, identity_index, image_index))
