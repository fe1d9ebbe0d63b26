"""Verification after each epoch: the code of `fr-eval`, on bins that are read and decoded once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fr_eval.faces.verification_shards import read_pairs
from fr_eval.jobs.evaluate import evaluate_bin
from fr_eval.models.embed import decode_bin
from fr_eval.models.keras_model import wrap_keras
from fr_train.run.curves import BIN_SUFFIX

__all__ = ["BinScores"]


class BinScores:
    """Verification bins, ready to score a network.

    Args:
        paths: the bins, or folders of shards that were made of bins.
        network: images 0 to 255 → embeddings; it is scored as it is at each call.
        batch_size: images a batch.
        spread: spreads the work of a call over devices.

    Raises:
        fr_eval.errors.EvalError: if a bin is refused.
    """

    def __init__(
        self, paths: Sequence[Path], network: Any, *, batch_size: int, spread: Callable[[Any], Any] = lambda call: call
    ) -> None:
        self._batch_size = batch_size
        self._embedder = wrap_keras(network, scaling="none", spread=spread)
        bins = [read_pairs(path) for path in paths]
        names = [bin_.name for bin_ in bins]
        self._bins = [
            (str(path) if names.count(bin_.name) > 1 else bin_.name, bin_, decode_bin(bin_, self._embedder.input_size))
            for path, bin_ in zip(paths, bins, strict=True)
        ]

    def __call__(self) -> Mapping[str, float]:
        """Gives the 10-fold accuracy, mirror sum, of each bin, under `<bin>_accuracy`; of bins of one name, under their paths."""
        scores = {}
        for name, bin_, decoded in self._bins:
            result = evaluate_bin(self._embedder, bin_, decoded=decoded, batch_size=self._batch_size)
            scores[f"{name}{BIN_SUFFIX}"] = round(result.verification.best_protocol.accuracy_mean, 6)
        return scores
