"""Epochs of mined triplets: the network as it stands embeds some images, and their triplets are what it is trained on."""

import sys
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from fr_eval.models.keras_model import wrap_keras
from fr_train.data.mining import mine_triplets, pick_rows
from fr_train.data.stream import Batches, Stream
from fr_train.errors import TrainingError

__all__ = ["MinedEpochs"]

PICK, MINE, SHUFFLE = 0, 1, 2  # purposes of the seed


class MinedEpochs:
    """Mines the triplets of each epoch at its start.

    Args:
        network: the embedding network.
        stream: gives the images; its batch size is a multiple of 3.
        num_classes: classes that are drawn.
        images_per_class: images of each that are drawn.
        margin: of the loss; only a triplet that it punishes is kept.
        seed: of what is drawn.

    Attributes:
        triplets: (P, 3) int64 variable, a place a pair: the triplets of the epoch, as rows of the train split, then -1. A
            checkpoint holds it, since the weights that mined them are gone when a run goes on within an epoch.
        most_steps: length of an epoch whose pairs all give a triplet.
    """

    def __init__(
        self, network: Any, stream: Stream, *, num_classes: int, images_per_class: int, margin: float, seed: int
    ) -> None:
        self._stream, self._margin, self._seed = stream, margin, seed
        self._embed = wrap_keras(network, scaling="none").forward  # follows the network
        self._images_per_class = images_per_class
        self._num_classes = min(num_classes, len(np.unique(stream.labels[stream.labels >= 0])))
        num_pairs = self._num_classes * images_per_class * (images_per_class - 1) // 2
        self.triplets = keras.Variable(np.full((num_pairs, 3), -1), trainable=False, dtype="int64", name="triplets")
        self._triplets_per_batch = stream.settings.batch_size // 3
        self.most_steps = num_pairs // self._triplets_per_batch

    def mine(self, epoch: int, *, quiet: bool) -> None:
        """Sets the triplets of an epoch, in random order, and says what was found.

        Args:
            epoch: its number in the run, from 0.
            quiet: say nothing.

        Raises:
            TrainingError: if they are fewer than a batch.
        """
        labels, seed = self._stream.labels, (self._seed, epoch)
        picked = pick_rows(
            labels, num_classes=self._num_classes, images_per_class=self._images_per_class, seed=(*seed, PICK)
        )
        batches = tqdm(self._stream.read(picked), desc="Mining", unit=" batches", leave=False, disable=quiet or None)
        embeddings = np.concatenate([self._embed(batch[0]) for batch in batches])
        mined = mine_triplets(embeddings, labels[picked], margin=self._margin, seed=(*seed, MINE))
        found = np.random.default_rng((*seed, SHUFFLE)).permutation(picked[mined.rows])
        if len(found) < self._triplets_per_batch:
            raise TrainingError(
                f"Epoch {epoch + 1}: expected triplets for at least one batch ({self._triplets_per_batch}), mining found "
                f"{mined.describe()}. End the phase before this epoch if the network tells these people apart; else mine more "
                "(mine_classes, mine_images), or give the loss a larger margin or the run a smaller batch_size."
            )
        if not quiet:
            tqdm.write(f"Epoch {epoch + 1}: {mined.describe()}", file=sys.stderr)
        rows = np.full(self.triplets.shape, -1)
        rows[: len(found)] = found
        self.triplets.assign(rows)

    def batches(self, epoch: int, *, first_step: int) -> Batches:
        """Gives the batches of the epoch that was mined last, from a step on; three rows of a batch are a triplet."""
        triplets = np.asarray(self.triplets)
        return self._stream.read(triplets[triplets[:, 0] >= 0].ravel(), epoch=epoch, first_step=first_step)
