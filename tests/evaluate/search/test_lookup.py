import numpy as np
import pytest

from fr_eval.errors import EmbeddingFileError
from fr_eval.search import lookup
from fr_eval.search.embedding_file import Origin, write_embeddings
from fr_eval.search.lookup import look_up
from fr_eval.search.neighbours import find_nearest


@pytest.fixture
def source(tmp_path, unit_rows):
    rows = unit_rows(500, 8)
    write_embeddings(tmp_path / "faces.npz", Origin([f"{n}.jpg" for n in range(500)], "m", "0", True), rows)
    return tmp_path / "faces.npz"


def test_a_small_file_is_searched_exactly_and_without_a_word(source, unit_rows):
    said = []
    queries = unit_rows(3, 8, seed=1)
    found = look_up(source, queries, count=4, num_rows=500, say=said.append)
    assert all(map(np.array_equal, found, find_nearest(unit_rows(500, 8), queries, count=4)))
    assert said == []


def test_a_large_one_says_how_long_it_took(source, unit_rows, monkeypatch):
    said = []
    monkeypatch.setattr(lookup, "LARGE_ROWS", 500)
    look_up(source, unit_rows(1, 8), count=4, num_rows=500, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("500 embeddings compared exactly in ")


def test_an_index_is_built_once(source, unit_rows):
    pytest.importorskip("faiss")
    said = []
    index = source.with_suffix(".faiss")
    first = look_up(source, unit_rows(2, 8), count=4, num_rows=500, index=index, say=said.append)
    again = look_up(source, unit_rows(2, 8), count=4, num_rows=500, index=index, say=said.append)
    assert all(map(np.array_equal, first, again))
    assert len(said) == 1
    assert "index of 500 embeddings built in" in said[0]


def test_queries_of_another_network_are_refused(source, unit_rows):
    with pytest.raises(EmbeddingFileError, match=r"\(500, 16\), by its names and this network; received \(500, 8\)"):
        look_up(source, unit_rows(1, 16), count=4, num_rows=500, say=print)
