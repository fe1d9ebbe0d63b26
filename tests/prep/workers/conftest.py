"""A real Dask scheduler with worker processes, on loopback."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

pytest.importorskip("distributed", reason="Dask is missing: pip install 'fr-toolkit[cluster]'")

DASK = str(Path(sys.executable).with_name("dask"))
Found = TypeVar("Found")
PATIENCE_SECONDS = 120  # other work may keep all processors busy


def wait_until(look: Callable[[], Found], *, pause_seconds: float = 0.02) -> Found:
    """Gives what is found as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause_seconds)
    return found


class Cluster:
    """A scheduler, and as many workers as are started; to be entered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self._file = folder / "scheduler.json"
        self._port = 0

    def __enter__(self) -> "Cluster":
        self.start_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    def start_scheduler(self) -> None:
        """Starts a scheduler; again, at the address of the last one."""
        self._file.unlink(missing_ok=True)
        place = ["--host", "127.0.0.1", "--port", str(self._port), "--scheduler-file", str(self._file)]
        self.scheduler = self._run([DASK, "scheduler", *place, "--no-dashboard", "--no-jupyter"], "scheduler")
        self._port = int(wait_until(self._read_address).rpartition(":")[2])

    def _read_address(self) -> str:
        with contextlib.suppress(OSError, ValueError):  # it is not written yet, or half
            return str(json.loads(self._file.read_text())["address"])
        assert self.scheduler.poll() is None, (self.folder / "scheduler.log").read_text()
        return ""

    def start_worker(self, *before: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a worker with one thread, without a nanny that would start it again; returns when the scheduler knows it."""
        known = self.addresses()
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder / "dask")]
        command = [*before, DASK, "worker", self.address, "--host", "127.0.0.1", *options]
        worker = self._run(command, "worker", **environment)
        self.workers.append(worker)
        wait_until(lambda: worker.poll() is not None or self.addresses() - known)
        assert worker.poll() is None, (self.folder / "worker.log").read_text()
        return worker

    def stop_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """Ends a worker; returns when the scheduler knows that it is gone."""
        known = len(self.addresses())
        worker.kill()
        worker.wait()
        self.workers.remove(worker)
        wait_until(lambda: len(self.addresses()) < known)

    def addresses(self) -> set[str]:
        """Those of the workers that the scheduler knows."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return set(client.nthreads())

    def tasks(self) -> list[str]:
        """The keys of all tasks that the scheduler knows."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return client.run_on_scheduler(lambda dask_scheduler: list(map(str, dask_scheduler.tasks)))

    def worker_that_writes(self, folder: Path) -> psutil.Process:
        """Waits for a worker that has an unfinished file in this folder open, and stops it there."""

        def find() -> psutil.Process | None:
            for worker in self.workers:
                process = psutil.Process(worker.pid)
                if _is_writing(process, folder):
                    process.suspend()
                    if _is_writing(process, folder):
                        return process
                    process.resume()
            return None

        return wait_until(find, pause_seconds=0)

    def _run(self, command: list[str], name: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
            )


def _is_writing(process: psutil.Process, folder: Path) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        opened = [Path(file.path) for file in process.open_files()]
        return any(path.parent == folder and path.suffix == ".incomplete" for path in opened)
    return False


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Cluster]:
    return lambda: Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def cluster(make_cluster: Callable[[], Cluster]) -> Iterator[Cluster]:
    """A scheduler and two workers that nothing happens to."""
    with make_cluster() as cluster:
        for _ in range(2):
            cluster.start_worker()
        yield cluster
