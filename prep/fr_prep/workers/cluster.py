"""Running independent tasks on the workers of a Dask scheduler.

Scheduling, retries and the loss of workers are Dask's. What is ours: nothing begins before every worker was seen to have the same
release and the same files, no task runs under another release, and a lost scheduler is an error at once.
"""

import asyncio
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from stat import S_ISDIR
from typing import Self, TypeVar, cast

import dask
from dask.utils import funcname, parse_timedelta
from distributed import Client, KilledWorker, Worker, get_worker
from distributed.comm import get_address_host_port
from tqdm import tqdm

from fr_prep.errors import OutputError, WorkerError
from fr_prep.files import INCOMPLETE_SUFFIX, sync_files, write_error
from fr_prep.version import tool_version
from fr_prep.workers.pool import SECONDS_BETWEEN_LOOKS, WorkerPool

__all__ = ["ClusterPool"]

Result = TypeVar("Result")
FileState = tuple[int, int] | None
_SECONDS_TO_LEAVE = 5
_SECONDS_BETWEEN_COUNTS = 1  # of workers, which is a question to the scheduler
_RETRIES = 3
_NUM_NAMED = 5  # workers that an error names; the others are counted
_LARGE_TASK = "distributed.admin.large-graph-warning-threshold"  # a task holds where its images lie: megabytes


class ClusterPool(WorkerPool):
    """The workers of a scheduler, those among them that come later.

    Args:
        scheduler: its address, for instance `tcp://10.0.0.1:8786`.
        resumable: whether what is finished is kept, for `--resume`; it is said where the work ends early.

    Raises:
        WorkerError: on entering, if there is no scheduler, or no worker; from `submit` and `run`, if the scheduler is lost, or
            worker after worker dies of a task.
    """

    def __init__(self, scheduler: str, *, resumable: bool = False) -> None:
        self._scheduler = scheduler
        self._then = "What was finished is kept: go on with --resume" if resumable else "Try again"
        self._run = secrets.token_hex(8)  # is in the key of each task
        self._numbers = count()
        self._num_threads = 0
        self._counted = 0.0  # when they were
        self._authors: set[str] = set()  # addresses of workers whose results were taken
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(dask.config.set({_LARGE_TASK: "1TiB"}))
            stack.enter_context(_quiet_logs())
            try:
                get_address_host_port(self._scheduler)  # first: a client without an address takes long to close
                self._client = Client(self._scheduler, set_as_default=False)
            except (OSError, ValueError) as error:
                raise WorkerError(
                    f"{self._scheduler}: expected a Dask scheduler, none answers there ({error}). Start one by `dask scheduler`, "
                    "and give the address that it names."
                ) from error
            stack.callback(self._client.close, timeout=_SECONDS_TO_LEAVE)
            self._executor = self._client.get_executor(pure=False, retries=_RETRIES)
            stack.callback(self._end_tasks)
            self._wait_for_a_worker()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end_tasks(self) -> None:
        """Takes back what has not begun, and waits for what has, so that nobody writes any more when the folder is unlocked."""
        try:
            self._executor.shutdown(wait=False)
            self._client.run(_wait_until_ended, self._run, on_error="ignore")
        except OSError:
            pass  # the scheduler is lost

    @property
    def num_workers(self) -> int:
        """Threads of all workers."""
        return self._num_threads

    @property
    def num_processes(self) -> int:
        """None of this machine."""
        return 0

    @property
    def _max_pending(self) -> int:
        return 4 * self._num_threads + 1  # some wait for a disk, and no thread should wait for answers

    def _wait_for_a_worker(self) -> None:
        try:
            self._client.wait_for_workers(
                1, timeout=parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
            )
        except TimeoutError as error:
            raise WorkerError(
                f"{self._scheduler}: expected a scheduler with workers, it has none. Start some by "
                f"`dask worker {self._scheduler}`, on machines that have fr-toolkit {tool_version()}."
            ) from error
        self._count_threads()

    def _count_threads(self) -> None:
        self._counted = time.monotonic()
        with self._loss_reported():
            num_threads = sum(self._client.nthreads().values())
        if self._num_threads and not num_threads:
            tqdm.write(f"{self._scheduler}: no worker is left. Waiting for others; Ctrl-C ends it.", file=sys.stderr)
        self._num_threads = num_threads

    def require_shared(self, files: Collection[Path], *, out: Path | None = None) -> None:
        """Has every worker look for the files, and for one that stands in `out` for the moment."""
        states = {path: _file_state(path) for path in files}
        probe = None if out is None else out / f"probe-{self._run}{INCOMPLETE_SUFFIX}"
        try:
            if probe:
                probe.touch()
            with self._loss_reported():
                faults = self._client.run(_find_fault, tool_version(), states, probe, on_error="return")
        finally:
            if probe:
                probe.unlink(missing_ok=True)
        lines = [f"{worker}: {_describe_fault(fault)}." for worker, fault in sorted(faults.items()) if fault]
        if len(lines) > _NUM_NAMED:
            lines[_NUM_NAMED:] = [f"… and {len(lines) - _NUM_NAMED} more."]
        if lines:
            lines.insert(0, f"{self._scheduler}: some of {len(faults)} workers cannot be used. Nothing was begun.")
            lines.append(
                "All workers need the release of fr-toolkit that is here, and the same files under the same paths."
            )
            raise WorkerError("\n".join(lines))

    def sync(self, files: Sequence[Path]) -> bool:
        """Has every worker that wrote, and is still there, wait until the files are on the disk."""
        with self._loss_reported():
            present = self._authors & set(self._client.nthreads())
            answers = self._client.run(_sync_files, files, workers=list(present), on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, str):
                raise OutputError(f"{worker}: {answer}")
        return all(worker in answers and answers[worker] is None for worker in self._authors)

    def _start(self, task: Callable[[], Result]) -> Future[Result]:
        key = f"{funcname(task)}-{self._run}-{next(self._numbers)}"
        with self._loss_reported():
            future: Future[Result] = self._executor.submit(_run_task, task, tool_version(), key=key)
            return future

    def _wait_for_first(
        self, pending: Collection[Future[Result]], meanwhile: Callable[[], object] = lambda: None
    ) -> set[Future[Result]]:
        done: set[Future[Result]] = set()
        while not done:
            done = wait(pending, timeout=SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED).done
            if self._client.status != "running":  # it tries to connect again; a question now would wait for that
                raise self._loss()
            if time.monotonic() - self._counted > _SECONDS_BETWEEN_COUNTS:
                self._count_threads()
            meanwhile()
        return done

    def _result(self, done: Future[Result]) -> Result:
        try:
            worker, result = cast(tuple[str, Result], done.result())
            self._authors.add(worker)
            return result
        except CancelledError as error:
            raise self._loss() from error
        except KilledWorker as error:
            raise WorkerError(
                f"{self._scheduler}: {error.allowed_failures + 1} workers died while they ran the same task, perhaps for want "
                f"of memory, or of fr-toolkit; the last was {error.last_worker.address}, whose log may say more. {self._then}."
            ) from error

    @contextmanager
    def _loss_reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._loss() from error

    def _loss(self) -> WorkerError:
        return WorkerError(
            f"{self._scheduler}: the connection to the scheduler was lost. {self._then}, when the scheduler runs again."
        )


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keeps Dask from telling of lost connections, which our errors do."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _file_state(path: Path) -> FileState:
    """Gives what all machines that share a file see: bytes and second of the last writing; (-1, -1) of a folder."""
    try:
        state = path.stat()
    except OSError:
        return None
    return (-1, -1) if S_ISDIR(state.st_mode) else (state.st_size, int(state.st_mtime))


