"""Conversions that are interrupted at every point, and what may then be found in the folder.

`FR_CRASHES=20` tries twenty times as many points as are tried by default.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify.verify import verify_dataset
from fr_prep.write.build import BuildSettings, build_dataset

FACTOR = int(os.environ.get("FR_CRASHES", "1"))
STAGING = "conversion.incomplete"
BEFORE_PUBLICATION = ("not begun", "planned", "shards", "tables", "syncing")
HANGS_AFTER_SECONDS = 120  # on a busy machine too
FINISHED = "a finished data set is there, nothing is left to resume"


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or the negative number of the signal that killed it; and what it said."""

    code: int
    said: str


@dataclass(frozen=True)
class Conversion:
    """A conversion, and what comes of it when nothing happens.

    `old` is a set that it may have to replace. `as_user` takes from root what other users cannot do.
    """

    script: str
    source: Path
    num_shards: int
    whole: dict[str, str]
    old: Path
    as_user: bool = False

    def arguments(self, out: Path, *options: str) -> list[str]:
        arguments = ["rec2tfrecord", str(self.source), str(out), "--shards", str(self.num_shards), "--seed", "1"]
        return [*arguments, "--quiet", *([] if "--workers" in options else ["--workers", "2"]), *options]

    def start(self, out: Path, *options: str) -> subprocess.Popen[str]:
        """Starts `fr-prep` as the leader of a process group of its own."""
        command = [self.script, *self.arguments(out, *options)]
        if self.as_user and os.geteuid() == 0:
            if not shutil.which("setpriv"):
                pytest.skip("permissions do not stop root, and setpriv is missing")
            command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
        return subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True)

    def wait(self, process: subprocess.Popen[str]) -> Ended:
        """Waits for a process, which must not hang, and must keep its tracebacks to itself."""
        try:
            _, said = process.communicate(timeout=HANGS_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Ended(process.returncode, said)

    def run(self, out: Path, *options: str) -> Ended:
        return self.wait(self.start(out, *options))

    def wait_for_shards(self, process: subprocess.Popen[str], out: Path, number: int) -> None:
        """Waits until so many whole shards are there, or the process has ended."""
        while process.poll() is None and len(self._shard_names(out / STAGING) | self._shard_names(out)) < number:
            time.sleep(0.001)

    def _shard_names(self, folder: Path) -> set[str]:
        try:
            return {path.name for path in folder.iterdir() if path.name.endswith(f"-of-{self.num_shards:05d}")}
        except FileNotFoundError:
            return set()

    @staticmethod
    def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
        """Gives the workers that a process has now."""
        try:
            return psutil.Process(process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def put_old(self, out: Path) -> dict[str, str]:
        """Puts the old set into a folder, and gives its digests."""
        shutil.copytree(self.old, out)
        return self.digest(out)

    @staticmethod
    def digest(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def phase(self, out: Path) -> str:
        """Gives how far a conversion came that left this folder."""
        staging = out / STAGING
        names = {path.name for path in staging.iterdir()} if staging.exists() else set()
        if self.digest(out).get("manifest.json") == self.whole["manifest.json"]:
            return "clearing" if staging.exists() else "ended"
        for phase, mark in (("moving", "publishing.json"), ("removing", "replaced.json"), ("syncing", "manifest.json")):
            if mark in names:
                return phase
        if names & {"records.npy", "classes.csv", "classes.csv.incomplete"}:
            return "tables"
        return "shards" if self.shards(staging) else "planned" if "plan.json" in names else "not begun"

    def shards(self, folder: Path) -> dict[str, tuple[int, int]]:
        """Gives inode and time of writing of each whole shard of this conversion in a folder."""
        found = folder.glob(f"*-of-{self.num_shards:05d}")
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}

    def check_left(self, out: Path, old: dict[str, str]) -> str:
        """Checks what an interrupted conversion left in a folder that had held `old`; gives its phase."""
        phase, found = self.phase(out), self.digest(out)
        published = {name for name in found if not name.startswith(STAGING)}
        if phase in BEFORE_PUBLICATION:
            assert {name: found[name] for name in published} == old
        elif phase == "removing":
            assert published <= set(old), "a file of the new set stands beside one of the old"
        elif phase == "moving":
            assert {name: found[name] for name in published}.items() <= self.whole.items()
            assert "manifest.json" not in published
        else:
            assert {name: found[name] for name in published} == self.whole
        if "manifest.json" in published:
            verify_dataset(out, quiet=True)
        return phase

    def check_goes_on(
        self,
        out: Path,
        phase: str,
        old: dict[str, str],
        run: Callable[..., Ended] | None = None,
        *,
        keeps_shards: bool = True,
    ) -> None:
        """Checks that an interrupted conversion is gone on with to the same bytes, and that no whole shard is written again."""
        run = run or self.run
        kept = {**self.shards(out / STAGING), **self.shards(out)}
        if phase == "not begun":
            begun = (out / STAGING).exists() and not old
            again = run(out, *(["--overwrite"] if old else ["--resume"] if begun else []))
        else:
            again = run(out, "--resume")
        if phase == "ended" or (phase == "clearing" and again.code):
            assert (again.code, FINISHED in again.said) == (1, True), again
        else:
            assert again.code == 0, again
        assert self.digest(out) == self.whole
        assert phase == "not begun" or not keeps_shards or kept.items() <= self.shards(out).items(), (
            "a whole shard was written again"
        )


class StepRunner:
    """Runs a conversion in a process that meets a fault at one of its steps; see `step_server.py`."""

    def __init__(self, conversion: Conversion, steps: Path) -> None:
        self.conversion = conversion
        self._steps = steps
        self._server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("step_server.py")],
            stdin=-1,
            stdout=-1,
            text=True,
            bufsize=1,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def run(
        self,
        out: Path,
        *options: str,
        at: int = 0,
        fault: dict[str, int | str] | None = None,
        lines: bool = False,
        in_worker: bool = False,
        file_bytes: int = -1,
    ) -> Ended:
        request = {
            "arguments": self.conversion.arguments(out, *options),
            "out": str(out),
            "steps": str(self._steps),
            "at": at,
            "fault": fault,
            "lines": lines,
            "in_worker": in_worker,
            "file_bytes": file_bytes,
        }
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return Ended(*json.loads(self._server.stdout.readline()))

    def steps(self) -> list[str]:
        """Gives the names of the steps of the last run, which must have come to its end."""
        return json.loads(self._steps.read_text())

    def stop(self) -> None:
        self._server.communicate(timeout=10)


def make_conversion(folder: Path, make_set, script: str, *, num_classes: int, images_per_class: int, num_shards: int):
    source = make_set(folder / "set", num_classes=num_classes, images_per_class=images_per_class).folder
    for name, shards, seed in (("whole", num_shards, 1), ("old", 5, 9)):
        settings = BuildSettings(plan=PlanSettings(num_shards=shards, seed=seed), quiet=True)
        build_dataset(RecordSetSource(source), folder / name, settings=settings)
    return Conversion(script, source, num_shards, Conversion.digest(folder / "whole"), folder / "old")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(300 * FACTOR))
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(sys.platform != "linux", reason="signals and mounts as Linux has them"))


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c():
    """Lets what is started here take Ctrl-C, which it does not where these tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def conversion(make_set, script, tmp_path_factory) -> Conversion:
    """One that takes about half a second, most of it for its many shards."""
    folder = tmp_path_factory.mktemp("conversion")
    return make_conversion(folder, make_set, script, num_classes=60, images_per_class=100, num_shards=120)


@pytest.fixture(scope="session")
def goes_on(conversion, tmp_path_factory) -> Iterator[Callable[..., Ended]]:
    """Gives what runs the conversion with options, and has its modules loaded already."""
    runner = StepRunner(conversion, tmp_path_factory.mktemp("goes_on") / "steps.json")
    yield runner.run
    runner.stop()


@pytest.fixture(scope="session")
def stepped(make_set, script, tmp_path_factory) -> Iterator[StepRunner]:
    """A small conversion whose steps can be counted."""
    folder = tmp_path_factory.mktemp("stepped")
    small = make_conversion(folder, make_set, script, num_classes=3, images_per_class=4, num_shards=3)
    runner = StepRunner(small, folder / "steps.json")
    yield runner
    runner.stop()


@pytest.fixture
def memory_path(tmp_path) -> Iterator[Path]:
    """A folder in memory where there is one, since a disk takes milliseconds for each sync of a conversion."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mount() -> Callable[..., None]:
    """Gives `mount`; whoever calls it is skipped where mounting is not allowed."""

    def mount_or_skip(*arguments: object) -> None:
        command = ["mount", *map(str, arguments)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")

    return mount_or_skip


@pytest.fixture(scope="session")
def many() -> Callable[[int], int]:
    """How many of something are tried, where so many are the default."""
    return lambda number: number * FACTOR
