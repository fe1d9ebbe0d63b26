"""Batches of images, loaded in threads ahead of their use and kept no longer."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from fr_eval.cores import count_cores
from fr_eval.models.embedder import Images

__all__ = ["show_progress", "stream_images"]

_BATCHES_AHEAD = 3  # loaded before the network asks for them; bounds the memory


def stream_images(
    load: Callable[[int], Images], num_images: int, *, batch_size: int = 64, workers: int | None = None
) -> Iterator[Images]:
    """Yields batches of images; no more than four are in memory, whatever the number of images.

    Args:
        load: gives image i, uint8, shape (H, W, 3); called in threads.
        num_images: N.
        batch_size: images a batch; the last may have fewer.
        workers: threads that load; one a core by default.

    Yields:
        uint8, shape (B, H, W, 3), in order.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1; received {batch_size}")
    ahead: deque[list[Future[Images]]] = deque()
    pool = ThreadPoolExecutor(workers or count_cores())
    try:
        for start in range(0, num_images, batch_size):
            ahead.append([pool.submit(load, index) for index in range(start, min(start + batch_size, num_images))])
            if len(ahead) > _BATCHES_AHEAD:
                yield np.stack([future.result() for future in ahead.popleft()])
        while ahead:
            yield np.stack([future.result() for future in ahead.popleft()])
    finally:
        # Also where the consumer stops early: what is queued need not be loaded any more.
        pool.shutdown(cancel_futures=True)


def show_progress(batches: Iterator[Images], num_images: int, *, name: str, enabled: bool) -> Iterator[Images]:
    """Passes batches on under a bar that counts images.

    Args:
        batches: the batches.
        num_images: in all of them.
        name: stands before the bar.
        enabled: show it on stderr, where that is a terminal.
    """
    from tqdm import tqdm  # noqa: PLC0415  training imports this module, and has its own bar

    disable = None if enabled else True
    with tqdm(total=num_images, desc=name, unit="image", file=sys.stderr, disable=disable, leave=False) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
