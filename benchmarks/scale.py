"""Do time per record and memory stay the same when a set is ten times as large?

    make benchmarks-scale

Writes sets of 200,000 and of 2,000,000 records of 5 KB (11 GB, and 10 GB for the largest result), converts both in turn, three
times over, and prints for each the median, the time per record and the peak memory of all processes together.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import psutil
from measure import FR_PREP, IMAGE_BYTES, make_parser, peak_memory, timed, write_set

RECORD_OVERHEAD_BYTES = 150  # index line and framing in a set, framing and features in shards; rounded up


def main() -> None:
    """Measures and prints."""
    parser = make_parser(__doc__, images=[200_000, 2_000_000], rounds=5)
    parser.add_argument("--image-bytes", type=int, default=IMAGE_BYTES, help="fewer, where memory cannot hold it all")
    options = parser.parse_args()
    needed = (sum(options.images) + max(options.images)) * (options.image_bytes + RECORD_OVERHEAD_BYTES)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        free = shutil.disk_usage(name).free
        print(f"Needs {needed / 1e9:.1f} GB of disk; {free / 1e9:.1f} GB are free at {name}.")
        print(f"Memory for the page cache: {psutil.virtual_memory().available / 1e9:.1f} GB.", flush=True)
        if free < needed:
            sys.exit("Too little space: give another --folder, or fewer --images.")
        folders = {num_images: Path(name, str(num_images)) for num_images in options.images}
        converts = {}
        for num_images, folder in folders.items():
            folder.mkdir()
            write_set(folder, num_images, image_bytes=options.image_bytes)
            converts[num_images] = [FR_PREP, "rec2tfrecord", str(folder), str(folder / "out"), "--seed", "1", "--quiet"]
        rounds: dict[int, list[float]] = {num_images: [] for num_images in folders}
        for _ in range(options.rounds):
            for num_images, folder in folders.items():
                rounds[num_images].append(timed(converts[num_images]))
                shutil.rmtree(folder / "out")
        per_record = {}
        for num_images, folder in folders.items():
            memory = peak_memory(converts[num_images])
            shutil.rmtree(folder / "out")
            seconds = statistics.median(rounds[num_images])
            per_record[num_images] = seconds / num_images
            print(f"{num_images:9,} records: {seconds:7.2f} s, {1e6 * seconds / num_images:.2f} us a record; {memory}")
    small, large = options.images
    print(f"Time per record: {per_record[large] / per_record[small]:.3f} times that of the small set")


if __name__ == "__main__":
    main()
