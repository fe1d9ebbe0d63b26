import csv
import json

import numpy as np
import pytest

from fr_data.bins.bins import write_bin
from fr_data.shards.overlay import read_overlay, relabel
from fr_prep.errors import SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.survey import report
from fr_prep.survey.classes import read_classed_images
from fr_prep.survey.cleaning import CleaningSettings, choose_drops, list_drops
from fr_prep.survey.close_pairs import Closeness
from fr_prep.survey.outputs import SurveyFiles
from fr_prep.survey.report import describe_survey, list_findings
from fr_prep.survey.survey import SurveySettings, survey_images
from fr_prep.write.build import BuildSettings, build_dataset

# Key → (picture, quality) of a set of four classes: 1-4, 5-8, 9-11, 12-13. Keys 3 and 5 cannot be decoded. 2 is 1 again, 4 nearly;
# 6 and 9 are the same in two classes, 7 and 10 nearly so; 12 is in the bin, 13 nearly.
PICTURES = {1: (1, 92), 2: (1, 92), 4: (1, 40), 6: (2, 92), 7: (3, 92), 8: (4, 92), 9: (2, 92), 10: (3, 40)}
PICTURES |= {11: (5, 92), 12: (6, 92), 13: (7, 40)}
IN_BIN = [(6, 92), (7, 92), (8, 92), (9, 92)]


@pytest.fixture
def made(make_set, soft_image, tmp_path):
    def image(key):
        return soft_image(PICTURES[key][0], quality=PICTURES[key][1]) if key in PICTURES else b"no image %d" % key

    make_set(tmp_path / "set", images_per_class=[4, 4, 3, 2], labels=[10, 20, 30, 40], images=image)
    images = [soft_image(number, quality=quality) for number, quality in IN_BIN]
    write_bin(tmp_path / "x.bin", [*images[:3], b"broken", images[3], images[0]], [True, False, True])
    return tmp_path


@pytest.fixture
def shards(make_set, soft_image, tmp_path):
    """The same set without the images that cannot be decoded, as shards."""
    numbers = sorted(PICTURES)
    make_set(
        tmp_path / "whole",
        images_per_class=[3, 3, 3, 2],
        labels=[10, 20, 30, 40],
        images=lambda key: soft_image(PICTURES[numbers[key - 1]][0], quality=PICTURES[numbers[key - 1]][1]),
    )
    settings = BuildSettings(plan=PlanSettings(num_shards=2, seed=3), quiet=True)
    build_dataset(RecordSetSource(tmp_path / "whole"), tmp_path / "shards", settings=settings)
    images = [soft_image(number, quality=quality) for number, quality in IN_BIN]
    write_bin(tmp_path / "x.bin", images, [True, False])
    return tmp_path


def survey(path, *, num_workers=1, **choices):
    classed = read_classed_images(path)
    settings = SurveySettings(num_workers=num_workers, quiet=True, **choices)
    return survey_images(classed, settings)


def test_everything_that_was_hidden_in_a_set_is_found(made):
    found = survey(made / "set", near_duplicates=True, bins=(made / "x.bin",))
    rows = [row[:1] + row[3:9] for row in list_findings(found)]
    path = str(made / "x.bin")
    assert rows == [
        ("duplicate", 0, 1, 0, 2, "", ""),
        ("duplicate", 1, 6, 2, 9, "", ""),
        ("near-duplicate", 0, 1, 0, 4, "", ""),
        ("near-duplicate", 1, 7, 2, 10, "", ""),
        ("in bin", 3, 12, "", "", path, 0),
        ("nearly in bin", 3, 13, "", "", path, 1),
        ("undecodable", "", "", "", "", path, 3),
        ("undecodable", 0, 3, "", "", "", ""),
        ("undecodable", 1, 5, "", "", "", ""),
    ]


def test_the_report_counts_it(made):
    found = describe_survey(survey(made / "set", near_duplicates=True, bins=(made / "x.bin",)))
    json.dumps(found)
    exact, near, overlap = found["exact_duplicates"], found["near_duplicates"], found["overlaps"][0]
    assert exact["within_classes"] == {"num_groups": 1, "num_images": 2, "num_repeats": 1}
    assert exact["across_classes"] == {
        "num_groups": 1,
        "num_images": 2,
        "groups": [[{"class": 1, "source_key": 6}, {"class": 2, "source_key": 9}]],
    }
    assert near["within_classes"] == {"num_pairs": 1, "num_images": 2}
    assert near["across_classes"]["num_pairs"] == 1
    pair = near["across_classes"]["pairs"][0]
    assert (pair["class"], pair["source_key"], pair["other_class"], pair["other_key"]) == (1, 7, 2, 10)
    assert (overlap["num_bin_images"], overlap["num_bin_images_undecodable"]) == (6, 1)
    assert (overlap["num_images_exact"], overlap["num_images_near"], overlap["classes"]) == (1, 1, [3])
    assert [image["source_key"] for image in found["undecodable"]["images"]] == [3, 5]


def test_what_was_not_looked_for_is_not_said_to_be_missing(made):
    found = describe_survey(survey(made / "set"))
    assert (found["near_duplicates"], found["undecodable"], found["overlaps"]) == (None, None, [])


