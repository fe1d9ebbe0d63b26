"""The label overlay: its file, and what it makes of labels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_data.shards.overlay import DROP, read_overlay, relabel
from fr_prep.errors import SourceError

LABELS = [0, 0, 1, 1, 2, 2]
KEYS = [10, 11, 12, 13, 14, 15]


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def apply(path, *, labels=LABELS, keys=KEYS, num_classes=3, in_train=None):
    in_train = np.ones(len(labels), dtype=np.bool_) if in_train is None else np.array(in_train)
    return relabel(
        read_overlay(path),
        keys=np.array(keys),
        labels=np.array(labels),
        num_classes=num_classes,
        in_train=in_train,
    ).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class,new_class\n", LABELS),
        ("class,new_class\n1,0\n", [0, 0, 0, 0, 2, 2]),
        ("class,new_class\n1,drop\n", [0, 0, DROP, DROP, 2, 2]),
        ("class,new_class\n1,\n", [0, 0, DROP, DROP, 2, 2]),
        ("class,new_class\n1,7\n", [0, 0, 7, 7, 2, 2]),
        ("source_key,new_class\n13,0\n", [0, 0, 1, 0, 2, 2]),
        ("source_key,new_class\n15,drop\n10,3\n", [3, 0, 1, 1, 2, DROP]),
    ],
)
def test_a_row_moves_or_drops_a_class_or_a_record(write, text, expected):
    assert apply(write(text)) == expected


def test_the_row_of_a_record_wins_over_that_of_its_class(write):
    text = "class,source_key,new_class\n,12,1\n1,,drop\n0,,2\n,10,drop\n"
    assert apply(write(text)) == [DROP, 2, 1, DROP, 2, 2]


def test_there_are_no_chains_so_two_classes_can_change_places(write):
    assert apply(write("class,new_class\n0,1\n1,0\n2,0\n")) == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfclass,new_class\r\n1,0\r\n",
        b"new_class , class\n 0 , 1 \n",
        b"class,new_class\n\n1,0\n\n",
        b'"class","new_class"\n"1","0"\n',
        b"class,new_class,reason\n1,0,the same person\n",
        b"class,source_key,new_class\n1.0,,0.0\n",
    ],
    ids=["bom and crlf", "spaces", "blank lines", "quotes", "other columns", "numbers as pandas writes them"],
)
def test_a_table_is_read_however_a_program_writes_it(write, text):
    assert apply(write(text)) == [0, 0, 0, 0, 2, 2]


def test_a_table_from_pandas_with_gaps_is_read(tmp_path):
    rows = [{"class": 1, "new_class": None}, {"source_key": 10, "new_class": 2}]
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    assert apply(tmp_path / "labels.csv") == [2, 0, DROP, DROP, 2, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv: expected the columns new_class and class or source_key, received an empty file"),
        ("class,new\n1,0\n", "received class, new"),
        ("label,new_class\n1,0\n", "received label, new_class"),
        ("class,new_class\n1\n", r"labels\.csv, line 2: expected 2 fields, received 1"),
        ("class,new_class\n1,0,5\n", "line 2: expected 2 fields, received 3"),
        ("class,source_key,new_class\n1,5,0\n", "line 2: .* received class 1 and source_key 5"),
        ("class,source_key,new_class\n1,,0\n\n,,0\n", "line 4: expected a class or a source_key, received neither"),
        ("class,new_class\nx,0\n", "line 2: class: expected a whole number, received 'x'"),
        ("class,new_class\n-1,0\n", "received '-1'"),
        ("class,new_class\n1.5,0\n", r"received '1\.5'"),
        ("class,new_class\ndrop,0\n", "class: expected a whole number, received 'drop'"),
        (f"source_key,new_class\n{2**63},0\n", "source_key: expected a whole number"),
        (f"source_key,new_class\n{'9' * 400},0\n", "source_key: expected a whole number"),
        ("class,new_class\n1,none\n", "line 2: new_class: .*`drop` or nothing, received 'none'"),
        ("class,new_class\n1,-2\n", "received '-2'"),
        (f"class,new_class\n1,{2**31}\n", "expected a number up to 2147483647"),
        ("class,new_class\n1,0\n2,0\n1,0\n", "line 4: class 1 is named again, the first time in line 2"),
        ("source_key,new_class\n11,0\n11,drop\n", "line 3: source_key 11 is named again, the first time in line 2"),
        ('class,new_class\n"1,0\n', "line 2: is no line of a CSV file"),
        (b"class,new_class\n\xff,0\n", "is no CSV file in UTF-8"),
    ],
)
def test_what_is_no_overlay_is_refused_by_line_and_value(write, text, message):
    with pytest.raises(SourceError, match=message):
        read_overlay(write(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.csv: cannot be read: No such file"):
        read_overlay(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,new_class\n1,0\n3,0\n9,0\n", r"line 3: class 3: the set has the classes 0 to 2 \(2 such rows\)"),
        ("source_key,new_class\n10,0\n99,0\n", r"line 3: source_key 99: no record of the set has that key \(1 such"),
    ],
)
def test_a_class_or_a_record_that_is_not_in_the_set_is_refused(write, text, message):
    with pytest.raises(SourceError, match=message):
        apply(write(text))


def test_a_key_that_several_records_have_names_none_of_them(write):
    keys = [10, 11, 11, 11, 14, 15]
    with pytest.raises(SourceError, match="line 2: source_key 11: 3 records of the set have the same key"):
        apply(write("source_key,new_class\n11,0\n"), keys=keys)
    assert apply(write("class,new_class\n1,0\n"), keys=keys) == [0, 0, 0, 0, 2, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "class,new_class\n0,2\n",
            "line 2: class 0: moves train images to class 2, which is in the validation split alone",
        ),
        ("class,source_key,new_class\n1,,0\n,11,2\n", "line 3: source_key 11: moves train images to class 2"),
    ],
)
def test_nothing_to_train_on_goes_to_a_class_of_the_validation_split_alone(write, text, message):
    with pytest.raises(SourceError, match=message):
        apply(write(text), in_train=[True] * 4 + [False] * 2)


def test_images_of_the_validation_split_may_go_anywhere(write):
    in_train = [True] * 4 + [False] * 2
    assert apply(write("class,new_class\n2,0\n"), in_train=in_train) == [0, 0, 1, 1, 0, 0]
    assert apply(write("source_key,new_class\n14,9\n"), in_train=in_train) == [0, 0, 1, 1, 9, 2]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_labels_are_those_of_a_plain_loop(data, tmp_path_factory):
    labels = [*range(6), *data.draw(st.lists(st.integers(0, 5), max_size=30))]
    keys = data.draw(st.permutations(range(100, 100 + len(labels))))
    targets = st.one_of(st.none(), st.integers(0, 9))
    by_class = data.draw(st.dictionaries(st.integers(0, 5), targets))
    by_key = data.draw(st.dictionaries(st.sampled_from(keys), targets))
    rows = [("", key, new) for key, new in by_key.items()] + [(label, "", new) for label, new in by_class.items()]
    lines = [f"{label},{key},{'drop' if new is None else new}" for label, key, new in data.draw(st.permutations(rows))]
    path = tmp_path_factory.mktemp("overlay") / "labels.csv"
    path.write_text("\n".join(["class,source_key,new_class", *lines]))
    expected = [by_key.get(key, by_class.get(label, label)) for key, label in zip(keys, labels, strict=True)]
    assert apply(path, labels=labels, keys=list(keys), num_classes=6) == [DROP if n is None else n for n in expected]
