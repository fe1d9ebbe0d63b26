import base64
import html
import io
import json
import re

import pytest
from click.testing import CliRunner
from PIL import Image

from fr_data.bins.bins import write_bin
from fr_prep.cli import main
from fr_prep.errors import OutputError, SourceError
from fr_prep.survey.classes import read_classed_images
from fr_prep.survey.preview import picture
from fr_prep.survey.preview.class_sheet import ClassSheetSettings, make_class_sheet
from fr_prep.survey.preview.page import render_page
from fr_prep.survey.preview.pair_sheet import PairSheetSettings, make_pair_sheet
from fr_prep.survey.preview.picture import render_picture
from fr_prep.survey.preview.sheet import Group, Sheet, make_tile

EVIL = "<script>alert(\"1\")</script> & 'quoted'"


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def images_in(page):
    """The images of a page, decoded from their addresses."""
    return [base64.b64decode(text) for text in re.findall(r'src="data:image/[a-z]+;base64,([^"]+)"', page)]


@pytest.fixture
def made(make_set, drawn_image, tmp_path, monkeypatch):
    """A set of 3 classes with 5, 2 and 30 images, its shards, and a bin; images 2 and 6 of the set cannot be decoded."""

    monkeypatch.chdir(tmp_path)

    def image(key):
        whole = drawn_image(key, height=20 + key, image_format="PNG" if key % 5 == 0 else "JPEG")
        return whole[:350] if key in (2, 6) else whole

    made = make_set(tmp_path / "set", images_per_class=[5, 2, 30], labels=[7, 8, 1000], images=image)
    assert run("rec2tfrecord", "set", "shards", "--shards", "2", "-q").exit_code == 0
    write_bin(tmp_path / "x.bin", [image(key) for key in range(1, 13)], [True, False, False, False, True, True])
    return made


@pytest.fixture
def folder(made):
    return made.folder.parent


def test_a_page_holds_the_images_byte_for_byte(made):
    sheet = make_class_sheet(read_classed_images(made.folder), ClassSheetSettings(num_classes=3, num_images=100))
    expected = [record.image for record in made.records if record.key not in (2, 6)]
    assert images_in(render_page(sheet)) == expected
    assert (sheet.num_images, sheet.num_undecodable) == (37, 2)


def test_a_page_loads_nothing(made):
    page = render_page(make_class_sheet(read_classed_images(made.folder), ClassSheetSettings()))
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert not re.findall(r"https?:|url\(|@import|<script|<link", page)


def test_a_set_and_its_shards_give_the_same_sheet(folder):
    sheets = [
        make_class_sheet(read_classed_images(folder / name), ClassSheetSettings(num_images=4))
        for name in ("set", "shards")
    ]
    shown = [[[tile.image for tile in group.tiles] for group in sheet.groups] for sheet in sheets]
    assert shown[0] == shown[1]
    assert [len(tiles) for tiles in shown[0]] == [4, 2, 4]


def test_the_choice_depends_on_the_seed_alone(make_set, tmp_path):
    make_set(tmp_path, images_per_class=[3] * 40)
    classed = read_classed_images(tmp_path)

    def choice(**settings):
        sheet = make_class_sheet(classed, ClassSheetSettings(num_classes=4, num_images=2, **settings))
        return [(group.title, [tile.caption for tile in group.tiles]) for group in sheet.groups]

    assert choice() == [
        ("class 12", ["38", "39"]),
        ("class 19", ["58", "59"]),
        ("class 38", ["116", "117"]),
        ("class 39", ["118", "120"]),
    ]
    assert choice(seed=1) != choice()


def test_named_classes_come_in_the_order_in_which_they_are_named(made):
    classed = read_classed_images(made.folder)
    sheet = make_class_sheet(classed, ClassSheetSettings(classes=("2", "0", "2"), num_images=8))
    assert [group.title for group in sheet.groups] == ["class 2", "class 0"]
    assert sheet.groups[0].details == ("source label 1000", "30 images, 8 shown")
    with pytest.raises(SourceError, match="expected a class from 0 to 2, or the name of one, received '3'"):
        make_class_sheet(classed, ClassSheetSettings(classes=("3",)))


