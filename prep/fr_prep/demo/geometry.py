"""Where the parts of a face are: face coordinates, the pose that projects them, and the five landmarks.

Face coordinates are pixels of the 112 x 112 crop relative to (56, 62): `across` to the right, `drop` downwards. A head is
an ellipsoid in front of which features stand out, so that turning it shifts near parts more than far ones.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fr_prep.demo.appearance import Appearance
from fr_prep.demo.identity import Identity

__all__ = [
    "CENTRE",
    "CROP_PIXELS",
    "NOSE_BUMP",
    "Points",
    "Projection",
    "ellipse",
    "eye_centre",
    "face_outline",
    "landmarks",
    "mouth_centre",
    "nose_tip",
]

Points = NDArray[np.float64]
"""Points of shape (N, 2): across and drop, or x and y."""

CROP_PIXELS = 112
CENTRE = (56.0, 62.0)
NOSE_BUMP = 10.0
"""How far the tip of the nose stands out of the ellipsoid."""

_HEAD_RADII = (49.0, 68.0, 38.0)
_LANDMARK_DEPTH = 36.0
"""Mean depth of the five landmarks: what an aligned crop turns about."""


@dataclass(frozen=True)
class Projection:
    """Maps face coordinates to pixels of the crop under the pose of an appearance."""

    appearance: Appearance

    def project(self, points: Points, *, bump: float = 0.0, depth: float | None = None) -> Points:
        """Projects points of the head.

        Args:
            points: face coordinates, shape (N, 2).
            bump: how far the points stand out of the ellipsoid, in pixels.
            depth: depth of all points instead of the ellipsoid's, relative to the landmarks' mean depth; negative is
                behind them.

        Returns:
            Pixels of the crop (x, y), shape (N, 2), float64.
        """
        pose = self.appearance
        across, drop = points[:, 0], points[:, 1]
        forward: Points | float
        if depth is None:
            inside = 1.0 - (across / _HEAD_RADII[0]) ** 2 - (drop / _HEAD_RADII[1]) ** 2
            forward = _HEAD_RADII[2] * np.sqrt(np.maximum(inside, 0.0)) + (bump - _LANDMARK_DEPTH)
        else:
            forward = depth
        turned = across * math.cos(pose.yaw) + forward * math.sin(pose.yaw)
        forward = forward * math.cos(pose.yaw) - across * math.sin(pose.yaw)
        nodded = drop * math.cos(pose.pitch) + forward * math.sin(pose.pitch)
        cosine, sine = pose.scale * math.cos(pose.roll), pose.scale * math.sin(pose.roll)
        x = CENTRE[0] + pose.shift_across + cosine * turned - sine * nodded
        y = CENTRE[1] + pose.shift_down + sine * turned + cosine * nodded
        return _columns(x, y)


def _columns(x: Points, y: Points) -> Points:
    """Returns points (N, 2) of two columns (N,); quicker than `np.stack`."""
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def ellipse(centre: tuple[float, float], radii: tuple[float, float], *, num_points: int = 20) -> Points:
    """Returns points of an ellipse, shape (num_points, 2), without repeating the first."""
    return centre + _unit_circle(num_points) * radii


@cache
def _unit_circle(num_points: int) -> Points:
    """Returns points of the unit circle, shape (num_points, 2), not to be written to."""
    angles = np.linspace(0.0, 2.0 * math.pi, num_points, endpoint=False)
    circle = _columns(np.cos(angles), np.sin(angles))
    circle.flags.writeable = False
    return circle


def face_outline(identity: Identity, *, grow: float = 0.0) -> Points:
    """Returns the outline of the face from skull to chin, shape (64, 2); `grow` widens it by pixels."""
    cosine, sine = _unit_circle(64).T
    below = sine > 0.0
    exponent = np.where(below, 2.0 / identity.jaw_exponent, 0.8)
    height = np.where(below, identity.chin_drop + 4.0, 62.0) + grow
    drop = np.sign(sine) * np.abs(sine) ** exponent
    taper = np.where(
        below, 1.0 - identity.jaw_taper * drop, 1.0 + (identity.forehead_ratio - 1.0) * np.minimum(-2 * drop, 1.0)
    )
    across = (identity.head_half_width + grow) * np.sign(cosine) * np.abs(cosine) ** exponent * taper
    return np.stack([across, height * drop - 4.0], axis=1)


def eye_centre(identity: Identity, side: int) -> tuple[float, float]:
    """Returns the middle of an eye; `side` is -1 for the one left in the image, 1 for the right one."""
    return (side * identity.eye_half_distance, -10.0 + identity.eye_drop + 0.9 * side * identity.asymmetry)


def nose_tip(identity: Identity) -> tuple[float, float]:
    """Returns the tip of the nose."""
    return (0.8 * identity.asymmetry, 10.0 + identity.nose_drop)


def mouth_centre(identity: Identity) -> tuple[float, float]:
    """Returns the middle of the closed mouth."""
    return (0.0, 30.0 + identity.mouth_drop)


def landmarks(identity: Identity, appearance: Appearance) -> Points:
    """Returns the five landmarks that face alignment uses, as drawn.

    Returns:
        Pixels (x, y) in the 112 x 112 crop, shape (5, 2): the eyes, the tip of the nose and the corners of the mouth, left
        in the image before right. A smile moves the corners by up to 3 pixels more.
    """
    projection = Projection(appearance)
    middle, drop = mouth_centre(identity)
    corners = [(middle - identity.mouth_half_width, drop), (middle + identity.mouth_half_width, drop)]
    flat = np.array([eye_centre(identity, -1), eye_centre(identity, 1), *corners])
    left_eye, right_eye, left_corner, right_corner = projection.project(flat)
    nose = projection.project(np.array([nose_tip(identity)]), bump=NOSE_BUMP)[0]
    return np.stack([left_eye, right_eye, nose, left_corner, right_corner])
