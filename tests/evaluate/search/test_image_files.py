import numpy as np
import pytest
from tests.evaluate.search.conftest import PIXELS
from tests.made_pairs import encode

from fr_eval.errors import FaceSetError
from fr_eval.export.sample_images import draw_images
from fr_eval.models.embedder import Embedder
from fr_eval.search.image_files import embed_files, list_images

ORDER = [2, 3, 0, 1, 4, 5, 6]  # a/10, a/11, a/8, a/9, b/12, b/13, b/14


def test_images_are_listed_at_any_depth_in_the_order_of_bytes(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    images, others = list_images(folder)
    assert [path.relative_to(folder).as_posix() for path in images] == [
        *("a/10.png", "a/11.png", "a/8.png", "a/9.png"),
        *("b/12.png", "b/13.png", "b/14.png"),
    ]
    assert others == [folder / "notes.txt"]


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path):
    with pytest.raises(FaceSetError, match="there is none of that name"):
        list_images(tmp_path / "missing")
    with pytest.raises(FaceSetError, match="holds no images"):
        list_images(tmp_path)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("mirror", [True, False])
def test_files_are_embedded_as_their_pixels_are(embedder, folder, batch_size, mirror):
    paths, _ = list_images(folder)
    found = embed_files(embedder, paths, mirror=mirror, batch_size=batch_size)
    assert np.allclose(found.embeddings, embedder.embed(PIXELS[ORDER], mirror=mirror), atol=1e-4)
    assert found.paths == paths
    assert found.describe_sizes() == [""] * 7


def test_images_of_another_size_are_resized_and_said_to_be(embedder, tmp_path):
    for name, size in (("right", (16, 16)), ("larger", (32, 32)), ("wide", (16, 40))):
        (tmp_path / f"{name}.png").write_bytes(encode(draw_images(1, size=size)[0], "PNG"))
    paths, _ = list_images(tmp_path)
    found = embed_files(embedder, paths)
    assert found.describe_sizes() == ["32 x 32, resized to 16 x 16", "", "40 x 16, resized and distorted to 16 x 16"]


@pytest.fixture
def spoilt(folder):
    (folder / "a" / "9.png").write_bytes(encode(PIXELS[1], "PNG")[:100])
    (folder / "b" / "12.png").write_bytes(b"")
    return list_images(folder)[0]


def test_a_damaged_image_ends_it_and_is_named(embedder, spoilt):
    with pytest.raises(FaceSetError, match=r"a/9\.png: not a readable image"):
        embed_files(embedder, spoilt)


@pytest.mark.parametrize("batch_size", [2, 64])
def test_damaged_images_are_left_out_and_listed_where_that_is_asked_for(embedder, spoilt, batch_size):
    found = embed_files(embedder, spoilt, on_error="skip", batch_size=batch_size, mirror=False)
    assert [(path.name, reason[:20]) for path, reason in found.failures.items()] == [
        ("9.png", "not a readable image"),
        ("12.png", "not a readable image"),
    ]
    assert [path.name for path in found.paths] == ["10.png", "11.png", "8.png", "13.png", "14.png"]
    assert np.allclose(found.embeddings, embedder.embed(PIXELS[[2, 3, 0, 5, 6]]), atol=1e-4)


def test_where_nothing_could_be_read_that_is_an_error(embedder, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(FaceSetError, match=r"not one of 2 images .*a\.png"):
        embed_files(embedder, [tmp_path / "a.png", tmp_path / "missing.png"], on_error="skip")


def test_a_file_that_went_away_is_named(embedder, tmp_path):
    with pytest.raises(FaceSetError, match=r"gone\.png: cannot be read: No such file"):
        embed_files(embedder, [tmp_path / "gone.png"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_embedding_without_direction_is_told_with_its_file(embedder, folder, value):
    def forward(images):
        rows = np.ones((len(images), 6), np.float32)
        rows[2] = value
        return rows

    broken = Embedder(forward, embedder.image_input, 6, "none", "Keras", "broken")
    paths, _ = list_images(folder)
    with pytest.raises(FaceSetError, match=r"a/8\.png: its embedding is NaN, infinite or zero"):
        embed_files(broken, paths, mirror=False)
    assert list(embed_files(broken, paths, mirror=False, on_error="skip").failures) == [folder / "a" / "8.png"]
