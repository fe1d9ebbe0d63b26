"""The usual order of an epoch: every record once, mixed, read in blocks that lie together on disk."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fr_train.data.records.permutation import draw_order
from fr_train.data.records.reader import Frames

__all__ = ["ShuffledOrder", "WindowReader"]

Rows = NDArray[np.int64]
BLOCK_RECORDS = 64  # that lie together: some 400 KB, which disks and networks read about as fast as everything in order
_BLOCKS, _WINDOW = 1, 2  # purposes


class ShuffledOrder:
    """Says in which order rows come; any part of it without what is in front.

    Blocks of records that lie together come in random order, from all over the set. As many as make `window_records` are a window,
    which is mixed record by record. So the order depends on the seeds alone, and a window is all that must be in memory.

    Args:
        rows: (n,) int64, the rows to give, ascending.
        window_records: records that are mixed together.
        seed: the run's seed and the number of the epoch.
    """

    def __init__(self, rows: Rows, *, window_records: int, seed: tuple[int, int]) -> None:
        self._rows, self._seed = rows, seed
        blocks = draw_order(-(-len(rows) // BLOCK_RECORDS), _BLOCKS, *seed)
        blocks_per_window = -(-window_records // BLOCK_RECORDS)
        self._blocks = [blocks[first : first + blocks_per_window] for first in range(0, len(blocks), blocks_per_window)]
        self._starts = np.cumsum([0, *(len(window) * BLOCK_RECORDS for window in self._blocks)])
        short_window = next(n for n, window in enumerate(self._blocks) if len(blocks) - 1 in window)
        self._starts[short_window + 1 :] -= -len(rows) % BLOCK_RECORDS
        self.num_windows = len(self._blocks)

    def find(self, start: int, stop: int) -> list[tuple[int, slice]]:
        """Gives, for a part of the epoch, the windows that it is in, and which part of each."""
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        begins = self._starts[first : last + 1].tolist()
        return [(window, slice(max(0, start - begin), stop - begin)) for window, begin in enumerate(begins, int(first))]

    def lay_out(self, window: int) -> tuple[Rows, Rows]:
        """Gives the rows of a window as they lie, block by block, and the order of those in the epoch: two (m,) int64."""
        places = (self._blocks[window][:, None] * BLOCK_RECORDS + np.arange(BLOCK_RECORDS)).ravel()
        rows = self._rows[places[places < len(self._rows)]]
        return rows, draw_order(len(rows), _WINDOW, *self._seed, window)


class WindowReader:
    """Reads the windows of an order ahead of those who want images of them; may be used by many threads.

    Args:
        order: the order.
        fetch: reads rows.
    """

    def __init__(self, order: ShuffledOrder, fetch: Callable[[Rows], Frames]) -> None:
        self._order, self._fetch = order, fetch
        self._lock = threading.Lock()
        self._windows: dict[int, Future[tuple[Rows, Rows, Frames]]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="windows")

    def read(self, start: int, stop: int) -> tuple[Rows, list[memoryview]]:
        """Gives rows and encoded images of a part of the epoch.

        Raises:
            ShardSetError: if they cannot be read.
        """
        all_rows, images = [], []
        for window, part in self._order.find(start, stop):
            rows, order, frames = self._request(window).result()
            all_rows.append(rows[order[part]])
            images += frames.images(order[part])
        return np.concatenate(all_rows), images

    def _request(self, window: int) -> Future[tuple[Rows, Rows, Frames]]:
        with self._lock:
            for wanted in (window, window + 1):
                if wanted not in self._windows and wanted < self._order.num_windows:
                    self._windows[wanted] = self._pool.submit(self._read, wanted)
            for old in [other for other in self._windows if other < window]:
                del self._windows[old]  # a thread that is still there keeps it
            return self._windows[window]

    def _read(self, window: int) -> tuple[Rows, Rows, Frames]:
        rows, order = self._order.lay_out(window)
        return rows, order, self._fetch(rows)
