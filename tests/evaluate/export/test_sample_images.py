import numpy as np
import pytest

from fr_eval.errors import FaceSetError
from fr_eval.export.sample_images import draw_images, read_shard_images


def test_drawn_images_are_the_same_each_time_and_differ_among_themselves():
    images = draw_images(6, size=(20, 16), seed=1)
    assert (images.shape, images.dtype) == ((6, 20, 16, 3), np.uint8)
    assert np.array_equal(images, draw_images(6, size=(20, 16), seed=1))
    assert len({image.tobytes() for image in images}) == 6
    assert not np.array_equal(images, draw_images(6, size=(20, 16), seed=2))


def test_drawn_images_use_the_whole_range_of_pixels():
    images = draw_images(32, size=(112, 112))
    assert images.min() == 0
    assert images.max() == 255


def test_what_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(FaceSetError, match=r"manifest\.json"):
        read_shard_images(tmp_path, 3, size=(16, 16))


def test_images_of_shards_lie_evenly_over_the_set(face_shards, face_pixels):
    assert np.array_equal(read_shard_images(face_shards, 3, size=(20, 20)), face_pixels[[0, 5, 11]])
    assert np.array_equal(read_shard_images(face_shards, 50, size=(20, 20)), face_pixels)
    assert read_shard_images(face_shards, 2, size=(16, 16)).shape == (2, 16, 16, 3)


def test_a_damaged_image_of_a_shard_is_named(damaged_shards):
    with pytest.raises(FaceSetError, match=r"byte \d+, source key 7: not a readable image"):
        read_shard_images(damaged_shards, 50, size=(16, 16))
