"""Faces are turned, scaled and moved so that eyes, nose and mouth come to the places where networks expect them."""

import numpy as np
import numpy.typing as npt

__all__ = ["REFERENCE_POINTS", "align_face", "fit_similarity"]

REFERENCE_SIZE = 112

# Left eye, right eye, nose, left and right corner of the mouth (as seen), x and y in an image of 112 × 112: InsightFace's.
REFERENCE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def fit_similarity(points: npt.NDArray[np.floating], reference: npt.NDArray[np.floating]) -> tuple[complex, complex]:
    """Gives the similarity transform that brings points closest to a reference, in the sense of least squares.

    As complex numbers, z ↦ a·z + b is rotation and scale (a) and shift (b); the best a is a linear regression. This is the
    transform of Umeyama (IEEE PAMI 13, 1991) in the plane, without reflection.

    Args:
        points: x and y, shape (K, 2).
        reference: the same points where they should be, shape (K, 2).

    Returns:
        a and b.

    Raises:
        ValueError: points that are not finite, or all in one place.
    """
    source, target = (np.asarray(p, np.float64) @ (1, 1j) for p in (points, reference))
    centred = source - source.mean()
    spread = float(np.vdot(centred, centred).real)
    if not 0 < spread < np.inf:
        raise ValueError(f"expected points in several places; received {np.asarray(points).tolist()}")
    a = complex(np.vdot(centred, target - target.mean()) / spread)
    if a == 0:
        raise ValueError(f"no rotation and scale brings these points to their places: {np.asarray(points).tolist()}")
    return a, complex(target.mean() - a * source.mean())


def align_face(
    image: npt.NDArray[np.uint8], points: npt.NDArray[np.floating], *, size: tuple[int, int] = (112, 112)
) -> npt.NDArray[np.uint8]:
    """Cuts an aligned face out of an image; bilinear, and black beyond its border.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        points: x and y of the five points in it, in the order of `REFERENCE_POINTS`, shape (5, 2). The centre of the first
            pixel is (0, 0).
        size: (height, width) of the result; the reference points are scaled to it.

    Returns:
        RGB, uint8, shape (height, width, 3).

    Raises:
        ValueError: points that are not finite, or all in one place.
    """
    from scipy.ndimage import affine_transform  # noqa: PLC0415  SciPy takes a while to import

    height, width = size
    a, b = fit_similarity(points, REFERENCE_POINTS * (width / REFERENCE_SIZE, height / REFERENCE_SIZE))
    back = 1 / a  # where a pixel of the result comes from; rows stand before columns here
    matrix, offset = [[back.real, back.imag], [-back.imag, back.real]], [-(b * back).imag, -(b * back).real]
    aligned = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        affine_transform(
            *(image[..., channel], matrix, offset),
            (height, width),
            aligned[..., channel],
            order=1,
            mode="grid-constant",
        )
    return np.rint(aligned).astype(np.uint8)
