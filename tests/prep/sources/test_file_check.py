import io

import numpy as np
import pytest
from PIL import Image

from fr_data.images.header import sniff_images
from fr_data.images.pictures import encode_file
from fr_prep.sources.class_folders import file_check
from fr_prep.sources.class_folders.file_check import DAMAGED, NO_IMAGE, TAKEN, TO_ENCODE, check_files


def check(folder, **options):
    names = sorted(path.name for path in folder.iterdir())
    sizes = np.array([(folder / name).stat().st_size if (folder / name).exists() else -1 for name in names])
    found = check_files(folder, names, sizes, **options)
    return (
        dict(zip(names, found.kinds.tolist(), strict=True)),
        dict(zip(names, found.lengths.tolist(), strict=True)),
        found,
    )


def with_thumbnail(jpeg, num_bytes):
    """A JPEG with so many bytes of comment that its size stands far behind its beginning."""
    comment = b"\xff\xfe" + (num_bytes + 2).to_bytes(2, "big") + bytes(num_bytes)
    return jpeg[:2] + comment + jpeg[2:]


def test_files_are_told_apart_by_what_they_hold(tmp_path, gray_jpeg, plain_png, drawn_image):
    bmp = drawn_image(1, image_format="BMP")
    for name, content in {
        "gray.jpg": gray_jpeg,
        "plain.PNG": plain_png,
        "no_ending": gray_jpeg,
        "really_a_bmp.jpg": bmp,
        "gif_without_name": drawn_image(2, image_format="GIF"),
        "tiff_without_name": drawn_image(2, image_format="TIFF"),
        "webp.dat": drawn_image(2, image_format="WEBP"),
        "late_size.jpg": with_thumbnail(gray_jpeg, 60_000),
        "Thumbs.db": b"xx",
        "notes.txt": b"BMW",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    kinds, lengths, found = check(tmp_path)
    taken = {"gray.jpg", "plain.PNG", "no_ending", "late_size.jpg"}
    encoded = {"really_a_bmp.jpg", "gif_without_name", "tiff_without_name", "webp.dat"}
    assert {name for name, kind in kinds.items() if kind == TAKEN} == taken
    assert {name for name, kind in kinds.items() if kind == TO_ENCODE} == encoded
    assert {name for name, kind in kinds.items() if kind == NO_IMAGE} == {"Thumbs.db", "notes.txt", "empty"}
    assert all(lengths[name] == (tmp_path / name).stat().st_size for name in taken)
    assert all(lengths[name] == len(encode_file(tmp_path / name)) for name in encoded)
    assert found.formats == {"BMP": 1, "GIF": 1, "TIFF": 1, "WEBP": 1}
    assert found.reasons == {}


def test_damaged_images_have_a_reason_each(tmp_path, colour_jpeg, plain_png):
    for name, content in {
        "html.jpg": b"<html>",
        "empty.png": b"",
        "cut.bmp": b"BM\0",
        "no_size.jpg": b"\xff\xd8\xff" + bytes(100),
        "cut_within_header.jpg": colour_jpeg[:60],
        "sound.png": plain_png,
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.jpg").symlink_to("nowhere")
    kinds, _, found = check(tmp_path)
    assert {name for name, kind in kinds.items() if kind == DAMAGED} == {*kinds} - {"sound.png"}
    reasons = {sorted(kinds)[row]: reason for row, reason in found.reasons.items()}
    assert reasons["html.jpg"] == "expected the header of a picture, received 3c 68 74 6d 6c 3e"
    assert reasons["empty.png"] == "expected the header of a picture, received nothing"
    assert reasons["link.jpg"] == "cannot be read: No such file or directory"
    assert list(found.reasons) == sorted(found.reasons)


def test_a_jpeg_that_is_cut_behind_its_header_is_found_by_decoding_only(tmp_path, drawn_image):
    whole = drawn_image(1, height=64, width=64)
    (tmp_path / "cut.jpg").write_bytes(whole[:-200])
    (tmp_path / "whole.jpg").write_bytes(whole)
    assert check(tmp_path)[0] == {"cut.jpg": TAKEN, "whole.jpg": TAKEN}
    kinds, _, found = check(tmp_path, decode=True)
    assert kinds == {"cut.jpg": DAMAGED, "whole.jpg": TAKEN}
    assert "truncated" in found.reasons[0].lower()


def test_whatever_passes_is_an_image_to_the_writer_of_shards(tmp_path, colour_jpeg, plain_png):
    """Each prefix of a JPEG and a PNG: none may be taken over that writing then refuses."""
    for stem, image in (("jpeg", colour_jpeg), ("png", plain_png)):
        for length in range(len(image)):
            (tmp_path / f"{stem}{length:04d}.jpg").write_bytes(image[:length])
    kinds, _, _ = check(tmp_path)
    assert set(kinds.values()) == {TAKEN, DAMAGED}
    for name, kind in kinds.items():
        data = np.frombuffer((tmp_path / name).read_bytes(), dtype=np.uint8)
        known = len(data) and sniff_images(data, np.array([0]), np.array([len(data)])).encodings[0] > 0
        assert (kind == TAKEN) == bool(known), name


def test_pictures_that_exif_turns_are_counted(tmp_path, drawn_image):
    for name, orientation, image_format in (
        ("turned.jpg", 6, "JPEG"),
        ("turned.png", 8, "PNG"),
        ("upright.jpg", 1, "JPEG"),
        ("turned.webp", 6, "WEBP"),  # is turned when it is encoded
    ):
        exif = Image.Exif()
        exif[0x010F] = "a camera"
        exif[0x0112] = orientation
        image = Image.open(io.BytesIO(drawn_image(1, image_format="PNG")))
        image.save(tmp_path / name, image_format, exif=exif)
    (tmp_path / "plain.jpg").write_bytes(drawn_image(2))
    (tmp_path / "odd.jpg").write_bytes(drawn_image(3) + b"Exif\0\0II*\0")
    assert check(tmp_path)[2].num_turned == 2


def test_several_pictures_in_a_file_are_counted(tmp_path, drawn_image):
    first, second = (Image.open(io.BytesIO(drawn_image(number, image_format="PNG"))) for number in range(2))
    first.save(tmp_path / "two.gif", save_all=True, append_images=[second])
    first.save(tmp_path / "one.gif")
    assert check(tmp_path)[2].num_animated == 1


def test_an_image_of_an_impossible_size_is_not_even_read(tmp_path, monkeypatch, drawn_image):
    monkeypatch.setattr(file_check, "MAX_IMAGE_BYTES", 100)
    (tmp_path / "large.bmp").write_bytes(drawn_image(1, image_format="BMP"))
    assert check(tmp_path)[2].reasons == {0: "expected an image of at most 100 bytes, received 3,126"}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_many_chunks_give_what_one_gives(tmp_path, monkeypatch, drawn_image, num_workers):
    for number in range(11):
        (tmp_path / f"{number:02d}.jpg").write_bytes(
            b"damaged" if number % 4 == 3 else drawn_image(number, image_format=("JPEG", "BMP")[number % 2])
        )
    *expected, whole = check(tmp_path)
    monkeypatch.setattr(file_check, "_CHUNK_FILES", 3)
    *found, parts = check(tmp_path, num_workers=num_workers)
    assert found == expected
    assert (parts.reasons, parts.formats) == (whole.reasons, whole.formats)
