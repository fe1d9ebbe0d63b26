import json
import os
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from fr_data.images import pictures
from fr_data.images.pictures import load_picture, save_png
from fr_prep.errors import OutputError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ENCODED
from fr_prep.workers.pool import LocalPool
from fr_prep.write.build import BuildSettings, build_dataset

SCHEMA = Path(__file__).parents[3] / "docs" / "manifest.schema.json"
NAMES = ["anna, b/1.png", "anna, b/3.webp", "anna, b/deep/er/2.jpg", "bob/1.jpg", "zoë/1.jpg", "zoë/2.bmp"]


@pytest.fixture
def classes(tmp_path, drawn_image):
    """Three classes of several formats, with what is no image among them."""
    folder = tmp_path / "people"
    for number, (path, image_format) in enumerate(
        zip(NAMES, ["PNG", "WEBP", "JPEG", "JPEG", "JPEG", "BMP"], strict=True)
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(drawn_image(number, image_format=image_format))
    (folder / "empty").mkdir()
    (folder / "bob" / "Thumbs.db").write_bytes(b"not an image")
    (folder / "zoë" / ".DS_Store").write_bytes(b"hidden")
    (folder / "readme.txt").write_text("mine")
    return folder


def expected_bytes(path):
    data = path.read_bytes()
    return data if path.suffix in (".jpg", ".png") else save_png(load_picture(data).image)


def build(source, out, *, workers=1, overwrite=False, resume=False, **plan):
    plan = PlanSettings(**{"num_shards": 2, "seed": 1, **plan})
    settings = BuildSettings(plan=plan, num_workers=workers, overwrite=overwrite, resume=resume, quiet=True)
    return build_dataset(source, out, settings=settings)


def all_faces(read_faces, out):
    return {face.source_key: face for shards in read_faces(out).values() for shard in shards for face in shard}


def test_images_come_in_order_with_the_numbers_of_their_folders(classes):
    images = ClassFolderSource(classes).read()
    assert images.labels.tolist() == [0, 0, 0, 1, 3, 3]
    assert images.keys.tolist() == [0, 1, 2, 3, 4, 5]
    assert images.class_names == {0: "anna, b", 1: "bob", 2: "empty", 3: "zoë"}
    assert images.places.image_offsets.tolist() == [0, ENCODED, 0, 0, 0, ENCODED]
    with ImageReader(images.places) as reader:
        assert [reader.read(row) for row in range(6)] == [expected_bytes(classes / name) for name in NAMES]


def test_what_is_no_image_and_what_is_changed_is_said_with_its_name(classes):
    images = ClassFolderSource(classes).read()
    assert images.num_other_records == 3
    assert images.warnings == [
        "1 entry is no class folder: readme.txt.",
        "2 files are no image: bob/Thumbs.db, zoë/.DS_Store.",
        "1 class folder holds no image: empty.",
        "2 pictures are no JPEG or PNG, and encoded as PNG: 1 BMP, 1 WEBP.",
    ]


def test_many_names_are_counted_and_the_first_ones_given(classes):
    for number in range(9):
        (classes / "bob" / f"{number}.txt").write_text("landmarks")
    assert ClassFolderSource(classes).read().warnings[1] == (
        "11 files are no image: bob/0.txt, bob/1.txt, bob/2.txt, bob/3.txt, bob/4.txt, …."
    )


def test_shards_hold_every_image_and_the_class_index_the_names(classes, read_faces, tmp_path):
    manifest = build(ClassFolderSource(classes), tmp_path / "out")
    faces = all_faces(read_faces, tmp_path / "out")
    assert [faces[key].image for key in range(6)] == [expected_bytes(classes / name) for name in NAMES]
    assert [faces[key].source_label for key in range(6)] == [0, 0, 0, 1, 3, 3]
    assert [faces[key].label for key in range(6)] == [0, 0, 0, 1, 2, 2]
    table = pd.read_csv(tmp_path / "out" / "classes.csv")
    assert (table.name.tolist(), table.source_label.tolist()) == (["anna, b", "bob", "zoë"], [0, 1, 3])
    jsonschema.validate(manifest.content, json.loads(SCHEMA.read_text()))
    source, arguments = manifest.content["source"], manifest.content["arguments"]
    num_bytes = sum((classes / name).stat().st_size for name in [*NAMES, "bob/Thumbs.db"])
    assert [(entry["file"], entry["num_bytes"]) for entry in source["files"]] == [("people", num_bytes)]
    assert (source["dialect"], arguments["on_error"], arguments["decode"]) == ("class folders", "fail", False)


def test_the_number_of_workers_changes_no_byte(classes, digest_files, tmp_path):
    for workers in (1, 3):
        build(ClassFolderSource(classes, num_workers=workers), tmp_path / f"out{workers}", workers=workers)
    assert digest_files(tmp_path / "out1") == digest_files(tmp_path / "out3")


def test_a_copy_elsewhere_gives_the_same_bytes(classes, digest_files, tmp_path):
    """Neither the place, nor times, nor the order in which the file system lists count."""
    copy = tmp_path / "copy" / "people"
    for path in sorted(classes.rglob("*"), reverse=True):
        if path.is_file():
            (copy / path.relative_to(classes)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(classes)).write_bytes(path.read_bytes())
    (copy / "empty").mkdir()
    build(ClassFolderSource(classes), tmp_path / "one")
    build(ClassFolderSource(copy), tmp_path / "two")
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "two")


