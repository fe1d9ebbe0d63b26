"""Colours of drawn people: palettes from one end to the other, and mixing."""

from fr_prep.demo.identity import Identity

__all__ = ["Colour", "brow_colour", "hair_colour", "iris_colour", "lip_colour", "mix", "skin_colour"]

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 255]."""

_SKIN: tuple[Colour, ...] = (
    (250, 222, 200),
    (241, 199, 172),
    (224, 176, 144),
    (194, 142, 108),
    (150, 104, 78),
    (108, 74, 58),
)
_HAIR: tuple[Colour, ...] = ((222, 188, 122), (176, 128, 74), (112, 72, 44), (66, 44, 32), (32, 27, 28))
_IRIS: tuple[Colour, ...] = (
    (58, 34, 20),
    (104, 66, 34),
    (118, 120, 58),
    (74, 130, 96),
    (72, 124, 170),
    (130, 150, 162),
)
_RED_HAIR: Colour = (168, 72, 34)
_GREY_HAIR: Colour = (196, 196, 198)


def mix(start: Colour, end: Colour, *, share: float) -> Colour:
    """Returns the colour at `share` (in [0, 1]) of the way from `start` to `end`."""
    return (
        start[0] + (end[0] - start[0]) * share,
        start[1] + (end[1] - start[1]) * share,
        start[2] + (end[2] - start[2]) * share,
    )


def _pick(palette: tuple[Colour, ...], position: float) -> Colour:
    """Returns the colour at `position` (in [0, 1]) of a palette, mixed from its two neighbours."""
    place = position * (len(palette) - 1)
    index = min(int(place), len(palette) - 2)
    return mix(palette[index], palette[index + 1], share=place - index)


def skin_colour(identity: Identity) -> Colour:
    """Returns the colour of evenly lit skin."""
    red, green, blue = _pick(_SKIN, identity.skin_tone)
    warmth = 6.0 * identity.skin_warmth
    return (min(255.0, red + warmth * 0.5), green, blue - warmth)


def hair_colour(identity: Identity) -> Colour:
    """Returns the colour of the hair of the head."""
    # Darker skin goes with darker hair.
    darkness = max(identity.hair_darkness, min(1.0, 1.25 * identity.skin_tone))
    natural = mix(_pick(_HAIR, darkness), _RED_HAIR, share=0.8 * identity.hair_redness)
    return mix(natural, _GREY_HAIR, share=0.9 * identity.hair_greyness)


def brow_colour(identity: Identity) -> Colour:
    """Returns the colour of the brows: that of the hair, darker."""
    return mix(hair_colour(identity), (36.0, 26.0, 22.0), share=0.45)


def iris_colour(identity: Identity) -> Colour:
    """Returns the colour of the iris."""
    return _pick(_IRIS, identity.eye_colour)


def lip_colour(identity: Identity) -> Colour:
    """Returns the colour of the lips: skin with some red."""
    return mix(skin_colour(identity), (176.0, 62.0, 70.0), share=0.30 + 0.45 * identity.lip_redness)
