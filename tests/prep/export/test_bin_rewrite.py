import csv
import errno
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fr_data.bins.bins import read_bin, write_bin
from fr_prep.errors import OutputError, SourceError
from fr_prep.export.bin_rewrite import export_bin, rewrite_bin


@pytest.fixture
def mixed(drawn_image, tmp_path):
    """A bin of two JPEG and two PNG images."""
    images = [drawn_image(number, image_format="JPEG" if number % 2 else "PNG") for number in range(4)]
    write_bin(tmp_path / "mixed.bin", images, [True, False])
    return tmp_path / "mixed.bin", images


def test_jpeg_entries_stay_and_png_entries_are_encoded(mixed, tmp_path):
    source, images = mixed
    result = rewrite_bin(source, tmp_path / "new.bin")
    found = read_bin(tmp_path / "new.bin")
    assert found.images[1::2] == images[1::2]
    assert all(image.startswith(b"\xff\xd8\xff") for image in found.images)
    assert found.issame.tolist() == [True, False]
    assert (result.num_unchanged, result.num_encoded, result.encoded_from) == (2, 2, {"png": 2})
    for before, after in zip(images[0::2], found.images[0::2], strict=True):
        pixels = [np.asarray(Image.open(io.BytesIO(image))).astype(int) for image in (before, after)]
        assert np.abs(pixels[0] - pixels[1]).mean() < 4


def test_the_new_bin_is_what_insightface_reads(mixed, tmp_path):
    rewrite_bin(mixed[0], tmp_path / "new.bin")
    with (tmp_path / "new.bin").open("rb") as file:
        bins, issame = pickle.load(file, encoding="bytes")
    assert (type(bins), {type(item) for item in bins}) == (list, {bytes})
    assert list(issame) == [True, False]


def test_a_quality_can_be_chosen_and_all_can_be_encoded_anew(mixed, tmp_path):
    low = rewrite_bin(mixed[0], tmp_path / "low.bin", quality=10, reencode=True)
    assert (low.num_encoded, low.quality, low.encoded_from) == (4, 10, {"png": 2, "jpeg": 2})
    rewrite_bin(mixed[0], tmp_path / "high.bin", quality=95, reencode=True)
    assert (tmp_path / "low.bin").stat().st_size < (tmp_path / "high.bin").stat().st_size


def test_in_place_the_old_file_is_kept(mixed):
    source, _ = mixed
    before = source.read_bytes()
    result = rewrite_bin(source, source)
    assert result.backup == source.with_name("mixed.bin.backup")
    assert result.backup.read_bytes() == before
    assert read_bin(source).images[0].startswith(b"\xff\xd8\xff")
    with pytest.raises(OutputError, match="a backup is there already"):
        rewrite_bin(source, source)


def test_an_output_that_is_there_is_replaced_only_when_asked(mixed, tmp_path):
    (tmp_path / "new.bin").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        rewrite_bin(mixed[0], tmp_path / "new.bin")
    assert (tmp_path / "new.bin").read_text() == "mine"
    rewrite_bin(mixed[0], tmp_path / "new.bin", overwrite=True)
    assert read_bin(tmp_path / "new.bin").num_pairs == 2


def test_a_dry_run_reports_and_writes_nothing(mixed, tmp_path):
    assert rewrite_bin(mixed[0], tmp_path / "new.bin", dry_run=True).num_encoded == 2
    assert export_bin(mixed[0], tmp_path / "folder", dry_run=True).num_images == 4
    assert [path.name for path in tmp_path.iterdir()] == ["mixed.bin"]


def test_a_folder_holds_the_images_and_a_table_of_pairs(mixed, tmp_path):
    source, images = mixed
    export_bin(source, tmp_path / "folder")
    with (tmp_path / "folder" / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["same"]) for row in rows] == [1, 0]
    names = [row[column] for row in rows for column in ("first", "second")]
    assert names == ["000000.png", "000001.jpg", "000002.png", "000003.jpg"]
    assert [(tmp_path / "folder" / name).read_bytes() for name in names] == images
    with pytest.raises(OutputError, match="new or empty folder"):
        export_bin(source, tmp_path / "folder")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_export_is_replaced_as_a_whole(mixed, drawn_image, tmp_path):
    source, images = mixed
    write_bin(tmp_path / "larger.bin", [drawn_image(number) for number in range(8)], [True, False] * 2)
    export_bin(tmp_path / "larger.bin", tmp_path / "folder")
    export_bin(source, tmp_path / "folder", overwrite=True)
    assert names_in(tmp_path / "folder") == ["000000.png", "000001.jpg", "000002.png", "000003.jpg", "pairs.csv"]
    assert [(tmp_path / "folder" / name).read_bytes() for name in names_in(tmp_path / "folder")[:4]] == images
    assert names_in(tmp_path) == ["folder", "larger.bin", "mixed.bin"]


def test_an_export_that_fails_leaves_the_old_one(mixed, tmp_path, monkeypatch, digest_files):
    source, images = mixed
    write_bin(tmp_path / "other.bin", images[::-1], [True, False])
    export_bin(tmp_path / "other.bin", tmp_path / "folder")
    before, written = digest_files(tmp_path), Path.write_bytes

    def fail(path, content):
        if path.name == "000002.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match="folder: cannot be written: No space left"):
        export_bin(source, tmp_path / "folder", overwrite=True)
    assert digest_files(tmp_path) == before


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("notes.txt", "mine"),
        ("000004.jpg", "mine"),
        ("sub/000004.jpg", "mine"),
        ("important.txt", lambda text: text.replace("000001.jpg", "important.txt")),
        ("000001.jpg", lambda text: text.replace("same", "truth")),
        ("000001.jpg", lambda text: text.replace("1,000002.png", "2,000002.png")),
        ("000001.jpg", lambda text: text.replace("000001.jpg", "../mixed.bin")),
        ("000001.jpg", lambda text: ""),
    ],
)
def test_what_an_export_did_not_write_is_not_replaced(mixed, tmp_path, digest_files, file, change):
    folder = tmp_path / "folder"
    export_bin(mixed[0], folder)
    if callable(change):
        (folder / "pairs.csv").write_text(change((folder / "pairs.csv").read_text()))
        if not (folder / file).exists():
            (folder / file).write_text("mine")
    else:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(change)
    before = digest_files(tmp_path)
    with pytest.raises(OutputError, match=r"is no part of an export of a bin\. Move it away"):
        export_bin(mixed[0], folder, overwrite=True)
    assert digest_files(tmp_path) == before


def test_a_bin_that_is_refused_writes_nothing(tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"cposix\nsystem\n(S'touch PWNED'\ntR.")
    with pytest.raises(SourceError, match=r"posix\.system"):
        rewrite_bin(tmp_path / "bad.bin", tmp_path / "new.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.bin"]
