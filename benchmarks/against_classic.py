"""How much faster than the classic scripts, which need MXNet and TensorFlow? Each runs in its own environment.

    make benchmarks-classic

Writes a set of 200,000 records of 5 KB (1 GB), then, five times over and in turn, with a warm page cache: `cp` of the `.rec`, the
classic script (`benchmarks/classic/`) and `fr-prep`, to shuffled TFRecords and to class folders. Prints medians. A classic script's
time is that of its whole process; what it took without start-up, the import of TensorFlow above all, stands beside it.

Class folders stay until the end (16 GB): for minutes after many files were removed, ext4 makes new ones several times more slowly.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure import FR_PREP, make_parser, timed, write_set

SCRIPTS = Path(__file__).with_name("classic")
CLASSIC_PYTHON = Path(__file__).parents[1] / ".venv-classic/bin/python"


@dataclass(frozen=True, slots=True)
class Contest:
    """A command of `fr-prep` and the classic script of the same name.

    Attributes:
        command: the name of both.
        options: what `fr-prep` is told besides source and result.
        count: counts the images in what `fr-prep` wrote.
        keeps: whether results stay until the end.
    """

    command: str
    options: tuple[str, ...]
    count: Callable[[Path], int]
    keeps: bool

    def exists(self) -> bool:
        """Whether this `fr-prep` has the command."""
        return subprocess.run([FR_PREP, self.command, "--help"], capture_output=True, check=False).returncode == 0

    def run_classic(self, source: Path, num_images: int, number: int) -> tuple[float, float]:
        """Gives the seconds of the classic script's process in a round, and those without its start-up."""
        out = source / f"classic-{self.command}-{number}"
        script = SCRIPTS / f"{self.command}.py"
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        os.sync()  # nobody pays for what another has written
        begun = time.perf_counter()
        done = subprocess.run([CLASSIC_PYTHON, script, source, out], stdout=subprocess.PIPE, env=quiet, check=True)
        seconds = time.perf_counter() - begun
        self._clear(out)
        told = json.loads(done.stdout)
        require_equal(told["records"], num_images, f"images by the classic {self.command}")
        return seconds, told["seconds"]

    def run_ours(self, source: Path, num_images: int, number: int) -> float:
        """Gives the seconds of our process in a round."""
        out = source / f"ours-{self.command}-{number}"
        os.sync()
        seconds = timed([FR_PREP, self.command, str(source), str(out), *self.options])
        require_equal(self.count(out), num_images, f"images by fr-prep {self.command}")
        self._clear(out)
        return seconds

    def _clear(self, out: Path) -> None:
        if not self.keeps:
            remove(out)


def count_records(out: Path) -> int:
    return int(json.loads((out / "manifest.json").read_text(encoding="utf-8"))["num_images"])


def count_files(out: Path) -> int:
    return sum(1 for _ in out.rglob("*.jpg"))


CONTESTS = (
    Contest("rec2tfrecord", ("--seed", "1", "--quiet"), count_records, keeps=False),
    Contest("rec2jpeg", (), count_files, keeps=True),
)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def require_equal(received: int, expected: int, what: str) -> None:
    if received != expected:
        sys.exit(f"expected {expected} {what}, received {received}: the comparison would be none")


def report(name: str, seconds: list[float], num_images: int) -> float:
    median = statistics.median(seconds)
    print(f"  {name:30} {median:8.2f} s  {num_images / median:9,.0f} records/s")
    return median


def main() -> None:
    """Measures and prints."""
    parser = make_parser(__doc__, images=200_000, rounds=5)
    parser.add_argument("--only", choices=[contest.command for contest in CONTESTS], help="leave the other out")
    options = parser.parse_args()
    if not CLASSIC_PYTHON.exists():
        sys.exit(f"expected the classic environment, {CLASSIC_PYTHON} is missing: make benchmarks-classic installs it")
    contests = []
    for contest in CONTESTS:
        if options.only in (None, contest.command):
            if contest.exists():
                contests.append(contest)
            else:
                print(f"Left out: this fr-prep has no {contest.command}.")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        source = Path(name)
        num_bytes = write_set(source, options.images)
        copies: list[float] = []
        classic: dict[str, list[tuple[float, float]]] = {contest.command: [] for contest in contests}
        ours: dict[str, list[float]] = {contest.command: [] for contest in contests}
        for number in range(options.rounds):
            copies.append(timed(["cp", str(source / "train.rec"), str(source / "copy.rec")]))
            (source / "copy.rec").unlink()
            for contest in contests:
                classic[contest.command].append(contest.run_classic(source, options.images, number))
                ours[contest.command].append(contest.run_ours(source, options.images, number))
    print(f"{options.images:,} records, {num_bytes / 1e9:.2f} GB, medians of {options.rounds} rounds")
    copy = report("cp of the .rec", copies, options.images)
    for contest in contests:
        print(contest.command)
        whole = report("classic script", [seconds for seconds, _ in classic[contest.command]], options.images)
        started = report("  without its start-up", [seconds for _, seconds in classic[contest.command]], options.images)
        our = report("fr-prep", ours[contest.command], options.images)
        print(
            f"  fr-prep is {whole / our:.1f} times as fast ({started / our:.1f} times without the start-up of the classic script), "
            f"and takes {our / copy:.1f} times as long as cp"
        )


if __name__ == "__main__":
    main()
