"""Are 20,000,000 records in 2,000,000 classes planned, and their tables written, within 60 s and 1.5 GiB?

    make benchmarks-huge

Writes a set as InsightFace does (header record, identity records, an `.idx` whose last line is record 0) whose images are nothing
but the start of a JPEG; with what is made of it, 5 GB of disk. A process reads its index, plans a conversion with global shuffle,
and writes class index, label names and manifest. Prints seconds and peak memory of both; then those of a whole conversion, of all
its processes together.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from measure import FR_PREP, peak_memory

from fr_data.images.header import ImageKind
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.record_sets.recordio import MAGIC
from fr_prep.write.build import BuildSettings, plan_dataset
from fr_prep.write.manifest import shard_name
from fr_prep.write.shard_writer import ShardResult
from fr_prep.write.tables import write_tables

IMAGE = bytes.fromhex("ffd8ffc0001108007000700301220002110103110100ffd9").ljust(32, b"\0")  # 112 x 112, RGB, no scan
BLOCK_RECORDS = 1 << 20
NUM_SHARDS = 800  # as many as real images of 5 KB would fill
LIMIT_SECONDS, LIMIT_BYTES = 60, 1.5 * 2**30


def write_huge_set(folder: Path, *, num_images: int, num_classes: int) -> None:
    """Writes `train.rec` and `train.idx`; float32 rounds header and ranges, as in real sets of that size."""
    ends = np.arange(1, num_classes + 1) * num_images // num_classes + 1
    header = np.array([[num_images + 1, num_images + 1 + num_classes]])
    limits = np.stack([np.append(1, ends[:-1]), ends], axis=1)
    image = np.frombuffer(IMAGE, dtype="<u4")
    offset, lines = 0, list[str]()
    with (folder / "train.rec").open("wb") as rec, (folder / "train.idx").open("w", encoding="ascii") as idx:

        def write(keys: np.ndarray, flag: int, label: np.ndarray, tail: np.ndarray) -> None:
            nonlocal offset, lines
            words = np.zeros((len(keys), 8 + tail.shape[-1]), dtype="<u4")
            words[:, :3] = MAGIC, 4 * (words.shape[1] - 2), flag
            words[:, 3] = label.astype("<f4").view("<u4")
            words[:, 4], words[:, 8:] = keys, tail
            rec.write(words.tobytes())
            step = 4 * words.shape[1]
            lines = [f"{key}\t{offset + step * row}\n" for row, key in enumerate(keys.tolist())]
            offset += step * len(keys)

        write(np.array([0]), 2, np.zeros(1), header.astype("<f4").view("<u4"))
        last_line = lines[0]
        for first in range(1, num_images + 1, BLOCK_RECORDS):
            keys = np.arange(first, min(first + BLOCK_RECORDS, num_images + 1))
            write(keys, 0, np.searchsorted(ends, keys, side="right"), image)
            idx.writelines(lines)
        for first in range(0, num_classes, BLOCK_RECORDS):
            part = limits[first : first + BLOCK_RECORDS]
            keys = num_images + 1 + first + np.arange(len(part))
            write(keys, 2, np.zeros(len(part)), part.astype("<f4").view("<u4"))
            idx.writelines(lines)
        idx.write(last_line)


@contextmanager
def measured(name: str, figures: dict[str, dict[str, float]]) -> Iterator[None]:
    """Notes the seconds and the peak of this process's memory while it is entered."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    begun = time.perf_counter()
    yield
    seconds = time.perf_counter() - begun
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    figures[name] = {"seconds": seconds, "peak_bytes": 1024 * int(status["VmHWM"].split()[0])}


def run(folder: Path) -> dict[str, dict[str, float]]:
    """Does what a conversion does, but for the images."""
    figures: dict[str, dict[str, float]] = {}
    settings, out = BuildSettings(plan=PlanSettings(num_shards=NUM_SHARDS)), folder / "out"
    out.mkdir()
    with measured("index and plan", figures):
        conversion = plan_dataset(RecordSetSource(folder), settings)
    plan = conversion.plan
    kind = ImageKind("jpeg", 112, 112, 3)
    with measured("class index and other tables", figures):
        results = {
            split: [
                ShardResult(
                    shard_name(settings.name, split, n, len(shards)),
                    len(rows),
                    0,
                    "0" * 64,
                    Counter({kind: len(rows)}),
                )
                for n, rows in enumerate(shards)
            ]
            for split, shards in plan.splits.items()
        }
        write_tables(
            out,
            images=conversion.images,
            source_files=[],
            plan=plan,
            results=results,
            record_table="0" * 64,
            arguments=settings.arguments(),
        )
    return figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=20_000_000)
    parser.add_argument("--classes", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="where to write; the default is the folder for temporary files")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(options.run)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        write_huge_set(Path(name), num_images=options.images, num_classes=options.classes)
        done = subprocess.run([sys.executable, __file__, "--run", name], stdout=subprocess.PIPE, check=True)
        whole = [FR_PREP, "rec2tfrecord", name, f"{name}/set", f"--shards={NUM_SHARDS}", "--quiet"]
        begun = time.perf_counter()
        memory = peak_memory(whole)
        whole_seconds = time.perf_counter() - begun
    figures = json.loads(done.stdout)
    print(f"{options.images:,} images in {options.classes:,} classes")
    for part, row in figures.items():
        print(f"  {part:28} {row['seconds']:6.1f} s, peak {row['peak_bytes'] / 2**20:7,.0f} MiB")
    seconds = sum(row["seconds"] for row in figures.values())
    peak = max(row["peak_bytes"] for row in figures.values())
    print(f"  {'together':28} {seconds:6.1f} s, peak {peak / 2**20:7,.0f} MiB")
    print(f"  {'whole conversion':28} {whole_seconds:6.1f} s, peak {memory}")
    if seconds > LIMIT_SECONDS or peak > LIMIT_BYTES:
        sys.exit(f"expected at most {LIMIT_SECONDS} s and {LIMIT_BYTES / 2**20:,.0f} MiB")


if __name__ == "__main__":
    main()
