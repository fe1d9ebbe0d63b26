"""The orders of an epoch: every record once, mixed; and P classes with K images each."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_data.shards.overlay import read_overlay
from fr_train.data.records.balanced import BalancedOrder, ClassRows
from fr_train.data.records.permutation import draw_order
from fr_train.data.records.shuffled import ShuffledOrder, WindowReader
from fr_train.data.shard_set import read_shard_set
from fr_train.data.stream import Stream, StreamSettings
from fr_train.errors import ShardSetError


def take(order, start, stop):
    parts = [(order.lay_out(window), part) for window, part in order.find(start, stop)]
    return np.concatenate([rows[mixed][part] for (rows, mixed), part in parts])


def test_the_order_is_the_same_in_every_release():
    assert draw_order(10, 1, 0, 1).tolist() == [3, 1, 7, 9, 4, 5, 0, 2, 8, 6]
    order = ShuffledOrder(np.arange(200), window_records=128, seed=(1, 0))
    assert take(order, 0, 8).tolist() == [63, 21, 1, 196, 40, 198, 38, 14]
    classes = ClassRows(np.arange(40, dtype=np.int32) % 10)
    balanced = BalancedOrder(classes, num_classes=3, images_per_class=2, seed=(1, 0))
    assert balanced.take_step(0).tolist() == [0, 10, 16, 26, 2, 22]


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 300), st.integers(0, 5))
def test_every_row_comes_once_and_any_part_is_the_same_as_of_the_whole(count, window, seed):
    rows = np.arange(count) * 3
    order = ShuffledOrder(rows, window_records=window, seed=(seed, 1))
    whole = take(order, 0, count)
    assert sorted(whole.tolist()) == rows.tolist()
    start, stop = count // 3, count - count // 4
    if start < stop:
        again = ShuffledOrder(rows, window_records=window, seed=(seed, 1))
        assert take(again, start, stop).tolist() == whole[start:stop].tolist()


def test_records_that_lie_together_are_mixed_with_those_of_all_the_set():
    order = ShuffledOrder(np.arange(64 * 1000), window_records=64 * 20, seed=(0, 0))
    window = take(order, 0, 64 * 20)
    blocks, counts = np.unique(window // 64, return_counts=True)
    assert (len(blocks), set(counts.tolist())) == (20, {64})
    assert blocks.max() - blocks.min() > 500
    assert len(np.unique(window[:64] // 64)) > 15


def test_other_seeds_and_epochs_give_other_orders():
    orders = {
        tuple(take(ShuffledOrder(np.arange(100), window_records=100, seed=seed), 0, 100))
        for seed in ((0, 0), (0, 1), (1, 0))
    }
    assert len(orders) == 3


def test_windows_are_read_once_each_one_ahead_as_they_lie():
    order = ShuffledOrder(np.arange(640), window_records=128, seed=(0, 0))
    fetched, all_fetched = [], threading.Semaphore(0)

    class Fetched:
        def __init__(self, rows):
            self.rows = rows
            fetched.append(rows)
            all_fetched.release()

        def images(self, places):
            return self.rows[places].tolist()

    windows = WindowReader(order, Fetched)
    for number in range(5):
        rows, images = windows.read(128 * number, 128 * (number + 1))
        assert images == rows.tolist() == take(order, 128 * number, 128 * (number + 1)).tolist()
        for _ in range(2 if number == 0 else number < 4):
            assert all_fetched.acquire(timeout=10)  # also the next one, before it is asked for
    assert len(fetched) == 5
    assert all((np.diff(rows.reshape(-1, 64)) == 1).all() for rows in fetched)


def test_a_part_may_lie_in_many_windows():
    order = ShuffledOrder(np.arange(300), window_records=1, seed=(0, 0))
    assert order.num_windows == 5
    windows = WindowReader(order, lambda rows: SimpleNamespace(images=lambda places: rows[places].tolist()))
    rows, images = windows.read(10, 290)
    assert images == rows.tolist() == take(order, 10, 290).tolist()


def test_what_goes_wrong_while_reading_ahead_is_raised_where_it_is_needed():
    order = ShuffledOrder(np.arange(128), window_records=64, seed=(0, 0))

    def fetch(rows):
        if rows[0] == order.lay_out(1)[0][0]:
            raise ShardSetError("window 1")
        return SimpleNamespace(images=lambda places: rows[places].tolist())

    windows = WindowReader(order, fetch)
    assert len(windows.read(0, 64)[1]) == 64
    with pytest.raises(ShardSetError, match="window 1"):
        windows.read(63, 65)


@settings(deadline=None)
@given(
    st.lists(st.integers(-1, 6), min_size=1, max_size=80).filter(lambda labels: max(labels) >= 0),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_images_are_drawn_of_the_asked_classes_as_evenly_as_can_be(labels, num_images, seed):
    labels = np.array(labels, np.int32)
    classes = ClassRows(labels)
    known = np.unique(labels[labels >= 0])
    assert classes.num_classes == len(known)
    chosen = np.arange(len(known))[::-1]
    rows = classes.draw(chosen, num_images, seed, 1)
    assert labels[rows].tolist() == np.repeat(known[::-1], num_images).tolist()
    for label in known:
        own = np.flatnonzero(labels == label)
        counts = np.bincount(rows, minlength=len(labels))[own]
        assert counts.max() - counts.min() <= 1


def test_every_image_of_a_class_is_drawn_equally_often():
    classes = ClassRows(np.zeros(7, np.int32))
    drawn = [classes.draw(np.array([0]), 3, seed) for seed in range(2100)]
    assert np.abs(np.bincount(np.concatenate(drawn)) - 900).max() < 100  # ± 23


def test_all_classes_come_equally_often_within_a_round():
    labels = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 50, 100, 7, 8, 9]).astype(np.int32)
    order = BalancedOrder(ClassRows(labels), num_classes=3, images_per_class=4, seed=(5, 0))
    steps = [labels[order.take_step(step)].reshape(3, 4) for step in range(300)]
    assert all((classes == classes[:, :1]).all() for classes in steps)
    assert all(len(set(classes[:, 0].tolist())) == 3 for classes in steps)
    for number in range(100):
        assert len({label for classes in steps[3 * number : 3 * number + 3] for label in classes[:, 0].tolist()}) == 9
    counts = np.bincount(np.concatenate([classes[:, 0] for classes in steps]))
    assert counts.min() >= 75  # of 90: the class that a round leaves out is another each time


def test_fewer_classes_than_a_batch_needs_are_refused():
    with pytest.raises(ShardSetError, match="at least 6 classes for a batch, the train split has 5"):
        BalancedOrder(ClassRows(np.arange(5, dtype=np.int32)), num_classes=6, images_per_class=2, seed=(0, 0))


def open_stream(folder, overlay=None, **settings):
    shards = read_shard_set(folder, overlay=read_overlay(overlay) if overlay else None)
    return Stream(shards, StreamSettings(**settings), seed=3, image_size=shards.image_size)


def test_a_balanced_batch_holds_the_images_of_its_labels(shards):
    plain = open_stream(shards, batch_size=60, mirror=False, with_keys=True)
    ((images, labels, keys),) = plain.epoch(0)
    known = {int(key): (image, int(label)) for image, label, key in zip(np.asarray(images), labels, keys, strict=True)}
    stream = open_stream(shards, batch_size=12, images_per_class=4, mirror=False, with_keys=True)
    assert stream.steps_per_epoch == 5
    for images, labels, keys in stream.epoch(0):
        assert (np.asarray(labels).reshape(3, 4) == np.asarray(labels).reshape(3, 4)[:, :1]).all()
        assert len(set(np.asarray(keys).tolist())) == 12
        for image, label, key in zip(np.asarray(images), labels, keys, strict=True):
            np.testing.assert_array_equal(image, known[int(key)][0])
            assert label == known[int(key)][1]


def test_the_length_of_a_balanced_epoch_can_be_set(shards):
    stream = open_stream(shards, batch_size=4, images_per_class=2, steps_per_epoch=40)
    assert len(list(stream.epoch(0))) == stream.steps_per_epoch == 40


def test_an_overlay_says_which_classes_are_balanced(shards, tmp_path):
    (tmp_path / "labels.csv").write_text("class,source_key,new_class\n1,,0\n2,,drop\n,24,2\n")
    stream = open_stream(shards, tmp_path / "labels.csv", batch_size=8, images_per_class=2, with_keys=True)
    counts = np.bincount(np.concatenate([labels for _, labels, _ in stream.epoch(0)]))
    assert counts.tolist() == [2 * stream.steps_per_epoch] * 4
    keys = np.concatenate([keys[labels == 1] for _, labels, keys in stream.epoch(0)])
    assert set(keys.tolist()) == {24}  # the only image of its class


def test_fewer_classes_than_a_batch_needs_are_said_before_the_first_epoch(shards):
    with pytest.raises(ShardSetError, match="at least 6 classes"):
        open_stream(shards, batch_size=12, images_per_class=2)
