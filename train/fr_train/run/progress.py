"""The progress line of an epoch: loss, accuracy, images/s, ETA, and which side the other one waits for."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm

__all__ = ["Progress"]

T = TypeVar("T")
BUSY_PART = 0.2  # of the time spent waiting for images, from which on the stream is what slows training down


class Progress:
    """Counts an epoch's steps and times, and shows them; to be entered.

    Args:
        title: what is shown in front.
        num_steps: steps of the epoch.
        batch_size: images a step.
        sums: what an interrupted part of the epoch had summed up.
        done: its steps.
        quiet: show nothing.
    """

    def __init__(
        self, title: str, *, num_steps: int, batch_size: int, sums: Mapping[str, float], done: int, quiet: bool
    ) -> None:
        self._batch_size = batch_size
        self.done = done
        self.sums = {
            "loss": 0.0,
            "accuracy": 0.0,
            "counted": 0.0,
            "skipped": 0.0,
            "seconds": 0.0,
            "input_seconds": 0.0,
            **sums,
        }
        self._bar = tqdm(
            total=num_steps * batch_size,
            initial=done * batch_size,
            desc=title,
            unit=" images",
            bar_format="{desc} {percentage:3.0f}%|{bar}|{elapsed}<{remaining}{postfix}",
            disable=quiet or None,
        )
        self._last = time.perf_counter()

    def __enter__(self) -> Self:
        self._last = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """Passes batches on and counts how long each was waited for."""
        iterator = iter(batches)
        while True:
            begun = time.perf_counter()
            batch = next(iterator, None)
            self.sums["input_seconds"] += time.perf_counter() - begun
            if batch is None:
                return
            yield batch

    def count(self, loss: float, accuracy: float, *, skipped: bool = False) -> None:
        """Counts a step that is over."""
        now = time.perf_counter()
        self.sums["seconds"] += now - self._last
        self._last = now
        self.done += 1
        if skipped:
            self.sums["skipped"] += 1
        else:
            self.sums["loss"] += loss
            self.sums["accuracy"] += accuracy
            self.sums["counted"] += 1
        self._bar.set_postfix_str(self.describe(), refresh=False)
        self._bar.update(self._batch_size)

    def describe(self) -> str:
        """Sums up the epoch so far; what matters least stands last, where a narrow terminal cuts."""
        figures = self.figures()
        parts = [f"loss {figures['loss']:.3f}"]
        if self.done > 1:
            parts.append(f"{self.bound()}-bound")
        parts.append(f"{figures['images_per_second']:,.0f} images/s")
        if not math.isnan(figures["accuracy"]):  # there is none without a head
            parts.append(f"accuracy {figures['accuracy']:.3f}")
        return ", ".join(parts)

    def bound(self) -> str:
        """Which side is the slow one: `input`, where training waits for images, or `compute`."""
        return "input" if self.sums["input_seconds"] > BUSY_PART * self.sums["seconds"] else "compute"

    def figures(self) -> dict[str, Any]:
        """Gives the epoch's figures so far, for the history."""
        counted, seconds = self.sums["counted"] or math.nan, max(self.sums["seconds"], 1e-9)
        return {
            "loss": self.sums["loss"] / counted,
            "accuracy": self.sums["accuracy"] / counted,
            "skipped_steps": int(self.sums["skipped"]),
            "seconds": self.sums["seconds"],
            "images_per_second": self.done * self._batch_size / seconds,
            "input_wait": self.sums["input_seconds"] / seconds,
        }
