"""How fast is a conversion by two workers of a Dask scheduler, against two processes of the local pool?

    make benchmarks-cluster

Starts a scheduler and two workers with one thread each on this machine, and writes a set of 1,000,000 records of 5 KB (5 GB). Then,
six times over: a conversion by the local pool and one by the workers, either one first in every other round; start and end of
`fr-prep` are part of both, the start of the workers is not. What one wrote is gone from disk and memory before the other begins.
Prints medians, and the ratio of each round. The sets must be equal, byte for byte.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from measure import FR_PREP, make_parser, timed, write_set

from fr_prep.digests import sha256_of_file

DASK = str(Path(sys.executable).with_name("dask"))
NUM_WORKERS = 2


def main() -> None:
    """Measures and prints."""
    options = make_parser(__doc__, images=1_000_000, rounds=6).parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name, cluster(Path(name)) as address:
        folder = Path(name)
        num_bytes = write_set(folder, options.images)
        convert = [FR_PREP, "rec2tfrecord", name, "--seed", "1", "--quiet"]
        pools = {"local pool": ["--workers", str(NUM_WORKERS)], "Dask workers": ["--scheduler", address]}
        seconds: dict[str, list[float]] = {pool: [] for pool in pools}
        written = []
        for number in range(options.rounds):
            for pool in list(pools)[:: -1 if number % 2 else 1]:
                os.sync()
                seconds[pool].append(timed([*convert, str(folder / "out"), *pools[pool]]))
                written.append({path.name: sha256_of_file(path) for path in (folder / "out").iterdir()})
                shutil.rmtree(folder / "out")
        if any(files != written[0] for files in written):
            sys.exit("The sets differ.")
    print(f"{options.images:,} records, {num_bytes / 1e9:.2f} GB, {NUM_WORKERS} workers, medians of {options.rounds}")
    for pool, times in seconds.items():
        median = statistics.median(times)
        print(
            f"  {pool:<14}{median:8.2f} s, {options.images / median:,.0f} records/s, {min(times):.2f} to {max(times):.2f} s"
        )
    local, far = seconds.values()
    ratios = sorted(here / there for here, there in zip(local, far, strict=True))
    print(f"  speed of the workers: {statistics.median(local) / statistics.median(far):.2f} of the local pool's")
    print(f"    in single rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Starts a scheduler and its workers; gives its address when all are there."""
    file = folder / "scheduler.json"
    place = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"]
    worker = [
        "--scheduler-file",
        str(file),
        "--nthreads",
        "1",
        "--no-dashboard",
        "--local-directory",
        str(folder / "dask"),
    ]
    commands = [["scheduler", *place], *[["worker", *worker]] * NUM_WORKERS]
    processes = [psutil.Popen([DASK, *command], stderr=subprocess.DEVNULL) for command in commands]
    try:
        while not file.exists():
            time.sleep(0.1)
        time.sleep(0.5)
        address = str(json.loads(file.read_text())["address"])
        from distributed import Client  # noqa: PLC0415  only where it is measured

        with Client(address) as client:
            client.wait_for_workers(NUM_WORKERS)
        yield address
    finally:
        for process in processes:
            for member in [*process.children(recursive=True), process]:
                member.kill()
            process.wait()


if __name__ == "__main__":
    main()
