import threading
import time

import numpy as np
import pytest

from fr_eval.models.image_stream import stream_images


def numbered(index):
    return np.full((2, 2, 3), index, np.uint8)


@pytest.mark.parametrize(("num_images", "batch_size", "workers"), [(0, 4, 1), (1, 4, 2), (17, 4, 3), (200, 7, None)])
def test_images_come_in_order_and_in_batches(num_images, batch_size, workers):
    batches = list(stream_images(numbered, num_images, batch_size=batch_size, workers=workers))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert [int(image[0, 0, 0]) for batch in batches for image in batch] == list(range(num_images))


def test_no_more_than_four_batches_are_loaded_at_a_time():
    loaded, lock = [0], threading.Lock()

    def load(index):
        with lock:
            loaded[0] += 1
        return numbered(index)

    used = 0
    for batch in stream_images(load, 200, batch_size=5, workers=4):
        time.sleep(0.002)  # time to load everything, were it not bounded
        assert loaded[0] <= used + 4 * 5
        used += len(batch)
    assert loaded[0] == used == 200


def test_an_error_ends_the_stream_and_what_is_queued_is_not_loaded():
    loaded = []

    def load(index):
        loaded.append(index)
        if index == 3:
            raise ValueError("image 3")
        return numbered(index)

    with pytest.raises(ValueError, match="image 3"):
        list(stream_images(load, 1_000, batch_size=8, workers=1))
    assert len(loaded) <= 4 * 8


def test_a_batch_needs_an_image():
    with pytest.raises(ValueError, match="at least 1; received 0"):
        next(stream_images(numbered, 3, batch_size=0))
