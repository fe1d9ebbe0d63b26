import os

import numpy as np
import pytest

from fr_eval.errors import EmbeddingFileError, MissingPackageError
from fr_eval.search.index import RECALL, build_index, is_current, search_index
from fr_eval.search.neighbours import find_nearest


@pytest.fixture
def rows(unit_rows):
    """People with several images each."""
    people = np.repeat(unit_rows(300, 16), 8, axis=0)
    return (3 * (people + 0.15 * unit_rows(2400, 16, seed=1))).astype(np.float32)


def test_it_finds_as_many_as_it_says(rows, tmp_path, unit_rows):
    pytest.importorskip("faiss")
    recall = build_index(tmp_path / "rows.faiss", rows)
    assert RECALL <= recall <= 1
    queries = rows[::50] + 0.1 * unit_rows(48, 16, seed=2)
    cosines, found = search_index(tmp_path / "rows.faiss", queries, count=5, num_rows=len(rows))
    exact_cosines, exact = find_nearest(rows, queries, count=5)
    assert np.mean([np.isin(right, row).mean() for right, row in zip(exact, found, strict=True)]) > 0.9
    same = found == exact
    assert np.allclose(cosines[same], exact_cosines[same], atol=1e-5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.faiss"]


def test_an_index_is_current_until_its_source_is_written_again(tmp_path):
    source, index = tmp_path / "faces.npz", tmp_path / "faces.faiss"
    source.write_text("rows")
    assert not is_current(index, source)
    index.write_text("index")
    os.utime(source, (1, 1))
    assert is_current(index, source)
    os.utime(index, (0, 0))
    assert not is_current(index, source)


def test_an_index_of_other_embeddings_or_a_damaged_one_is_refused(rows, tmp_path):
    pytest.importorskip("faiss")
    path = tmp_path / "rows.faiss"
    build_index(path, rows)
    with pytest.raises(
        EmbeddingFileError, match=r"expected an index of 7 embeddings of 16 values; received one of 2,400"
    ):
        search_index(path, rows[:1], count=5, num_rows=7)
    with pytest.raises(EmbeddingFileError, match="of 8 values"):
        search_index(path, rows[:1, :8], count=5, num_rows=2400)
    for damaged in (b"", b"no index at all", path.read_bytes()[:1000]):
        path.write_bytes(damaged)
        with pytest.raises(EmbeddingFileError, match="is damaged, or no index"):
            search_index(path, rows[:1], count=5, num_rows=2400)


def test_without_faiss_the_extra_is_named(rows, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'fr-toolkit\[search\]'"):
        build_index(tmp_path / "rows.faiss", rows)
