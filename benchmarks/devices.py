"""What does it cost to spread a batch over two devices, against one device with the same batch?

    make benchmarks-devices

`fr-train`'s step as in `step.py` (the field's `mbf`, ArcFace over 10,000 classes, a batch of 64) on one device, and on two logical
devices of the same processor (`--devices 2`): the same arithmetic, so what is more is distribution. Five rounds in turn, each in a
process of its own: two steps to warm up, then five. Prints medians, and the ratio of each round.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

STEP = Path(__file__).with_name("step.py")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    arguments = [f"--images={options.images}", f"--classes={options.classes}", f"--steps={options.steps}"]
    results: dict[int, list[dict[str, Any]]] = {1: [], options.devices: []}
    for _ in range(options.rounds):
        for devices, rows in results.items():
            command = [sys.executable, STEP, f"--ours={devices}", *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            rows.append(json.loads(done.stdout))
    print(
        f"Batch of {options.images}, {options.classes:,} classes, medians of {options.rounds} rounds of {options.steps} steps"
    )
    for devices, rows in results.items():
        seconds, processor = (statistics.median(row[key] for row in rows) for key in ("seconds", "processor_seconds"))
        print(f"  {devices} devices {seconds:6.3f} s a step, {processor:6.3f} s of processor time")
    for key, name in (("seconds", "time"), ("processor_seconds", "processor time")):
        ratios = sorted(
            several[key] / one[key] for one, several in zip(results[1], results[options.devices], strict=True)
        )
        print(f"  {name}: {statistics.median(ratios):.2f} of one device's ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
