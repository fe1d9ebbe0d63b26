import io
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from fr_train.cli import main
from fr_train.run.curves import draw_curves
from fr_train.run.run_folder import RunFolder

ROW = {"epoch": 1, "loss": 3.0, "accuracy": 0.5, "learning_rate": 0.1}


@pytest.mark.parametrize(
    "history",
    [
        [ROW],
        [ROW, {**ROW, "epoch": 2, "loss": 2.0}],
        [{**ROW, "lfw_accuracy": 0.7}, {**ROW, "epoch": 2, "lfw_accuracy": None, "cfp_accuracy": 0.6}],
    ],
    ids=["one epoch", "no bins", "bins with gaps"],
)
def test_any_history_becomes_a_picture(history, tmp_path):
    draw_curves({"run": history}, tmp_path / "curves.png")
    image = Image.open(io.BytesIO((tmp_path / "curves.png").read_bytes()))
    assert image.format == "PNG"
    assert image.width > 900


def test_runs_are_laid_over_each_other_by_command(tmp_path):
    for name, loss in (("a", 3.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        RunFolder(tmp_path / name).write_history([{**ROW, "phase": "training", "loss": loss, "lfw_accuracy": 0.7}])
    arguments = ["plot", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "runs.png")]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert Image.open(tmp_path / "runs.png").width > 900
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, "--overwrite" in again.output) == (1, True)
    (tmp_path / "empty").mkdir()
    failed = CliRunner().invoke(main, ["plot", str(tmp_path / "empty"), "--out", str(tmp_path / "x.png")])
    assert (failed.exit_code, "history.csv" in failed.output) == (1, True)


@pytest.mark.parametrize("kind", ["source", "link to a source", "folder", "pipe", "device", "no folder"])
def test_a_picture_replaces_nothing_but_a_file(tmp_path, kind):
    RunFolder(tmp_path).write_history([ROW])
    history, out = tmp_path / "history.csv", tmp_path / "out.png"
    before = history.read_bytes()
    if kind == "link to a source":
        out.symlink_to(history)
    elif kind == "folder":
        out.mkdir()
    elif kind == "pipe":
        os.mkfifo(out)
    else:
        out = {"source": history, "device": Path("/dev/null"), "no folder": tmp_path / "none" / "out.png"}[kind]
    state = os.lstat(out if kind != "no folder" else tmp_path)
    ended = CliRunner().invoke(main, ["plot", str(tmp_path), "--out", str(out), "--overwrite"])
    assert (ended.exit_code, len(ended.output.splitlines())) == (1, 1), ended.output
    assert os.lstat(out if kind != "no folder" else tmp_path).st_ino == state.st_ino
    assert history.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epoch,loss\n1,\xff\n", "history.csv: expected CSV in UTF-8"),
        (b"name,age\nAnn,3\n", "history.csv, line 2: expected the columns epoch and loss, received name, age."),
        (b"epoch,loss\n1,2.5\n2,low\n", "history.csv, line 3: loss: expected a number, received 'low'."),
        (b"epoch,loss\nfirst,2.5\n", "history.csv, line 2: epoch: expected a whole number, received 'first'."),
        (b"epoch,loss\n1\n", "history.csv, line 2: expected a value for each column, received more or fewer."),
        (b"epoch,loss\n1,2,3\n", "history.csv, line 2: expected a value for each column, received more or fewer."),
    ],
)
def test_a_history_that_is_none_is_refused_in_one_line(content, message, tmp_path):
    (tmp_path / "history.csv").write_bytes(content)
    ended = CliRunner().invoke(main, ["plot", str(tmp_path), "--out", str(tmp_path / "x.png")])
    assert (ended.exit_code, message in ended.output, len(ended.output.splitlines())) == (1, True, 1)
    assert not (tmp_path / "x.png").exists()
