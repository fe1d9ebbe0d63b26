import io

import numpy as np
import pytest
from PIL import Image

from fr_data.images import pictures
from fr_data.images.pictures import encode_file, load_picture, picture_suffixes, save_png
from fr_prep.errors import SourceError

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 1 << 16, (20, 30), dtype=np.uint16)


def encode(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def as_png(data):
    """The picture as the PNG holds it: mode, and (H, W, …) of its values."""
    with Image.open(io.BytesIO(save_png(load_picture(data).image))) as image:
        assert image.format == "PNG"
        return image.mode, np.asarray(image)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("BMP", {}),
        ("JPEG2000", {}),
        ("PCX", {}),
        ("PPM", {}),
        ("SGI", {}),
        ("TGA", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_colours_of_every_format_arrive_as_they_are(file_format, options):
    data = encode(Image.fromarray(PIXELS[..., :3]), file_format, **options)
    assert load_picture(data).format == file_format
    mode, pixels = as_png(data)
    assert mode == "RGB"
    np.testing.assert_array_equal(pixels, PIXELS[..., :3])


def test_what_a_lossy_format_decodes_to_is_what_is_kept():
    data = encode(Image.fromarray(PIXELS[..., :3]), "WEBP", quality=50)
    np.testing.assert_array_equal(as_png(data)[1], np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(("mode", "pixels"), [("L", PIXELS[..., 0]), ("LA", PIXELS[..., :2]), ("RGBA", PIXELS)])
def test_gray_stays_gray_and_transparency_stays(mode, pixels):
    found, kept = as_png(encode(Image.fromarray(pixels), "TIFF"))
    assert found == mode
    np.testing.assert_array_equal(kept, pixels)


def test_16_bit_gray_keeps_its_16_bits():
    pgm = b"P5 30 20 65535\n" + DEEP.astype(">u2").tobytes()
    for data in (encode(Image.fromarray(DEEP), "TIFF"), encode(Image.fromarray(DEEP.astype(">u2")), "TIFF"), pgm):
        mode, pixels = as_png(data)
        assert mode == "I;16"
        np.testing.assert_array_equal(pixels, DEEP)


def test_black_and_white_becomes_gray_of_0_and_255():
    image = Image.fromarray(PIXELS[..., 0]).convert("1")
    mode, pixels = as_png(encode(image, "TIFF"))
    assert mode == "L"
    np.testing.assert_array_equal(pixels, np.asarray(image) * np.uint8(255))


def test_a_palette_becomes_its_colours_and_its_transparent_entry_stays_transparent():
    image = Image.fromarray(PIXELS[..., 0] % 4, "P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 255])
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 9, 255]])[PIXELS[..., 0] % 4]
    mode, pixels = as_png(encode(image, "GIF"))
    assert mode == "RGB"
    np.testing.assert_array_equal(pixels, colours)
    mode, pixels = as_png(encode(image, "GIF", transparency=1))
    assert mode == "RGBA"
    np.testing.assert_array_equal(pixels[..., 3] == 0, PIXELS[..., 0] % 4 == 1)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_what_png_has_no_mode_for_becomes_rgb(mode):
    image = Image.fromarray(PIXELS[..., :3]).convert(mode)
    found, pixels = as_png(encode(image, "TIFF"))
    assert found == "RGB"
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("pixels", [DEEP.astype(np.int32), DEEP.astype(np.float32)])
def test_pixels_without_a_known_range_are_refused(pixels):
    with pytest.raises(ValueError, match=r"expected gray or colours of 8 bits.*mode [IF]: convert it"):
        load_picture(encode(Image.fromarray(pixels), "TIFF"))


@pytest.mark.parametrize("file_format", ["TIFF", "WEBP"])
def test_an_exif_orientation_is_carried_out_and_not_said_again(file_format):
    image = Image.fromarray(PIXELS[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(image, file_format, exif=exif, **options)
    png = Image.open(io.BytesIO(save_png(load_picture(data).image)))
    np.testing.assert_array_equal(np.asarray(png), np.rot90(PIXELS[..., :3], -1))
    assert 0x0112 not in png.getexif()


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "WEBP"])
def test_the_first_of_several_pictures_is_taken_and_their_number_is_noticed(file_format):
    first, second = (Image.fromarray(pixels) for pixels in (PIXELS[..., :3], PIXELS[::-1, :, :3]))
    options = {"lossless": True} if file_format == "WEBP" else {}
    several = encode(first, file_format, save_all=True, append_images=[second], **options)
    one = encode(first, file_format, **options)
    assert (load_picture(several).is_animated, load_picture(one).is_animated) == (True, False)
    np.testing.assert_array_equal(as_png(several)[1], as_png(one)[1])


def test_equal_pixels_give_equal_bytes_and_nothing_beside_them():
    image = Image.fromarray(PIXELS[..., :3])
    dressed = image.copy()
    dressed.info.update(icc_profile=b"a profile", dpi=(72, 72), comment=b"mine", transparency=(1, 2, 3))
    assert save_png(image) == save_png(dressed)
    assert Image.open(io.BytesIO(save_png(dressed))).info == {}


@pytest.mark.parametrize("file_format", ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"])
def test_a_picture_that_is_cut_short_is_refused_with_a_reason(file_format):
    data = encode(Image.fromarray(PIXELS[..., :3]), file_format)
    for length in (0, 4, 20, len(data) // 2):
        with pytest.raises(ValueError) as raised:  # noqa: PT011  each format has its own reason
            load_picture(data[:length])
        assert str(raised.value)


def test_what_is_no_picture_is_refused_by_how_it_begins():
    with pytest.raises(ValueError, match=r"expected the header of a picture, received 3c 68 74 6d 6c 3e$"):
        load_picture(b"<html>")


def test_a_format_that_would_start_another_program_is_no_known_one():
    with pytest.raises(ValueError, match="expected the header of a picture, received 25 21 50 53"):
        load_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 599)
    with pytest.raises(ValueError, match="it claims 30 x 20 pixels, the limit is 599"):
        load_picture(encode(Image.fromarray(PIXELS[..., :3]), "BMP"))


def test_a_file_is_named_where_it_cannot_be_encoded(tmp_path):
    (tmp_path / "bad.bmp").write_bytes(b"BM")
    with pytest.raises(SourceError, match=r"bad\.bmp: is no readable picture"):
        encode_file(tmp_path / "bad.bmp")
    with pytest.raises(SourceError, match=r"none\.bmp: cannot be read: No such file"):
        encode_file(tmp_path / "none.bmp")


def test_endings_of_pictures_are_known():
    assert {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"} <= picture_suffixes()
    assert not {".eps", ".pdf", ".mp4", ".txt", ".db"} & picture_suffixes()
