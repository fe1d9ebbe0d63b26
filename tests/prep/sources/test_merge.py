"""`fr-prep merge`: several data sets in one class space."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from fr_prep.errors import SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.shards.merged import MergedSource
from fr_prep.sources.shards.rewritten import RewrittenSource
from fr_prep.verify.verify import verify_dataset
from fr_prep.write import build as build_module
from fr_prep.write.build import BuildSettings, build_dataset

SCHEMA = Path(__file__).parents[3] / "docs" / "manifest.schema.json"


@dataclass(frozen=True)
class NamedSource(RecordSetSource):
    """A record set whose classes have names."""

    names: tuple[str, ...] = ()

    def read(self):
        images = super().read()
        return replace(images, class_names=dict(zip(sorted(set(images.labels.tolist())), self.names, strict=True)))


def build(source, out, *, workers=1, **plan):
    settings = BuildSettings(plan=PlanSettings(**{"num_shards": 2, "seed": 1, **plan}), num_workers=workers, quiet=True)
    return build_dataset(source, out, settings=settings)


def merge(paths, out, same_person="never", split="keep", **options):
    return build(MergedSource(tuple(paths), same_person, split), out, **options)


def faces_of(read_faces, out, split=None):
    return [face for name, shards in read_faces(out).items() if split in (None, name) for s in shards for face in s]


def class_names(out):
    return pd.read_csv(out / "classes.csv", dtype={"name": str}).name.tolist()


@pytest.fixture
def make_shards(make_set, numbered_jpeg, tmp_path):
    """Makes a data set, named or not; images of different sets differ."""

    def make(folder, *, names=(), first_image=0, plan=None, **options):
        made = make_set(tmp_path / f"{folder}_set", images=lambda key: numbered_jpeg(first_image + key), **options)
        source = NamedSource(made.folder, names=names) if names else RecordSetSource(made.folder)
        build(source, tmp_path / folder, **(plan or {}))
        return tmp_path / folder

    return make


@pytest.fixture
def two(make_shards):
    """Sets of 3 and 2 people with 4 images each, labels with gaps, keys 1 to 12 and 0 to 7."""
    first = make_shards("first", labels=[7, 30, 200])
    return first, make_shards("second", labels=[7, 9], first_image=100, num_classes=2, header=False)


@pytest.fixture
def named(make_shards):
    first = make_shards("first", names=("Ann", "Bob", "Cid"))
    return first, make_shards("second", names=("Bob", "Dan"), num_classes=2, first_image=100)


def test_people_of_different_sets_are_different_and_keys_lead_back(two, read_faces, tmp_path):
    manifest = merge(two, tmp_path / "out")
    sets = manifest.content["source"]["sets"]
    assert [(s["num_images"], s["num_classes"], s["first_key"], s["first_source_label"]) for s in sets] == [
        (12, 3, 0, 0),
        (8, 2, 13, 3),
    ]
    expected = {
        (face.image, face.source_key + entry["first_key"], face.label + entry["first_source_label"])
        for path, entry in zip(two, sets, strict=True)
        for face in faces_of(read_faces, path)
    }
    faces = faces_of(read_faces, tmp_path / "out")
    assert {(face.image, face.source_key, face.source_label) for face in faces} == expected
    assert all(face.label == face.source_label for face in faces)
    assert class_names(tmp_path / "out") == ["0", "1", "2", "3", "4"]
    assert verify_dataset(tmp_path / "out").num_records == 20
    jsonschema.validate(manifest.content, json.loads(SCHEMA.read_text()))
    assert str(tmp_path) not in json.dumps(manifest.content)


def test_the_sets_are_named_by_the_digest_of_their_manifests(two, tmp_path):
    content = merge(two, tmp_path / "out").content
    source = content["source"]
    digests = [entry["digest"].removeprefix("sha256:") for entry in source["files"]]
    assert [entry["manifest_sha256"] for entry in source["sets"]] == digests
    assert (content["arguments"]["same_person"], content["arguments"]["split"]) == ("never", "keep")


def test_the_same_name_is_one_person_only_when_asked(named, read_faces, tmp_path):
    manifest = merge(named, tmp_path / "apart")
    assert class_names(tmp_path / "apart") == ["Ann", "Bob", "Cid", "Bob@2", "Dan"]
    assert "1 names, such as 'Bob', stand for different people" in manifest.content["warnings"][0]
    manifest = merge(named, tmp_path / "joined", "by name")
    table = pd.read_csv(tmp_path / "joined" / "classes.csv")
    assert table.name.tolist() == ["Ann", "Bob", "Cid", "Dan"]
    assert table.num_images.tolist() == [4, 8, 4, 4]
    assert table.source_label.tolist() == [0, 1, 2, 4]
    assert manifest.content["warnings"] == []
    bobs = {face.source_key for face in faces_of(read_faces, tmp_path / "joined") if face.label == 1}
    assert bobs == {5, 6, 7, 8, 13 + 1, 13 + 2, 13 + 3, 13 + 4}


def test_every_class_keeps_a_name_of_its_own(make_shards, tmp_path):
    names = [("Ann", "Ann@2", "Ann@3"), ("Ann", "1", "Ann@2"), ("Ann", "x", "y")]
    sets = [make_shards(f"s{n}", names=names[n], first_image=100 * n) for n in range(3)]
    plain = make_shards("plain", first_image=900)
    merge([*sets, plain], tmp_path / "out")
    found = class_names(tmp_path / "out")
    assert len(set(found)) == 12
    assert found[:6] == ["Ann", "Ann@2", "Ann@3", "Ann@2@2", "1", "Ann@2@2@2"]


def test_the_same_source_label_is_one_person_when_asked(two, tmp_path):
    merge(two, tmp_path / "out", "by source label")
    table = pd.read_csv(tmp_path / "out" / "classes.csv")
    assert table.source_label.tolist() == [7, 9, 30, 200]
    assert table.num_images.tolist() == [8, 4, 4, 4]


def test_the_splits_of_a_set_can_be_taken_apart_and_put_together_again(make_shards, read_faces, tmp_path):
    source = make_shards("v", num_classes=6, plan={"validation_fraction": 0.25})
    parts = [tmp_path / split for split in ("train", "validation")]
    for part in parts:
        build(RewrittenSource(source, split=part.name), part)
    merge(parts, tmp_path / "out", "by source label")
    original = {face.image: (face.label, face.source_label) for face in faces_of(read_faces, source)}
    again = {face.image: (face.label, face.source_label) for face in faces_of(read_faces, tmp_path / "out")}
    assert again == original


def test_names_are_wanted_where_people_are_joined_by_them(two, tmp_path):
    with pytest.raises(SourceError, match=r"first: expected names of people.*--by-source-label"):
        merge(two, tmp_path / "out", "by name")
    assert not (tmp_path / "out").exists()


def test_classes_that_overlays_made_are_nobody_s_namesakes(named, tmp_path):
    (tmp_path / "labels.csv").write_text("source_key,new_class\n1,3\n")
    for number, path in enumerate(named):
        build(RewrittenSource(path, tmp_path / "labels.csv"), tmp_path / f"clean{number}")
    assert [class_names(tmp_path / f"clean{n}")[-1] for n in range(2)] == ["new-3", "new-3"]
    merge([tmp_path / "clean0", tmp_path / "clean1"], tmp_path / "out", "by name")
    assert class_names(tmp_path / "out") == ["Ann", "Bob", "Cid", "new-3", "Dan", "new-6"]


def test_the_number_of_workers_changes_no_byte(two, digest_files, tmp_path):
    merge(two, tmp_path / "one")
    merge(two, tmp_path / "three", workers=3)
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "three")


def test_a_validation_split_stays_one(make_shards, read_faces, tmp_path):
    plan = {"validation_fraction": 0.34, "split_by": "identity"}
    first = make_shards("first", num_classes=6, plan=plan)
    second = make_shards("second", first_image=100)
    manifest = merge([first, second], tmp_path / "out")
    splits = manifest.content["splits"]
    assert [(s["first_class"], s["num_classes"]) for s in splits.values()] == [(0, 7), (7, 2)]
    images = {face.image for face in faces_of(read_faces, first, "validation")}
    assert {face.image for face in faces_of(read_faces, tmp_path / "out", "validation")} == images
    assert list(merge([first, second], tmp_path / "train", split="train").content["splits"]) == ["train"]
    verify_dataset(tmp_path / "out")


def test_a_person_of_a_validation_split_whom_another_set_trains_on_is_counted(make_shards, tmp_path):
    plan = {"validation_fraction": 0.34, "split_by": "identity"}
    first = make_shards("first", names=("Ann", "Bob", "Cid"), plan=plan)
    second = make_shards("second", names=("Ann", "Bob", "Cid"), first_image=100)
    assert merge([first, second], tmp_path / "apart").content["warnings"][1:] == []
    warnings = merge([first, second], tmp_path / "joined", "by name").content["warnings"]
    assert warnings == ["People of the validation split, unseen by training before, who are trained on now: 1."]


def test_a_set_is_not_merged_with_itself(two, tmp_path):
    shutil.copytree(two[0], tmp_path / "copy")
    for paths in ([two[0], two[0]], [two[0], two[1], tmp_path / "copy"], [two[0], two[0] / ".." / "first"]):
        with pytest.raises(SourceError, match="is the same set as"):
            merge(paths, tmp_path / "out")


def test_sets_of_different_image_sizes_are_merged_with_a_warning(make_shards, drawn_image, make_set, tmp_path):
    first = make_shards("first")
    make_set(tmp_path / "large", images=drawn_image)
    build(RecordSetSource(tmp_path / "large"), tmp_path / "second")
    warnings = merge([first, tmp_path / "second"], tmp_path / "out").content["warnings"]
    assert "The sets have images of different sizes: 16 x 16, 32 x 32." in warnings


def test_damage_in_any_set_is_found(two, tmp_path):
    shard = next(two[1].glob("*-00001-of-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SourceError, match=r"second/faces-train\.tfrecord-00001-of-00002: expected SHA-256"):
        merge(two, tmp_path / "out")
    assert not list((tmp_path / "out").glob("faces-*"))


@pytest.mark.parametrize("number", [0, 1])
def test_a_set_that_changes_meanwhile_is_noticed_though_its_files_have_the_names_of_another(
    two, tmp_path, monkeypatch, number
):
    write_shards = build_module._write_shards

    def write_and_touch(*arguments):
        result = write_shards(*arguments)
        (two[number] / "classes.csv").touch()
        return result

    monkeypatch.setattr(build_module, "_write_shards", write_and_touch)
    with pytest.raises(SourceError, match="was changed while it was read"):
        merge(two, tmp_path / "out")


def test_keys_that_are_not_unique_are_refused(two, tmp_path):
    table = np.load(two[1] / "records.npy")
    table["source_key"][3] = table["source_key"][5]
    np.save(two[1] / "records.npy", table)
    with pytest.raises(SourceError, match=r"second: expected unique source keys .* stands there twice"):
        merge(two, tmp_path / "out")


def test_keys_that_would_pass_2_to_the_63_are_refused(two, tmp_path):
    table = np.load(two[1] / "records.npy")
    table["source_key"][3] = 2**63 - 5
    np.save(two[1] / "records.npy", table)
    with pytest.raises(SourceError, match=r"second: expected unique source keys from 0 to 9223372036854775794"):
        merge(two, tmp_path / "out")


def test_the_command_merges(two, run_prep, tmp_path):
    planned = run_prep("merge", "first", "second", "out", "--dry-run", cwd=tmp_path)
    assert "Would write 20 images in 5 classes" in planned.stdout
    ended = run_prep("merge", "first", "second", "out", "--seed", "3", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "20 images in 5 classes" in ended.stdout
    assert run_prep("verify", "out", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("first", "out"), 2, "Expected at least two sets"),
        (("first", "second", "first", "--overwrite"), 2, "expected another folder than the source's"),
        (("first", "second", "out", "--by-name", "--by-source-label"), 2, "received both"),
        (("first", "nothing", "out"), 1, "nothing: there is no such folder"),
        (("first", "first_set", "out"), 1, "first_set: expected manifest.json"),
        (("first", "second", "out", "--by-name"), 1, "expected names of people"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_failure_is_one_line_with_its_code(two, run_prep, tmp_path, arguments, code, message):
    ended = run_prep("merge", *arguments, cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_tensorflow_datasets_reads_a_merged_set(named, tmp_path):
    import tensorflow_datasets as tfds

    merge(named, tmp_path / "out")
    builder = tfds.builder_from_directory(str(tmp_path / "out"))
    assert builder.info.features["label"].names == ["Ann", "Bob", "Cid", "Bob@2", "Dan"]
    assert len(list(builder.as_dataset(split="train"))) == 20
