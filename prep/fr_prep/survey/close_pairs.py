"""Pairs of close perceptual hashes, without comparing all with all.

Pigeonhole: cut the 64 bits of the coarse hash into b bands. Where at most D bits differ, at least b − D bands are the same. So for
each choice of b − D bands, hashes are sorted by those bands, and compared where they agree there: no pair is missed, whatever
b is. More bands mean more sorting and fewer comparisons. (Manku, Jain and Das Sarma 2007, "Detecting near-duplicates for web
crawling", section 3.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb, log2
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fr_prep.errors import SourceError
from fr_prep.plan.plan import shuffle_keys
from fr_prep.survey.fingerprints import Fingerprints
from fr_prep.workers.pool import WorkerPool

__all__ = ["ClosePairs", "Closeness", "find_close_pairs"]

MAX_PAIRS = 20_000_000
CHUNK_PAIRS = 1 << 16  # that are compared at once, so that all of it stays in a processor's cache
MAX_TABLES = 1000
IMAGES_FILE, OTHERS_FILE = "images.npy", "others.npy"
# Rough costs, which decide how many bands there are, and nothing else.
_SORT_COST = 30  # of a hash in a table, in comparisons
_BIT_WORTH = 0.74  # faces are alike: 21 bits of a hash tell as much as 15.7 fair ones (measured on aligned LFW)


@dataclass(frozen=True, slots=True)
class Closeness:
    """How many bits may differ between near-duplicates.

    Attributes:
        coarse: of the 64 of the first hash, 0 to 63.
        fine: of the 256 of the second, 0 to 256.
    """

    coarse: int = 6
    fine: int = 40

    def __post_init__(self) -> None:
        if not 0 <= self.coarse < 64 or not 0 <= self.fine <= 256:
            raise ValueError(f"expected distances of at most 63 and 256 bits, received {self.coarse} and {self.fine}")


@dataclass(frozen=True, slots=True)
class ClosePairs:
    """Pairs, ordered by their second and then their first member.

    Attributes:
        first: (k,) int64, rows of the first member.
        second: (k,) int64, rows of the second.
        coarse: (k,) int64, how many of 64 bits differ.
        fine: (k,) int64, how many of 256 bits differ.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    coarse: NDArray[np.int64]
    fine: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


def find_close_pairs(
    images: Fingerprints,
    others: Fingerprints | None = None,
    *,
    closeness: Closeness,
    pool: WorkerPool,
    quiet: bool,
) -> ClosePairs:
    """Finds all pairs of images with close hashes; those that cannot be decoded are in none.

    Args:
        images: fingerprints of images.
        others: pairs of one of `images` with one of these are wanted. None: pairs among `images`, first < second.
        closeness: how many bits may differ.
        pool: the workers.
        quiet: no progress bar.

    Raises:
        SourceError: if there are more than `MAX_PAIRS`.
    """
    sides = [images] if others is None else [images, others]
    rows = [side.hashed_rows() for side in sides]
    masks = _make_masks(closeness.coarse, len(rows[0]), len(rows[-1]))
    found = [np.empty((4, 0), dtype=np.int64)]
    num_found = 0
    with TemporaryDirectory(prefix="fr-prep-") as folder:  # workers map the hashes, so memory holds them once
        for file, side, chosen in zip((IMAGES_FILE, OTHERS_FILE), sides, rows, strict=False):
            np.save(Path(folder, file), side.hashes[chosen])
        tasks = (partial(_search_table, Path(folder), masks[: number + 1], closeness) for number in range(len(masks)))
        with tqdm(total=len(masks), unit=" tables", desc="Comparing hashes", disable=quiet or None) as bar:
            for _, pairs in pool.run(tasks):
                found.append(pairs)
                num_found += pairs.shape[1]
                _require_few(num_found, closeness)
                bar.update()
    first, second, coarse, fine = np.concatenate(found, axis=1)
    order = np.lexsort((first, second))
    return ClosePairs(rows[0][first[order]], rows[-1][second[order]], coarse[order], fine[order])


def _require_few(num_pairs: int, closeness: Closeness) -> None:
    if num_pairs > MAX_PAIRS:
        raise SourceError(
            f"Expected at most {MAX_PAIRS:,} near-duplicate pairs, there are more at distances of {closeness.coarse} and "
            f"{closeness.fine} bits: at these, different pictures are taken for one. Lower --distance or --fine-distance."
        )


