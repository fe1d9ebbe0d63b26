import json

import pytest

from fr_data.bins.bins import read_bin


@pytest.fixture
def made(drawn_image, tmp_path):
    """20 people with 4 images each."""
    for person in range(20):
        (tmp_path / "people" / f"p{person:02d}").mkdir(parents=True)
        for image in range(4):
            (tmp_path / "people" / f"p{person:02d}" / f"{image}.jpg").write_bytes(drawn_image(4 * person + image))
    return tmp_path


def test_the_whole_way_by_command(run_prep, made):
    converted = run_prep("folder2tfrecord", "people", "out", "--shards", "2", "--json", cwd=made)
    assert converted.returncode == 0, converted.stderr
    content = json.loads(converted.stdout)
    assert (content["num_images"], content["num_classes"], content["warnings"]) == (80, 20, [])
    assert run_prep("verify", "out", cwd=made).returncode == 0
    for path, kind in (("people", "class folders"), ("out", "shard folder")):
        described = json.loads(run_prep("inspect", path, "--json", cwd=made).stdout)
        assert (described["kind"], described["num_images"], described["num_classes"]) == (kind, 80, 20)


def test_a_dry_run_writes_nothing(run_prep, made):
    ended = run_prep("folder2tfrecord", "people", "out", "--dry-run", cwd=made)
    assert "people: class folders" in ended.stdout
    assert "Would write 80 images in 20 classes" in ended.stdout
    assert [path.name for path in made.iterdir()] == ["people"]


def test_a_damaged_image_is_a_failure_or_left_out_as_told(run_prep, made):
    (made / "people" / "p03" / "x.jpg").write_text("no image")
    failed = run_prep("folder2tfrecord", "people", "out", cwd=made)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: people: 1 image cannot be read: p03/x.jpg: ")
    assert "Traceback" not in failed.stderr
    skipped = run_prep("folder2tfrecord", "people", "out", "--on-error", "skip", cwd=made)
    assert skipped.returncode == 0
    assert "Warning: 1 damaged image is left out: p03/x.jpg" in skipped.stderr
    assert "80 images in 20 classes" in skipped.stdout


def test_decoding_finds_what_the_header_does_not_show(run_prep, made):
    path = made / "people" / "p03" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    assert run_prep("folder2tfrecord", "people", "out", "--dry-run", cwd=made).returncode == 0
    failed = run_prep("folder2tfrecord", "people", "out", "--dry-run", "--decode", cwd=made)
    assert failed.returncode == 1
    assert "p03/1.jpg" in failed.stderr


def test_an_output_within_the_source_is_refused(run_prep, made):
    ended = run_prep("folder2tfrecord", "people", "people/out", cwd=made)
    assert ended.returncode == 2
    assert "would become a class of it" in ended.stderr
    assert not (made / "people" / "out").exists()


def test_a_source_that_is_none_is_a_failure(run_prep, made):
    ended = run_prep("folder2tfrecord", "nothing", "out", cwd=made)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: nothing: expected a folder of class folders, there is no such folder.\n"


def test_unseen_people_are_set_apart_with_a_bin_of_their_own(run_prep, made):
    options = ("--split-by", "identity", "--validation-fraction", "0.5", "--verification-pairs", "20")
    planned = run_prep("folder2tfrecord", "people", "out", *options, "--dry-run", cwd=made)
    assert "20 pairs in a verification bin" in planned.stdout
    ended = run_prep("folder2tfrecord", "people", "out", *options, cwd=made)
    assert "20 pairs in faces-validation.bin" in ended.stdout
    assert "fr-train --shards out --bins out/faces-validation.bin" in ended.stdout
    assert read_bin(made / "out" / "faces-validation.bin").num_pairs == 20


@pytest.mark.parametrize(
    "options",
    [
        ("--verification-pairs", "20"),
        ("--split-by", "identity", "--verification-pairs", "20"),
        ("--split-by", "identity", "--validation-fraction", "0.5", "--verification-pairs", "21"),
        ("--on-error", "ignore"),
    ],
)
def test_options_that_do_not_go_together_are_a_wrong_command_line(run_prep, made, options):
    assert run_prep("folder2tfrecord", "people", "out", *options, cwd=made).returncode == 2


def test_the_way_to_class_folders_and_back_keeps_every_byte(run_prep, made, make_set, read_faces):
    # Names that sort like numbers, for that is how rec2jpeg names the classes of a record set.
    truth = make_set(made / "set", labels=[10, 11, 25])
    assert run_prep("rec2jpeg", "set", "images", cwd=made).returncode == 0
    ended = run_prep("folder2tfrecord", "images", "out", "--shards", "2", cwd=made)
    assert (ended.returncode, ended.stderr) == (
        0,
        "",
    )  # also of images.csv, which stands beside the folders, nothing is said
    names = [line.split(",")[2] for line in (made / "out" / "classes.csv").read_text().splitlines()[1:]]
    found = sorted(
        (int(names[face.label]), face.image)
        for shards in read_faces(made / "out").values()
        for shard in shards
        for face in shard
    )
    assert found == sorted((record.label, record.image) for record in truth.records)


@pytest.mark.shared
def test_real_faces_go_the_way_to_class_folders_and_back(shared, run_prep, tmp_path):
    assert run_prep("rec2jpeg", shared / "faces" / "tiny", "images", cwd=tmp_path).returncode == 0
    ended = run_prep("folder2tfrecord", "images", "out", "--json", cwd=tmp_path)
    content = json.loads(ended.stdout)
    assert (content["num_images"], content["num_classes"]) == (200, 20)
    assert (content["image"]["height"], content["image"]["width"]) == (112, 112)
