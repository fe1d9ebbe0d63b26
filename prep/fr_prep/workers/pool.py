"""Running independent tasks in workers, with progress, and without ever waiting for a dead one."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self, TypeVar, cast

from fr_prep.errors import WorkerError

__all__ = ["LocalPool", "WorkerPool", "default_workers", "open_pool", "run_tasks"]

Result = TypeVar("Result")
_PR_SET_PDEATHSIG = 1
SECONDS_BETWEEN_LOOKS = 0.1  # for Ctrl-C, and for workers that died


def default_workers() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerPool(ABC):
    """Workers for independent tasks, to be entered: processes of this machine (`LocalPool`), or others (`cluster.ClusterPool`).

    Raises:
        WorkerError: from `submit` and `run`, if a worker died without a report. An exception of a task is raised as it is.
    """

    @abstractmethod
    def __enter__(self) -> Self:
        """Starts the workers, or finds them."""

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Gives up what has not begun, and waits until no worker runs a task any more."""

    @property
    @abstractmethod
    def num_workers(self) -> int:
        """Tasks that run at the same time."""

    @property
    def num_processes(self) -> int:
        """Processes of this machine that run tasks; 1 is this process itself, 0 are workers elsewhere."""
        return self.num_workers

    @property
    def _max_pending(self) -> int:
        return self.num_workers + 1

    def require_shared(self, files: Collection[Path], *, out: Path | None = None) -> None:  # noqa: B027  nothing to do
        """Makes sure, before anything is run, that all workers see what this process sees.

        Args:
            files: what is to be read.
            out: the folder that is to be written, if there is one; it must be there.

        Raises:
            WorkerError: if a worker does not.
        """

    def sync(self, files: Sequence[Path]) -> bool:
        """Waits until what workers elsewhere wrote into these files is on the disk; of processes here, who publishes does.

        Returns:
            False if one that wrote is gone, with whatever had not left its memory.

        Raises:
            OutputError: if a file cannot get there; it is removed.
        """
        return True

    @abstractmethod
    def _start(self, task: Callable[[], Result]) -> Future[Result]:
        """Hands a task to the workers."""

    @abstractmethod
    def _wait_for_first(
        self, pending: Collection[Future[Result]], meanwhile: Callable[[], object] = lambda: None
    ) -> set[Future[Result]]:
        """Waits until at least one task has ended; gives those that have."""

    @abstractmethod
    def _result(self, done: Future[Result]) -> Result:
        """Gives the result of a task that has ended, or raises what it raised."""

    def submit(self, task: Callable[[], Result]) -> Callable[[], Result]:
        """Starts a task, for instance a `functools.partial` of a module's function; gives what waits for its result."""
        future = self._start(task)

        def wait_for_result() -> Result:
            (done,) = self._wait_for_first([future])
            return self._result(done)

        return wait_for_result

    def run(
        self, tasks: Iterable[Callable[[], Result]], *, meanwhile: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[int, Result]]:
        """Runs tasks and yields (position of the task, its result) as they are done.

        Tasks are taken only as workers become free, so that a long list of large ones is never held twice.

        Args:
            tasks: what to run.
            meanwhile: called some times a second while workers are waited for.
        """
        pending: dict[Future[Result], int] = {}
        waiting = enumerate(tasks)
        while True:
            while len(pending) < self._max_pending and (item := next(waiting, None)) is not None:
                pending[self._start(item[1])] = item[0]
            if not pending:
                return
            for future in self._wait_for_first(pending, meanwhile):
                yield pending.pop(future), self._result(future)


