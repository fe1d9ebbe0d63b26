"""What stays the same over all images of one drawn person."""

from dataclasses import dataclass
from typing import Annotated

from fr_prep.demo.parameters import Range, check_ranges, draw_parameters, seeded_generator

__all__ = ["Identity", "draw_identity"]

_KIND = 1


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The parameters of a person, in pixels of the 112 x 112 crop where no other unit is given.

    Glasses, hats and make-up are no part of it: they belong to `Appearance`. A field that is 0 by a `share` is absent.
    """

    # The head. Heights are measured from the middle of the crop's face, (56, 62).
    head_half_width: Annotated[float, Range(35.5, 44.0)]
    forehead_ratio: Annotated[float, Range(0.88, 1.05)]
    jaw_taper: Annotated[float, Range(0.0, 0.30)]
    jaw_exponent: Annotated[float, Range(1.9, 3.2)]
    chin_drop: Annotated[float, Range(43.0, 52.0)]
    ear_half_height: Annotated[float, Range(6.5, 12.0)]
    ear_protrusion: Annotated[float, Range(1.0, 6.0)]

    # Colours, from light to dark, cool to warm; 0 to 1 walks along a palette.
    skin_tone: Annotated[float, Range(0.0, 1.0)]
    skin_warmth: Annotated[float, Range(-1.0, 1.0)]
    hair_darkness: Annotated[float, Range(0.0, 1.0)]
    hair_redness: Annotated[float, Range(0.0, 1.0, share=0.3)]
    hair_greyness: Annotated[float, Range(0.0, 1.0, share=0.2)]
    eye_colour: Annotated[float, Range(0.0, 1.0)]
    lip_redness: Annotated[float, Range(0.0, 1.0)]

    # Hair: a style of `fr_prep.demo.hair.HAIRLINES`.
    hair_style: Annotated[int, Range(0, 7)]
    hairline_rise: Annotated[float, Range(37.0, 49.0)]
    hair_volume: Annotated[float, Range(2.0, 9.0)]
    hair_part: Annotated[float, Range(-0.55, 0.55)]
    sideburn_drop: Annotated[float, Range(-18.0, 6.0)]

    # Eyes and brows. Tilts and angles in radians, positive where the outer end is higher.
    eye_half_distance: Annotated[float, Range(15.4, 19.8)]
    eye_drop: Annotated[float, Range(-2.0, 2.0)]
    eye_half_width: Annotated[float, Range(6.6, 10.2)]
    eye_half_height: Annotated[float, Range(2.8, 5.6)]
    eye_tilt: Annotated[float, Range(-0.22, 0.22)]
    iris_radius: Annotated[float, Range(3.1, 4.5)]
    lash_width: Annotated[float, Range(0.5, 1.8)]
    lid_fold: Annotated[float, Range(0.0, 1.0)]
    eye_bags: Annotated[float, Range(0.0, 1.0, share=0.35)]
    brow_half_length: Annotated[float, Range(7.5, 11.5)]
    brow_thickness: Annotated[float, Range(0.9, 3.6)]
    brow_angle: Annotated[float, Range(-0.24, 0.13)]
    brow_arch: Annotated[float, Range(0.0, 3.2)]
    brow_gap: Annotated[float, Range(7.2, 12.0)]

    # Nose and mouth.
    nose_drop: Annotated[float, Range(-3.0, 3.0)]
    nose_half_width: Annotated[float, Range(4.8, 9.6)]
    nose_bridge: Annotated[float, Range(1.6, 4.2)]
    nostril_size: Annotated[float, Range(0.8, 2.0)]
    mouth_drop: Annotated[float, Range(-2.2, 2.2)]
    mouth_half_width: Annotated[float, Range(10.5, 17.5)]
    upper_lip: Annotated[float, Range(1.0, 4.0)]
    lower_lip: Annotated[float, Range(1.6, 5.2)]
    cupid_bow: Annotated[float, Range(0.0, 1.0)]

    # Beard: 1 stubble, 2 full, 3 goatee. Moustache: 1 thin, 2 thick.
    beard_style: Annotated[int, Range(0, 3, share=0.35)]
    moustache_style: Annotated[int, Range(0, 2, share=0.25)]

    # Marks.
    age_lines: Annotated[float, Range(0.0, 1.0, share=0.4)]
    num_freckles: Annotated[int, Range(0, 26, share=0.25)]
    freckle_seed: Annotated[int, Range(0, 2**31 - 1)]
    mole_radius: Annotated[float, Range(0.0, 1.7, share=0.4)]
    mole_across: Annotated[float, Range(-26.0, 26.0)]
    mole_drop: Annotated[float, Range(2.0, 36.0)]
    asymmetry: Annotated[float, Range(-1.0, 1.0)]

    def __post_init__(self) -> None:
        check_ranges(self)


def draw_identity(seed: int, index: int) -> Identity:
    """Draws person `index` of the set with this seed, whatever was drawn before.

    Raises:
        ValueError: `seed` or `index` is negative.
    """
    return draw_parameters(Identity, seeded_generator(seed, _KIND, index, 0))
