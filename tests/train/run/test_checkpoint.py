import keras
import numpy as np
import pytest

from fr_data.errors import OutputError
from fr_train.errors import CheckpointError
from fr_train.run.checkpoint import Position, list_checkpoints, load_checkpoint, read_checkpoint, save_checkpoint


def variables(value):
    return {
        "a/0/kernel": keras.Variable(np.full((2, 3), value, dtype=np.float32)),
        "b/0/step": keras.Variable(value, dtype="int64"),
    }


def save(folder, value, *, keep=2, **position):
    save_checkpoint(folder, Position(**position), variables(value), keep=keep)


def load(folder):
    fresh = variables(0)
    load_checkpoint(read_checkpoint(folder), fresh)
    return int(fresh["b/0/step"])


def test_variables_and_position_come_back(tmp_path):
    position = Position(phase=1, epoch=2, step=5, total_steps=25, best_score=0.5, sums={"loss": 1.25})
    save_checkpoint(tmp_path, position, variables(7))
    fresh = variables(0)
    load_checkpoint(read_checkpoint(tmp_path), fresh)
    assert read_checkpoint(tmp_path).position == position
    assert np.asarray(fresh["a/0/kernel"]).tolist() == [[7] * 3] * 2
    assert int(fresh["b/0/step"]) == 7


def test_the_last_few_are_kept_and_the_newest_is_loaded(tmp_path):
    for step in (9, 10, 100):
        save(tmp_path, step, total_steps=step)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["000000100-000000.npz", "000000010-000000.npz"]
    assert len(list(tmp_path.iterdir())) == 2
    assert load(tmp_path) == 100


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    save(tmp_path, 7, total_steps=1)
    (tmp_path / "000000002-000000.npz").mkdir()
    with pytest.raises(OutputError, match="received a folder"):
        save(tmp_path, 8, total_steps=2)
    assert load(tmp_path) == 7


def test_files_that_are_no_checkpoints_are_neither_read_nor_removed(tmp_path):
    (tmp_path / "linked").write_bytes(b"mine")
    (tmp_path / "000000000-000000.npz").symlink_to("linked")
    for name in ("best.npz", "000000001-000000 (copy).npz", "1-2.npz", "000000001-000000.npz.incomplete"):
        (tmp_path / name).write_bytes(b"mine")
    for step in (1, 2, 999_999_999, 1_000_000_000):
        save(tmp_path, step % 7, total_steps=step, keep=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["1000000000-000000.npz"]
    assert load(tmp_path) == 1_000_000_000 % 7
    assert len([path for path in tmp_path.iterdir() if path.read_bytes() == b"mine"]) == 6


def test_a_missing_checkpoint_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load(tmp_path / "nothing")


def test_where_the_newest_is_damaged_the_one_before_is_loaded(tmp_path):
    save(tmp_path, 7, total_steps=1)
    save(tmp_path, 8, total_steps=2)
    newest = list_checkpoints(tmp_path)[0]
    whole = newest.read_bytes()
    for length in range(0, len(whole), 37):
        newest.write_bytes(whole[:length])
        assert load(tmp_path) == 7


def test_where_all_are_damaged_each_is_named(tmp_path):
    save(tmp_path, 7)
    list_checkpoints(tmp_path)[0].write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"000000000-000000\.npz is damaged"):
        load(tmp_path)


def test_a_checkpoint_of_another_model_is_refused_by_the_variable(tmp_path):
    save(tmp_path, 7)
    other = {**variables(0), "a/0/kernel": keras.Variable(np.zeros((2, 4), dtype=np.float32))}
    with pytest.raises(CheckpointError, match=r"a/0/kernel should have shape \(2, 4\)"):
        load_checkpoint(read_checkpoint(tmp_path), other)


def test_what_changed_since_is_named(tmp_path):
    facts = {"seed": 1, "phases": [{"epochs": 2}]}
    save_checkpoint(tmp_path, Position(), variables(7), facts=facts)
    checkpoint = read_checkpoint(tmp_path)
    checkpoint.require_same(facts)
    with pytest.raises(CheckpointError, match=r"seed was 1 and is 2\. .*--force"):
        checkpoint.require_same({**facts, "seed": 2})
    with pytest.raises(CheckpointError, match=r"the run was another one: phases\[1\]\.epochs was 2 and is 3\. Undo"):
        checkpoint.require_same({**facts, "phases": [{"epochs": 3}]})
