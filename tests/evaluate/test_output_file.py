from pathlib import Path

import pytest

from fr_eval.errors import EvalError
from fr_eval.output_file import write_whole


def test_text_is_written_as_it_is(tmp_path):
    path = tmp_path / "figures.csv"
    for text in ("99.75 ± 0.75 %\r\n", "shorter\n"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
    assert [file.name for file in tmp_path.iterdir()] == ["figures.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "figures.csv"
    path.write_text("old")
    (tmp_path / "figures.csv.incomplete").symlink_to("/dev/full")
    with pytest.raises(EvalError, match=r"figures\.csv: cannot be written: No space left on device"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["figures.csv"]