class LocalPool(WorkerPool):
    """Worker processes of this machine. A pool of one runs everything in this process.

    Args:
        num_workers: processes.
        resumable: whether what is finished is kept, for `--resume`; it is said where a worker died.
    """

    def __init__(self, num_workers: int, *, resumable: bool = False) -> None:
        self._num_workers = num_workers
        self._resumable = resumable
        self._pool: ProcessPoolExecutor | None = None

    @property
    def num_workers(self) -> int:
        """Processes."""
        return self._num_workers

    def __enter__(self) -> Self:
        if self._num_workers > 1:
            self._pool = ProcessPoolExecutor(
                self._num_workers, mp_context=_context(), initializer=_start_worker, initargs=(os.getpid(),)
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            with _interrupts_held():
                workers = self._workers()
                # Where a worker was killed in the middle of a long result, who reads it waits for the rest until nobody can write.
                self._pool._result_queue._writer.close()  # type: ignore[attr-defined]
                closing = threading.Thread(target=partial(self._pool.shutdown, cancel_futures=True))
                closing.start()
                _wait_for_end(workers)
                closing.join()

    def submit(self, task: Callable[[], Result]) -> Callable[[], Result]:
        """Starts a task, or gives itself, to be run when its result is asked for."""
        return task if self._pool is None else super().submit(task)

    def run(
        self, tasks: Iterable[Callable[[], Result]], *, meanwhile: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[int, Result]]:
        """Runs tasks and yields (position of the task, its result) as they are done; one after the other in a pool of one."""
        if self._pool is None:
            return ((position, task()) for position, task in enumerate(tasks))
        return super().run(tasks, meanwhile=meanwhile)

    def _start(self, task: Callable[[], Result]) -> Future[Result]:
        with self._death_reported(), _interrupts_held():
            return cast(ProcessPoolExecutor, self._pool).submit(task)

    def _workers(self) -> list[BaseProcess]:
        return [] if self._pool is None else list((self._pool._processes or {}).values())

    def _wait_for_first(
        self, pending: Collection[Future[Result]], meanwhile: Callable[[], object] = lambda: None
    ) -> set[Future[Result]]:
        done: set[Future[Result]] = set()
        while not done:
            with self._death_reported(), _interrupts_held():
                done = wait(pending, timeout=SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED).done
                if not done and any(worker.exitcode is not None for worker in self._workers()):
                    raise BrokenProcessPool("a worker has ended before the pool")
            meanwhile()
        return done

    def _result(self, done: Future[Result]) -> Result:
        with self._death_reported(), _interrupts_held():
            return done.result()

    @contextmanager
    def _death_reported(self) -> Iterator[None]:
        try:
            yield
        except (BrokenProcessPool, SystemExit) as error:
            advice = "What was finished is kept: go on with --resume" if self._resumable else "Try again"
            raise WorkerError(
                "A worker process died without a report, perhaps killed for want of memory. "
                f"{advice}, with fewer --workers if memory was short."
            ) from error


def open_pool(num_workers: int, *, scheduler: str | None = None, resumable: bool = False) -> WorkerPool:
    """Gives the workers of a Dask scheduler, where its address is given, or else processes of this machine."""
    if scheduler is None:
        return LocalPool(num_workers, resumable=resumable)
    try:
        from fr_prep.workers.cluster import ClusterPool  # noqa: PLC0415  Dask takes half a second, and may be missing
    except ModuleNotFoundError as error:
        raise WorkerError(
            f"--scheduler needs Dask, which is missing ({error}): pip install 'fr-toolkit[cluster]', here and on all workers."
        ) from error

    return ClusterPool(scheduler, resumable=resumable)


def run_tasks(
    tasks: Iterable[Callable[[], Result]], *, num_workers: int, resumable: bool = False
) -> Iterator[tuple[int, Result]]:
    """Runs tasks in processes of their own; see `LocalPool` and `WorkerPool.run`."""
    with LocalPool(num_workers, resumable=resumable) as pool:
        yield from pool.run(tasks)


def _wait_for_end(workers: Collection[BaseProcess]) -> None:
    """Waits until workers have ended. One that is killed takes the lock along that others wait for: they are ended as well."""
    running = {worker.sentinel: worker for worker in workers}
    while running:
        for sentinel in connection.wait(list(running)):
            worker = running.pop(cast(int, sentinel))
            while worker.exitcode is None:  # which the closing thread may be about to learn
                time.sleep(0.001)
            if worker.exitcode:
                for other in running.values():
                    other.kill()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keeps Ctrl-C back inside `concurrent.futures`, whose locks stay locked for ever where an exception cuts in."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if held:
            raise KeyboardInterrupt


def _context() -> multiprocessing.context.BaseContext:
    """Forks where that is safe, which starts workers in milliseconds; a process with the threads of others must not fork."""
    forks = sys.platform == "linux" and sys.modules.keys().isdisjoint({"tensorflow", "distributed"})
    return multiprocessing.get_context("fork" if forks else "spawn")


def _start_worker(parent: int) -> None:
    """Leaves Ctrl-C to the parent, and ends with it, even where it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
