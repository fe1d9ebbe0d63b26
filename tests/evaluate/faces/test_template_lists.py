import numpy as np
import pytest
from tests.evaluate.faces.template_sets import write_template_set

from fr_eval.errors import FaceSetError
from fr_eval.faces.template_lists import read_template_set

FACES = "a.jpg 7 1\nb.jpg 7 1\nc.jpg 7 2\na.jpg 3 9\n"
POINTS = "".join(f"{name}.jpg 1 2 3 4 5 6 7 8 9 {tenth} 0.{tenth}\n" for name, tenth in (("c", 5), ("b", 2), ("a", 8)))
PAIRS = "3 7 1\n7 7 0\n7 3 0\n"


@pytest.fixture
def write(tmp_path):
    def write_lists(*, faces=FACES, points=POINTS, pairs=PAIRS, images="abc"):
        (tmp_path / "meta").mkdir(exist_ok=True)
        (tmp_path / "loose_crop").mkdir(exist_ok=True)
        for name, text in (("face_tid_mid", faces), ("name_5pts_score", points), ("template_pair_label", pairs)):
            (tmp_path / "meta" / f"x_{name}.txt").write_text(text)
        for image in images:
            (tmp_path / "loose_crop" / f"{image}.jpg").touch()
        return tmp_path

    return write_lists


def test_the_lists_are_joined_by_name(write):
    found = read_template_set(write())
    assert found.name == "x"
    assert [path.name for path in found.images] == ["c.jpg", "b.jpg", "a.jpg"]
    assert found.points[0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 5]]
    assert found.template_ids.tolist() == [3, 7]
    # Image and template of each face; a and b share the media 1 of template 7, so that each counts half.
    faces = zip(found.face_images.tolist(), found.face_templates.tolist(), found.face_weights.tolist(), strict=True)
    assert sorted(faces) == [(0, 1, 0.5), (1, 1, 0.1), (2, 0, 0.8), (2, 1, 0.4)]
    assert (np.diff(found.face_images) >= 0).all()
    assert (found.first.tolist(), found.second.tolist()) == ([0, 1, 1], [1, 1, 0])
    assert found.issame.tolist() == [True, False, False]


def test_blanks_tabs_and_line_ends_of_other_systems_are_read(write):
    spaced = FACES.replace(" ", "\t ").replace("\n", " \r\n") + "\r\n"
    assert read_template_set(write(faces=spaced)).template_ids.tolist() == [3, 7]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (
            {"faces": FACES + "\nd.jpg 8\n"},
            r"face_tid_mid.txt: line 6: expected 'image template media'; received 'd.jpg 8'",
        ),
        ({"faces": FACES + "c.jpg 8 x\n"}, r"line 5: .*received 'c.jpg 8 x'"),
        ({"faces": FACES + "c.jpg 8 1 1\n"}, r"line 5: .*received 'c.jpg 8 1 1'"),
        ({"faces": "c.jpg 8\n"}, r"line 1: .*received 'c.jpg 8'"),
        ({"faces": ""}, r"face_tid_mid.txt: expected .*received 'No columns"),
        ({"faces": "c.jpg 8 99999999999999999999\n"}, r"face_tid_mid.txt: expected 'image template media'"),
        ({"points": POINTS.replace("0.2", "nan")}, r"name_5pts_score.txt: .*expected"),
        ({"points": POINTS.replace("0.2", "inf")}, r"b.jpg: expected finite numbers .* received \[1.0, .*inf\]"),
        ({"points": POINTS.replace("0.2", "-0.2")}, r"b.jpg: expected .* a score of at least 0"),
        ({"points": POINTS + POINTS[:32].splitlines()[0] + "\n"}, r"1 images have several lines: c.jpg"),
        ({"points": POINTS.splitlines()[0]}, r"2 images have no line, .*: a.jpg, b.jpg"),
        ({"pairs": PAIRS + "7 3 2\n"}, r"expected labels of 1 and 0; received '7 3 2'"),
        ({"pairs": PAIRS + "7 8 1\n9 8 0\n"}, r"pair_label.txt: 1 templates have no faces .*: 9"),
        ({"pairs": PAIRS + "".join(f"7 {i} 1\n" for i in range(20, 29))}, r"9 templates .*: 20, 21, 22, 23, 24, …"),
        ({"images": "b"}, r"2 images are missing: .*c.jpg, .*a.jpg"),
    ],
)
def test_what_does_not_fit_is_named(write, lists, message):
    with pytest.raises(FaceSetError, match=message):
        read_template_set(write(**lists))


def test_a_folder_that_is_no_template_set_is_refused(write, tmp_path):
    with pytest.raises(FaceSetError, match=r"meta: expected one list <name>_face_tid_mid.txt, .* received none"):
        read_template_set(tmp_path)
    folder = write()
    (folder / "meta" / "x_template_pair_label.txt").unlink()
    with pytest.raises(FaceSetError, match=r"x_template_pair_label.txt: is missing"):
        read_template_set(folder)
    (folder / "meta" / "y_face_tid_mid.txt").touch()
    with pytest.raises(FaceSetError, match=r"received x_face_tid_mid.txt, y_face_tid_mid.txt"):
        read_template_set(folder)


def test_a_drawn_set_is_read_whole(tmp_path):
    found = read_template_set(write_template_set(tmp_path / "set"))
    assert len(found.images) == len(list((tmp_path / "set" / "loose_crop").iterdir())) == len(found.face_images)
    assert len(found.first) == 66