@pytest.mark.parametrize("only", [None, "same", "different"])
def test_pairs_are_marked_as_the_bin_has_them(only, folder):
    sheet = make_pair_sheet(folder / "x.bin", PairSheetSettings(only=only))
    marks = {0: "same", 1: "different", 2: "different", 3: "different", 4: "same", 5: "same"}
    expected = [(f"pair {pair}", mark) for pair, mark in marks.items() if only in (None, mark)]
    assert [(group.title, group.mark) for group in sheet.groups] == expected
    page = render_page(sheet)
    assert page.count("<strong>same</strong>") == [mark for _, mark in expected].count("same")
    assert page.count('class="pair apart"') == [mark for _, mark in expected].count("different")


def test_a_bin_without_such_pairs_is_a_clear_error(drawn_image, tmp_path):
    write_bin(tmp_path / "x.bin", [drawn_image(0), drawn_image(1)], [True])
    with pytest.raises(SourceError, match="expected pairs marked different"):
        make_pair_sheet(tmp_path / "x.bin", PairSheetSettings(only="different"))


def test_names_are_escaped(drawn_image):
    sheet = Sheet(
        EVIL, (EVIL,), (Group(EVIL, (EVIL,), (make_tile(drawn_image(0), EVIL), make_tile(b"<b>no image</b>"))),)
    )
    page = render_page(sheet)
    assert "<script" not in page
    assert "<b>" not in page
    assert page.count(html.escape(EVIL).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) == 8
    render_picture(sheet)


def test_what_cannot_be_decoded_is_marked_with_the_reason(made):
    sheet = make_class_sheet(read_classed_images(made.folder), ClassSheetSettings(num_images=5))
    page = render_page(sheet)
    assert page.count('<div class="broken">not decodable: ') == sheet.num_undecodable == 2
    assert "2 of 12 images cannot be decoded" in page
    pixels = Image.open(io.BytesIO(render_picture(sheet)))
    assert Image.new("RGB", (1, 1), picture.APART).getpixel((0, 0)) in {
        colour for _, colour in pixels.getcolors(1 << 20)
    }


def test_formats_that_browsers_do_not_show_become_png():
    files = {}
    for image_format in ("TIFF", "BMP", "GIF"):
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4), "red").save(buffer, image_format)
        files[image_format] = buffer.getvalue()
    tiles = tuple(make_tile(image) for image in files.values())
    shown = images_in(render_page(Sheet("x", (), (Group("x", (), tiles),))))
    assert shown[1:] == [files["BMP"], files["GIF"]]
    assert Image.open(io.BytesIO(shown[0])).format == "PNG"


def test_images_of_other_sizes_are_scaled_to_fit(drawn_image):
    wide, small = drawn_image(0, height=40, width=400, image_format="PNG"), drawn_image(1, height=8, width=8)
    drawn = Image.open(
        io.BytesIO(render_picture(Sheet("x", (), (Group("x", (), (make_tile(wide), make_tile(small))),))))
    )
    left, top = picture.MARGIN + picture.LABEL, picture.MARGIN + 30 + 2 * picture.GAP
    middle, edge = drawn.getpixel((left + 50, top + 56)), drawn.getpixel((left + 50, top + 20))
    assert edge == (238, 241, 244)  # the panel behind it
    assert middle != edge


def test_a_class_of_many_images_fills_as_many_lines_as_it_needs(drawn_image):
    tiles = tuple(make_tile(drawn_image(0), str(number)) for number in range(500))
    sheet = Sheet("x", (), (Group("class 0", (), tiles), Group("class 1", (), tiles[:1])))
    drawn = Image.open(io.BytesIO(render_picture(sheet)))
    assert drawn.width == 2 * picture.MARGIN + picture.LABEL + 12 * 120 - 8
    assert drawn.height > 42 * (112 + 15 + 8)
    assert render_page(sheet).count("<img ") == 501


def test_a_picture_that_would_be_too_large_is_refused(drawn_image, monkeypatch):
    monkeypatch.setattr(picture, "MAX_PIXELS", 100_000)
    with pytest.raises(OutputError, match="Show fewer images, or write HTML"):
        render_picture(Sheet("x", (), (Group("x", (), (make_tile(drawn_image(0)),)),)))


@pytest.mark.parametrize("out", ["out.png", "out.html", "OUT.PNG"])
@pytest.mark.parametrize("source", ["set", "shards", "x.bin"])
def test_a_sheet_is_written_and_is_always_the_same(source, out, folder):
    ended = run("preview", source, out, "--seed", "3", "--json")
    assert ended.exit_code == 0, ended.stderr
    content = (folder / out).read_bytes()
    found = json.loads(ended.stdout)
    assert (found["num_bytes"], found["num_undecodable"] > 0) == (len(content), True)
    again = run("preview", source, out, "--seed", "3", "--overwrite")
    assert "cannot be decoded; they are marked" in again.stdout
    assert (folder / out).read_bytes() == content


