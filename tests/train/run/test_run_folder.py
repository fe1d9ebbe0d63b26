"""The folder of a run: its history and config, and how a run takes the place of another one."""

import os
from itertools import count
from pathlib import Path

import pytest

from fr_data.errors import OutputError
from fr_data.files import locked_folder
from fr_train.config.config_file import parse_config
from fr_train.errors import RunFolderError
from fr_train.run.checkpoint import Position, save_checkpoint
from fr_train.run.run_folder import RunFolder

OLD_CONFIG, NEW_CONFIG = parse_config({"epochs": 3, "shards": "x"}), parse_config({"epochs": 9, "shards": "y"})
STRANGERS = ("notes.txt", "checkpoints/mine.npz", "checkpoints/000000001-000001.npz.bak", "tensorboard/notes.txt")


def contents(folder):
    """Relative path → bytes of each file, or where a link leads."""
    return {
        path.relative_to(folder).as_posix(): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def fill(run, text):
    """Writes a file of each kind that a run leaves."""
    for path in (run.best, run.last, run.centers, run.history, run.curves, run.tensorboard / "events.out.tfevents.1.x"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    save_checkpoint(run.checkpoints, Position(total_steps=7, total_epochs=1), {})


@pytest.fixture
def run(tmp_path):
    """A run, with files of somebody else in its folder."""
    run = RunFolder(tmp_path / "run")
    run.start(OLD_CONFIG, overwrite=False)
    fill(run, "old")
    for name in STRANGERS:
        (run.path / name).write_text("mine")
    return run


class Stop(Exception):
    """A process that is killed."""


def _until(left, original):
    def change(self, *arguments, **options):
        if next(left, None) is None:
            raise Stop
        return original(self, *arguments, **options)

    return change


def stopped_at(step, function):
    """Runs a function until its `step`-th change to a file or folder; False if it had fewer."""
    left = iter(range(step))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "replace", "rmdir", "unlink"):
            patch.setattr(Path, name, _until(left, getattr(Path, name)))
        try:
            function()
        except Stop:
            return True
    return False


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
    aside = [f"replaced.incomplete/{name}" for name in ("centers.npy", "config.toml", "history.csv")]
    assert [*contents(run.path)] == ["config.toml", "notes.txt", *aside]
    run.drop_replaced()
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


@pytest.mark.parametrize("how", ["at once", "after a while", "twice"])
def test_whenever_a_replacement_is_killed_before_the_first_checkpoint_the_old_run_comes_back_whole(run, how):
    before = contents(run.path)
    for step in count():
        stopped = stopped_at(step, lambda: run.start(NEW_CONFIG, overwrite=True))
        if not stopped and how != "at once":
            for path in (run.last, run.best, run.history):  # which are written before the first checkpoint
                path.write_text("new")
        if how == "twice":
            stopped_at(step % 9, run.settle)
        run.settle()
        assert contents(run.path) == before
        if not stopped:
            break
    assert step > 10


def test_the_report_of_why_a_new_run_ended_stays(run):
    run.start(NEW_CONFIG, overwrite=True)
    run.nonfinite.write_text("new")
    assert run.settle()
    assert (run.nonfinite.read_text(), run.read_config()) == ("new", OLD_CONFIG)


def test_once_a_new_run_has_a_checkpoint_the_old_one_goes_whenever_that_is_killed(run):
    for step in count():
        run.start(NEW_CONFIG, overwrite=True)
        fill(run, "new")
        stopped = stopped_at(step, run.drop_replaced)
        assert not run.settle()
        assert run.read_config() == NEW_CONFIG
        assert run.last.read_text() == "new"
        assert not run.replaced.exists()
        assert set(STRANGERS) <= set(contents(run.path))
        if not stopped:
            break
    assert step > 8


@pytest.mark.parametrize(
    "name", ["best.keras", "config.toml", "checkpoints", "checkpoints/000000009-000001.npz", "tensorboard"]
)
@pytest.mark.parametrize("kind", ["link", "link to a folder", "folder", "pipe"])
def test_what_is_no_file_of_a_run_is_neither_replaced_nor_followed(run, tmp_path, name, kind):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "000000003-000001.npz").write_text("mine")
    place = run.path / name
    if place.exists():
        place.rename(tmp_path / "away")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    else:
        place.symlink_to(tmp_path / "elsewhere" / ("000000003-000001.npz" if kind == "link" else ""))
    before = contents(tmp_path)
    if kind == "folder" and name in ("checkpoints", "tensorboard"):
        run.start(NEW_CONFIG, overwrite=True)
        run.drop_replaced()
        assert (place / "thesis.txt").exists()
        return
    with pytest.raises(RunFolderError, match=r"expected a (file|folder).*Move it away"):
        run.start(NEW_CONFIG, overwrite=True)
    assert contents(tmp_path) == before


