"""From a source to what is known of it: the whole flow on one page."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fr_prep.survey.classes import ClassedImages
from fr_prep.survey.close_pairs import Closeness, ClosePairs, find_close_pairs
from fr_prep.survey.duplicates import Groups, group_images
from fr_prep.survey.fingerprints import take_fingerprints
from fr_prep.survey.overlap import Overlap, find_overlap
from fr_prep.workers.pool import open_pool

__all__ = ["Survey", "SurveySettings", "survey_images"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveySettings:
    """What is looked for.

    Attributes:
        near_duplicates: look for images of a set that are nearly the same picture.
        closeness: how many bits of their perceptual hashes may differ.
        bins: verification bins that what is trained on should share nothing with.
        num_workers: processes; they change nothing in the result.
        scheduler: address of a Dask scheduler whose workers do it instead.
        quiet: no progress bars.
    """

    near_duplicates: bool = False
    closeness: Closeness = field(default_factory=Closeness)
    bins: tuple[Path, ...] = ()
    num_workers: int = 1
    scheduler: str | None = None
    quiet: bool = False

    @property
    def decodes(self) -> bool:
        """Whether images must be decoded, and not only read."""
        return self.near_duplicates or bool(self.bins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found.

    Attributes:
        classed: the set.
        settings: what was looked for.
        contents: images with the same bytes.
        pictures: images with the same perceptual hashes, or the same bytes; as `contents` if near-duplicates were not looked for.
        near: pairs of rows that are nearly the same, each the first of its content; None if they were not looked for.
        overlaps: what is trained on and in a bin, for each bin; pairs of a row, the first such of its content, and an entry.
        problems: row of each image that cannot be decoded → why; empty if none was decoded.
    """

    classed: ClassedImages
    settings: SurveySettings
    contents: Groups
    pictures: Groups
    near: ClosePairs | None
    overlaps: list[Overlap]
    problems: dict[int, str]


def survey_images(classed: ClassedImages, settings: SurveySettings) -> Survey:
    """Reads all images of a set once, and finds duplicates, near-duplicates, and what verification bins share with training.

    Raises:
        SourceError: if images or a bin cannot be read, or there are too many near-duplicates to tell.
        WorkerError: if a worker process died.
    """
    closeness, quiet = settings.closeness, settings.quiet
    labels, keys = classed.labels, classed.images.keys
    with open_pool(settings.num_workers, scheduler=settings.scheduler) as pool:
        pool.require_shared([classed.images.path])
        with tqdm(
            total=classed.num_images, unit=" images", unit_scale=True, desc="Reading images", disable=quiet or None
        ) as bar:
            images = take_fingerprints(
                classed.images.places, perceptual=settings.decodes, pool=pool, advance=bar.update
            )
        pictures = contents = group_images(images.digests, labels=labels, keys=keys)
        near = None
        if settings.near_duplicates:
            pictures = group_images(images.picture_words(), labels=labels, keys=keys)
            close = find_close_pairs(images.take(pictures.first_rows), closeness=closeness, pool=pool, quiet=quiet)
            near = _join_pairs(contents, pictures, close)
        rows = contents.first_rows_among(classed.trained)
        distinct = images.take(rows)
        overlaps = [
            find_overlap(path, distinct, rows=rows, closeness=closeness, pool=pool, quiet=quiet)
            for path in settings.bins
        ]
    return Survey(
        classed=classed,
        settings=settings,
        contents=contents,
        pictures=pictures,
        near=near,
        overlaps=overlaps,
        problems=images.problems,
    )


def _join_pairs(contents: Groups, pictures: Groups, close: ClosePairs) -> ClosePairs:
    """Gives pairs of rows: the first content of a picture with its others, at no distance, and the pairs of close pictures.

    Of a thousand contents that look the same, that is a thousand pairs and not half a million.
    """
    rows = contents.first_rows
    firsts = pictures.first_rows[pictures.of_row[rows]]
    is_other = firsts != rows
    no_distance = np.zeros(int(is_other.sum()), dtype=np.int64)
    first = np.append(firsts[is_other], pictures.first_rows[close.first])
    second = np.append(rows[is_other], pictures.first_rows[close.second])
    order = np.lexsort((contents.of_row[first], contents.of_row[second]))
    return ClosePairs(
        first[order],
        second[order],
        np.append(no_distance, close.coarse)[order],
        np.append(no_distance, close.fine)[order],
    )
