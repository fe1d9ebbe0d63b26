"""The demo set: drawn faces in a true InsightFace layout, and a verification bin of people who are not in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fr_data.bins.bins import write_bin
from fr_data.files import remove_drafts, whole_files
from fr_prep.demo.faces import face_jpeg
from fr_prep.files import write_error
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import RecordWriter
from fr_prep.workers.pool import run_tasks
from fr_prep.write.output_folder import OutputFolder, require_free_names

__all__ = ["DemoSettings", "write_demo_set"]

DEMO_FILES = ("train.rec", "train.idx", "property", "unseen.bin")
NUM_FOLDS = 10
UNSEEN_IMAGES = 6  # of each person in the bin


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """How much is drawn.

    Attributes:
        num_identities: people in the training set.
        images_per_identity: images of each.
        num_pairs: pairs in the bin; half of each fold show one person.
        seed: seed of all that is drawn.
    """

    num_identities: int = 240
    images_per_identity: int = 18
    num_pairs: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_pairs % (2 * NUM_FOLDS):
            raise ValueError(f"expected a number of pairs divisible by {2 * NUM_FOLDS}, received {self.num_pairs}")
        if self.num_identities < 2 or self.images_per_identity < 2:
            raise ValueError(
                f"expected 2 people with 2 images or more, received {self.num_identities} with {self.images_per_identity}"
            )

    @property
    def num_unseen(self) -> int:
        """People in the bin; about as many pairs of one person come from each as it has images."""
        return max(2 * NUM_FOLDS, self.num_pairs // UNSEEN_IMAGES)


def write_demo_set(
    out: Path, settings: DemoSettings, *, num_workers: int = 1, overwrite: bool = False, quiet: bool = False
) -> list[Path]:
    """Draws and writes `train.rec`, `train.idx`, `property` and `unseen.bin`.

    Args:
        out: the folder.
        settings: how much.
        num_workers: processes; they change nothing in the result.
        overwrite: replace files of these names.
        quiet: no progress bar.

    Returns:
        The four files.

    Raises:
        OutputError: if files are there, or cannot be written.
    """
    require_free_names(out, DEMO_FILES, overwrite=overwrite)
    people = partial(_draw_people, settings=settings, num_workers=num_workers, quiet=quiet)
    with OutputFolder(out):
        remove_drafts(out, DEMO_FILES.__contains__)
        try:
            with whole_files(out, DEMO_FILES) as draft:
                rec, idx, property_file, unseen_bin = (draft / name for name in DEMO_FILES)
                _write_records(rec, idx, people(0, settings.num_identities, settings.images_per_identity), settings)
                property_file.write_text(f"{settings.num_identities},112,112", encoding="ascii")
                unseen = list(people(settings.num_identities, settings.num_unseen, UNSEEN_IMAGES))
                write_bin(unseen_bin, *_pair_up(unseen, settings))
        except OSError as error:
            raise write_error(out, error, then="try again") from error
    return [out / name for name in DEMO_FILES]


def _draw_people(
    first: int, num_people: int, num_images: int, *, settings: DemoSettings, num_workers: int, quiet: bool
) -> Iterator[list[bytes]]:
    """Yields the JPEGs of one person after the other."""
    tasks = (partial(_draw_person, settings.seed, person, num_images) for person in range(first, first + num_people))
    waiting: dict[int, list[bytes]] = {}
    with tqdm(total=num_people * num_images, unit=" faces", desc="Drawing", disable=quiet or None) as bar:
        turn = 0
        for position, images in run_tasks(tasks, num_workers=num_workers):
            waiting[position] = images
            bar.update(len(images))
            while turn in waiting:
                yield waiting.pop(turn)
                turn += 1


def _draw_person(seed: int, person: int, num_images: int) -> list[bytes]:
    return [face_jpeg(seed, person, image_index=image) for image in range(num_images)]


def _write_records(rec_path: Path, idx_path: Path, people: Iterator[list[bytes]], settings: DemoSettings) -> None:
    """Writes a set as InsightFace does: header record, images by identity, identity records; keys count up."""
    num_images = settings.num_identities * settings.images_per_identity
    entries: list[tuple[int, int]] = []
    ranges: list[tuple[int, int]] = []
    with rec_path.open("wb") as file:
        writer = RecordWriter(file)

        def append(labels: float | list[float], image: bytes = b"") -> None:
            key = len(entries)
            entries.append((key, writer.write(pack_image_record(labels, key=key, image=image))))

        append([float(num_images + 1), float(num_images + 1 + settings.num_identities)])
        for person, images in enumerate(people):
            ranges.append((len(entries), len(entries) + len(images)))
            for image in images:
                append(float(person), image)
        for first, past_last in ranges:
            append([float(first), float(past_last)])
    write_record_index(idx_path, entries)


def _pair_up(people: list[list[bytes]], settings: DemoSettings) -> tuple[list[bytes], list[bool]]:
    """Makes balanced folds; nobody is in two folds, so that a threshold is never tuned on the people it is tested on."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([settings.seed, len(people)])))
    images: list[bytes] = []
    truths: list[bool] = []
    for fold in range(NUM_FOLDS):
        members = people[fold::NUM_FOLDS]
        for _ in range(settings.num_pairs // (2 * NUM_FOLDS)):
            person, other = rng.choice(len(members), size=2, replace=False)
            first, second = rng.choice(UNSEEN_IMAGES, size=2, replace=False)
            images += [members[person][first], members[person][second], members[person][first], members[other][second]]
            truths += [True, False]
    return images, truths
