import json

import pytest

from fr_data.bins.bins import write_bin
from fr_prep.errors import ShardError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.class_folders.class_folder_source import ClassFolderSource
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.survey.describe import describe
from fr_prep.write.build import BuildSettings, build_dataset


def test_a_record_set_is_described(make_set, tmp_path):
    make_set(tmp_path, images_per_class=[1, 2, 9])
    found = describe(tmp_path)
    assert found.kind == "record set"
    facts = found.facts
    assert (facts["num_images"], facts["num_classes"], facts["num_other_records"]) == (12, 3, 4)
    assert facts["images_per_class"] == {"smallest": 1, "median": 2.0, "mean": 4.0, "largest": 9}
    assert facts["image_kinds"] == [{"encoding": "jpeg", "height": 16, "width": 16, "channels": 3, "num_images": 12}]
    assert describe(tmp_path / "train.rec").to_dict() == found.to_dict()


def test_a_bin_is_described(drawn_image, tmp_path):
    images = [drawn_image(0), drawn_image(1), drawn_image(0), drawn_image(2, height=24)]
    write_bin(tmp_path / "x.bin", images, [True, True])
    found = describe(tmp_path / "x.bin")
    assert found.kind == "verification bin"
    assert (found.facts["num_pairs"], found.facts["num_same"], found.facts["num_distinct_images"]) == (2, 2, 3)
    assert len(found.warnings) == 2


def test_a_shard_folder_is_described(make_set, tmp_path):
    make_set(tmp_path / "set", images_per_class=[1, 2, 9])
    settings = BuildSettings(plan=PlanSettings(num_shards=2, min_images=2, validation_fraction=0.2), quiet=True)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "out", settings=settings)
    found = describe(tmp_path / "out")
    assert found.kind == "shard folder"
    assert found.facts["dropped"] == {"num_classes": 1, "num_images": 1}
    assert found.facts["splits"]["validation"]["num_images"] == 2
    json.dumps(found.to_dict())


def test_class_folders_are_described_and_so_are_their_shards_whatever_their_names(drawn_image, tmp_path):
    for number, name in enumerate(["a, b", '#"c"', "é"]):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "1.bmp").write_bytes(drawn_image(number, image_format="BMP"))
    (tmp_path / "src" / "é" / "cut.jpg").write_bytes(b"")
    found = describe(tmp_path / "src")
    assert found.kind == "class folders"
    assert (found.facts["num_images"], found.facts["num_classes"], found.facts["num_damaged"]) == (3, 3, 1)
    assert found.facts["image_kinds"][0]["encoding"] == "png"
    json.dumps(found.to_dict())
    source = ClassFolderSource(tmp_path / "src", on_error="skip")
    settings = BuildSettings(plan=PlanSettings(num_shards=1), quiet=True)
    build_dataset(source, tmp_path / "out", settings=settings)
    assert describe(tmp_path / "out").facts["images_per_class"] == {
        "smallest": 1,
        "median": 1.0,
        "mean": 1.0,
        "largest": 1,
    }


@pytest.mark.parametrize("name", ["nothing", "file.txt", "empty_folder"])
def test_anything_else_is_refused(tmp_path, name):
    (tmp_path / "file.txt").touch()
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(SourceError, match=name):
        describe(tmp_path / name)


def test_an_unfinished_folder_is_said_to_be_one(tmp_path):
    (tmp_path / "conversion.incomplete").mkdir()
    with pytest.raises(ShardError, match="unfinished conversion"):
        describe(tmp_path)