def test_damaged_images_are_an_error_that_names_them(classes, tmp_path):
    (classes / "bob" / "0.jpg").write_bytes(b"<html>")
    (classes / "zoë" / "3.jpg").symlink_to("nowhere")
    with pytest.raises(SourceError, match=r"2 images cannot be read: bob/0\.jpg: .*; zoë/3\.jpg: .*--on-error skip"):
        build(ClassFolderSource(classes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_images_are_left_out_and_listed_where_that_is_allowed(classes, read_faces, tmp_path):
    (classes / "bob" / "0.jpg").write_bytes(b"<html>")
    manifest = build(ClassFolderSource(classes, on_error="skip"), tmp_path / "out")
    reason = "bob/0.jpg: expected the header of a picture, received 3c 68 74 6d 6c 3e"
    assert manifest.content["left_out"] == {"num_records": 1, "records": [{"offset": 0, "key": 3, "reason": reason}]}
    assert sorted(all_faces(read_faces, tmp_path / "out")) == [0, 1, 2, 4, 5, 6]
    assert f"1 damaged image is left out: {reason}." in manifest.content["warnings"]


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("none")
    with pytest.raises(SourceError, match="expected images in its class folders, received none"):
        ClassFolderSource(tmp_path).read()
    with pytest.raises(SourceError, match="there is no such folder"):
        build(ClassFolderSource(tmp_path / "none"), tmp_path / "out")


def change_size(path):
    path.write_bytes(path.read_bytes() + b"more")


def change_time(path):
    os.utime(path, ns=(1, 1))


def add_another(path):
    path.with_name("new.jpg").touch()


@pytest.mark.parametrize("change", [change_size, change_time, add_another, Path.unlink])
def test_a_file_that_changes_while_it_is_read_is_noticed(classes, change):
    source = ClassFolderSource(classes)
    with LocalPool(1) as pool:
        wait = source.start_digests(pool)
        source.read()
        change(classes / "bob" / "1.jpg")
        with pytest.raises(SourceError, match=r"bob/\w+\.jpg: was changed while the source was read"):
            wait()


def test_a_file_that_is_shorter_when_it_is_read_is_an_error_that_names_it(classes, monkeypatch, tmp_path):
    source = ClassFolderSource(classes)
    read = source.read
    monkeypatch.setattr(source, "read", lambda: (read(), os.truncate(classes / "bob" / "1.jpg", 100))[0])
    with pytest.raises(SourceError, match=r"bob/1\.jpg: expected an image of \d+ bytes"):
        build(source, tmp_path / "out")


def test_a_picture_whose_png_has_another_length_than_planned_is_an_error(classes, monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, "encode_file", lambda path: b"another PNG")
    with pytest.raises(SourceError, match=r"people/.*(webp|bmp): expected an image of \d+ bytes"):
        build(ClassFolderSource(classes), tmp_path / "out")


def test_an_interrupted_conversion_goes_on_only_where_no_file_changed(classes, digest_files, monkeypatch, tmp_path):
    build(ClassFolderSource(classes), tmp_path / "whole", num_shards=3)

    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "encode_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(ClassFolderSource(classes), tmp_path / "out", num_shards=3)
    monkeypatch.undo()
    times = (classes / "bob" / "1.jpg").stat()
    change_time(classes / "bob" / "1.jpg")
    with pytest.raises(OutputError, match="source index"):
        build(ClassFolderSource(classes), tmp_path / "out", num_shards=3, resume=True)
    os.utime(classes / "bob" / "1.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    build(ClassFolderSource(classes), tmp_path / "out", num_shards=3, resume=True)
    assert digest_files(tmp_path / "out") == digest_files(tmp_path / "whole")
