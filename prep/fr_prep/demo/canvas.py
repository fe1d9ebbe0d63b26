"""A canvas in face coordinates: shapes are projected by the pose and drawn by Pillow."""

from PIL import Image, ImageDraw

from fr_prep.demo.colours import Colour
from fr_prep.demo.geometry import Points, Projection

__all__ = ["Canvas"]


class Canvas:
    """Draws shapes given in face coordinates on an image, blending them with what lies below.

    Attributes:
        image: the RGB image drawn on.
        projection: the pose.
        scale: pixels of the image for one pixel of the 112 x 112 crop.
    """

    def __init__(self, image: Image.Image, projection: Projection, *, scale: float) -> None:
        self.image = image
        self.projection = projection
        self.scale = scale
        self._pencil = ImageDraw.Draw(image, "RGBA")

    def polygon(
        self, points: Points, colour: Colour, *, alpha: float = 1.0, bump: float = 0.0, depth: float | None = None
    ) -> None:
        """Fills a closed shape; `alpha` in [0, 1], `bump` and `depth` as in `Projection.project`."""
        self._pencil.polygon(self._flat(points, bump=bump, depth=depth), fill=_ink(colour, alpha=alpha))

    def line(
        self,
        points: Points,
        colour: Colour,
        *,
        width: float,
        alpha: float = 1.0,
        bump: float = 0.0,
        depth: float | None = None,
    ) -> None:
        """Draws an open line of `width` pixels of the crop."""
        flat = self._flat(points, bump=bump, depth=depth)
        self._pencil.line(flat, fill=_ink(colour, alpha=alpha), width=max(1, round(width * self.scale)))

    def _flat(self, points: Points, *, bump: float, depth: float | None) -> list[float]:
        """Returns x, y, x, y, … in pixels of the image."""
        pixels = self.projection.project(points, bump=bump, depth=depth)
        pixels *= self.scale
        flat: list[float] = pixels.ravel().tolist()
        return flat


def _ink(colour: Colour, *, alpha: float) -> tuple[int, int, int, int]:
    """Returns a colour as Pillow takes it, clipped to [0, 255]."""
    red, green, blue = colour
    return (_level(red), _level(green), _level(blue), round(255 * alpha))


def _level(value: float) -> int:
    """Returns a channel as a whole number in [0, 255]."""
    return min(255, max(0, round(value)))
