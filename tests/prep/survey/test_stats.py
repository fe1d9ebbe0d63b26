import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fr_data.bins.bins import write_bin
from fr_prep.cli import main
from fr_prep.survey.classes import read_classed_images, summarise_classes
from fr_prep.survey.picture import draw_counts
from fr_prep.survey.report import describe_counts, describe_survey
from fr_prep.survey.survey import SurveySettings, survey_images
from fr_prep.survey.text import text_lines


def run(*arguments):
    return CliRunner().invoke(main, [*arguments], catch_exceptions=False)


@pytest.fixture
def made(make_set, soft_image, tmp_path, monkeypatch):
    """A set of 3 classes with 2, 4 and 6 images; images 1 and 3 are the same, in two classes; and its shards."""
    monkeypatch.chdir(tmp_path)
    make_set(tmp_path / "set", images_per_class=[2, 4, 6], images=lambda key: soft_image(1 if key == 3 else key))
    assert run("rec2tfrecord", "set", "shards", "--shards", "2", "-q").exit_code == 0
    write_bin(tmp_path / "x.bin", [soft_image(12), soft_image(100)], [True])
    return tmp_path


def test_images_per_class_are_counted(run_prep, made):
    ended = run_prep("stats", "set", "--no-duplicates", "--table", "t.csv", "--picture", "p.png", cwd=made)
    assert ended.returncode == 0, ended.stderr
    assert "smallest 2, largest 6, mean 4.0" in ended.stdout
    assert "than 2: 0, 5: 2, 10: 3" in ended.stdout
    assert "exact duplicates" not in ended.stdout
    assert (made / "t.csv").read_text() == "class,source_label,name,num_images\n0,0,0,2\n1,1,1,4\n2,2,2,6\n"
    assert Image.open(made / "p.png").format == "PNG"


@pytest.mark.parametrize("source", ["set", "shards", "set/train.rec"])
def test_everything_is_found_in_every_kind_of_source(source, made):
    ended = run("stats", source, "--near-duplicates", "--bins", "x.bin", "--json")
    found = json.loads(ended.stdout)
    across = found["exact_duplicates"]["across_classes"]
    assert across["groups"] == [[{"class": 0, "source_key": 1}, {"class": 1, "source_key": 3}]]
    assert found["near_duplicates"]["across_classes"]["num_pairs"] == 0
    assert (found["overlaps"][0]["num_images_exact"], found["overlaps"][0]["classes"]) == (1, [2])


def test_the_plain_output_names_wrong_labels_and_what_to_do_with_an_overlay(made):
    ended = run("stats", "shards", "--bins", "x.bin", "--overlay", "drop.csv", "--list", "found.csv")
    assert "class 0 key 1 = class 1 key 3" in ended.stdout
    assert "in x.bin            1 images exactly" in ended.stdout
    assert "drops 1 classes and 2 images of others, leaves 4 images in 2 classes" in ended.stdout
    assert "fr-train --shards shards --overlay drop.csv" in ended.stdout
    assert (made / "drop.csv").read_text().splitlines() == [
        "class,source_key,new_class,reason",
        "2,,drop,has images of a verification bin",
        ",1,drop,in several classes",
        ",3,drop,in several classes",
    ]
    rows = list(csv.DictReader(io.StringIO((made / "found.csv").read_text())))
    assert [(row["kind"], row["class"], row["source_key"]) for row in rows] == [
        ("duplicate", "0", "1"),
        ("in bin", "2", "12"),
    ]


def test_the_overlay_is_one_that_rewrite_takes(made):
    assert run("stats", "shards", "--overlay", "drop.csv").exit_code == 0
    ended = run("rewrite", "shards", "clean", "--overlay", "drop.csv", "--json", "-q")
    assert json.loads(ended.stdout)["num_images"] == 10
    found = json.loads(run("stats", "clean", "--json").stdout)
    assert found["exact_duplicates"]["across_classes"]["num_groups"] == 0


def test_a_dry_run_writes_nothing(made):
    before = sorted(made.rglob("*"))
    options = ["--overlay", "o.csv", "--list", "l.csv", "--table", "t.csv", "--picture", "p.png", "--dry-run"]
    ended = run("stats", "shards", *options)
    assert "Would write o.csv" in ended.stdout
    assert sorted(made.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing"),
        (["set", "--overlay", "o.csv"], "Convert the set first"),
        (["set", "--bins", "nothing.bin"], "nothing.bin"),
        (["set", "--bins", "set/train.idx"], "refused as a verification bin"),
        (["set", "--table", "there.csv"], "--overwrite"),
        (["set", "--table", "no/t.csv"], "its folder does not exist"),
        (["set", "--table", "set/train.idx", "--overwrite"], "is read by this command"),
        (["set", "--table", "a.csv", "--list", "./a.csv"], "is named by --table and by --list"),
        (["shards", "--list", "shards/classes.csv", "--overwrite"], "is read by this command"),
        (["set", "--bins", "x.bin", "--list", "x.bin", "--overwrite"], "is read by this command"),
    ],
)
def test_a_failure_is_one_line_and_leaves_everything_as_it_was(arguments, message, digest_files, made):
    (made / "there.csv").write_text("mine")
    before = digest_files(made)
    ended = run("stats", *arguments)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: ")
    assert message in ended.stderr
    assert digest_files(made) == before


@pytest.mark.parametrize(
    "options",
    [
        ["--no-duplicates", "--near-duplicates"],
        ["--no-duplicates", "--list", "l.csv"],
        ["--distance", "17"],
        ["--fine-distance", "257"],
        ["--overlap", "some"],
        ["--workers", "0"],
    ],
)
def test_options_that_cannot_be_end_with_2(options, made):
    assert run("stats", "set", *options).exit_code == 2


def test_a_file_that_is_there_is_replaced_when_asked(made):
    (made / "t.csv").write_text("old")
    assert run("stats", "set", "--no-duplicates", "--table", "t.csv", "--overwrite").exit_code == 0
    assert (made / "t.csv").read_text().startswith("class,")


def test_a_name_that_no_file_can_have_is_a_clear_error(made):
    ended = run("stats", "set", "--no-duplicates", "--table", "x" * 252 + ".csv")
    assert ended.exit_code == 1
    assert "cannot be written" in ended.stderr


def test_quantiles_are_counts_that_a_class_has():
    found = summarise_classes(np.array([1, 2, 3, 4, 100]))
    assert found["quantiles"] == {"0.1": 1, "0.25": 2, "0.5": 3, "0.75": 4, "0.9": 100}
    assert found["classes_with_fewer_than"] == {"2": 1, "5": 4, "10": 4, "20": 4, "50": 4, "100": 4}


@pytest.mark.parametrize("counts", [[1], [5, 5, 5], list(range(1, 300)), [1, 100_000]])
def test_a_picture_is_drawn_of_any_counts_and_is_always_the_same(counts):
    picture = draw_counts(np.array(counts), title="faces")
    assert Image.open(io.BytesIO(picture)).size == (1320, 528)
    assert draw_counts(np.array(counts), title="faces") == picture


def test_long_lists_are_cut_in_the_text(make_set, tmp_path):
    make_set(tmp_path, images_per_class=[1] * 30, images=lambda key: b"no image %d" % (key // 2))
    classed = read_classed_images(tmp_path)
    found = describe_counts(classed) | describe_survey(survey_images(classed, SurveySettings(quiet=True)))
    lines = list(text_lines(found))
    assert "  and 4 more: see --list" in lines
    assert len(lines) == 19
