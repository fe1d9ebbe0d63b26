import io

import numpy as np
import pytest
from PIL import Image

from fr_data.images import decode as images
from fr_data.images.decode import check_image, decode_image, guess_format
from fr_eval.errors import BinError

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 4, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
def test_lossless_images_come_back_as_rgb(kind):
    decoded = decode_image(encode(Image.fromarray(PIXELS), kind))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, PIXELS)


def test_grayscale_is_tripled_and_transparency_dropped():
    gray = decode_image(encode(Image.fromarray(PIXELS[..., 0])))
    assert np.array_equal(gray, np.repeat(PIXELS[..., :1], 3, axis=2))
    alpha = np.dstack([PIXELS, np.zeros((6, 4), np.uint8)])
    assert np.array_equal(decode_image(encode(Image.fromarray(alpha))), PIXELS)


def test_size_is_height_and_width():
    data = encode(Image.fromarray(PIXELS))
    assert check_image(data) == (6, 4)
    assert decode_image(data, size=(3, 5)).shape == (3, 5, 3)
    assert np.array_equal(decode_image(data, size=(6, 4)), PIXELS)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 20)
    with pytest.raises(BinError, match="4 x 6 pixels"):
        decode_image(encode(Image.fromarray(PIXELS)))


def test_sixteen_bits_a_channel_are_refused():
    with pytest.raises(BinError, match="8 bits"):
        decode_image(encode(Image.fromarray(np.full((3, 3), 4000, np.uint16))))


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xff\xd8\xff"]
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(BinError, match="not a readable image"):
        decode_image(data)


def test_a_truncated_image_is_refused():
    data = encode(Image.fromarray(np.tile(PIXELS, (20, 20, 1))), "JPEG")
    with pytest.raises(BinError, match="truncated"):
        check_image(data[: len(data) // 2])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_images_end_in_one_kind_of_error():
    rng = np.random.default_rng(1)
    whole = [encode(Image.fromarray(PIXELS), kind) for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP")]
    for trial in range(300):
        data = bytearray(whole[trial % len(whole)])
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        try:
            assert decode_image(bytes(data), size=(4, 4)).shape == (4, 4, 3)
        except BinError:
            continue


def test_files_are_named_by_their_beginning():
    assert guess_format(b"\n<!DOCTYPE html>").startswith("HTML")
    assert guess_format(b"PK\x03\x04").startswith("a ZIP")
    assert guess_format(b"\xff\xd8\xff\xe0") == "a JPEG image"
    assert guess_format(b"\x80\x04") is None
