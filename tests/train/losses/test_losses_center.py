import keras
import numpy as np
import pytest
from keras import ops
from tests.train.losses.gradients import gradients

from fr_train.errors import CheckpointError
from fr_train.losses.center import CenterLoss

RNG = np.random.default_rng(4)
X = RNG.normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([1, 3, 1, 0, 1, 3])


def built(**options):
    loss = CenterLoss(5, 3, **options)
    loss.centers.assign(np.random.default_rng(8).normal(size=(5, 3)).astype(np.float32))
    return loss


def test_the_loss_and_the_moved_centers_equal_a_loop_over_rows():
    loss = built(alpha=0.3, factor=2.0)
    before = ops.convert_to_numpy(loss.centers).astype(np.float64)
    received = ops.convert_to_numpy(loss(LABELS, X, training=True))
    after = before.copy()
    for row, label in enumerate(LABELS):
        count = sum(1 for other in LABELS if other == label)
        for place in range(3):
            after[label, place] -= 0.3 * (before[label, place] - X[row, place]) / (1 + count)
        expected = 2.0 * sum((X[row, place] - before[label, place]) ** 2 for place in range(3)) / 3
        assert received[row] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(loss.centers), after, rtol=1e-5, atol=1e-6)


def test_centers_rest_outside_training_and_are_no_affair_of_the_optimizer():
    loss = built()
    before = ops.convert_to_numpy(loss.centers)
    loss(LABELS, X)
    np.testing.assert_array_equal(ops.convert_to_numpy(loss.centers), before)
    assert [v.path for v in loss.variables] == [v.path for v in loss.non_trainable_variables] != []


def test_the_gradient_goes_to_the_embedding_alone():
    loss = built()
    (received,) = gradients(lambda x: loss(LABELS, x), X)
    np.testing.assert_allclose(received, 2 / 3 * (X - ops.convert_to_numpy(loss.centers)[LABELS]), rtol=1e-5)


def test_centers_go_out_to_a_file_and_come_back(tmp_path):
    loss, twin = built(), CenterLoss(5, 3)
    loss.save_centers(tmp_path / "centers.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["centers.npy"]
    assert np.load(tmp_path / "centers.npy").dtype == np.float32
    twin.load_centers(tmp_path / "centers.npy")
    np.testing.assert_array_equal(ops.convert_to_numpy(twin.centers), ops.convert_to_numpy(loss.centers))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 4), np.float32), r"shape \(5, 3\).*\(5, 4\)"),
        (np.zeros((5, 3), np.int64), "expected floats"),
        (np.array([[np.nan] * 3] * 5), "center of class 0 is not finite"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_centers_of_another_kind_are_refused(tmp_path, array, message):
    np.save(tmp_path / "centers.npy", array, allow_pickle=True)
    with pytest.raises(CheckpointError, match=message):
        CenterLoss(5, 3).load_centers(tmp_path / "centers.npy")


def test_a_missing_a_short_and_another_file_are_refused(tmp_path):
    path = tmp_path / "centers.npy"
    with pytest.raises(CheckpointError, match="cannot be read"):
        CenterLoss(5, 3).load_centers(path)
    built().save_centers(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="cannot be read"):
        CenterLoss(5, 3).load_centers(path)
    np.savez(tmp_path / "archive", centers=np.zeros((5, 3)))
    with pytest.raises(CheckpointError, match="received an archive"):
        CenterLoss(5, 3).load_centers(tmp_path / "archive.npz")


def test_centers_are_float32_under_a_half_precision_policy():
    loss = CenterLoss(5, 3, dtype="mixed_float16")
    assert loss.centers.dtype == "float32"
    received = loss(LABELS, ops.cast(X, "float16"), training=True)
    assert received.dtype == "float32"
    assert keras.backend.standardize_dtype(loss.centers.dtype) == "float32"


@pytest.mark.parametrize("options", [{"alpha": 1.5}, {"alpha": float("nan")}, {"factor": 0.0}])
def test_impossible_values_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        CenterLoss(5, 3, **options)
