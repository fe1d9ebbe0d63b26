"""An older SavedModel is replaced only where all of it was written by an export."""

import json
import os
import shutil

import pytest
from click.testing import CliRunner
from tests.evaluate.test_outputs import describe

from fr_eval.cli import main
from fr_eval.digests import hash_file
from fr_eval.export.export import ExportJob, run_export
from fr_eval.export.saved_model import LIST_FILE


@pytest.fixture(scope="module")
def exported(prelu_model_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "served"
    run_export(ExportJob(prelu_model_path, path, "saved_model"))
    return path


@pytest.fixture
def served(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "served")


def export(model, output):
    words = ["export", model, "--format", "saved_model", "--output", output, "--overwrite"]
    return CliRunner().invoke(main, list(map(str, words)))


def test_an_export_lists_its_files_with_their_digests_and_holds_no_others(exported):
    listed = json.loads((exported / LIST_FILE).read_text())["sha256"]
    assert {"saved_model.pb", "variables/variables.index"} <= set(listed)
    assert listed == {name: hash_file(exported / name) for name in listed}
    held = {path.relative_to(exported).as_posix() for path in exported.rglob("*")}
    assert held == {*listed, LIST_FILE, "variables"}


@pytest.mark.parametrize("state", ["whole", "a file gone", "empty"])
def test_an_export_is_replaced_and_nothing_is_left_of_the_older_one(served, prelu_model_path, exported, state):
    (served / "variables" / "variables.index").unlink()
    if state == "whole":
        shutil.copy(exported / "variables" / "variables.index", served / "variables")
    if state == "empty":
        shutil.rmtree(served)
        served.mkdir()
    inode = served.stat().st_ino
    result = export(prelu_model_path, served)
    assert result.exit_code == 0, result.output
    assert served.stat().st_ino != inode
    assert [path.name for path in served.parent.iterdir()] == ["served"]
    assert (served / "variables" / "variables.index").is_file()


def add(name):
    def change(served):
        (served / name).parent.mkdir(exist_ok=True)
        (served / name).write_text("mine")

    return change


def replace_by_link(served):
    shutil.move(served / "saved_model.pb", served.parent / "saved_model.pb")
    (served / "saved_model.pb").symlink_to("../saved_model.pb")


def replace_by_pipe(served):
    (served / "saved_model.pb").unlink()
    os.mkfifo(served / "saved_model.pb")


def damage(served):
    with (served / "saved_model.pb").open("ab") as file:
        file.write(b"\0")


STRANGERS = {
    "letter": add("letter"),
    ".hidden": add(".hidden"),
    "variables/more": add("variables/more"),
    "notes": add("notes/letter"),
    "empty": lambda served: (served / "empty").mkdir(),
    "link": lambda served: (served / "link").symlink_to("variables"),
    "saved_model.pb": damage,
    "saved_model.pb, a link": replace_by_link,
    "saved_model.pb, a pipe": replace_by_pipe,
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_no_export_wrote_is_named_and_the_folder_stays(served, tmp_path, stranger):
    STRANGERS[stranger](served)
    before = describe(tmp_path)
    result = export(tmp_path / "missing.keras", served)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {served}: holds {stranger.split(',')[0]}")
    assert "not as an export wrote it" in result.stderr
    assert describe(tmp_path) == before


LISTS = {
    "missing": None,
    "no text": b"",
    "an array": b"[]",
    "a number": b"3",
    "nested": b"[" * 100_000,
    "no UTF-8": b"\xff",
    "nothing in it": b"{}",
    "another version": b'{"format_version": 2, "sha256": {}}',
    "no files": b'{"format_version": 1}',
    "no digests": b'{"format_version": 1, "sha256": ["saved_model.pb"]}',
    "too long": b" " * 2**20 + b"{}",
    "forged": b'{"format_version": 1, "sha256": {"../missing": "", "saved_model.pb": 3}}',
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_a_folder_without_a_sound_list_stays(served, tmp_path, content):
    (served / LIST_FILE).unlink()
    if content is not None:
        (served / LIST_FILE).write_bytes(content)
    before = describe(tmp_path)
    result = export(tmp_path / "missing.keras", served)
    assert result.exit_code == 1
    assert "It is not replaced" in result.stderr
    assert result.stderr.count("\n") == 1
    assert describe(tmp_path) == before


def test_a_list_that_is_a_link_or_a_pipe_is_not_read(served, tmp_path):
    shutil.move(served / LIST_FILE, tmp_path / LIST_FILE)
    (served / LIST_FILE).symlink_to(tmp_path / LIST_FILE)
    assert "received a folder without it" in export(tmp_path / "missing.keras", served).stderr
    (served / LIST_FILE).unlink()
    os.mkfifo(served / LIST_FILE)
    assert "received a folder without it" in export(tmp_path / "missing.keras", served).stderr
    assert (served / "saved_model.pb").is_file()


def test_what_comes_while_the_export_is_made_stays(served, prelu_model_path, monkeypatch):
    from fr_eval.export import export as module

    write = module.write_saved_model

    def write_slowly(network, folder):
        write(network, folder)
        add("letter")(served)

    monkeypatch.setattr(module, "write_saved_model", write_slowly)
    result = export(prelu_model_path, served)
    assert result.exit_code == 1
    assert "holds letter, not as an export wrote it" in result.stderr
    assert (served / "letter").read_text() == "mine"
    assert [path.name for path in served.parent.iterdir()] == ["served"]