def test_a_config_that_somebody_wrote_is_not_replaced(tmp_path):
    run = RunFolder(tmp_path)
    for text in ("[tool]\n", "# mine\nshards = 'x'\n[model]\n[[phases]]\n", "no TOML"):
        run.config.write_text(text)
        for overwrite in (False, True):
            with pytest.raises(RunFolderError, match="was not saved by fr-train"):
                run.start(NEW_CONFIG, overwrite=overwrite)
        assert contents(tmp_path) == {"config.toml": text.encode()}


@pytest.mark.parametrize("text", [None, "[tool]\n"])
def test_a_folder_without_the_config_of_a_run_is_none(tmp_path, text):
    (tmp_path / "history.csv").write_text("mine")
    if text:
        (tmp_path / "config.toml").write_text(text)
    before = contents(tmp_path)
    with pytest.raises(RunFolderError, match=r"holds history\.csv, but no config\.toml of fr-train"):
        RunFolder(tmp_path).start(NEW_CONFIG, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (("start_from",), ""),
        (("model", "file"), "best.keras"),
        (("start_centers",), "centers.npy"),
        (("bins",), "last.keras"),
    ],
)
def test_a_run_does_not_replace_what_it_reads(run, key, name):
    path = str(run.path / name)
    before = contents(run.path)
    with pytest.raises(RunFolderError, match="belongs to the run that --overwrite replaces"):
        run.start(parse_config({}, overrides={key: [path] if key == ("bins",) else path}), overwrite=True)
    assert contents(run.path) == before


@pytest.mark.parametrize("kind", ["stranger", "link", "file"])
def test_a_folder_of_that_name_that_fr_train_did_not_make_is_left_alone(run, tmp_path, kind):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "best.keras").write_text("mine")
    if kind == "link":
        run.replaced.symlink_to(tmp_path / "mine")
    elif kind == "file":
        run.replaced.write_text("mine")
    else:
        (tmp_path / "mine" / "thesis.txt").write_text("mine")
        (tmp_path / "mine").rename(run.replaced)
    before = contents(tmp_path)
    for attempt in (run.settle, lambda: run.start(NEW_CONFIG, overwrite=True)):
        with pytest.raises(RunFolderError, match=r"replaced\.incomplete.*Move it away"):
            attempt()
        assert contents(tmp_path) == before


def test_drafts_of_a_killed_process_are_removed_and_those_of_others_stay(run):
    checkpoint = "000000009-000001.npz"
    own = ("last.keras.abcd_123.incomplete/last.keras", f"checkpoints/{checkpoint}.abcd1234.incomplete/{checkpoint}")
    others = ("last.keras.incomplete/last.keras", "best.keras.abcd1234.incomplete/notes.txt", "x.abcd1234.incomplete/x")
    before = contents(run.path)
    for name in (*own, *others):
        (run.path / name).parent.mkdir()
        (run.path / name).write_text("draft")
    run.remove_drafts()
    assert {name for name in contents(run.path) if name not in before} == set(others)


def test_one_process_writes_to_a_folder(run):
    with (
        locked_folder(run.path),
        pytest.raises(OutputError, match="another process is writing there"),
        locked_folder(run.path),
    ):
        pass
