"""Verification against outputs of InsightFace's code and of the original recipe, as published."""

import numpy as np
import pytest

from fr_eval.protocols.distances import pair_distances
from fr_eval.protocols.folds import score_folds_pca, tar_at_far_folds
from fr_eval.protocols.verification import verify

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def insightface(shared):
    return np.load(shared / "golden" / "verification_insightface.npz")


def test_accuracy_per_fold_equals_insightface(insightface):
    result = verify(insightface["embeddings"], insightface["issame"], mirrored=insightface["embeddings_flipped"])
    assert np.array_equal(result.mirrored.accuracy_per_fold, insightface["accuracy_per_fold"])
    assert result.mirrored.accuracy_mean == insightface["accuracy_mean"]
    assert result.mirrored.accuracy_std == insightface["accuracy_std"]


def test_tar_at_far_equals_the_definition(insightface):
    embeddings = insightface["embeddings"].astype(np.float64) + insightface["embeddings_flipped"]
    result = tar_at_far_folds(pair_distances(embeddings), insightface["issame"], 1e-2)
    assert result.tar_mean == insightface["val_at_far_1e_2"]
    assert result.tar_std == insightface["val_std"]
    assert result.far_mean == insightface["far_measured"]


def test_the_roc_of_the_folds_equals_insightface(insightface):
    embeddings = insightface["embeddings"].astype(np.float64) + insightface["embeddings_flipped"]
    distances, issame = pair_distances(embeddings), insightface["issame"]
    # Folds of equal size and balance: the mean over folds is the share over all pairs.
    for rates, kind in ((insightface["tpr"], issame), (insightface["fpr"], ~issame)):
        shares = [np.mean(distances[kind] < threshold) for threshold in np.arange(0, 4, 0.01)]
        assert np.allclose(rates, shares, rtol=0, atol=1e-12)


def test_accuracy_per_fold_after_pca_equals_insightface(insightface):
    embeddings = insightface["embeddings"].astype(np.float64) + insightface["embeddings_flipped"]
    result = score_folds_pca(embeddings, insightface["issame"], num_components=32)
    assert np.array_equal(result.accuracy_per_fold, insightface["accuracy_per_fold_pca32"])


def test_the_recipes_own_figure_equals_the_recipe(shared):
    golden = np.load(shared / "golden" / "verification_seed.npz")
    result = verify(golden["embeddings"], golden["issame"])
    assert result.recipe.accuracy == golden["max_accuracy"]
    assert result.recipe.threshold == pytest.approx(float(golden["threshold"]), abs=1e-6)
