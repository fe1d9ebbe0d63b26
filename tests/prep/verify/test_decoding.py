import io

import pytest
from PIL import Image

from fr_data.images.header import ImageKind
from fr_prep.verify.decoding import decode_image


@pytest.mark.parametrize(
    ("mode", "image_format", "channels"),
    [
        ("RGB", "JPEG", 3),
        ("L", "JPEG", 1),
        ("CMYK", "JPEG", 4),
        ("RGB", "PNG", 3),
        ("L", "PNG", 1),
        ("LA", "PNG", 2),
        ("RGBA", "PNG", 4),
        ("P", "PNG", 3),
        ("I;16", "PNG", 1),
        ("1", "PNG", 1),
    ],
)
def test_what_decoding_says_of_an_image_is_what_its_header_says(mode, image_format, channels):
    import numpy as np

    from fr_data.images.header import sniff_images

    buffer = io.BytesIO()
    Image.new(mode, (30, 20)).save(buffer, image_format)
    data = buffer.getvalue()
    kind = decode_image(data)
    assert kind == ImageKind(image_format.lower(), 20, 30, channels)
    sniffed = sniff_images(np.frombuffer(data, dtype=np.uint8), np.array([0]), np.array([len(data)]))
    assert sniffed.tally() == {kind: 1}


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_an_image_that_ends_too_soon_cannot_be_decoded(drawn_image, image_format):
    data = drawn_image(0, image_format=image_format)
    for length in (0, 1, 40, len(data) // 2, len(data) - 30):
        with pytest.raises(ValueError, match="the image "):
            decode_image(data[:length])


def test_other_formats_are_refused():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    with pytest.raises(ValueError, match="the image is no JPEG or PNG"):
        decode_image(buffer.getvalue())


def test_a_header_that_asks_for_all_memory_is_refused(plain_png):
    import zlib

    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + plain_png[24:29]
    data = plain_png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + plain_png[33:]
    with pytest.raises(ValueError, match="decompression bomb"):
        decode_image(data)
