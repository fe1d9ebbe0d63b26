"""What the benchmarks share: a set to convert, a clock, and an eye on memory."""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from fr_prep.demo.faces import face_jpeg
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import RecordWriter

__all__ = ["FR_PREP", "IMAGE_BYTES", "Memory", "make_parser", "peak_memory", "timed", "write_set"]

FR_PREP = str(Path(sys.executable).with_name("fr-prep"))
IMAGE_BYTES = 5_000
DISTINCT_IMAGES = 500
IMAGES_PER_CLASS = 50


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of some processes together, in bytes: shared pages counted once (`pss`), or in every process (`rss`)."""

    pss: int
    rss: int

    def __str__(self) -> str:
        return f"{self.pss / 2**20:,.0f} MiB, all processes together ({self.rss / 2**20:,.0f} MiB where shared pages count twice)"


def make_parser(documentation: str, *, images: int | list[int], rounds: int) -> argparse.ArgumentParser:
    """Makes the options that every benchmark has, with these defaults."""
    parser = argparse.ArgumentParser(description=documentation.split("\n", 1)[0])
    parser.add_argument("--images", type=int, nargs=len(images) if isinstance(images, list) else None, default=images)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--folder", type=Path, help="where to write; the default is the folder for temporary files")
    return parser


def _draw_image(person: int, image_bytes: int) -> bytes:
    """Draws a face whose JPEG, at the best quality that fits, is padded to this length behind its end-of-image marker."""
    for quality in (95, 85, 70, 50, 30, 10):
        image = face_jpeg(0, person, image_index=0, quality=quality)
        if len(image) <= image_bytes:
            return image.ljust(image_bytes, b"\0")
    raise ValueError(f"expected at least {len(image)} bytes an image, received {image_bytes}")


def write_set(folder: Path, num_images: int, *, image_bytes: int = IMAGE_BYTES) -> int:
    """Writes an InsightFace set of drawn faces, over and over, each padded behind its end-of-image marker, and syncs it.

    Returns:
        The bytes of the `.rec`.
    """
    images = [_draw_image(person, image_bytes) for person in range(DISTINCT_IMAGES)]
    entries = []
    with (folder / "train.rec").open("wb") as file:
        writer = RecordWriter(file)
        entries.append((0, writer.write(pack_image_record([float(num_images + 1)] * 2, key=0))))
        for key in range(1, num_images + 1):
            label = float((key - 1) // IMAGES_PER_CLASS)
            payload = pack_image_record(label, key=key, image=images[key % DISTINCT_IMAGES])
            entries.append((key, writer.write(payload)))
    write_record_index(folder / "train.idx", entries)
    os.sync()
    return writer.offset


def timed(command: list[str]) -> float:
    """Runs a command; gives its seconds."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def peak_memory(command: list[str]) -> Memory:
    """Runs a command, watched: the peak of all its processes together."""
    pss = rss = 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            infos = [member.memory_full_info() for member in [process, *process.children(recursive=True)]]
            pss, rss = max(pss, sum(info.pss for info in infos)), max(rss, sum(info.rss for info in infos))
        time.sleep(0.01)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Memory(pss, rss)
