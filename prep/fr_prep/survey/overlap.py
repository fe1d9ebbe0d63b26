"""Images of a set that are also in a verification bin: whoever trains on them measures what was learned by heart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_prep.sources.bins.bins import read_pairs
from fr_prep.survey.close_pairs import Closeness, ClosePairs, find_close_pairs
from fr_prep.survey.fingerprints import Fingerprints, take_fingerprints
from fr_prep.workers.pool import WorkerPool

__all__ = ["Overlap", "find_overlap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What a set and a bin share.

    Attributes:
        path: the bin.
        sha256: of that file.
        num_entries: images in the bin.
        problems: entry of the bin that cannot be decoded, and so is compared by its bytes alone → why.
        pairs: first a row of the set, second an entry of the bin; of those with the same bytes, the first.
        exact: (k,) bool, the pairs that have the same bytes.
    """

    path: Path
    sha256: str
    num_entries: int
    problems: dict[int, str]
    pairs: ClosePairs
    exact: NDArray[np.bool_]


def find_overlap(
    path: Path,
    contents: Fingerprints,
    *,
    rows: NDArray[np.int64],
    closeness: Closeness,
    pool: WorkerPool,
    quiet: bool,
) -> Overlap:
    """Finds the images of a set that are in a bin, exactly or nearly.

    Args:
        path: the bin, or a folder of shards made of one.
        contents: fingerprints of the different images of the set, or of those that are trained on.
        rows: (c,) int64, the row of each of those in the set.
        closeness: how many bits may differ.
        pool: the workers.
        quiet: no progress bar.

    Raises:
        SourceError: if the bin cannot be read.
    """
    bin_ = read_pairs(path)
    with tqdm(total=len(bin_.images), unit=" images", desc=f"Reading {path.name}", disable=quiet or None) as bar:
        found = take_fingerprints(bin_.images, perceptual=True, pool=pool, advance=bar.update)
    _, entries = np.unique(found.digests, axis=0, return_index=True)
    entries.sort()
    others = found.take(entries)
    exact = _match_digests(contents.digests, others.digests)
    near = find_close_pairs(contents, others, closeness=closeness, pool=pool, quiet=quiet)
    is_near = (contents.digests[near.first] != others.digests[near.second]).any(axis=1)
    first, second = (
        np.append(same, side[is_near]) for same, side in zip(exact, (near.first, near.second), strict=True)
    )
    coarse, fine = (np.append(np.zeros_like(exact[0]), side[is_near]) for side in (near.coarse, near.fine))
    order = np.lexsort((first, second))
    return Overlap(
        path=path,
        sha256=bin_.sha256,
        num_entries=len(bin_.images),
        problems=found.problems,
        pairs=ClosePairs(rows[first[order]], entries[second[order]], coarse[order], fine[order]),
        exact=order < len(exact[0]),
    )


def _match_digests(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Gives (2, k) int64: rows of equal digests, in two tables of different digests."""
    places = {tuple(digest): place for place, digest in enumerate(second.tolist())}
    rows = np.flatnonzero(np.isin(first[:, 0], second[:, 0]))
    found = [(row, places[digest]) for row in rows.tolist() if (digest := tuple(first[row].tolist())) in places]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T
