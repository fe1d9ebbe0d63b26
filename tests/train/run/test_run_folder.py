import pytest

from fr_train.config.config_file import parse_config
from fr_train.errors import RunFolderError
from fr_train.run.checkpoint import Position, save_checkpoint
from fr_train.run.run_folder import RunFolder


def test_a_history_comes_back_with_numbers_and_gaps(tmp_path):
    run = RunFolder(tmp_path)
    run.write_history([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 1e-7, "lfw_accuracy": 1.0}])
    assert run.read_history() == [
        {"epoch": 1, "loss": 0.5, "lfw_accuracy": None},
        {"epoch": 2, "loss": 1e-7, "lfw_accuracy": 1.0},
    ]


def test_a_new_run_saves_its_config_and_an_old_one_is_replaced_only_when_asked(tmp_path):
    run = RunFolder(tmp_path / "runs" / "first")
    config = parse_config({"epochs": 3, "shards": "x"})
    run.start(config, overwrite=False)
    assert run.read_config() == config
    run.write_history([{"epoch": 1}])
    run.centers.touch()
    (run.path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"\(centers\.npy, history\.csv\).*--overwrite"):
        run.start(config, overwrite=False)
    run.start(config, overwrite=True)
    assert sorted(path.name for path in run.path.iterdir()) == ["config.toml", "notes.txt"]


def test_a_config_of_a_run_that_never_began_is_replaced(tmp_path):
    run = RunFolder(tmp_path)
    run.start(parse_config({"epochs": 3}), overwrite=False)
    run.start(parse_config({"epochs": 4}), overwrite=False)
    assert run.read_config().epochs == 4


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run").start(parse_config({}), overwrite=False)


def test_a_changed_config_stays_with_a_checkpoint_of_it_and_else_the_old_one_comes_back(tmp_path):
    run = RunFolder(tmp_path)
    run.start(parse_config({"epochs": 1}), overwrite=False)
    save_checkpoint(run.checkpoints, Position(total_steps=1), {})
    with run.change_config(parse_config({"epochs": 2})):
        assert run.read_config().epochs == 2
    assert run.read_config().epochs == 1

    def fail_after_a_checkpoint():
        with run.change_config(parse_config({"epochs": 2})):
            save_checkpoint(run.checkpoints, Position(total_steps=2), {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_checkpoint()
    assert run.read_config().epochs == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "config.toml"]
