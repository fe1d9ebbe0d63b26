import numpy as np
import pytest

from fr_data.errors import OutputError
from fr_eval.errors import EmbeddingFileError, MissingPackageError
from fr_eval.search.embedding_file import Origin, read_embeddings, read_origin, write_embeddings

ORIGIN = Origin(["a/1.jpg", "Zoë, 2.png", "c\n.png"], "best.keras", "ab" * 32, True)
ROWS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture(params=["npz", "parquet"])
def path(request, tmp_path):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"faces.{request.param}"


def test_what_is_written_is_read(path):
    write_embeddings(path, ORIGIN, ROWS)
    assert read_origin(path) == ORIGIN
    found = read_embeddings(path)
    assert found.dtype == np.float32
    assert np.array_equal(found, ROWS)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_other_programs_read_it(path):
    write_embeddings(path, ORIGIN, ROWS)
    if path.suffix == ".npz":
        with np.load(path) as file:
            assert file["names"].tolist() == ORIGIN.names
            assert np.array_equal(file["embeddings"], ROWS)
    else:
        import pandas as pd

        table = pd.read_parquet(path)
        assert table["name"].tolist() == ORIGIN.names
        assert np.array_equal(np.stack(table["embedding"]), ROWS)


def test_a_damaged_file_is_refused(path):
    write_embeddings(path, ORIGIN, ROWS)
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"PK\x03\x04", data[:-20]):
        path.write_bytes(damaged)
        for read in (read_origin, read_embeddings):
            with pytest.raises(EmbeddingFileError, match="is damaged, or not written by"):
                read(path)


def test_a_file_of_something_else_is_refused(path):
    if path.suffix == ".npz":
        np.savez(path, something=ROWS)
    else:
        import pandas as pd

        pd.DataFrame({"something": [1]}).to_parquet(path)
    for read in (read_origin, read_embeddings):
        with pytest.raises(EmbeddingFileError, match="not written by `fr-eval embed`"):
            read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_embeddings_without_direction_are_refused(path, value):
    rows = ROWS.copy()
    rows[1] = value
    write_embeddings(path, ORIGIN, rows)
    with pytest.raises(EmbeddingFileError, match="NaN, infinite or zero"):
        read_embeddings(path)


def test_a_name_that_is_no_unicode_is_refused(path):
    with pytest.raises(EmbeddingFileError, match=r"'caf\\udce9\.jpg': the name of this image is no UTF-8"):
        write_embeddings(path, Origin(["caf\udce9.jpg"], "m", "0", True), ROWS[:1])
    assert not path.exists()


def test_nothing_pickled_is_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("it was run",))

    path = tmp_path / "evil.npz"
    np.savez(path, names=np.array([Evil()], dtype=object), embeddings=ROWS)
    with pytest.raises(EmbeddingFileError, match="allow_pickle=False"):
        read_origin(path)


def test_other_endings_and_missing_files_are_refused(tmp_path):
    with pytest.raises(EmbeddingFileError, match=r"expected a file of embeddings, \.npz or \.parquet"):
        read_origin(tmp_path / "faces.csv")
    with pytest.raises(EmbeddingFileError, match="there is no such file; make it with"):
        read_embeddings(tmp_path / "faces.npz")
    with pytest.raises(OutputError, match="cannot be written"):
        write_embeddings(tmp_path / "missing" / "faces.npz", ORIGIN, ROWS)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'fr-toolkit\[parquet\]'"):
        write_embeddings(tmp_path / "faces.parquet", ORIGIN, ROWS)
