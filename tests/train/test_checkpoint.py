import keras
import numpy as np
import pytest

from fr_train.checkpoint import Position, load_checkpoint, save_checkpoint
from fr_train.errors import CheckpointError


def variables(value):
    return {
        "a/0/kernel": keras.Variable(np.full((2, 3), value, dtype=np.float32)),
        "b/0/step": keras.Variable(value, dtype="int64"),
    }


def test_variables_and_position_come_back(tmp_path):
    position = Position(epoch=2, step=5, best_score=0.5, sums={"loss": 1.25})
    save_checkpoint(tmp_path / "c.npz", position, variables(7))
    fresh = variables(0)
    assert load_checkpoint(tmp_path / "c.npz", fresh) == position
    assert np.asarray(fresh["a/0/kernel"]).tolist() == [[7] * 3] * 2
    assert int(fresh["b/0/step"]) == 7


def test_nothing_but_the_checkpoint_is_left_in_the_folder(tmp_path):
    save_checkpoint(tmp_path / "c.npz", Position(), variables(7))
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "c.npz", Position(epoch=1), variables(7))
    (tmp_path / "c.npz.incomplete").mkdir()
    with pytest.raises(OSError, match="incomplete"):
        save_checkpoint(tmp_path / "c.npz", Position(epoch=2), variables(8))
    assert load_checkpoint(tmp_path / "c.npz", variables(0)).epoch == 1


def test_a_missing_checkpoint_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "c.npz", variables(0))


def test_a_checkpoint_cut_short_anywhere_is_refused_and_changes_nothing(tmp_path):
    save_checkpoint(tmp_path / "c.npz", Position(), variables(7))
    whole = (tmp_path / "c.npz").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "c.npz").write_bytes(whole[:length])
        fresh = variables(0)
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path / "c.npz", fresh)
        assert int(fresh["b/0/step"]) == 0


def test_a_checkpoint_of_another_model_is_refused_by_the_variable(tmp_path):
    save_checkpoint(tmp_path / "c.npz", Position(), variables(7))
    other = {**variables(0), "a/0/kernel": keras.Variable(np.zeros((2, 4), dtype=np.float32))}
    with pytest.raises(CheckpointError, match=r"a/0/kernel should have shape \(2, 4\)"):
        load_checkpoint(tmp_path / "c.npz", other)
