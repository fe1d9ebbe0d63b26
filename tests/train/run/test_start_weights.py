import keras
import numpy as np
import pytest

from fr_train.errors import CheckpointError
from fr_train.model.heads import CosineHead, SubCenterHead
from fr_train.run.checkpoint import Position, save_checkpoint
from fr_train.run.start_weights import take_weights


def make_network():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])


def make_head(num_classes=5, *, subcenters=1):
    head = SubCenterHead(num_classes, num_subcenters=subcenters) if subcenters > 1 else CosineHead(num_classes)
    head.build((None, 4))
    return head


def save_run(folder, head):
    network = make_network()
    parts = {"network": network.variables, "head": head.variables if head else []}
    variables = {f"{part}/{n:04d}": v for part, own in parts.items() for n, v in enumerate(own)}
    save_checkpoint(folder / "checkpoints", Position(), variables)
    return network


@pytest.mark.parametrize(
    ("theirs", "own", "expected"),
    [
        (make_head(), make_head(), "took the weights of network and head"),
        (make_head(), None, "took the weights of the network; this run has no head"),
        (
            None,
            make_head(),
            "took the weights of the network; the head begins anew, for the checkpoint of the other run has none",
        ),
        (
            make_head(7),
            make_head(),
            "took the weights of the network; the head begins anew, for it has 5 classes, that of the other run 7",
        ),
        (
            make_head(),
            make_head(subcenters=3),
            "took the weights of the network; the head begins anew, for it has 3 sub-centers a class, that of the other run 1",
        ),
        (
            make_head(subcenters=2),
            make_head(),
            "took the weights of the network; the head begins anew, for it has 1 sub-center a class, that of the other run 2",
        ),
    ],
    ids=["same", "no head here", "no head there", "other classes", "more sub-centers", "fewer sub-centers"],
)
def test_what_was_taken_is_said_rightly(tmp_path, theirs, own, expected):
    other, network = save_run(tmp_path, theirs), make_network()
    before = np.asarray(own.class_weights) if own else None
    assert take_weights(tmp_path, network, own) == expected
    for one, two in zip(network.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    if own:
        taken = expected.endswith("and head")
        np.testing.assert_array_equal(own.class_weights, theirs.class_weights if taken else before)


def test_a_folder_that_is_missing_or_no_run_is_said_without_the_advice_for_resume(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"start_from: .*gone: expected the folder of a run, there is no such folder\."
    ):
        take_weights(tmp_path / "gone", make_network(), None)
    with pytest.raises(
        CheckpointError, match=r"expected the folder of a run, it holds no checkpoint\. Check --start-from\."
    ):
        take_weights(tmp_path, make_network(), None)
    save_run(tmp_path, None)
    (path,) = (tmp_path / "checkpoints").iterdir()
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"npz is damaged .*Choose another --start-from\."):
        take_weights(tmp_path, make_network(), None)
