import numpy as np
import pytest

from fr_eval.errors import ModelError
from fr_eval.models.embedder import Embedder
from fr_eval.models.shapes import ImageInput


def make_embedder(*, batch_size=None, forward=None):
    """Its embedding of an image are the first three bytes; it keeps the sizes of its batches."""
    sizes = []

    def take_bytes(images):
        assert images.flags.c_contiguous
        sizes.append(len(images))
        return images.reshape(len(images), -1)[:, :3].astype(np.float32)

    embedder = Embedder(forward or take_bytes, ImageInput("nhwc", (8, 6), batch_size), 3, "none", "Keras", "bytes")
    return embedder, sizes


def test_images_go_through_in_batches_and_the_last_is_shorter(images):
    embedder, sizes = make_embedder()
    found = embedder.embed(images, batch_size=3)
    assert np.array_equal(found, images[:, 0, 0])
    assert found.dtype == np.float32
    assert sizes == [3, 3, 1]
    assert embedder.embed(images[:0]).shape == (0, 3)


def test_a_network_of_a_fixed_batch_gets_full_ones(images):
    embedder, sizes = make_embedder(batch_size=4)
    assert np.array_equal(embedder.embed(images, batch_size=3), images[:, 0, 0])
    assert sizes == [4, 4]


def test_mirror_gives_the_sum_of_both(images):
    embedder, _ = make_embedder()
    both = images[:, 0, 0].astype(np.float32) + images[:, 0, -1]
    assert np.array_equal(embedder.embed(images, mirror=True), both)


def test_images_of_another_shape_or_type_are_refused(images):
    embedder, _ = make_embedder()
    with pytest.raises(ModelError, match=r"bytes: expected images of uint8 .* received float32"):
        embedder.embed(images.astype(np.float32))
    with pytest.raises(ModelError, match=r"\(N, 8, 6, 3\); received uint8 and \(7, 4, 6, 3\)"):
        embedder.embed(images[:, :4])


def test_a_network_that_gives_another_shape_than_it_says_is_refused(images):
    embedder, _ = make_embedder(forward=lambda images: np.zeros((1, 3), np.float32))
    with pytest.raises(ModelError, match=r"expected embeddings of the shape \(7, 3\) of 7 images; received \(1, 3\)"):
        embedder.embed(images)
