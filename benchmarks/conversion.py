"""How long does a conversion with global shuffle take, as a ratio to `cp` of the same bytes in the same run?

    make benchmarks

Writes a set of 200,000 records of 5 KB (1 GB), then, five times over: `cp` of the `.rec` and a conversion, each to a fresh place,
with a warm page cache. Prints the median of both, their ratio, and the peak memory of all processes of the conversion together.
"""

import argparse
import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from fr_prep.demo.faces import face_jpeg
from fr_prep.sources.image_records import pack_image_record
from fr_prep.sources.record_index import write_record_index
from fr_prep.sources.recordio import RecordWriter

IMAGE_BYTES = 5_000
DISTINCT_IMAGES = 500
IMAGES_PER_CLASS = 50


def write_set(folder: Path, num_images: int) -> None:
    """Writes an InsightFace set of drawn faces, each padded to 5,000 bytes behind its end-of-image marker."""
    faces = [face_jpeg(0, person, image_index=0) for person in range(DISTINCT_IMAGES)]
    images = [face[:IMAGE_BYTES] + bytes(max(0, IMAGE_BYTES - len(face))) for face in faces]
    entries = []
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        entries.append((0, writer.write(pack_image_record([float(num_images + 1)] * 2, key=0))))
        for key in range(1, num_images + 1):
            label = float((key - 1) // IMAGES_PER_CLASS)
            payload = pack_image_record(label, key=key, image=images[key % DISTINCT_IMAGES])
            entries.append((key, writer.write(payload)))
    write_record_index(folder / "train.idx", entries)


def timed(command: list[str]) -> float:
    """Runs a command; gives its seconds."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def peak_memory(command: list[str]) -> int:
    """Runs a command once more, watched: the peak of all its processes together in bytes, shared pages counted once."""
    peak = 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_full_info().pss for member in family))
        time.sleep(0.01)
    return peak


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, help="where to write; the default is the system's folder for temporary files"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_set(folder, options.images)
        num_bytes = (folder / "train.rec").stat().st_size
        fr_prep = str(Path(sys.executable).with_name("fr-prep"))
        convert = [fr_prep, "rec2tfrecord", name, str(folder / "out"), "--seed", "1", "--quiet"]
        copies, conversions = [], []
        for _ in range(options.rounds):
            copies.append(timed(["cp", str(folder / "train.rec"), str(folder / "copy.rec")]))
            (folder / "copy.rec").unlink()
            conversions.append(timed(convert))
            shutil.rmtree(folder / "out")
        peak = peak_memory(convert)
    copy, conversion = statistics.median(copies), statistics.median(conversions)
    speed = options.images / conversion
    print(f"{options.images:,} records, {num_bytes / 1e9:.2f} GB, medians of {options.rounds}")
    print(f"  cp                    {copy:8.2f} s")
    print(f"  fr-prep rec2tfrecord  {conversion:8.2f} s, {conversion / copy:.1f} times cp, {speed:,.0f} records/s")
    print(f"  peak memory           {peak / 2**20:8.0f} MiB, all processes together")


if __name__ == "__main__":
    main()