@pytest.mark.parametrize("out", ["found.png", "found.html"])
def test_what_stats_found_can_be_looked_at(out, make_set, soft_image, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_set(tmp_path / "set", images_per_class=[2, 2], images=lambda key: soft_image(key % 2, quality=90 - 10 * key))
    write_bin(tmp_path / "x.bin", [soft_image(1, quality=80), soft_image(9)], [True])
    listed = run("stats", "set", "--near-duplicates", "--bins", "x.bin", "--list", "l.csv")
    assert listed.exit_code == 0, listed.stderr
    ended = run("preview", "set", out, "--found", "l.csv", "--json")
    assert ended.exit_code == 0, ended.stderr
    marks = [group["mark"] for group in json.loads(ended.stdout)["groups"]]
    assert sorted(marks) == ["different classes", "different classes", "in x.bin", "in x.bin"]
    fewer = run("preview", "set", out, "--found", "l.csv", "--pairs", "1", "--overwrite")
    assert "2 images of 1 pair," in fewer.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "l.csv: cannot be read"),
        ("a,b\n1,2\n", "expected a table that"),
        ("kind,distance\nduplicate,many\n", "expected a table that"),
        (
            "kind,distance,fine_distance,class,source_key,other_class,other_key,bin,bin_entry,problem\n",
            "names no pairs",
        ),
        (
            "kind,distance,fine_distance,class,source_key,other_class,other_key,bin,bin_entry,problem\nduplicate,0,0,0,1,1,999,,,\n",
            "has no image of class 1 with key 999",
        ),
    ],
)
def test_a_list_that_is_none_of_this_set_is_refused(text, message, folder):
    if text is not None:
        (folder / "l.csv").write_text(text)
    ended = run("preview", "set", "out.png", "--found", "l.csv")
    assert (ended.exit_code, message in ended.stderr) == (1, True)


def test_a_class_is_shown_by_its_name(numbered_jpeg, tmp_path):
    for number, name in enumerate(("Ann", "Bob")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(numbered_jpeg(number))
    sheet = make_class_sheet(read_classed_images(tmp_path), ClassSheetSettings(classes=("Bob", "0")))
    assert [group.title for group in sheet.groups] == ["class 1", "class 0"]
    assert sheet.groups[0].details[0] == "Bob"


def test_a_dry_run_writes_nothing(folder):
    ended = run("preview", "set", "out.png", "--dry-run")
    assert "Would write out.png: 15 images of 3 classes" in ended.stdout
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "out.png"], "nothing"),
        (["nothing.bin", "out.png"], "nothing.bin"),
        (["set", "there.png"], "--overwrite"),
        (["set", "no/out.png"], "its folder does not exist"),
        (["set", "out.png", "--class", "3"], "expected a class from 0 to 2, or the name of one, received '3'"),
        (["set", "out.png", "--class", "Ann"], "received 'Ann'"),
        (["set", "out.png", "--class=-1"], "received '-1'"),
    ],
)
def test_a_failure_is_one_line_and_ends_with_1(arguments, message, folder):
    (folder / "there.png").touch()
    ended = run("preview", *arguments)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    assert message in ended.stderr
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "out.jpg"],
        ["set", "out.png", "--class", "1", "--classes", "3"],
        ["set", "out.png", "--pairs", "3"],
        ["set", "out.png", "--only", "same"],
        ["set", "out.png", "--found", "l.csv", "--images", "3"],
        ["x.bin", "out.png", "--class", "3"],
        ["x.bin", "out.png", "--found", "l.csv"],
        ["x.bin", "out.png", "--only", "some"],
    ],
)
def test_options_that_cannot_be_end_with_2(arguments, folder):
    assert run("preview", *arguments).exit_code == 2


@pytest.mark.shared
def test_real_faces_and_bins_of_every_dialect_are_shown(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = [shared / "faces" / "tiny", shared / "mxnet" / "png", *sorted((shared / "faces").glob("lfw_tiny*.bin"))]
    sources.append(shared / "mxnet" / "bins" / "bad_image.bin")
    for number, source in enumerate(sources):
        ended = run("preview", source, f"{number}.html", "--json")
        assert ended.exit_code == 0, ended.stderr
        assert json.loads(ended.stdout)["num_undecodable"] == (source.name == "bad_image.bin")
