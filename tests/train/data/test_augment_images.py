"""Each augmentation against Pillow, NumPy or a naive loop."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from fr_train.data.augment.colour import change_colours, change_sharpness, posterize, stretch_contrast
from fr_train.data.augment.compression import compress
from fr_train.data.augment.geometry import crop, rotate, shear, shift
from fr_train.data.augment.occlusion import cover_lower_face

FACTORS = [0.0, 0.3, 0.8, 1.0, 1.3, 2.0]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    smooth = np.kron(rng.integers(0, 256, (6, 5, 4, 3)), np.ones((1, 8, 8, 1)))
    return (smooth + rng.normal(0, 15, smooth.shape)).clip(0, 255).astype(np.uint8)


def floats(values):
    return tf.constant(values, tf.float32)


def furthest(some, others):
    return np.abs(np.asarray(some).astype(int) - np.asarray(others).astype(int)).max()


def sample(image, x, y):
    """Naive bilinear value; outside of the image all is black."""
    height, width = image.shape[:2]
    left, top = math.floor(x), math.floor(y)
    total = np.zeros(3)
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += image[row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def move(image, find_origin):
    height, width = image.shape[:2]
    pixels = [[sample(image, *find_origin(x, y)) for x in range(width)] for y in range(height)]
    return np.floor(np.array(pixels).clip(0, 255) + 0.5)


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
def test_colours_change_as_pillow_changes_them(images, name, enhancer):
    changed = change_colours(images, **{name: floats(FACTORS)})
    for image, factor, result in zip(images, FACTORS, changed, strict=True):
        # Pillow rounds mean and luma first, which weighs more with large factors.
        assert furthest(result, enhancer(Image.fromarray(image)).enhance(factor)) <= 2


def test_colours_change_in_one_go_as_one_after_the_other(images):
    brightness, contrast, saturation = ([0.6, 1.3, 1, 0.9, 0, 1.1], [1.5, 0.7, 1, 0, 1, 1.2], [0, 1.6, 1, 0.5, 1, 1.3])
    changed = change_colours(
        images, brightness=floats(brightness), contrast=floats(contrast), saturation=floats(saturation)
    )
    luma = np.array([0.299, 0.587, 0.114])
    for image, b, c, s, result in zip(images, brightness, contrast, saturation, changed, strict=True):
        values = image * b
        mean = (values @ luma).mean()
        values = mean + (values - mean) * c
        gray = (values @ luma)[..., None]
        assert furthest(result, np.round(gray + (values - gray) * s).clip(0, 255)) <= 1
    np.testing.assert_array_equal(changed[2], images[2])


def test_saturation_0_gives_pillow_s_gray(images):
    for image, result in zip(images, change_colours(images, saturation=tf.zeros([6])).numpy(), strict=True):
        assert furthest(result, np.asarray(Image.fromarray(image).convert("L"))[..., None]) <= 1
        assert (result == result[..., :1]).all()


def test_sharpness_changes_as_pillow_changes_it(images):
    changed = change_sharpness(images, floats(FACTORS))
    for image, factor, result in zip(images, FACTORS, changed, strict=True):
        assert furthest(result, ImageEnhance.Sharpness(Image.fromarray(image)).enhance(factor)) <= 2


def test_posterizing_keeps_the_upper_bits(images):
    changed = posterize(images, tf.constant([1, 2, 4, 7, 8, 0]))
    for image, num_bits, result in zip(images[:5], [1, 2, 4, 7, 8], changed, strict=False):
        np.testing.assert_array_equal(result, ImageOps.posterize(Image.fromarray(image), num_bits))
    assert not changed[5].numpy().any()


def test_contrast_is_stretched_as_pillow_s_autocontrast_does(images):
    dull = images // 4 + 60
    for image, result in zip(dull, stretch_contrast(dull), strict=True):
        assert furthest(result, ImageOps.autocontrast(Image.fromarray(image))) <= 1
    plain = np.full((1, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(stretch_contrast(plain), plain)


def test_a_crop_is_the_part_enlarged(images):
    sides, places = [1.0, 0.5, 0.5, 0.8, 0.9, 0.3], [[0.3, 0.9], [0, 0], [1, 1], [0.5, 0.5], [0, 1], [0.2, 0.7]]
    results = crop(images, floats(sides), floats(places))
    height, width = images.shape[1:3]
    for image, side, (x0, y0), result in zip(images, sides, places, results, strict=True):
        left, top = (1 - side) * x0 * (width - 1), (1 - side) * y0 * (height - 1)
        expected = move(image, lambda x, y: (left + side * x, top + side * y))  # noqa: B023
        assert furthest(result, expected) <= 1
    np.testing.assert_array_equal(results[0], images[0])


def test_a_part_larger_than_the_image_has_black_around_it(images):
    count, (height, width) = len(images), images.shape[1:3]
    results = crop(images, floats([1.5] * count), floats([[0.0, 0.0]] * count)).numpy()
    seen = images[:, ::3, ::3]  # every other pixel lies on a pixel of the image
    np.testing.assert_array_equal(results[:, : 2 * seen.shape[1] : 2, : 2 * seen.shape[2] : 2], seen)
    assert not results[:, (height - 1) * 2 // 3 + 1 :].any()
    assert not results[:, :, (width - 1) * 2 // 3 + 1 :].any()


def test_a_shift_moves_whole_pixels_and_black_comes_in(images):
    pixels = [[0, 0], [5, 0], [0, 7], [-3, -4], [31, -1], [40, 0]]
    for image, (right, down), result in zip(images, pixels, shift(images, tf.constant(pixels)), strict=True):
        height, width = image.shape[:2]
        padded = np.pad(image, ((50, 50), (50, 50), (0, 0)))
        np.testing.assert_array_equal(result, padded[50 - down : 50 - down + height, 50 - right : 50 - right + width])


def test_a_turn_is_counter_clockwise_about_the_middle(images):
    square = images[:4, :32, :32]
    results = rotate(square, floats(np.radians([0, 90, 180, 270])))
    for turns, (image, result) in enumerate(zip(square, results, strict=True)):
        # At 90 degrees, rounding may put the outermost row half outside.
        assert furthest(result[1:-1, 1:-1], np.rot90(image, turns)[1:-1, 1:-1]) <= 1


def test_a_turn_by_an_odd_angle_is_bilinear(images):
    image, angle = images[0], 0.3
    height, width = image.shape[:2]
    my, mx = (height - 1) / 2, (width - 1) / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    expected = move(
        image,
        lambda x, y: (mx + cosine * (x - mx) - sine * (y - my), my + sine * (x - mx) + cosine * (y - my)),
    )
    assert furthest(rotate(image[None], floats([angle]))[0], expected) <= 1


def test_a_shear_moves_rows_and_columns_by_their_distance_from_the_middle(images):
    for slope_x, slope_y in ((0.2, 0.0), (0.0, -0.3)):
        image = images[1]
        height, width = image.shape[:2]
        my, mx = (height - 1) / 2, (width - 1) / 2
        expected = move(image, lambda x, y: (x + slope_x * (y - my), y + slope_y * (x - mx)))  # noqa: B023
        assert furthest(shear(image[None], floats([[slope_x, slope_y]]))[0], expected) <= 1


def test_the_lower_face_is_covered_in_one_colour_and_nothing_else(images):
    heights = [0.5, 0.4, 0.3, 0.45, 0.0, 1.0]
    colours = np.arange(18, dtype=np.uint8).reshape(6, 3) * 14
    results = cover_lower_face(images, floats(heights), colours).numpy()
    height, width = images.shape[1:3]
    for image, part, colour, result in zip(images, heights, colours, results, strict=True):
        covered = np.zeros((height, width), bool)
        for y in range(height):
            for x in range(width):
                aside = ((x + 0.5) / width - 0.5) / 0.42
                covered[y, x] = abs(aside) < 1 and (y + 0.5) / height > 1 - part + 0.12 * aside**2
        assert (result[covered] == colour).all()
        np.testing.assert_array_equal(result[~covered], image[~covered])
    middle = results[0, :, width // 2]
    assert (middle[height // 2 + 1 :] == colours[0]).all()  # all below the middle of the image


def test_compression_is_that_of_a_jpeg_with_half_the_resolution_of_colour(images):
    qualities = [10, 30, 50, 75, 90, 95]
    for image, quality, result in zip(images, qualities, compress(images, tf.constant(qualities)), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
        assert (
            np.abs(result.numpy().astype(int) - np.asarray(Image.open(buffer))).mean() < 3
        )  # encoders round differently
    same = np.repeat(images[:1], 6, axis=0)
    errors = [
        np.abs(result.astype(int) - images[0]).mean() for result in compress(same, tf.constant(qualities)).numpy()
    ]
    assert errors == sorted(errors, reverse=True)
