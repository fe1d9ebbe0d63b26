import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fr_data.images.align import REFERENCE_POINTS, align_face, fit_similarity

POINTS = np.array([[52.5, 61.0], [101.25, 55.5], [80.0, 88.0], [61.5, 120.0], [104.0, 113.5]])


def draw_picture(height, width):
    y, x, channel = np.mgrid[:height, :width, :3]
    return ((x * (channel + 1) + 2 * y + ((x // 9 + y // 7) % 2) * 60) % 256).astype(np.uint8)


def naive_align(image, a, b, size):
    """Bilinear, a pixel at a time; what lies beyond the border is black."""
    height, width = image.shape[:2]
    aligned = np.zeros((*size, 3))
    for row, column in np.ndindex(*size):
        place = (complex(column, row) - b) / a
        x, y = int(np.floor(place.real)), int(np.floor(place.imag))
        for dy, dx in np.ndindex(2, 2):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                share = (1 - abs(place.imag - y - dy)) * (1 - abs(place.real - x - dx))
                aligned[row, column] += share * image[y + dy, x + dx]
    return aligned


def test_the_transform_is_that_of_scikit_image():
    a, b = fit_similarity(POINTS, REFERENCE_POINTS)
    # SimilarityTransform().estimate(POINTS, REFERENCE_POINTS).params[:2] of scikit-image 0.26
    expected = [
        [0.691436514374222, -0.07329269784140455, 7.235394658125415],
        [0.07329269784140453, 0.691436514374222, 5.478519418182003],
    ]
    assert np.allclose([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], expected, rtol=0, atol=1e-12)


def test_aligned_pixels_are_those_of_opencv():
    aligned = align_face(draw_picture(150, 130), POINTS)
    assert (aligned.shape, aligned.dtype) == ((112, 112, 3), np.uint8)
    # cv2.warpAffine(image, matrix, (112, 112), borderValue=0.0) of OpenCV 5.0; of all pixels, it differs in 3 values by 1
    expected = [[0, 0, 0], [0, 0, 0], [148, 139, 39], [167, 192, 218], [40, 83, 41], [0, 0, 0]]
    assert aligned[[0, 10, 30, 56, 80, 111], [0, 100, 56, 20, 90, 111]].tolist() == expected


@pytest.mark.parametrize("shift", [(0, 0), (-70, 20), (95, 80)])
@pytest.mark.parametrize("size", [(112, 112), (16, 24)])
def test_pixels_equal_the_loop_also_over_the_border(shift, size):
    image, points = draw_picture(90, 120), POINTS * 0.8 + shift
    reference = REFERENCE_POINTS / 112 * (size[1], size[0])
    naive = naive_align(image, *fit_similarity(points, reference), size)
    assert np.abs(align_face(image, points, size=size) - naive).max() <= 0.5 + 1e-3


@given(st.floats(0.1, 5), st.floats(-3, 3), st.floats(-300, 300), st.floats(-300, 300))
def test_turned_scaled_and_moved_points_come_back(scale, angle, x, y):
    turned = (REFERENCE_POINTS @ (1, 1j)) * scale * np.exp(1j * angle) + complex(x, y)
    a, b = fit_similarity(np.stack([turned.real, turned.imag], axis=1), REFERENCE_POINTS)
    assert np.allclose(a * turned + b, REFERENCE_POINTS @ (1, 1j), atol=1e-6)


def test_an_aligned_face_stays_as_it_is():
    picture = draw_picture(112, 112)
    assert np.array_equal(align_face(picture, REFERENCE_POINTS), picture)


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.where(np.arange(10).reshape(5, 2) == 3, np.nan, POINTS)])
def test_points_without_extent_are_refused(points):
    with pytest.raises(ValueError, match="expected points in several places"):
        align_face(draw_picture(60, 60), points)
