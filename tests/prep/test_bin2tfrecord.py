import json

import pytest

from fr_eval.bins import write_bin


@pytest.fixture
def made(drawn_image, tmp_path):
    formats = ["JPEG"] * 7 + ["BMP"]
    images = [drawn_image(number, image_format=image_format) for number, image_format in enumerate(formats)]
    write_bin(tmp_path / "lfw.bin", images, [True, False, True, True])
    return tmp_path


def test_the_whole_way_by_command(run_prep, made):
    converted = run_prep("bin2tfrecord", "lfw.bin", "lfw", "--shards", "2", cwd=made)
    assert converted.returncode == 0, converted.stderr
    assert converted.stdout.startswith("lfw: 4 pairs, 3 of one person, in 2 shards\n")
    assert "Warning: Images that are no JPEG or PNG became PNG" in converted.stderr
    assert run_prep("verify", "lfw", cwd=made).returncode == 0
    described = json.loads(run_prep("inspect", "lfw", "--json", cwd=made).stdout)
    assert (described["kind"], described["name"], described["num_pairs"]) == ("verification shards", "lfw", 4)


def test_json_gives_the_manifest(run_prep, made):
    content = json.loads(run_prep("bin2tfrecord", "lfw.bin", "out", "--name", "other", "--json", cwd=made).stdout)
    assert (content["kind"], content["name"], content["num_pairs"]) == ("verification pairs", "other", 4)


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_prep, made):
    planned = run_prep("bin2tfrecord", "lfw.bin", "lfw", "--dry-run", cwd=made)
    assert planned.stdout == "Would write 4 pairs in 1 shard to lfw.\n"
    content = json.loads(run_prep("bin2tfrecord", "lfw.bin", "lfw", "--dry-run", "--json", cwd=made).stdout)
    assert (content["name"], content["num_encoded"]) == ("lfw", 1)
    assert [path.name for path in made.iterdir()] == ["lfw.bin"]


def test_a_finished_folder_is_replaced_only_when_asked(run_prep, made):
    assert run_prep("bin2tfrecord", "lfw.bin", "lfw", cwd=made).returncode == 0
    refused = run_prep("bin2tfrecord", "lfw.bin", "lfw", cwd=made)
    assert refused.returncode == 1
    assert "--overwrite" in refused.stderr
    assert run_prep("bin2tfrecord", "lfw.bin", "lfw", "--overwrite", cwd=made).returncode == 0


def test_a_bin_that_is_refused_is_one_line_and_ends_with_1(run_prep, made):
    (made / "bad.bin").write_bytes(b"cposix\nsystem\n(S'touch PWNED'\ntR.")
    for name, reason in (("bad.bin", "posix.system"), ("none.bin", "there is no such file")):
        ended = run_prep("bin2tfrecord", name, "out", cwd=made)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert reason in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (made / "out").exists()


@pytest.mark.parametrize(
    "options", [("--shards", "2", "--shard-size", "1MB"), ("--name", "a b"), ("--overwrite", "--resume")]
)
def test_options_that_make_no_sense_are_a_wrong_command_line(run_prep, made, options):
    assert run_prep("bin2tfrecord", "lfw.bin", "lfw", *options, cwd=made).returncode == 2
