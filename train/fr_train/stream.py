"""Streaming shards into batches: interleave, shuffle, decode and mirror in parallel; images stay uint8 until the model.

Everything depends on the seed and the number of the epoch alone, so that a run can be resumed at any step.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fr_train.errors import ShardSetError
from fr_train.shard_set import ShardSet

__all__ = ["Stream", "StreamSettings"]

PARSE_BATCH = 128  # `parse_example` on many records costs a third of `parse_single_example` on each
FEATURES = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How records are streamed.

    Attributes:
        batch_size: images a batch; an epoch's last, smaller batch is left out, with other images each time.
        shuffle_buffer: records that are mixed in memory, on top of the order on disk and of the order of shards.
        mirror: whether each image is mirrored with probability 1/2.
        cycle_length: shards that are read at the same time.
    """

    batch_size: int = 128
    shuffle_buffer: int = 8192
    mirror: bool = True
    cycle_length: int = 8

    def __post_init__(self) -> None:
        for name in ("batch_size", "shuffle_buffer", "cycle_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, received {getattr(self, name)}")


class Stream:
    """The train split of a shard set, as one dataset an epoch.

    Args:
        shards: the data set.
        settings: how it is streamed.
        seed: of shard order, shuffle and mirroring.
        image_size: (height, width) that images are resized to where they differ.

    Raises:
        ShardSetError: if the split has fewer images than a batch.
    """

    def __init__(self, shards: ShardSet, settings: StreamSettings, *, seed: int, image_size: tuple[int, int]) -> None:
        self._files = [str(path) for path in shards.files["train"]]
        self._settings = settings
        self._seed = seed
        self._image_size = image_size
        self._resize = not shards.uniform_size or shards.image_size != image_size
        self.steps_per_epoch = shards.num_images["train"] // settings.batch_size
        if self.steps_per_epoch == 0:
            raise ShardSetError(
                f"{shards.folder}: expected at least one batch of {settings.batch_size} images, the train split has "
                f"{shards.num_images['train']}. Choose a smaller batch size."
            )

    def epoch(self, epoch: int, *, first_step: int = 0) -> tf.data.Dataset:
        """Gives the batches of an epoch, from `first_step` on.

        Args:
            epoch: its number, from 0.
            first_step: batches that are left out at the start, to go on within an epoch.

        Returns:
            (images (B, H, W, 3) uint8, labels (B,) int32), `steps_per_epoch - first_step` times.
        """
        settings = self._settings
        seeds = np.random.SeedSequence([self._seed, epoch]).generate_state(3).astype(np.int64)
        files = np.random.Generator(np.random.PCG64([self._seed, epoch])).permutation(self._files)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            lambda file: tf.data.TFRecordDataset(file, buffer_size=1 << 20),
            cycle_length=min(settings.cycle_length, len(files)),
            block_length=16,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        records = records.shuffle(settings.shuffle_buffer, seed=int(seeds[0]), reshuffle_each_iteration=False)
        records = records.skip(first_step * settings.batch_size)
        examples = records.batch(PARSE_BATCH).map(
            lambda batch: tf.io.parse_example(batch, FEATURES), num_parallel_calls=tf.data.AUTOTUNE
        )
        examples = examples.unbatch().enumerate(first_step * settings.batch_size)

        def decode(index: tf.Tensor, example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            # Decodes PNG as well. The accurate transform gives the pixels that evaluation sees.
            image = tf.io.decode_jpeg(example["image"], channels=3, dct_method="INTEGER_ACCURATE")
            if self._resize:
                image = tf.image.resize(image, self._image_size, antialias=True)
                image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
            image.set_shape((*self._image_size, 3))
            if settings.mirror:
                flip = tf.random.stateless_uniform([], (int(seeds[1]), index), maxval=2, dtype=tf.int32)
                image = tf.cond(flip > 0, lambda: tf.reverse(image, [1]), lambda: image)
            return image, tf.cast(example["label"], tf.int32)

        images = examples.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = images.batch(settings.batch_size, drop_remainder=True)
        return batches.take(self.steps_per_epoch - first_step).prefetch(4)
