import pytest

from fr_eval.errors import EvalError
from fr_eval.export.draft import write_draft


def make_folder(path, text):
    path.mkdir()
    (path / "file").write_text(text)


def test_a_file_takes_its_place_when_the_block_has_ended(tmp_path):
    path = tmp_path / "model.onnx"
    with write_draft(path) as draft:
        assert (draft.name, draft.parent.name) == ("model.onnx", "model.onnx.incomplete")
        draft.write_text("new")
        assert not path.exists()
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("model.onnx", "new")]


def test_a_folder_takes_the_place_of_another(tmp_path):
    path = tmp_path / "served"
    make_folder(path, "old")
    with write_draft(path) as draft:
        make_folder(draft, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["served"]
    assert (path / "file").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_where_the_block_fails_what_was_there_stays(tmp_path, kind):
    path = tmp_path / "model"
    path.write_text("old") if kind == "file" else make_folder(path, "old")

    def write():
        with write_draft(path) as draft:
            draft.write_text("new") if kind == "file" else make_folder(draft, "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    assert (path if kind == "file" else path / "file").read_text() == "old"


def test_what_a_killed_run_left_is_no_hindrance(tmp_path):
    (tmp_path / "model.incomplete").mkdir()
    (tmp_path / "model.incomplete" / "model").write_text("half")
    with write_draft(tmp_path / "model") as draft:
        assert not draft.exists()
        draft.write_text("new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(EvalError, match=r"missing/model: cannot be written: No such file"),
        write_draft(tmp_path / "missing" / "model") as draft,
    ):
        draft.write_text("new")
