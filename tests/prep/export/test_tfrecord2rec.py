"""`fr-prep tfrecord2rec` as a user runs it."""

import json

import pytest


@pytest.fixture
def made(make_set, run_prep, tmp_path):
    made = make_set(tmp_path / "set", images_per_class=[1, 4, 6])
    options = ("--validation-fraction", "0.3", "--shards", "2", "--quiet")
    assert run_prep("rec2tfrecord", "set", "shards", *options, cwd=tmp_path).returncode == 0
    return made


def test_it_writes_a_record_set_and_says_what_it_left_out(run_prep, made, tmp_path):
    ended = run_prep("tfrecord2rec", "shards", "out", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Wrote 8 images in 3 classes to out, ")
    assert ended.stdout.endswith("Left out: 3 images of the validation split.\n")
    facts = json.loads(run_prep("inspect", "out", "--json", cwd=tmp_path).stdout)
    assert (facts["num_images"], facts["num_classes"], facts["warnings"]) == (8, 3, [])


def test_all_splits_give_the_set_back(run_prep, made, tmp_path):
    ended = run_prep("tfrecord2rec", "shards", "out", "--split", "all", "--json", cwd=tmp_path)
    assert (tmp_path / "out" / "train.rec").read_bytes() == made.rec.read_bytes()
    assert json.loads(ended.stdout) == {
        "dry_run": False,
        "shards": "shards",
        "out": "out",
        "split": "all",
        "num_images": 11,
        "num_classes": 3,
        "height": 16,
        "width": 16,
        "num_bytes": made.rec.stat().st_size,
        "left_out": {},
        "warnings": [],
    }


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_prep, made, tmp_path):
    ended = run_prep("tfrecord2rec", "shards", "out", "--dry-run", cwd=tmp_path)
    assert ended.stdout.startswith("Would write 8 images in 3 classes to out, ")
    assert not (tmp_path / "out").exists()


def test_warnings_go_to_stderr_unless_it_is_to_be_quiet(run_prep, made, tmp_path):
    ended = run_prep("tfrecord2rec", "shards", "a", "--split", "validation", cwd=tmp_path)
    assert ended.stderr.startswith("Warning: 1 of 3 classes have no image here")
    assert run_prep("tfrecord2rec", "shards", "b", "--split", "validation", "--quiet", cwd=tmp_path).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing", "out"), 1, "nothing: there is no such folder"),
        (("set", "out"), 1, "set: expected manifest.json"),
        (("shards", "shards"), 2, "expected another folder than the source's"),
        (("shards", "out", "--split", "test"), 2, "--split"),
        (("shards", "set"), 1, "set: holds train.rec, train.idx, property already"),
        (("shards", "set/train.idx/out"), 1, "cannot be written"),
    ],
)
def test_what_it_cannot_do_it_says(run_prep, made, tmp_path, arguments, code, message):
    ended = run_prep("tfrecord2rec", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert not (tmp_path / "out").exists()
