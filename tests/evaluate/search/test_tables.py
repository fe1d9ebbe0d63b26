import numpy as np

from fr_eval.search.tables import format_matrix, format_pair

COSINES = np.array([[1, 0.5, -0.1], [0.5, 1, 0.2], [-0.1, 0.2, 1]])


def test_a_pair_is_a_line_with_its_verdict():
    images = ["a.jpg", "b.jpg"]
    assert format_pair(images, COSINES, 0.5) == "cosine of a.jpg and b.jpg: 0.5000, one person (at least 0.5000)"
    assert format_pair(images, COSINES, 0.51) == "cosine of a.jpg and b.jpg: 0.5000, two people (below 0.5100)"
    assert format_pair(images, COSINES, None) == "cosine of a.jpg and b.jpg: 0.5000"


def test_without_a_threshold_nothing_is_marked():
    assert "*" not in format_matrix(["a", "b", "c"], COSINES, None)


def test_a_matrix_numbers_its_columns_and_marks_one_person():
    assert format_matrix(["a.jpg", "b.jpg", "c.jpg"], COSINES, 0.2).splitlines() == [
        "cosine         1        2         3",
        "-------  --------  -------  --------",
        "1 a.jpg        -   0.5000*  -0.1000",
        "2 b.jpg   0.5000*       -    0.2000*",
        "3 c.jpg  -0.1000   0.2000*        -",
        "",
        "* one person: a cosine of at least 0.2000",
    ]
