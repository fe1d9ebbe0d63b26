"""A sheet of pairs of a verification bin, each marked same or different."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fr_prep.errors import SourceError
from fr_prep.plan.plan import shuffle_keys
from fr_prep.sources.bins.bins import read_pairs
from fr_prep.survey.preview.sheet import Group, Sheet, make_tile

__all__ = ["PairSheetSettings", "make_pair_sheet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSheetSettings:
    """What is shown.

    Attributes:
        num_pairs: at most so many pairs.
        only: pairs of one kind, or None for both.
        seed: of the choice.
    """

    num_pairs: int = 40
    only: Literal["same", "different"] | None = None
    seed: int = 0


def make_pair_sheet(path: Path, settings: PairSheetSettings) -> Sheet:
    """Chooses pairs of a bin, or of shards made of one.

    Raises:
        SourceError: if the bin is refused, or has no such pairs.
    """
    bin_ = read_pairs(path)
    wanted = np.ones(bin_.num_pairs, dtype=np.bool_)
    if settings.only:
        wanted = bin_.issame == (settings.only == "same")
    if not wanted.any():
        raise SourceError(f"{path}: expected pairs marked {settings.only}, there are none. Leave out --only.")
    pairs = np.flatnonzero(wanted)
    order = np.argsort(shuffle_keys(bin_.num_pairs, settings.seed)[pairs], kind="stable")
    groups = [
        Group(
            f"pair {pair}",
            (),
            tuple(make_tile(image) for image in bin_.images[2 * pair : 2 * pair + 2]),
            mark="same" if bin_.issame[pair] else "different",
            alike=bool(bin_.issame[pair]),
        )
        for pair in np.sort(pairs[order[: settings.num_pairs]]).tolist()
    ]
    num_same = int(bin_.issame.sum())
    kind = f" {settings.only}" if settings.only else ""
    return Sheet(
        title=str(path),
        details=(
            f"{bin_.num_pairs:,} pairs: {num_same:,} same, {bin_.num_pairs - num_same:,} different",
            f"{len(groups)}{kind} pairs, chosen by seed {settings.seed}",
        ),
        groups=tuple(groups),
    )
