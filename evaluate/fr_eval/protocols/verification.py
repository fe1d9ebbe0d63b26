"""All figures of one verification set, from its embeddings."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fr_eval.errors import ProtocolError
from fr_eval.protocols.distances import Bools, Floats, check_embeddings, check_truths, measure_pairs
from fr_eval.protocols.folds import FoldTar, TenFold, choose_num_folds, score_folds, score_folds_pca, tar_at_far_folds
from fr_eval.protocols.recipe import RecipeFigure, score_recipe
from fr_eval.protocols.roc import FARS, Roc, compute_roc, is_measurable, tar_at_fars

__all__ = ["Verification", "verify"]


@dataclass(frozen=True, eq=False)
class Verification:
    """What a model reaches on one set of pairs.

    Attributes:
        num_pairs: all pairs; so many of them `num_same` and `num_different`.
        num_folds: folds that the protocol used.
        mirrored: accuracy of f(x) + f(mirror(x)) over the folds: the InsightFace protocol, the figure that papers quote.
            None where no mirrored embeddings were given.
        plain: the same of f(x) alone.
        pca: accuracy after a PCA of the training folds, where it was asked for; on the mirror sum where there is one.
        num_components: dimensions of that PCA.
        fold_tars: TAR by FAR with thresholds from the other folds; None where it cannot be measured.
        tars: TAR by FAR over the whole set; None where it cannot be measured.
        roc: the curve over the whole set, with AUC and EER.
        recipe: the original recipe's own figure, without mirror; optimistic.
        notes: what was done otherwise than asked, in sentences.
        distances: squared distances of the pairs, shape (P,), that `tars`, `fold_tars` and `roc` are of: of the mirror sum
            where there is one.
        issame: the truths, shape (P,).
    """

    num_pairs: int
    num_same: int
    num_different: int
    num_folds: int
    mirrored: TenFold | None
    plain: TenFold
    pca: TenFold | None
    num_components: int | None
    fold_tars: dict[float, FoldTar | None]
    tars: dict[float, float | None]
    roc: Roc
    recipe: RecipeFigure
    notes: tuple[str, ...]
    distances: Floats = field(repr=False)
    issame: Bools = field(repr=False)

    @property
    def best_protocol(self) -> TenFold:
        """The mirror sum's accuracy, or the plain one's where there is no mirror sum."""
        return self.mirrored or self.plain

    def to_dict(self) -> dict[str, Any]:
        """Gives everything but the curves, as JSON stores it. FARs become texts such as "1e-03"."""
        return {
            "num_pairs": self.num_pairs,
            "num_same": self.num_same,
            "num_different": self.num_different,
            "num_folds": self.num_folds,
            "insightface_mirror_sum": asdict(self.mirrored) if self.mirrored else None,
            "insightface_no_mirror": asdict(self.plain),
            "pca": {"num_components": self.num_components, **asdict(self.pca)} if self.pca else None,
            "tar_at_far_folds": {f"{far:.0e}": asdict(tar) if tar else None for far, tar in self.fold_tars.items()},
            "tar_at_far": {f"{far:.0e}": tar for far, tar in self.tars.items()},
            "auc": self.roc.auc,
            "eer": self.roc.eer,
            "recipe_optimistic": asdict(self.recipe),
            "notes": list(self.notes),
        }


def verify(
    plain: npt.NDArray[np.floating],
    issame: npt.ArrayLike,
    *,
    mirrored: npt.NDArray[np.floating] | None = None,
    num_folds: int = 10,
    num_components: int | None = None,
) -> Verification:
    """Measures a model on pairs, by the InsightFace protocol and by the recipe's own.

    Args:
        plain: f(x), floating point, shape (2·P, D), not yet normalised; rows 2i and 2i + 1 are pair i.
        issame: truths, shape (P,).
        mirrored: f(mirror(x)), of the shape of `plain`. The sum is taken before the normalisation, as InsightFace does.
        num_folds: contiguous folds; with fewer pairs than that, one a pair, and a note says so.
        num_components: dimensions of a PCA to measure as well.

    Returns:
        The figures.

    Raises:
        ProtocolError: pairs of one kind only, wrong shapes, or embeddings that are NaN, infinite or zero.
    """
    truths = check_truths(issame)
    check_embeddings(plain, len(truths))
    if mirrored is not None and mirrored.shape != plain.shape:
        raise ProtocolError(f"expected mirrored embeddings of the shape {plain.shape}; received {mirrored.shape}")
    notes = []
    asked, num_folds = num_folds, choose_num_folds(len(truths), num_folds)
    if num_folds != asked:
        notes.append(f"There are {len(truths)} pairs: {num_folds} folds were used in place of {asked}.")

    plain_distances, plain_scores = measure_pairs(plain)
    distances = plain_distances
    if mirrored is not None:
        check_embeddings(mirrored, len(truths), what="embeddings of the mirrored images")
        distances, _ = measure_pairs(plain, mirrored=mirrored)
        if np.isnan(distances).any():  # of finite rows a sum alone can still be zero
            check_embeddings(plain.astype(np.float64) + mirrored, len(truths), what="sums of both embeddings")

    num_different = int((~truths).sum())
    return Verification(
        num_pairs=len(truths),
        num_same=int(truths.sum()),
        num_different=num_different,
        num_folds=num_folds,
        mirrored=None if mirrored is None else score_folds(distances, truths, num_folds=num_folds),
        plain=score_folds(plain_distances, truths, num_folds=num_folds),
        pca=(
            score_folds_pca(
                plain if mirrored is None else plain.astype(np.float64) + mirrored,
                truths,
                num_components=num_components,
                num_folds=num_folds,
            )
            if num_components is not None
            else None
        ),
        num_components=num_components,
        fold_tars=_measure_fold_tars(distances, truths, num_folds, num_different, notes),
        tars=tar_at_fars(distances, truths),
        roc=compute_roc(distances, truths),
        recipe=score_recipe(plain_scores, truths),
        notes=tuple(notes),
        distances=distances,
        issame=truths,
    )


def _measure_fold_tars(
    distances: Floats, truths: Bools, num_folds: int, num_different: int, notes: list[str]
) -> dict[float, FoldTar | None]:
    """Gives TAR by FAR over folds, and notes where folds had to be left out."""
    tars = {
        far: tar_at_far_folds(distances, truths, far, num_folds=num_folds)
        if is_measurable(num_different, far)
        else None
        for far in FARS
    }
    used = next((tar.num_folds for tar in tars.values() if tar), 0)
    if 0 < used < num_folds:
        notes.append(
            f"TAR at FAR over folds is the mean of {used} of {num_folds} folds; the others lack pairs of one kind."
        )
    elif not used:
        reason = (
            "no fold holds pairs of both kinds"
            if is_measurable(num_different, max(FARS))
            else "the different pairs are too few"
        )
        notes.append(f"TAR at FAR over folds was not measured: {reason}.")
    return tars