def test_a_record_set_and_its_shards_have_the_same_duplicates(shards):
    whole, parts = (list(list_findings(survey(shards / name, near_duplicates=True))) for name in ("whole", "shards"))
    assert [row[0] for row in whole] == ["duplicate"] * 2 + ["near-duplicate"] * 2
    assert parts == whole


def test_workers_change_nothing(shards):
    one, two = (
        survey(shards / "shards", num_workers=number, near_duplicates=True, bins=(shards / "x.bin",))
        for number in (1, 2)
    )
    assert list(list_findings(one)) == list(list_findings(two))


def test_distances_of_0_bits_leave_only_what_is_the_same(shards):
    found = survey(shards / "shards", near_duplicates=True, closeness=Closeness(0, 0))
    assert [row[0] for row in list_findings(found)] == ["duplicate", "duplicate"]


# In the set of the shards, keys are 1-3 (picture 1), 4-6 (pictures 2, 3, 4), 7-9 (2, 3, 5), 10-11 (6, 7).
def test_images_of_a_validation_split_may_be_in_a_bin(make_set, drawn_image, tmp_path):
    make_set(tmp_path / "set", num_classes=12, images_per_class=3, images=drawn_image)
    plan = PlanSettings(num_shards=2, validation_fraction=0.5, split_by="identity", verification_pairs=20)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "shards", settings=BuildSettings(plan=plan, quiet=True))
    found = survey(tmp_path / "shards", bins=(tmp_path / "shards" / "faces-validation.bin",))
    (overlap,) = describe_survey(found)["overlaps"]
    assert (overlap["num_images_compared"], overlap["num_images_exact"], overlap["classes"]) == (18, 0, [])
    assert choose_drops(found, CleaningSettings()).num_images_left == 36


def test_of_the_same_image_in_both_splits_the_one_that_is_trained_on_counts(make_set, drawn_image, tmp_path):
    # Six pictures, each both images of two of the 12 people; a seed by which people of both splits have each picture.
    make_set(tmp_path / "set", num_classes=12, images_per_class=2, images=lambda key: drawn_image((key + 1) // 2 % 6))
    plan = PlanSettings(num_shards=1, validation_fraction=0.5, split_by="identity", seed=2)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "shards", settings=BuildSettings(plan=plan, quiet=True))
    classed = read_classed_images(tmp_path / "shards")
    write_bin(tmp_path / "all.bin", [drawn_image(number) for number in range(6)], [True, False, True])
    found = survey(tmp_path / "shards", bins=(tmp_path / "all.bin",))
    (overlap,) = describe_survey(found)["overlaps"]
    assert overlap["num_images_exact"] == classed.trained.sum() == 12
    assert overlap["classes"] == np.unique(classed.labels[classed.trained]).tolist()
    rows = [row for row in list_findings(found) if row[0] == "in bin"]
    assert {row[3] for row in rows} <= set(overlap["classes"])
    assert choose_drops(found, CleaningSettings(within="all", across="all")).num_images_left == 12


@pytest.mark.parametrize(
    ("choices", "classes", "keys"),
    [
        ({}, [3], [2, 3, 4, 5, 7, 8]),
        ({"overlap": "images"}, [], [2, 3, 4, 5, 7, 8, 10, 11]),
        ({"overlap": "nothing"}, [], [2, 3, 4, 5, 7, 8]),
        ({"across": "all"}, [3], [2, 3]),
        ({"within": "all"}, [3], [4, 5, 7, 8]),
        ({"within": "all", "across": "all", "overlap": "nothing"}, [], []),
    ],
)
def test_an_overlay_drops_what_was_chosen(choices, classes, keys, shards):
    found = survey(shards / "shards", near_duplicates=True, bins=(shards / "x.bin",))
    cleaning = choose_drops(found, CleaningSettings(**choices))
    rows = list_drops(found.classed, cleaning)
    assert [row[:3] for row in rows] == [
        *((number, "", "drop") for number in classes),
        *(("", key, "drop") for key in keys),
    ]
    gone = {10, 11} if classes else set()
    assert cleaning.num_images_left == 11 - len(gone.union(keys))
    files = SurveyFiles(overlay=shards / "drop.csv")
    files.write(found.classed, survey=found, cleaning=cleaning)
    kept = relabel(
        read_overlay(shards / "drop.csv"),
        keys=found.classed.images.keys,
        labels=found.classed.labels,
        num_classes=4,
        in_train=np.ones(11, dtype=np.bool_),
    )
    assert set(found.classed.images.keys[kept < 0].tolist()) == gone.union(keys)
    assert len(np.unique(kept[kept >= 0])) == cleaning.num_classes_left


def test_near_duplicates_of_one_that_goes_are_not_dropped_for_its_sake(make_set, soft_image, tmp_path, monkeypatch):
    """A chain a ~ b ~ c, where a and c are not close: b goes for a, and c stays."""
    from fr_prep.survey import survey as module
    from fr_prep.survey.close_pairs import ClosePairs

    make_set(tmp_path / "set", images_per_class=[3], images=soft_image)
    settings = BuildSettings(plan=PlanSettings(num_shards=1, shuffle=False), quiet=True)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "out", settings=settings)
    chain = ClosePairs(np.array([0, 1]), np.array([1, 2]), np.array([4, 4]), np.array([30, 30]))
    monkeypatch.setattr(module, "find_close_pairs", lambda *_, **__: chain)
    found = survey(tmp_path / "out", near_duplicates=True)
    assert list_drops(found.classed, choose_drops(found, CleaningSettings())) == [
        ("", 2, "drop", "repeats another image")
    ]


