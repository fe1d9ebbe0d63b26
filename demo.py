"""The whole way once, on drawn faces: `make demo`. Each step is shown with the command that a user would type."""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

DEMO = Path("demo")
BIN_FOLDER = Path(sys.executable).parent

PREPARE = [
    "fr-prep demo-data demo/faces --seed 1",
    "fr-prep rec2tfrecord demo/faces demo/shards --seed 1",
    "fr-prep verify demo/shards",
]
TRAIN = [
    "fr-train --config demo --shards demo/shards --bins demo/faces/unseen.bin --out demo/run",
    "fr-train --config demo --shards demo/shards --epochs 0 --out demo/untrained",
]
EVALUATE = {
    "trained": "fr-eval --model demo/run/last.keras demo/faces/unseen.bin --report demo/report.html",
    "untrained": "fr-eval --model demo/untrained/last.keras demo/faces/unseen.bin",
}


def run(command: str, *, capture: bool = False) -> str:
    """Shows a command, runs it with the console scripts of this environment, and gives its output if that is wanted."""
    program, *arguments = shlex.split(command)
    if not capture:
        print(f"\n$ {command}", flush=True)
    ended = subprocess.run(
        [str(BIN_FOLDER / program), *arguments], stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"`{command}` ended with exit code {ended.returncode}.")
    return ended.stdout or ""


def main() -> None:
    """Runs all steps anew and ends with a table of accuracies."""
    begun = time.monotonic()
    shutil.rmtree(DEMO, ignore_errors=True)
    for command in (*PREPARE, *TRAIN, *EVALUATE.values()):
        run(command)
    print("\nVerification of unseen people, 10 folds, mirror sum")
    for name, command in EVALUATE.items():
        (result,) = json.loads(run(f"{command} --json --overwrite", capture=True))["results"]
        figure = result["insightface_mirror_sum"]
        print(f"  {name:<10} accuracy {figure['accuracy_mean']:.4f} ± {figure['accuracy_std']:.4f}")
    for name, path in (("model", "run/last.keras"), ("training curve", "run/curves.png"), ("report", "report.html")):
        print(f"  {name:<15} {DEMO / path}")
    print(f"Done in {time.monotonic() - begun:.0f} seconds.")


if __name__ == "__main__":
    main()
