"""`fr-prep rec2jpeg` as a user runs it."""

import json

import pytest


@pytest.fixture
def made(make_set, tmp_path):
    return make_set(tmp_path / "set", images_per_class=[1, 4, 6])


def test_it_writes_class_folders_and_says_so(run_prep, made, tmp_path):
    ended = run_prep("rec2jpeg", "set", "out", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Wrote 11 images in 3 class folders to out, ")
    assert (tmp_path / "out" / "1" / "2.jpg").read_bytes() == made.records[1].image
    content = json.loads(run_prep("rec2jpeg", "set/train.rec", "again", "--json", cwd=tmp_path).stdout)
    assert content.pop("dialect").startswith("InsightFace")
    assert content == {
        "dry_run": False,
        "source": "set/train.rec",
        "out": "again",
        "num_images": 11,
        "num_classes": 3,
        "num_bytes": sum(len(record.image) for record in made.records),
        "warnings": [],
    }


def test_it_takes_a_folder_of_shards(run_prep, made, tmp_path, digest_files):
    run_prep("rec2tfrecord", "set", "shards", "--shards", "1", "--no-shuffle", cwd=tmp_path)
    for source in ("set", "shards"):
        assert run_prep("rec2jpeg", source, f"of_{source}", cwd=tmp_path).returncode == 0
    assert digest_files(tmp_path / "of_set") == digest_files(tmp_path / "of_shards")


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_prep, made, tmp_path):
    assert run_prep("rec2jpeg", "set", "out", "--dry-run", cwd=tmp_path).stdout.startswith("Would write 11 images in 3")
    assert json.loads(run_prep("rec2jpeg", "set", "out", "--dry-run", "--json", cwd=tmp_path).stdout)["dry_run"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_warnings_go_to_stderr_unless_it_is_to_be_quiet(run_prep, made, tmp_path):
    (made.folder / "property").write_text("9,16,16")
    assert run_prep("rec2jpeg", "set", "a", cwd=tmp_path).stderr.startswith("Warning: property promises 9 classes")
    assert run_prep("rec2jpeg", "set", "b", "--quiet", cwd=tmp_path).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing", "out"), 1, "nothing: there is no such file or folder"),
        (("set", "set"), 2, "expected another folder than the source's"),
        (("set", "out", "--overwrite", "--resume"), 2, "expected either overwrite or resume"),
        (("set", "out", "--workers", "0"), 2, "--workers"),
        (("set", "set/train.idx/out"), 1, "cannot be written"),
    ],
)
def test_what_it_cannot_do_it_says(run_prep, made, tmp_path, arguments, code, message):
    ended = run_prep("rec2jpeg", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_replaced_by_overwrite_only(run_prep, made, make_set, tmp_path):
    make_set(tmp_path / "other", num_classes=1)
    assert run_prep("rec2jpeg", "set", "out", cwd=tmp_path).returncode == 0
    refused = run_prep("rec2jpeg", "other", "out", cwd=tmp_path)
    assert refused.returncode == 1
    assert "finished class folders are there. Replace them by --overwrite" in refused.stderr
    assert run_prep("rec2jpeg", "other", "out", "--overwrite", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0", "images.csv"]