def test_contents_that_look_the_same_are_as_many_pairs_as_they_are(make_set, numbered_jpeg, tmp_path):
    make_set(tmp_path, images_per_class=[100, 100], images=numbered_jpeg)  # which differ in a comment alone
    found = describe_survey(survey(tmp_path, near_duplicates=True))["near_duplicates"]
    assert (found["within_classes"]["num_pairs"], found["across_classes"]["num_pairs"]) == (99, 100)


def test_the_report_lists_no_more_than_can_be_read_and_counts_all(make_set, numbered_jpeg, tmp_path, monkeypatch):
    def image(key):
        return b"no image %d" % key if key > 8 else numbered_jpeg(key // 2)

    make_set(tmp_path, images_per_class=[1] * 12, images=image)
    monkeypatch.setattr(report, "LISTED", 2)
    found = describe_survey(survey(tmp_path, near_duplicates=True))
    groups, pairs = (found[kind]["across_classes"] for kind in ("exact_duplicates", "near_duplicates"))
    assert (groups["num_groups"], len(groups["groups"])) == (3, 2)
    assert (pairs["num_pairs"], len(pairs["pairs"])) == (4, 2)
    assert (found["undecodable"]["num_images"], len(found["undecodable"]["images"])) == (4, 2)


def test_of_pictures_that_several_classes_have_none_stays(make_set, numbered_jpeg, soft_image, tmp_path):
    make_set(
        tmp_path / "set", images_per_class=[3, 2], images=lambda key: soft_image(1) if key == 3 else numbered_jpeg(key)
    )
    settings = BuildSettings(plan=PlanSettings(num_shards=1), quiet=True)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "out", settings=settings)
    found = survey(tmp_path / "out", near_duplicates=True)
    assert [row[1] for row in list_drops(found.classed, choose_drops(found, CleaningSettings()))] == [1, 2, 4, 5]
    kept = choose_drops(found, CleaningSettings(across="all"))
    assert [row[1] for row in list_drops(found.classed, kept)] == [2, 5]


def test_an_overlay_that_cannot_name_an_image_is_refused(shards):
    found = survey(shards / "shards")
    found.classed.images.keys[:] = 7
    with pytest.raises(SourceError, match=r"several images have the key 7.*whose keys differ"):
        list_drops(found.classed, choose_drops(found, CleaningSettings()))


def test_a_set_of_which_nothing_can_be_decoded_is_surveyed(make_set, tmp_path):
    make_set(tmp_path / "set", images_per_class=[2, 1], images=lambda key: b"no image %d" % key)
    found = describe_survey(survey(tmp_path / "set", near_duplicates=True))
    assert found["undecodable"]["num_images"] == 3
    assert found["near_duplicates"]["within_classes"]["num_pairs"] == 0


@pytest.mark.shared
@pytest.mark.slow
def test_the_near_duplicates_of_the_real_set_are_those_that_were_looked_at(shared):
    path = shared / "faces" / "train"
    found = survey(path, num_workers=2, near_duplicates=True, bins=(shared / "faces" / "lfw_small.bin",))
    near = [(row[4], row[6], row[2]) for row in list_findings(found)]
    assert near == [
        *((326, 331, 26), (413, 414, 38), (654, 655, 22), (1576, 1599, 12), (1690, 1766, 40), (1932, 1936, 34)),
        *((1967, 1969, 40), (3476, 3483, 34), (3498, 3500, 20), (5095, 5109, 26), (5122, 5124, 24)),
    ]


@pytest.mark.shared
def test_a_bin_made_of_training_images_is_recognised(shared):
    overlap = describe_survey(survey(shared / "mxnet" / "basic", bins=(shared / "mxnet" / "bins" / "bad_image.bin",)))
    assert overlap["overlaps"][0]["num_images_exact"] == 21
    assert overlap["overlaps"][0]["num_bin_images_undecodable"] == 1


def test_the_table_and_the_list_are_whole_csv_files(made):
    found = survey(made / "set", near_duplicates=True)
    files = SurveyFiles(table=made / "t.csv", findings=made / "f.csv")
    files.write(found.classed, survey=found, cleaning=None)
    with (made / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["class", "source_label", "name", "num_images"],
            *(
                [str(number), label, label, count]
                for number, (label, count) in enumerate([("10", "4"), ("20", "4"), ("30", "3"), ("40", "2")])
            ),
        ]
    with (made / "f.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["duplicate"] * 2 + ["near-duplicate"] * 2 + ["undecodable"] * 2
    assert not list(made.glob("*.incomplete"))
