from dataclasses import replace

import numpy as np
import pytest
from tests.made_pairs import draw_pairs

from fr_data.bins.bins import read_bin, write_bin
from fr_data.images.decode import decode_image
from fr_eval.errors import BinError, ModelError
from fr_eval.models.embed import decode_bin, embed_bin
from fr_eval.models.keras_model import wrap_keras


@pytest.fixture(scope="module")
def embedder(tiny_model):
    return wrap_keras(tiny_model)


@pytest.fixture
def images():
    return draw_pairs(6)[0]


def test_a_bin_is_embedded_in_its_order_plain_and_mirrored(bin_path, embedder):
    bin_ = read_bin(bin_path)
    images = np.stack([decode_image(image) for image in bin_.images])
    for batch_size, workers in ((7, 1), (64, 4), (200, 2)):
        found = embed_bin(bin_, embedder, batch_size=batch_size, workers=workers)
        assert np.allclose(found.plain, embedder.embed(images), atol=1e-5)
        assert np.allclose(found.mirrored, embedder.embed(images[:, :, ::-1]), atol=1e-5)
    assert embed_bin(bin_, embedder, mirror=False).mirrored is None


def test_equal_images_are_embedded_once(tmp_path, images, embedder):
    write_bin(tmp_path / "b.bin", [images[0], images[1], images[0], images[0]], [True, False])
    bin_ = read_bin(tmp_path / "b.bin")
    decoded = decode_bin(bin_, (16, 16))
    assert decoded.images.shape == (2, 16, 16, 3)
    assert decoded.inverse.tolist() == [0, 1, 0, 0]
    counts = []
    counting = replace(embedder, forward=lambda batch: counts.append(len(batch)) or embedder.forward(batch))
    embed_bin(bin_, counting, mirror=False)
    assert counts == [2]


def test_decoded_images_give_the_same_embeddings(bin_path, embedder):
    bin_ = read_bin(bin_path)
    decoded = decode_bin(bin_, embedder.input_size)
    streamed, kept = embed_bin(bin_, embedder), embed_bin(bin_, embedder, decoded=decoded)
    assert np.array_equal(streamed.plain, kept.plain)
    assert np.array_equal(streamed.mirrored, kept.mirrored)
    with pytest.raises(ModelError, match="16, 16, 3"):
        embed_bin(bin_, embedder, decoded=decode_bin(bin_, (8, 8)))


def test_a_damaged_image_is_named_by_both_ways(tmp_path, images, embedder):
    write_bin(tmp_path / "b.bin", [*images[:3], images[3][:300]], [True, False])
    bin_ = read_bin(tmp_path / "b.bin", check_images=False)
    for work in (lambda: embed_bin(bin_, embedder), lambda: decode_bin(bin_, (16, 16))):
        with pytest.raises(BinError, match=r"b\.bin: entry 3 \(pair 1"):
            work()


def test_a_batch_needs_an_image(bin_path, embedder):
    with pytest.raises(ValueError, match="at least 1; received 0"):
        embed_bin(read_bin(bin_path), embedder, batch_size=0)
