"""What `fr-prep verify` finds beside the shards, and in shards that are not as it is told there."""

import json
import random
import shutil

import numpy as np
import pytest

from fr_prep.errors import ShardError
from fr_prep.verify.verify import check_dataset, verify_dataset

NAMES = ["faces-train.tfrecord-00000-of-00002", "faces-train.tfrecord-00001-of-00002"]


@pytest.fixture
def copy(split_shards, tmp_path):
    shutil.copytree(split_shards, tmp_path / "copy")
    return tmp_path / "copy"


def flip(path, place, mask=0x10):
    content = bytearray(path.read_bytes())
    content[place] ^= mask
    path.write_bytes(content)


def only_problem(folder, **options):
    (problem,) = check_dataset(folder, quiet=True, **options).problems
    return problem


@pytest.mark.parametrize(
    "name", ["manifest.json", "records.npy", "classes.csv", "features.json", "dataset_info.json", "label.labels.txt"]
)
def test_flipped_bytes_beside_the_shards_are_found_in_the_file_that_has_them(copy, name):
    rng = random.Random(9)
    path = copy / name
    whole = path.read_bytes()
    for _ in range(60):
        flip(path, rng.randrange(len(whole)), rng.randrange(1, 256))
        with pytest.raises(ShardError, match=name.replace(".", r"\.")):
            verify_dataset(copy, quiet=True)
        path.write_bytes(whole)


def test_a_row_of_the_record_table_that_lies_is_named(copy, seal_set):
    table = np.load(copy / "records.npy")
    for column in table.dtype.names:
        changed = table.copy()
        changed[column][4] += 1
        np.save(copy / "records.npy", changed)
        seal_set(copy)
        problem = only_problem(copy)
        assert (problem.file, problem.record) == ("records.npy", 4)
        assert f"as record 1 of {NAMES[1]}" in problem.problem
        assert f"received source_key {changed['source_key'][4]}, " in problem.problem


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None], ids=["empty", "cut", "shape"])
def test_a_record_table_that_is_none_is_found_though_its_digest_is_right(copy, seal_set, content):
    if content is None:
        np.save(copy / "records.npy", np.zeros(8))
    else:
        (copy / "records.npy").write_bytes(content)
    seal_set(copy)
    assert only_problem(copy).file == "records.npy"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("1,8,8,2,2,0\n", "1,8,8,3,2,0\n", "record 1: expected num_images 2 of class 1, as in the shards, received 3"),
        ("1,8,8,2,2,0\n", "1,8,8,2,1,0\n", "record 1: expected num_train 2 of class 1, as in the shards, received 1"),
        ("1,8,8,2,2,0\n", "1,8,8,2,2,9\n", "record 1: expected num_validation 0 of class 1"),
        ("1,8,8,2,2,0\n", "1,6,8,2,2,0\n", "expected source label 6, that of class 1, received 8"),
        ("1,8,8,2,2,0\n", "", "expected classes 0 to 3, one a line"),
        ("1,8,8,2,2,0\n", "1,x,8,2,2,0\n", "is no class index of the set"),
        ("1,8,8,2,2,0\n", f"1,{10**30},8,2,2,0\n", "is no class index of the set"),
        ("num_train,", "train,", "expected a column num_train"),
        ("1,8,8,2,2,0\n", "1,8,8\n", "is no class index of the set"),
    ],
)
def test_a_class_index_that_lies_is_found_though_its_digest_is_right(copy, seal_set, old, new, problem):
    text = (copy / "classes.csv").read_text()
    assert old in text
    (copy / "classes.csv").write_text(text.replace(old, new))
    seal_set(copy)
    with pytest.raises(ShardError) as caught:
        verify_dataset(copy, quiet=True)
    assert problem in str(caught.value)


def one_record_more(manifest):
    manifest["num_images"] += 1
    manifest["splits"]["train"]["num_images"] += 1
    manifest["splits"]["train"]["shards"][0]["num_records"] += 1


def split_ranges(train, validation):
    def change(manifest):
        for split, classes in (("train", train), ("validation", validation)):
            manifest["splits"][split].update(first_class=classes[0], num_classes=len(classes))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["splits"]["train"]["shards"][0].update(num_records=4), "expected 7, the sum of the shards"),
        (one_record_more, "expected 4 records, received 3"),
        (lambda m: m["splits"]["train"]["shards"][0].update(sha256="0" * 64), "expected SHA-256 0000"),
        (split_ranges([0, 1], [2, 3]), r"key \d\): expected a class from 0 to 1, received 2"),
        (
            split_ranges([0, 1, 2], [2]),
            r"00000-of-00001: record 0 at byte 0 .*expected a class from 2 to 2, received 3",
        ),
        (
            lambda m: m["splits"]["train"]["shards"][0].update(file="../passwd"),
            r"shards\[0\]\.file: expected faces-train",
        ),
        (lambda m: m.update(format_version=2), "format version 1 or older, received 2"),
        (lambda m: m.pop("splits"), "is no manifest"),
        (lambda m: m.update(splits=[1]), "is no manifest"),
        (lambda m: m.update(num_classes="x"), "is no manifest"),
    ],
)
def test_a_manifest_that_promises_otherwise_is_found(copy, seal_set, change, message):
    seal_set(copy, change)
    with pytest.raises(ShardError, match=message):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize("digest", [None, "", "0" * 64, 7, "x", "{"])
def test_a_manifest_that_does_not_vouch_for_itself_is_found(copy, digest):
    content = json.loads((copy / "manifest.json").read_text())
    content["sha256"] = digest
    (copy / "manifest.json").write_text(json.dumps(content))
    assert only_problem(copy).file == "manifest.json"
    del content["sha256"]
    (copy / "manifest.json").write_text(json.dumps(content))
    assert only_problem(copy).problem.startswith("expected SHA-256 none, received ")
