"""Balanced verification pairs: half of one person, half of two, in folds of different people.

As for LFW (Huang et al., "Labeled Faces in the Wild", 2007), people are drawn rather than images, so that those with many images
do not prevail: they take turns, and none gives a second pair before each has given a first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fr_prep.plan.plan import mix_bits, shuffle_keys

__all__ = ["PairSample", "sample_pairs"]

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PairSample:
    """Pairs of images, fold by fold; in each fold first those of one person.

    Attributes:
        first: (P,) int64, position of an image.
        second: (P,) int64, position of another one.
        same: (P,) bool, whether both show one person.
        has_disjoint_folds: whether nobody is in two folds.
    """

    first: Integers
    second: Integers
    same: NDArray[np.bool_]
    has_disjoint_folds: bool


def sample_pairs(labels: Integers, *, num_pairs: int = 6000, num_folds: int = 10, seed: int = 0) -> PairSample:
    """Draws pairs, none of them twice, in an order that depends on the seed alone.

    Folds share no person where there are enough people with enough images; else the folds are drawn from all people.

    Args:
        labels: (n,) int64, the person of each image.
        num_pairs: P, a multiple of twice the folds.
        num_folds: folds, each P / num_folds pairs in a row.
        seed: from 0 to 2^63 - 1.

    Raises:
        ValueError: if P is no such multiple, or there are not as many pairs; says how many there are.
    """
    if num_folds < 1 or num_pairs < 1 or num_pairs % (2 * num_folds):
        raise ValueError(
            f"expected a multiple of {2 * max(num_folds, 1)} pairs, half of them same in each of {num_folds} folds, received "
            f"{num_pairs}"
        )
    people = _People.of(labels)
    num_kind = num_pairs // num_folds // 2
    seeds = shuffle_keys(2 * num_folds, seed).reshape(-1, 2, 1)
    parts = people.deal(num_folds, seed)
    is_disjoint = all(min(part.num_same_pairs(), part.num_different_pairs()) >= num_kind for part in parts)
    if is_disjoint:
        kinds = [
            np.stack([part.draw_same(num_kind, keys[0]), part.draw_different(num_kind, keys[1])])
            for part, keys in zip(parts, seeds, strict=True)
        ]
        drawn = np.stack(kinds)  # fold, kind, first or second, pair
    else:
        for kind, number in (("same", people.num_same_pairs()), ("different", people.num_different_pairs())):
            if number < num_kind * num_folds:
                raise ValueError(
                    f"expected at least {num_kind * num_folds:,} pairs of the {kind} kind, the {len(labels):,} images of "
                    f"{len(people.counts):,} people give {number:,}"
                )
        number = num_kind * num_folds
        kinds = [people.draw_same(number, seeds[0, 0]), people.draw_different(number, seeds[0, 1])]
        drawn = np.stack(kinds).reshape(2, 2, num_folds, num_kind).transpose(2, 0, 1, 3)
    first, second = drawn.transpose(2, 0, 1, 3).reshape(2, num_pairs)
    return PairSample(first, second, np.tile(np.repeat([True, False], num_kind), num_folds), is_disjoint)


@dataclass(frozen=True, slots=True)
class _People:
    """Some people and their images: those of person p are `images[starts[p] : starts[p] + counts[p]]`."""

    images: Integers
    starts: Integers
    counts: Integers

    @classmethod
    def of(cls, labels: Integers) -> "_People":
        images = np.argsort(labels, kind="stable")
        _, starts, counts = np.unique(labels[images], return_index=True, return_counts=True)
        return cls(images, starts.astype(np.int64), counts.astype(np.int64))

    def deal(self, num_parts: int, seed: int) -> list["_People"]:
        """Deals people out in turn, those with most images first, so that each part gets its share of them."""
        order = np.lexsort((shuffle_keys(len(self.counts), seed), -self.counts))
        return [
            _People(self.images, self.starts[members], self.counts[members])
            for members in (order[part::num_parts] for part in range(num_parts))
        ]

    def num_same_pairs(self) -> int:
        return int((self.counts * (self.counts - 1) // 2).sum())

    def num_different_pairs(self) -> int:
        total = int(self.counts.sum())
        return (total * total - int((self.counts * self.counts).sum())) // 2

    def draw_same(self, num_pairs: int, key: Words) -> Integers:
        """Draws pairs of one person's images: (2, num_pairs)."""
        eligible = np.flatnonzero(self.counts > 1)
        starts, counts = self.starts[eligible], self.counts[eligible]
        chosen, turns = _take_turns(len(eligible), lambda rows: counts[rows] * (counts[rows] - 1) // 2, num_pairs, key)
        sizes = counts[chosen] * (counts[chosen] - 1) // 2
        low, high = _unrank_pairs(_permute(turns, sizes, chosen, key))
        return self.images[np.stack([starts[chosen] + low, starts[chosen] + high])]

    def draw_different(self, num_pairs: int, key: Words) -> Integers:
        """Draws pairs of images of two people: (2, num_pairs)."""
        num_people = len(self.counts)

        def size(rows: Integers) -> Integers:
            low, high = _unrank_pairs(rows)
            return self.counts[low] * self.counts[high]

        chosen, turns = _take_turns(num_people * (num_people - 1) // 2, size, num_pairs, key)
        low, high = _unrank_pairs(chosen)
        places = _permute(turns, size(chosen), chosen, key)
        first, second = np.divmod(places, self.counts[high])
        return self.images[np.stack([self.starts[low] + first, self.starts[high] + second])]


def _take_turns(
    num_people: int, num_pairs_of: Callable[[Integers], Integers], num_pairs: int, key: Words
) -> tuple[Integers, Integers]:
    """Chooses who gives a pair, in random order: anybody a second time only after everybody has given a first, and so on.

    Args:
        num_people: people, or couples of people, numbered from 0.
        num_pairs_of: (m,) of them → (m,) how many pairs each can give.
        num_pairs: pairs to be given; together they have as many.
        key: (1,) what the order depends on.

    Returns:
        (num_pairs,) who gives each pair, and (num_pairs,) how many he gave before.
    """
    turns = np.zeros(num_pairs, dtype=np.int64)
    if num_people >= num_pairs:
        return _permute(np.arange(num_pairs), np.full(num_pairs, num_people), turns, key), turns
    sizes = num_pairs_of(np.arange(num_people))
    low, high = 1, num_pairs  # rounds in which everybody who can gives: the most that do not give too many
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= num_pairs else (low, middle - 1)
    given = np.minimum(sizes, low)
    further = np.flatnonzero(sizes > low)
    rest = np.arange(num_pairs - int(given.sum()))
    given[further[_permute(rest, np.full(len(rest), len(further)), rest * 0, key)]] += 1
    givers = np.repeat(np.arange(num_people), given)
    turns = np.arange(num_pairs) - np.repeat(np.cumsum(given) - given, given)
    order = _permute(np.arange(num_pairs), np.full(num_pairs, num_pairs), turns * 0, key)
    return givers[order], turns[order]


def _permute(places: Integers, sizes: Integers, tweaks: Integers, key: Words) -> Integers:
    """Gives what stands at places of pseudo-random orders of `range(size)`, of another order for each tweak.

    A Feistel network of four rounds permutes the next larger range of 4^k numbers; who leaves the range goes on until he is
    back (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). So nothing is enumerated, and nothing comes twice.
    """
    half_bits = ((np.frexp(sizes - 1)[1] + 1) // 2).astype(np.uint64)
    masks = (np.uint64(1) << half_bits) - np.uint64(1)
    keys = mix_bits(key + mix_bits(tweaks.astype(np.uint64)))
    values: Words = places.astype(np.uint64)
    rows = np.arange(len(values))
    while len(rows):
        bits, mask = half_bits[rows], masks[rows]
        left, right = values[rows] >> bits, values[rows] & mask
        for number in np.arange(4, dtype=np.uint64):
            mixed = mix_bits(keys[rows] + (right << np.uint64(2) | number))
            left, right = right, left ^ mixed & mask
        values[rows] = left << bits | right
        rows = rows[values[rows] >= sizes[rows].astype(np.uint64)]
    return values.astype(np.int64)


def _unrank_pairs(ranks: Integers) -> tuple[Integers, Integers]:
    """Gives the pairs (low, high) of numbers from 0, low < high, in the order (0, 1), (0, 2), (1, 2), (0, 3) and so on."""
    high = ((1 + np.sqrt(1 + 8 * ranks.astype(np.float64))) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > ranks  # the root is rounded
    high += high * (high + 1) // 2 <= ranks
    return ranks - high * (high - 1) // 2, high
