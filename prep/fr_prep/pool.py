"""Running independent tasks in worker processes, with progress, and without ever waiting for a dead one."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from fr_prep.errors import WorkerError

__all__ = ["default_workers", "run_tasks"]

Result = TypeVar("Result")
_PR_SET_PDEATHSIG = 1


def default_workers() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(tasks: Iterable[Callable[[], Result]], *, num_workers: int) -> Iterator[tuple[int, Result]]:
    """Runs each task and yields (its position, its result) as they are done.

    Tasks are handed out only as workers become free, so that a long list of large tasks is never held twice.

    Args:
        tasks: what to do, for instance `functools.partial` of a module's function; taken lazily.
        num_workers: processes; 1 runs the tasks in this process.

    Raises:
        WorkerError: if a worker died without a report. An exception of a task is raised as it is.
    """
    if num_workers == 1:
        for position, task in enumerate(tasks):
            yield position, task()
        return
    pool = ProcessPoolExecutor(num_workers, mp_context=_context(), initializer=_start_worker, initargs=(os.getpid(),))
    pending: dict[Future[Result], int] = {}
    waiting = enumerate(tasks)
    try:
        while True:
            while len(pending) < num_workers + 1 and (item := next(waiting, None)) is not None:
                pending[pool.submit(item[1])] = item[0]
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool as error:
        raise WorkerError(
            "A worker process died without a report, perhaps killed for want of memory. What was finished is kept: go on with "
            "--resume, with fewer --workers if memory was short."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Forks where that is safe, which starts workers in milliseconds; a process with TensorFlow's threads must not fork."""
    forks = sys.platform == "linux" and "tensorflow" not in sys.modules
    return multiprocessing.get_context("fork" if forks else "spawn")


def _start_worker(parent: int) -> None:
    """Leaves Ctrl-C to the parent, and ends with it, even where it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