def _find_fault(version: str, states: Mapping[Path, FileState], probe: Path | None) -> str | None:
    """Says, on a worker, why it cannot be used, if so."""
    fault = _find_other_release(version)
    if fault:
        return fault
    for path, state in states.items():
        if _file_state(path) != state:
            return f"expected {path} as it is here, there it is {'missing' if _file_state(path) is None else 'another file'}"
        if state and not os.access(path, os.R_OK):
            return f"cannot read {path}"
    if probe and not probe.exists():
        return f"expected {probe.parent} as it is here, there it is {'another folder' if probe.parent.is_dir() else 'missing'}"
    if probe and not os.access(probe.parent, os.W_OK):
        return f"cannot write to {probe.parent}"
    return None


def _find_other_release(version: str) -> str | None:
    return None if tool_version() == version else f"expected fr-toolkit {version}, as here, received {tool_version()}"


def _describe_fault(fault: str | BaseException) -> str:
    return f"fr-toolkit cannot be imported there ({fault})" if isinstance(fault, BaseException) else fault


def _run_task(task: Callable[[], Result], version: str) -> tuple[str, Result]:
    """Runs a task on a worker, unless that came later and has another release; gives the worker's address as well."""
    address, fault = get_worker().address, _find_other_release(version)
    if fault:
        raise WorkerError(f"{address}: {fault}. Install the same release there, or stop that worker.")
    return address, task()


def _sync_files(files: Sequence[Path]) -> str | None:
    """Waits, on a worker, until what it wrote into files is on the disk; says which cannot get there, if so."""
    try:
        sync_files(files)
    except OSError as error:
        return str(write_error(files[0], error))
    return None


async def _wait_until_ended(run: str, dask_worker: Worker) -> None:
    """Waits, on a worker, until it executes no task of this run."""
    while any(run in str(task.key) for task in dask_worker.state.executing):
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
