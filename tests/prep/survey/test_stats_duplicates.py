from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fr_prep.survey.duplicates import group_images


def group(numbers, labels, keys=None):
    digests = np.array([[number // 4, number % 4] for number in numbers], dtype=np.uint64)
    keys = range(len(numbers)) if keys is None else keys
    return group_images(digests, labels=np.array(labels), keys=np.array(keys))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 99)), min_size=1, max_size=40))
def test_groups_are_what_a_dictionary_finds(images):
    numbers, labels, keys = zip(*images, strict=True)
    rows_of = defaultdict(list)
    for row in sorted(range(len(images)), key=lambda row: (keys[row], row)):
        rows_of[numbers[row]].append(row)
    found = group(numbers, labels, keys)
    groups = list(rows_of.values())  # in the order of their lowest keys
    assert found.first_rows.tolist() == [rows[0] for rows in groups]
    assert found.num_images.tolist() == [len(rows) for rows in groups]
    assert found.of_row.tolist() == [list(rows_of).index(number) for number in numbers]
    assert found.order.tolist() == [row for rows in groups for row in rows]
    assert found.across.tolist() == [len({labels[row] for row in rows}) > 1 for rows in groups]
    assert found.within.tolist() == [len(rows) > 1 and len({labels[row] for row in rows}) == 1 for rows in groups]
    for chosen in (found.across, found.within, found.num_images > 0):
        expected = [rows for rows, wanted in zip(groups, chosen.tolist(), strict=True) if wanted]
        assert [rows.tolist() for rows in found.rows_of(chosen)] == expected


def test_a_pair_is_across_classes_where_any_of_its_images_is_in_another_class():
    groups = group([1, 1, 2, 3, 4], [0, 1, 0, 0, 1])
    assert groups.are_across(np.array([0, 1, 2, 1]), np.array([1, 2, 3, 3])).tolist() == [True, False, True, True]
