import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_eval.search import neighbours
from fr_eval.search.neighbours import find_nearest


def naive_cosines(embeddings, queries):
    """One query and one row at a time."""

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    rows = embeddings.astype(np.float64)
    return np.array([[cosine(query, row) for row in rows] for query in queries.astype(np.float64)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_rows=st.integers(1, 60),
    num_queries=st.integers(1, 4),
    count=st.integers(1, 70),
    block_rows=st.integers(1, 70),
)
def test_it_is_what_a_loop_finds_whatever_the_blocks(seed, num_rows, num_queries, count, block_rows):
    rng = np.random.default_rng(seed)
    # Few directions, of several lengths: equal cosines are common.
    directions = rng.normal(size=(7, 6))
    embeddings = (directions[rng.integers(0, 7, num_rows)] * rng.choice([0.5, 1, 2], (num_rows, 1))).astype(np.float32)
    queries = rng.normal(size=(num_queries, 6)).astype(np.float32)
    before = neighbours._BLOCK_VALUES
    neighbours._BLOCK_VALUES = block_rows * max(6, num_queries)
    try:
        cosines, rows = find_nearest(embeddings, queries, count=count)
    finally:
        neighbours._BLOCK_VALUES = before
    expected = naive_cosines(embeddings, queries)
    assert cosines.shape == rows.shape == (num_queries, min(count, num_rows))
    assert np.allclose(cosines, -np.sort(-expected)[:, :count], atol=1e-5)
    assert np.allclose(cosines, np.take_along_axis(expected, rows, axis=1), atol=1e-5)
    assert all(len(set(row)) == len(row) for row in rows.tolist())


def test_of_equal_rows_the_first_come_first():
    embeddings = np.tile(np.array([[3.0, 4.0]], np.float32), (50, 1))
    cosines, rows = find_nearest(embeddings, np.array([[6.0, 8.0]], np.float32), count=4)
    assert rows.tolist() == [[0, 1, 2, 3]]
    assert cosines == pytest.approx(np.ones((1, 4)))


@pytest.mark.benchmark
def test_a_million_rows_take_less_than_thrice_a_bare_matrix_product(unit_rows):
    import time

    embeddings, queries = unit_rows(1_000_000, 128), unit_rows(10, 128, seed=1)

    def measure(function):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return min(times)

    product = measure(lambda: queries @ embeddings.T)
    assert measure(lambda: find_nearest(embeddings, queries, count=10)) < 3 * product
