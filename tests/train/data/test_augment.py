"""Augmentation of batches: who undergoes what, decided by the seed, eagerly and in graphs."""

import numpy as np
import pytest
import tensorflow as tf

from fr_train.data.augment.augment import augment
from fr_train.data.augment.choice import apply_by_choice
from fr_train.data.augment.rand_augment import OPERATIONS, rand_augment
from fr_train.data.augment.settings import AugmentSettings
from fr_train.errors import ConfigError

NAMES = ("crop", "shift", "rand_augment", "brightness", "contrast", "saturation", "gray", "lower_face", "jpeg")
SEED = tf.constant([11, 5], tf.int64)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (24, 4, 3, 3)), np.ones((1, 8, 8, 1)))
    return tf.constant((smooth + rng.normal(0, 10, smooth.shape)).clip(0, 255).astype(np.uint8))


def changed(before, after):
    return (before.numpy() != after.numpy()).any(axis=(1, 2, 3))


def test_nothing_is_done_by_default(images):
    assert not AugmentSettings().is_on()
    assert augment(images, SEED, AugmentSettings()) is images


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_eagerly_in_a_function_and_in_a_dataset(images, name):
    settings = AugmentSettings(**{name: 0.6})
    assert settings.is_on()
    eager = augment(images, SEED, settings)
    assert (eager.dtype, eager.shape) == (tf.uint8, images.shape)
    traced = tf.function(lambda some, seed: augment(some, seed, settings))
    dataset = tf.data.Dataset.from_tensors(images).map(lambda some: augment(some, SEED, settings))
    np.testing.assert_array_equal(eager, traced(images, SEED))
    np.testing.assert_array_equal(eager, next(iter(dataset)))


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_something_else(images, name):
    settings = AugmentSettings(**{name: 0.6})
    assert changed(augment(images, SEED, settings), augment(images, SEED + 1, settings)).any()


@pytest.mark.parametrize("name", NAMES)
def test_as_many_images_undergo_it_as_the_probability_says(images, name):
    many = tf.tile(images[:1], [600, 1, 1, 1])
    count = changed(many, augment(many, SEED, AugmentSettings(**{name: 0.3}))).sum()
    # 180 ± 11; RandAugment leaves one in 144 as it was, and some factors are too near to 1 to be seen.
    assert 135 <= count <= 225
    assert changed(many, augment(many, SEED, AugmentSettings(**{name: 1.0}))).sum() >= 560


def test_augmentations_have_coins_of_their_own(images):
    many = tf.tile(images[:1], [400, 1, 1, 1])
    settings = AugmentSettings(gray=0.5, lower_face=0.5)
    after = augment(many, SEED, settings).numpy()
    is_gray = (after[:, 0] == after[:, 0, :, :1]).all(axis=(1, 2))
    is_covered = (after[:, -1, 12] == after[:, -2, 12]).all(axis=1)
    counts = [(is_gray & is_covered).sum(), (is_gray & ~is_covered).sum(), (~is_gray & is_covered).sum()]
    assert all(70 <= count <= 130 for count in counts), counts


def test_an_empty_batch_stays_one(images):
    settings = AugmentSettings(**dict.fromkeys(NAMES, 1.0))
    assert augment(images[:0], SEED, settings).shape == (0, 32, 24, 3)


def test_each_image_gets_the_operation_of_its_choice():
    images = tf.cast(tf.reshape(tf.range(5), [5, 1, 1, 1]), tf.uint8)
    amounts = tf.constant([1, 2, 3, 4, 5], tf.uint8)
    operations = [lambda some, amount: some, lambda some, amount: some + 100 * amount[:, None, None, None]]
    result = apply_by_choice(images, tf.constant([1, 0, 1, 0, 0]), operations, amounts)
    assert result.numpy().ravel().tolist() == [100, 1, (2 + 300) % 256, 3, 4]


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_of_rand_augment_does_much_at_magnitude_0(images, name):
    after = OPERATIONS[name](images, tf.zeros([len(images)]))
    if name == "stretch_contrast":  # which has no magnitude
        assert (after.numpy().max(axis=(1, 2)) == 255).all()
        return
    assert np.abs(after.numpy().astype(int) - images.numpy()).max() <= 1


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"identity", "stretch_contrast"}))
def test_every_operation_of_rand_augment_does_something_in_both_directions(images, name):
    ones = tf.ones([len(images)])
    more, less = OPERATIONS[name](images, ones), OPERATIONS[name](images, -ones)
    assert changed(images, more).all()
    assert changed(images, less).all()
    assert name == "posterize" or changed(more, less).all()


def test_rand_augment_draws_every_operation_in_both_directions(images):
    many = tf.tile(images[:1], [2000, 1, 1, 1])
    after = rand_augment(many, SEED, num_operations=1, magnitude=10.0).numpy().astype(int)
    counts = {}
    for name in OPERATIONS:
        for amount in (-1.0, 1.0):
            expected = OPERATIONS[name](images[:1], tf.constant([amount])).numpy().astype(int)
            counts[name, amount] = (np.abs(after - expected).max(axis=(1, 2, 3)) <= 1).sum()
    assert all(45 <= count <= 210 for count in counts.values()), (
        counts
    )  # 83 of each, or 167 where both directions are the same


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("brightness", 1.5, "from 0 to 1"),
        ("gray", -0.1, "from 0 to 1"),
        ("crop_smallest", 0.0, "from 0.05 to 1"),
        ("crop_largest", 0.9, "from 1 to 4"),
        ("rand_augment_magnitude", 11, "from 0 to 10"),
        ("jpeg_lowest_quality", 0, "from 1 to 95"),
        ("shift_farthest", float("nan"), "from 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(key, value, expected):
    with pytest.raises(ConfigError, match=rf"augment\.{key}: expected a number {expected}, received {value}"):
        AugmentSettings(**{key: value})
