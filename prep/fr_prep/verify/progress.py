"""How far worker processes are, on the bar of the process that started them."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

__all__ = ["WorkerProgress"]


class WorkerProgress:
    """Moves a bar by what tasks report while they run, in this process or in workers; to be entered.

    Workers write it to the end of a file in memory. Where there is no such file, as outside Linux, the bar moves task by task.

    Args:
        bar: the bar.
        num_workers: processes of this machine; with one, tasks run in this one, with none elsewhere.

    Attributes:
        report: to be called by a task with what it has done since it called last.
    """

    def __init__(self, bar: "tqdm[Any]", *, num_workers: int) -> None:
        self._bar = bar
        self._num_finished = 0
        self._descriptor = -1
        self.report: Callable[[int], object] = bar.update if num_workers == 1 else _pass_over
        if num_workers > 1 and not bar.disable and hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("progress")
            self.report = partial(_append, Path(f"/proc/{os.getpid()}/fd/{self._descriptor}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def show(self) -> None:
        """Moves the bar by what was reported since."""
        if self._descriptor >= 0:
            reports = os.read(self._descriptor, 8 << 16)
            self._bar.update(sum(memoryview(reports).cast("q")))

    def finish(self, amount: int) -> None:
        """Moves the bar to where it must be at least, now that a task of this size has ended, whatever was reported."""
        self.show()
        self._num_finished += amount
        self._bar.update(max(0, self._num_finished - self._bar.n))


def _append(path: Path, amount: int) -> None:
    with suppress(OSError), path.open("ab", buffering=0) as file:  # a bar is not worth a failure
        file.write(amount.to_bytes(8, sys.byteorder))


def _pass_over(amount: int) -> None:
    pass
