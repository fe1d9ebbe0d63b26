import numpy as np
import pytest
from tests.made_pairs import encode

from fr_eval.errors import FaceSetError
from fr_eval.faces.open_identities import read_identities

IMAGE = encode(np.zeros((8, 8, 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    for name in ("b/1.jpg", "b/deep/2.PNG", "B/3.jpg", "10/4", "2/5.jpg"):
        path = tmp_path / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGE + name.encode())
    return tmp_path / "faces"


def test_people_are_the_folders_sorted_as_bytes_and_images_lie_at_any_depth(folder):
    faces = read_identities(folder)
    assert faces.names == ["10", "2", "B", "b"]
    assert faces.labels.tolist() == [0, 1, 2, 3, 3]
    assert [faces.locate(index).removeprefix(f"{folder}/") for index in range(5)] == [
        *("10/4", "2/5.jpg", "B/3.jpg", "b/1.jpg", "b/deep/2.PNG")
    ]
    assert faces.read(4) == IMAGE + b"b/deep/2.PNG"
    assert faces.warnings == ()


def test_what_is_no_image_of_a_person_is_counted_and_named(folder):
    (folder / "images.csv").write_text("file,key")
    (folder / "b" / "notes.txt").write_text("none")
    (folder / "b" / ".hidden.jpg").write_bytes(IMAGE)
    (folder / "nobody").mkdir()
    (folder / ".cache").mkdir()
    (folder / ".cache" / "1.jpg").write_bytes(IMAGE)
    faces = read_identities(folder)
    assert faces.names == ["10", "2", "B", "b"]
    assert len(faces.labels) == 5
    assert faces.warnings == (
        f"{folder}: 2 files are no images of a class folder, and were passed over: b/notes.txt, images.csv",
    )


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "9.jpg").write_bytes(IMAGE)
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    assert read_identities(folder).names == ["10", "2", "B", "b", "c"]
    (folder / "b" / "deep" / "up").symlink_to(folder / "b")
    with pytest.raises(FaceSetError, match="b/deep/up: leads back to a folder above it"):
        read_identities(folder)


def test_folders_without_people_are_refused(tmp_path):
    with pytest.raises(FaceSetError, match="nowhere: there is no such folder"):
        read_identities(tmp_path / "nowhere")
    (tmp_path / "1.jpg").write_bytes(IMAGE)
    with pytest.raises(FaceSetError, match="holds no images in class folders"):
        read_identities(tmp_path)
