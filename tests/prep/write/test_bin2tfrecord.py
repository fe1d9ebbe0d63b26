import json

import pytest

from fr_data.bins.bins import write_bin


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


def test_the_shards_of_a_bin_are_previewed_and_compared_as_the_bin_is(run_prep, made, make_set, drawn_image):
    assert run_prep("bin2tfrecord", "lfw.bin", "lfw", "--shards", "3", cwd=made).returncode == 0
    make_set(made / "set", num_classes=2, images_per_class=3, images=drawn_image)
    seen, found = [], []
    for name in ("lfw.bin", "lfw"):
        shown = run_prep("preview", name, "look.html", "--only", "same", "--overwrite", "--json", cwd=made)
        assert shown.returncode == 0, shown.stderr
        seen.append(json.loads(shown.stdout)["groups"])
        counted = run_prep("stats", "set", "--bins", name, "--json", cwd=made)
        (overlap,) = json.loads(counted.stdout)["overlaps"]
        found.append({key: overlap[key] for key in ("num_bin_images", "num_bin_images_shared", "num_images_exact")})
    assert seen[0] == seen[1]
    assert [group["title"] for group in seen[0]] == ["pair 0", "pair 2", "pair 3"]
    assert found[0] == found[1] == {"num_bin_images": 8, "num_bin_images_shared": 6, "num_images_exact": 6}


def test_damaged_shards_of_a_bin_are_refused_in_one_line(run_prep, made):
    run_prep("bin2tfrecord", "lfw.bin", "lfw", cwd=made)
    shard = next((made / "lfw").glob("*.tfrecord-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    ended = run_prep("preview", "lfw", "look.png", cwd=made)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{shard.name}: is damaged: it has another SHA-256" in ended.stderr
    assert "Traceback" not in ended.stderr


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
