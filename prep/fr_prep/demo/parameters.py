"""Bounded parameters: a frozen dataclass states the range of each field, is checked against it and drawn from it."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin

import numpy as np

__all__ = ["Range", "check_ranges", "draw_parameters", "ranges_of", "seeded_generator"]

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """The closed range of one parameter, written as `Annotated[float, Range(low, high)]`.

    Attributes:
        low: smallest value.
        high: greatest value.
        share: share of the draws that are uniform in the range, in [0, 1]; the others are `low`, which then stands
            for "absent".
    """

    low: float
    high: float
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"Expected low <= high. Received: low={self.low}, high={self.high}")
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"Expected share in [0, 1]. Received: share={self.share}")


def ranges_of(cls: type[Any]) -> dict[str, tuple[type, Range]]:
    """Returns name -> (int or float, range) of the fields of a parameter dataclass, in the order of its fields."""
    ranges: dict[str, tuple[type, Range]] = {}
    for field in fields(cls):
        hint = field.type
        if get_origin(hint) is not Annotated:
            raise TypeError(
                f"Expected Annotated[float or int, Range(...)]. Received: {cls.__name__}.{field.name}: {hint}"
            )
        kind, bounds = get_args(hint)
        ranges[field.name] = (kind, bounds)
    return ranges


def check_ranges(parameters: object) -> None:
    """Raises ValueError, naming the field, where a parameter is outside its stated range (or is NaN)."""
    cls = type(parameters)
    for name, (_, bounds) in ranges_of(cls).items():
        value = getattr(parameters, name)
        if not bounds.low <= value <= bounds.high:
            raise ValueError(f"Expected {cls.__name__}.{name} in [{bounds.low}, {bounds.high}]. Received: {value}")


def draw_parameters(cls: type[T], rng: np.random.Generator) -> T:
    """Draws an instance of a parameter dataclass.

    Every field consumes exactly two draws, so that changing one range leaves the other fields as they were.

    Args:
        cls: a dataclass whose fields are all `Annotated[float or int, Range(...)]`.
        rng: source of randomness; advanced by two draws a field.

    Returns:
        An instance with every field within its range.
    """
    values: dict[str, float] = {}
    for name, (kind, bounds) in ranges_of(cls).items():
        present, position = rng.random(2).tolist()
        if kind is int:
            # Whole numbers: "absent" is low, and what is present starts one above it.
            first = int(bounds.low) if bounds.share == 1.0 else int(bounds.low) + 1
            drawn: float = first + int(position * (int(bounds.high) - first + 1))
        else:
            drawn = bounds.low + position * (bounds.high - bounds.low)
        values[name] = drawn if present < bounds.share else kind(bounds.low)
    return cls(**values)


def seeded_generator(seed: int, *path: int) -> np.random.Generator:
    """Returns the generator of one thing, independent of every other thing and of the order of calls.

    Args:
        seed: seed of the whole set, at least 0.
        *path: what is drawn, for example its kind, identity and image, each at least 0.

    Raises:
        ValueError: a number is negative.
    """
    entropy = [seed, *path]
    if min(entropy) < 0:
        raise ValueError(f"Expected a seed and indices of at least 0. Received: {entropy}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
