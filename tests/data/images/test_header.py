"""Tests of reading encoding and size from the headers of images."""

import io
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from fr_data.images.header import ImageKind, Images, sniff_images


def sniff(*images: bytes) -> Images:
    lengths = np.array([len(image) for image in images], dtype=np.int64)
    buffer = np.frombuffer(b"".join(images), dtype=np.uint8)
    return sniff_images(buffer, np.cumsum(lengths) - lengths, lengths)


def kind(image: bytes) -> ImageKind:
    ((found, count),) = sniff(image).tally().items()
    assert count == 1
    return found


def test_literal_images_are_recognised(gray_jpeg: bytes, colour_jpeg: bytes, plain_png: bytes) -> None:
    assert kind(gray_jpeg) == ImageKind("jpeg", 16, 16, 1)
    assert kind(colour_jpeg) == ImageKind("jpeg", 16, 16, 3)
    assert kind(plain_png) == ImageKind("png", 16, 16, 3)


@pytest.mark.parametrize("size", [(1, 1), (112, 112), (7, 300), (257, 40)])
@pytest.mark.parametrize(
    ("mode", "image_format", "options", "channels"),
    [
        ("RGB", "JPEG", {}, 3),
        ("L", "JPEG", {"progressive": True}, 1),
        ("RGB", "JPEG", {"optimize": True, "comment": b"a comment"}, 3),
        ("CMYK", "JPEG", {}, 4),
        ("RGB", "PNG", {}, 3),
        ("L", "PNG", {}, 1),
        ("RGBA", "PNG", {}, 4),
        ("LA", "PNG", {}, 2),
        ("P", "PNG", {}, 3),
    ],
)
def test_what_pillow_writes_is_recognised(
    size: tuple[int, int], mode: str, image_format: str, options: dict[str, object], channels: int
) -> None:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, image_format, **options)
    assert kind(buffer.getvalue()) == ImageKind(image_format.lower(), size[1], size[0], channels)


def test_images_of_several_kinds_are_counted(gray_jpeg: bytes, colour_jpeg: bytes, plain_png: bytes) -> None:
    images = sniff(gray_jpeg, plain_png, b"no image at all, and longer than 32 bytes", gray_jpeg, colour_jpeg, b"")
    assert images.tally() == Counter(
        {
            ImageKind("jpeg", 16, 16, 1): 2,
            ImageKind("jpeg", 16, 16, 3): 1,
            ImageKind("png", 16, 16, 3): 1,
            ImageKind("unknown", 0, 0, 0): 2,
        }
    )


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"\xff",
        b"\xff\xd8\xff",
        b"GIF89a" + bytes(60),
        b"BM" + bytes(60),
        b"RIFF" + bytes(60),
        b"\xff\xd8\xff" + bytes(60),
    ],
)
def test_what_is_neither_jpeg_nor_png_is_unknown(image: bytes) -> None:
    assert kind(image) == ImageKind("unknown", 0, 0, 0)


def test_a_jpeg_cut_short_before_its_size_is_unknown(gray_jpeg: bytes) -> None:
    start_of_frame = gray_jpeg.index(b"\xff\xc0")
    for length in range(start_of_frame + 10):
        assert kind(gray_jpeg[:length]).encoding == "unknown"
    assert kind(gray_jpeg[: start_of_frame + 10]).encoding == "jpeg"


def test_neighbours_in_the_buffer_are_never_read(gray_jpeg: bytes) -> None:
    cut = gray_jpeg[: gray_jpeg.index(b"\xff\xc0")]
    assert sniff(cut, gray_jpeg).encodings.tolist() == [0, 1]
    # An image that is short, at the very end of the buffer.
    assert sniff(gray_jpeg, gray_jpeg[:3]).encodings.tolist() == [1, 0]


def test_segments_and_fill_bytes_in_front_of_the_frame_are_passed(gray_jpeg: bytes) -> None:
    comment = b"\xff\xfe\x00\x04\xff\xc0"  # its content looks like a start of frame
    assert kind(gray_jpeg[:2] + comment * 40 + gray_jpeg[2:]) == ImageKind("jpeg", 16, 16, 1)
    assert kind(gray_jpeg[:2] + b"\xff" * 40 + gray_jpeg[2:]) == ImageKind("jpeg", 16, 16, 1)


def test_a_jpeg_of_many_segments_is_recognised(gray_jpeg: bytes) -> None:
    image = gray_jpeg[:2] + b"\xff\xfe\x00\x04ab" * 100 + gray_jpeg[2:]
    Image.open(io.BytesIO(image)).load()
    assert kind(image) == ImageKind("jpeg", 16, 16, 1)


def test_random_bytes_behind_a_jpeg_signature_never_fail(numbered_jpeg: Callable[[int], bytes]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        noise = [b"\xff\xd8\xff" + rng.bytes(int(rng.integers(0, 80))) for _ in range(20)]
        images = sniff(*noise, numbered_jpeg(0))
        assert images.encodings[-1] == 1