def _make_masks(distance: int, num_first: int, num_second: int) -> NDArray[np.uint64]:
    """Gives (t,) uint64, the bits that each table is sorted by; bands are of scattered bits, as neighbours tell much the same."""
    best = min(
        (bands for bands in range(max(distance, 1), distance + 9) if comb(bands, distance) <= MAX_TABLES),
        key=lambda bands: _estimate_log_cost(bands, distance, num_first, num_second),
    )
    bits = np.uint64(1) << np.argsort(shuffle_keys(64, 0)).astype(np.uint64)
    bands = [np.bitwise_or.reduce(band) for band in np.array_split(bits, best)]
    masks = [sum(map(int, chosen)) for chosen in combinations(bands, best - distance)]
    return np.array(masks, dtype=np.uint64)


def _estimate_log_cost(bands: int, distance: int, num_first: int, num_second: int) -> float:
    """Estimates the work of a search in comparisons, as a logarithm."""
    num_bits = 64 * (bands - distance) / bands
    compared = num_first * num_second * 0.5 ** (_BIT_WORTH * num_bits)
    return log2(comb(bands, distance)) + log2(_SORT_COST * (num_first + num_second) + compared + 1)


def _search_table(folder: Path, masks: NDArray[np.uint64], closeness: Closeness) -> NDArray[np.int64]:
    """Finds the close pairs that agree in the last of the masks and in none before it, so that each pair is found once.

    Returns:
        (4, k) int64: first and second row, and both distances.
    """
    first = second = np.load(folder / IMAGES_FILE, mmap_mode="r")
    among_themselves = not (folder / OTHERS_FILE).exists()
    if not among_themselves:
        second = np.load(folder / OTHERS_FILE, mmap_mode="r")
    keys = second[:, 0] & masks[-1]
    second_rows = np.argsort(keys)
    keys = keys[second_rows]
    if among_themselves:
        first_rows, starts = second_rows, np.arange(1, len(keys) + 1)
        ends = np.searchsorted(keys, keys, side="right")
    else:
        first_rows, first_keys = np.arange(len(first)), first[:, 0] & masks[-1]
        starts, ends = (np.searchsorted(keys, first_keys, side=side) for side in ("left", "right"))
    first_words, second_words = first[first_rows, 0], second[second_rows, 0]
    found = [np.empty((4, 0), dtype=np.int64)]
    num_close = 0
    for left, right in _expand_ranges(starts, ends):
        differing = first_words[left] ^ second_words[right]
        close = np.flatnonzero(_count_bits(differing) <= closeness.coarse)
        differing, rows = differing[close], np.stack([first_rows[left[close]], second_rows[right[close]]])
        fine = _count_bits(first[rows[0], 1:] ^ second[rows[1], 1:]).sum(axis=1, dtype=np.int64)
        chosen = fine <= closeness.fine
        num_close += int(chosen.sum())
        _require_few(num_close, closeness)
        if not chosen.any():
            continue
        for mask in masks[:-1]:
            chosen &= (differing & mask) != 0
        rows = rows[:, chosen]
        if among_themselves:
            rows.sort(axis=0)
        found.append(np.stack([*rows, _count_bits(differing[chosen]), fine[chosen]]))
    return np.concatenate(found, axis=1)


def _expand_ranges(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields the pairs (i, j) with starts[i] <= j < ends[i], a chunk at a time."""
    past_last = np.cumsum(ends - starts)
    total = int(past_last[-1]) if len(past_last) else 0
    for begin in range(0, total, CHUNK_PAIRS):
        end = min(begin + CHUNK_PAIRS, total)
        low, high = np.searchsorted(past_last, [begin, end - 1], side="right")
        rows = np.arange(low, high + 1)
        cuts = np.clip(past_last[low : high + 1], begin, end)
        left = np.repeat(rows, np.diff(cuts, prepend=begin))
        yield left, np.arange(begin, end) - past_last[left] + ends[left]


def _count_bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    counts: NDArray[np.uint8]
    if hasattr(np, "bitwise_count"):  # since NumPy 2.0
        counts = np.bitwise_count(words)
    else:
        counts = np.unpackbits(words[..., None].view(np.uint8), axis=-1).sum(axis=-1, dtype=np.uint8)
    return counts
