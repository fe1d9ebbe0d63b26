"""The recipe's own center loss, triplet loss and mining, on the golden arrays."""

import numpy as np
import pytest
from keras import ops

from fr_train.data.mining import find_admissible, mine_triplets
from fr_train.losses.center import CenterLoss
from fr_train.losses.triplet_losses import OfflineTriplet

pytestmark = pytest.mark.shared


def test_two_calls_of_the_center_loss_are_reproduced(shared):
    golden = np.load(shared / "golden" / "center_loss.npz")
    centers = golden["centers_before"]
    loss = CenterLoss(*centers.shape, alpha=float(golden["alpha"]), factor=float(golden["factor"]))
    loss.centers.assign(centers)
    assert np.bincount(golden["labels"]).max() > 2
    for call in ("first", "second"):
        received = ops.convert_to_numpy(loss(golden["labels"], golden["embedding"], training=True))
        np.testing.assert_allclose(received, golden[f"loss_{call}"], rtol=1e-5)
        np.testing.assert_allclose(
            ops.convert_to_numpy(loss.centers), golden[f"centers_after_{call}"], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize(("key", "margin"), [("loss_alpha_0p2", 0.2), ("loss_alpha_0p5", 0.5)])
def test_the_triplet_loss_is_reproduced(shared, key, margin):
    golden = np.load(shared / "golden" / "triplet_loss.npz")
    by_role = [golden["embedding"][golden["role"] == role] for role in range(3)]
    embedding = np.stack(by_role, axis=1).reshape(30, -1)  # anchor, positive, negative, anchor, …
    assert float(OfflineTriplet(margin=margin)(np.zeros(30), embedding)) == pytest.approx(float(golden[key]), rel=1e-4)


def test_all_pairs_and_their_admissible_negatives_are_reproduced(shared):
    golden = np.load(shared / "golden" / "triplet_mining.npz")
    alpha = float(golden["alpha"])
    pairs, masks = [], []
    for anchor, positives, admissible in find_admissible(golden["embeddings"], golden["labels"], margin=alpha):
        for positive, mask in zip(positives, admissible, strict=True):
            if mask.any():
                pairs.append((anchor, positive))
                masks.append(mask)
    np.testing.assert_array_equal(pairs, golden["anchor_positive"])
    np.testing.assert_array_equal(masks, golden["admissible_negatives"])
    mined = mine_triplets(golden["embeddings"].astype(np.float32), golden["labels"], margin=alpha, seed=0)
    np.testing.assert_array_equal(mined.rows[:, :2], golden["anchor_positive"])
    assert golden["admissible_negatives"][np.arange(len(pairs)), mined.rows[:, 2]].all()
