"""What a run leaves in its folder, written by one of the processes that train together."""

from collections.abc import Mapping
from typing import Any

from fr_train.config.config import Config
from fr_train.model.network import freeze, plain_network
from fr_train.run.checkpoint import Position, save_checkpoint
from fr_train.run.curves import draw_curves
from fr_train.run.phase import Phase
from fr_train.run.run_folder import RunFolder
from fr_train.run.sentinel import write_report
from fr_train.run.tensorboard import require_tensorboard, write_scalars

__all__ = ["RunWriter"]


class RunWriter:
    """Writes a run's folder; where another process does, only the history is kept in mind.

    Args:
        run: the folder.
        config: the run's.
        facts: what the run depends on, for its checkpoints.
        history: the rows so far.
        writes: whether this process is the one that writes.

    Attributes:
        run: the folder.
        history: a row an epoch.
    """

    def __init__(
        self, run: RunFolder, config: Config, *, facts: Mapping[str, Any], history: list[dict[str, Any]], writes: bool
    ) -> None:
        self.run, self._config, self._facts, self._writes = run, config, facts, writes
        self.history = history
        if config.tensorboard:
            require_tensorboard()  # before the first epoch

    def save_checkpoint(self, position: Position, phase: Phase) -> None:
        """Write a checkpoint; with it the run stands, and one that it replaces goes.

        Raises:
            OutputError, OSError: it cannot be written, as all others of this class.
        """
        phase.step.settle()
        if self._writes:
            keep = self._config.keep_checkpoints
            save_checkpoint(self.run.checkpoints, position, phase.variables(), facts=self._facts, keep=keep)
            self.run.drop_replaced()

    def save_models(self, phase: Phase, *, is_best: bool = False) -> None:
        """Writes the network as it is but for what is frozen, and the centers of a center loss."""
        if self._writes:
            network, head = phase.step.network, phase.step.head
            freeze((), network, head)  # what is saved frozen cannot be trained by whoever loads it
            try:
                for path in (self.run.best, self.run.last) if is_best else (self.run.last,):
                    self.run.save_model(plain_network(network), path)
            finally:
                freeze(phase.config.freeze, network, head)
            phase.save_centers(self.run.centers)

    def report_nonfinite(self, position: Position, **figures: Any) -> None:
        """Writes down a step whose loss is no number, the first one where such steps are left out; see `sentinel.write_report`."""
        if self._writes and not (self._config.on_nonfinite == "skip" and self.run.nonfinite.exists()):
            write_report(self.run.nonfinite, position=position, **figures)

    def add(self, row: dict[str, Any]) -> None:
        """Writes the row of an epoch: into the history, the curves, and for TensorBoard."""
        self.history.append(row)
        if self._writes:
            self.run.write_history(self.history)
            draw_curves({self.run.path.name: self.history}, self.run.curves)
            if self._config.tensorboard:
                write_scalars(self.run.tensorboard, row)
