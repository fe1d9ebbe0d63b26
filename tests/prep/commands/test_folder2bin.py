import json

import numpy as np
import pytest
from PIL import Image

from fr_data.bins.bins import read_bin


@pytest.fixture
def made(drawn_image, tmp_path):
    """24 people with 4 images each."""
    for person in range(24):
        (tmp_path / "people" / f"p{person:02d}").mkdir(parents=True)
        for image in range(4):
            (tmp_path / "people" / f"p{person:02d}" / f"{image}.jpg").write_bytes(drawn_image(4 * person + image))
    return tmp_path


def test_pairs_are_drawn_into_a_bin(run_prep, made):
    ended = run_prep("folder2bin", "people", "x.bin", "--num-pairs", "40", "--json", cwd=made)
    assert ended.returncode == 0, ended.stderr
    content, found = json.loads(ended.stdout), read_bin(made / "x.bin")
    assert (content["num_pairs"], content["num_same"], content["num_folds"], content["pairs"]) == (
        40,
        20,
        10,
        "drawn, seed 0",
    )
    assert (found.num_pairs, found.sha256) == (40, content["sha256"])
    again = run_prep("folder2bin", "people", "y.bin", "--num-pairs", "40", "--workers", "1", cwd=made)
    assert again.stdout.startswith("Wrote y.bin: 40 pairs in 10 folds, 20 of one person, of ")
    assert (made / "y.bin").read_bytes() == (made / "x.bin").read_bytes()


def test_pairs_of_a_list_are_taken(run_prep, made):
    (made / "pairs.txt").write_text("p00/0.jpg p00/1.jpg 1\np00/0.jpg p01/0.jpg 0\n")
    ended = run_prep("folder2bin", "people", "x.bin", "--pairs", "pairs.txt", cwd=made)
    assert ended.stdout == "Wrote x.bin: 2 pairs, 1 of one person, of 3 images; pairs.txt (list of paths)\n"
    assert read_bin(made / "x.bin").issame.tolist() == [True, False]


def test_the_default_is_6000_pairs_which_24_people_cannot_give(run_prep, made):
    ended = run_prep("folder2bin", "people", "x.bin", cwd=made)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "expected at least 3,000 pairs of the same kind, the 96 images of 24 people give 144" in ended.stderr
    assert not (made / "x.bin").exists()


def test_folds_that_share_people_are_a_warning(run_prep, made):
    ended = run_prep("folder2bin", "people", "x.bin", "--num-pairs", "80", "--folds", "20", cwd=made)
    assert ended.returncode == 0
    assert "Warning: Folds of the verification bin share people" in ended.stderr
    assert run_prep("folder2bin", "people", "y.bin", "--num-pairs", "80", "--folds", "20", "-q", cwd=made).stderr == ""


def test_a_bin_is_not_replaced_unless_asked_and_a_dry_run_writes_none(run_prep, made):
    planned = run_prep("folder2bin", "people", "x.bin", "--num-pairs", "40", "--dry-run", cwd=made)
    assert planned.stdout.startswith("Would write x.bin: 40 pairs")
    (made / "x.bin").write_text("mine")
    refused = run_prep("folder2bin", "people", "x.bin", "--num-pairs", "40", cwd=made)
    assert refused.returncode == 1
    assert "--overwrite" in refused.stderr
    assert run_prep("folder2bin", "people", "x.bin", "--num-pairs", "40", "--overwrite", cwd=made).returncode == 0
    assert read_bin(made / "x.bin").num_pairs == 40


def test_damaged_images_are_left_out_before_the_draw_where_that_is_allowed(run_prep, made):
    for folder in (made / "people").iterdir():
        (folder / "0.jpg").write_bytes((folder / "0.jpg").read_bytes()[:-100])
    options = ("people", "x.bin", "--num-pairs", "40")
    failed = run_prep("folder2bin", *options, cwd=made)
    assert failed.returncode == 1
    assert "is no image that evaluation can decode" in failed.stderr
    skipped = run_prep("folder2bin", *options, "--on-error", "skip", cwd=made)
    assert skipped.returncode == 0, skipped.stderr
    assert "24 damaged images are left out" in skipped.stderr


def test_pictures_that_evaluation_cannot_decode_are_left_out_and_named(run_prep, made):
    for folder in (made / "people").iterdir():
        Image.fromarray(np.full((8, 8), 3000, dtype=np.uint16)).save(folder / "deep.png")
        (folder / "0.jpg").unlink()
    options = ("people", "x.bin", "--num-pairs", "40")
    failed = run_prep("folder2bin", *options, cwd=made)
    assert failed.returncode == 1
    assert "expected 8 bits a channel. Mend or remove it, or leave it out by --on-error skip." in failed.stderr
    skipped = run_prep("folder2bin", *options, "--on-error", "skip", cwd=made)
    assert skipped.returncode == 0, skipped.stderr
    assert "24 damaged images are left out: p00/deep.png: its pixels are of Pillow's mode I;16" in skipped.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--num-pairs", "30"),
        ("--folds", "0"),
        ("--pairs", "pairs.txt", "--num-pairs", "6000"),
        ("--pairs", "pairs.txt", "--seed", "0"),
    ],
)
def test_options_that_make_no_sense_are_a_wrong_command_line(run_prep, made, options):
    ended = run_prep("folder2bin", "people", "x.bin", *options, cwd=made)
    assert ended.returncode == 2
    assert "Usage: fr-prep folder2bin" in ended.stderr
