"""Identification, 1:N: who of a gallery is on a probe image, and how often the right person is among the first r.

A person's score is the cosine of the probe to the most similar of the gallery images (max), or to the normalised mean of their
normalised embeddings (mean). Of equal scores the right person's counts as the last, so that a tie is never a success.

Probes of people who are not in the gallery have no rank; they are false alarms where their best score reaches the threshold.
TPIR at FPIR is the share of the other probes that are recognised at rank 1 and at a threshold that so few false alarms reach.

Reference: Grother, Ngan and Hanaoka, Face Recognition Vendor Test (FRVT) part 2: Identification, NISTIR 8271, 2019.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ProtocolError
from fr_eval.faces.identity_sets import IdentityEmbeddings
from fr_eval.protocols.roc import tar_at_fars

__all__ = ["FPIRS", "Identification", "Template", "identify"]

FPIRS = (1e-1, 1e-2, 1e-3)

_BLOCK_SCORES = 2**24  # scores in memory at a time, 64 MB

Template = Literal["max", "mean"]
Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Identification:
    """How well people are found in a gallery.

    Attributes:
        template: how a person's gallery images give one score.
        num_people: in the gallery.
        num_gallery_images: of these.
        num_mated: probes of people in the gallery.
        num_unmated: probes of others.
        num_shared: probes that are byte for byte in the gallery as well, and so are no test.
        cmc: the share of mated probes whose person is among the first 1, 2, … R.
        tpirs: TPIR by FPIR; None where there are fewer than 1/FPIR probes of others.
    """

    template: Template
    num_people: int
    num_gallery_images: int
    num_mated: int
    num_unmated: int
    num_shared: int
    cmc: tuple[float, ...] = field(repr=False)
    tpirs: dict[float, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON stores it. FPIRs become texts such as "1e-03"."""
        fields = asdict(self)
        return {**fields, "tpirs": {f"{fpir:.0e}": tpir for fpir, tpir in self.tpirs.items()}}


def identify(
    gallery: IdentityEmbeddings, probes: IdentityEmbeddings, *, template: Template = "max", max_rank: int = 20
) -> Identification:
    """Ranks the people of a gallery for each probe. People of equal names are the same.

    Args:
        gallery: images of known people.
        probes: images of people to find.
        template: "max" or "mean".
        max_rank: R, or the number of people where that is smaller.

    Returns:
        The shares.

    Raises:
        ProtocolError: embeddings of different sizes, no probe of a person in the gallery, or a mean of zero.
    """
    if gallery.embeddings.shape[1] != probes.embeddings.shape[1]:
        sizes = f"{gallery.embeddings.shape[1]} and {probes.embeddings.shape[1]}"
        raise ProtocolError(f"expected gallery and probes of one model; received embeddings of {sizes} values")
    rows, bounds, names = _build_templates(gallery, template)
    place = {name: number for number, name in enumerate(names)}
    mates = np.array([place.get(name, -1) for name in probes.names], np.int64)[probes.labels]
    mated = mates >= 0
    if not mated.any():
        raise ProtocolError(
            f"nobody of the probes is in the gallery; expected people of equal names. The gallery has {names[0]!r}, "
            f"the probes {probes.names[0]!r}, for example"
        )
    ranks, scores = np.empty(len(mates), np.int64), np.empty(len(mates))
    for block, block_scores in _score_people(rows, bounds, probes.embeddings):
        own = block_scores[
            np.arange(len(block_scores)), mates[block]
        ]  # of unmated probes some other's, which is not used
        ranks[block] = (block_scores >= own[:, np.newaxis]).sum(axis=1)  # the person is one of them: from 1
        scores[block] = block_scores.max(axis=1)
    max_rank = min(max_rank, len(names))
    hits = np.bincount(ranks[mated].clip(max=max_rank + 1), minlength=max_rank + 2)[1:-1]
    # A mated probe that finds somebody else is no success at any threshold.
    distances = np.where(mated & (ranks > 1), np.inf, -scores)
    return Identification(
        template=template,
        num_people=len(names),
        num_gallery_images=len(gallery.labels),
        num_mated=int(mated.sum()),
        num_unmated=int((~mated).sum()),
        num_shared=int(np.isin(probes.hashes, gallery.hashes).sum()),
        cmc=tuple((np.cumsum(hits) / mated.sum()).tolist()),
        tpirs=dict.fromkeys(FPIRS) if mated.all() else tar_at_fars(distances, mated, FPIRS),
    )


def _build_templates(gallery: IdentityEmbeddings, template: Template) -> tuple[Rows, Labels, list[str]]:
    """Gives normalised rows sorted by person, the first row of each person and the number of rows, and the people's names."""
    order = np.argsort(gallery.labels, kind="stable")
    people, starts = np.unique(gallery.labels[order], return_index=True)
    names = [gallery.names[person] for person in people]
    rows = _normalise(gallery.embeddings[order])
    if template == "mean":
        rows = np.add.reduceat(rows, starts, axis=0)
        lost = np.flatnonzero(~rows.any(axis=1))
        if len(lost):
            raise ProtocolError(f"the mean of the images of {names[lost[0]]!r} is zero and has no direction; use 'max'")
        rows, starts = _normalise(rows), np.arange(len(rows))
    return rows, np.append(starts, len(rows)), names


def _normalise(rows: Rows) -> Rows:
    """Divides each row by its L2 norm, where it is; of a large gallery there is no second copy."""
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, np.newaxis]
    return rows


def _score_people(rows: Rows, bounds: Labels, probes: Rows) -> Iterator[tuple[slice, Rows]]:
    """Yields blocks of probes, and their score with each person, shape (B, I)."""
    num_people = len(bounds) - 1
    most = int(np.diff(bounds).max())  # images of one person, which stay together
    block_probes = max(1, _BLOCK_SCORES // (2 * max(num_people, most)))
    block_rows = max(most, _BLOCK_SCORES // (2 * block_probes))
    cuts = [0]
    while cuts[-1] < num_people:  # each block of people ends before the one who would make it too long
        cuts.append(int(np.searchsorted(bounds, bounds[cuts[-1]] + block_rows, side="right")) - 1)
    for start in range(0, len(probes), block_probes):
        block = slice(start, min(len(probes), start + block_probes))
        directions = _normalise(probes[block].copy())
        scores = np.empty((len(directions), num_people), np.float32)
        for first, last in pairwise(cuts):
            begin, end = bounds[first], bounds[last]
            similarities = directions @ rows[begin:end].T
            if end - begin == last - first:  # an image a person
                scores[:, first:last] = similarities
            else:
                np.maximum.reduceat(similarities, bounds[first:last] - begin, axis=1, out=scores[:, first:last])
        yield block, scores
