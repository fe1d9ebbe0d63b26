"""`fr-prep rewrite`: a data set written anew, with the labels that an overlay gives it."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from fr_prep.errors import OutputError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
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


def build(source, out, *, workers=1, overwrite=False, resume=False, **plan):
    plan = PlanSettings(**{"num_shards": 3, "seed": 1, **plan})
    settings = BuildSettings(plan=plan, num_workers=workers, overwrite=overwrite, resume=resume, quiet=True)
    return build_dataset(source, out, settings=settings)


def rewrite(source, out, rows="", *, split="keep", workers=1, resume=False, overwrite=False, **plan):
    overlay = None
    if rows:
        overlay = out.parent / "labels.csv"
        overlay.write_text("class,source_key,new_class\n" + rows)
    source = RewrittenSource(source, overlay, split)
    return build(source, out, workers=workers, resume=resume, overwrite=overwrite, **plan)


def faces_of(read_faces, out, split=None):
    return [face for name, shards in read_faces(out).items() if split in (None, name) for s in shards for face in s]


@pytest.fixture
def shards(make_set, tmp_path):
    """Five named people with 2, 3, 4, 5 and 6 images, keys 1 to 20, and labels with gaps."""
    made = make_set(tmp_path / "set", images_per_class=[2, 3, 4, 5, 6], labels=[10, 20, 30, 40, 50])
    build(NamedSource(made.folder, names=("Ann", "Bob", "Cid", "Dan", "Eve")), tmp_path / "shards")
    return tmp_path / "shards"


@pytest.fixture
def split_shards(make_set, tmp_path):
    """Makes a set of 6 people with 4 images each that has a validation split."""

    def make(split_by):
        make_set(tmp_path / "six", num_classes=6)
        build(RecordSetSource(tmp_path / "six"), tmp_path / "v", validation_fraction=0.34, split_by=split_by)
        return tmp_path / "v"

    return make


def test_images_move_and_go_and_nothing_else_changes(shards, read_faces, tmp_path):
    # Bob is Ann; Cid goes but for image 7; image 20 of Eve is Dan; images 10 and 11 of Dan are somebody new.
    rewrite(shards, tmp_path / "out", "1,,0\n2,,drop\n,7,2\n,20,3\n,10,5\n,11,5\n")
    before = {face.source_key: face for face in faces_of(read_faces, shards)}
    after = {face.source_key: face for face in faces_of(read_faces, tmp_path / "out")}
    assert set(before) - set(after) == {6, 8, 9}
    assert all(face.image == before[key].image for key, face in after.items())
    expected = {**dict.fromkeys(range(1, 6), (0, 10)), 7: (1, 30), 10: (4, 51), 11: (4, 51), 20: (2, 40)}
    expected |= dict.fromkeys(range(12, 15), (2, 40)) | dict.fromkeys(range(15, 20), (3, 50))
    assert {key: (face.label, face.source_label) for key, face in after.items()} == expected
    table = pd.read_csv(tmp_path / "out" / "classes.csv")
    assert table.source_label.tolist() == [10, 30, 40, 50, 51]
    assert table.name.tolist() == ["Ann", "Cid", "Dan", "Eve", "new-51"]
    assert table.num_images.tolist() == [5, 1, 4, 5, 2]
    assert verify_dataset(tmp_path / "out").num_records == 17


def test_the_manifest_names_the_set_and_the_overlay_and_counts_what_it_did(shards, tmp_path):
    manifest = rewrite(shards, tmp_path / "out", "1,,0\n2,,drop\n,7,2\n,20,3\n")
    jsonschema.validate(manifest.content, json.loads(SCHEMA.read_text()))
    source = manifest.content["source"]
    digest = hashlib.sha256((shards / "manifest.json").read_bytes()).hexdigest()
    assert source["sets"] == [{"name": "faces", "manifest_sha256": digest, "num_images": 20, "num_classes": 5}]
    assert source["overlay"] == {
        "sha256": hashlib.sha256((tmp_path / "labels.csv").read_bytes()).hexdigest(),
        "num_rows": 4,
        "num_moved": 4,
        "num_dropped": 3,
    }
    assert manifest.content["warnings"] == []


def test_new_classes_stand_behind_the_others_in_the_order_of_their_numbers(shards, tmp_path):
    rewrite(shards, tmp_path / "out", ",20,2000\n,10,77\n,15,5\n")
    table = pd.read_csv(tmp_path / "out" / "classes.csv")
    assert table.name.tolist()[5:] == ["new-51", "new-123", "new-2046"]
    assert table.source_label.tolist()[5:] == [51, 51 + 77 - 5, 51 + 2000 - 5]
    # Another overlay on top makes a class of another name.
    rewrite(tmp_path / "out", tmp_path / "again", ",20,8\n,14,9\n")
    assert pd.read_csv(tmp_path / "again" / "classes.csv").name.tolist()[5:] == [
        "new-51",
        "new-123",
        "new-2047",
        "new-2048",
    ]


def test_without_an_overlay_only_order_and_shards_change(shards, read_faces, tmp_path):
    rewrite(shards, tmp_path / "out", seed=2, num_shards=5)
    before, after = faces_of(read_faces, shards), faces_of(read_faces, tmp_path / "out")
    assert set(before) == set(after)
    assert before != after
    assert (tmp_path / "out" / "classes.csv").read_bytes() == (shards / "classes.csv").read_bytes()


def test_without_shuffle_the_order_of_the_shards_stays(shards, read_faces, tmp_path):
    rewrite(shards, tmp_path / "out", "2,,drop\n", shuffle=False)
    left = [face.source_key for face in faces_of(read_faces, shards) if face.source_label != 30]
    assert [face.source_key for face in faces_of(read_faces, tmp_path / "out")] == left


def test_the_number_of_workers_changes_no_byte(shards, digest_files, tmp_path):
    rows = "1,,0\n,20,9\n"
    rewrite(shards, tmp_path / "one", rows)
    rewrite(shards, tmp_path / "three", rows, workers=3)
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "three")


@pytest.mark.parametrize("split_by", ["image", "identity"])
def test_every_image_stays_in_its_split(split_shards, read_faces, tmp_path, split_by):
    source = split_shards(split_by)
    manifest = rewrite(source, tmp_path / "out", seed=7)
    for split in ("train", "validation"):
        before, after = faces_of(read_faces, source, split), faces_of(read_faces, tmp_path / "out", split)
        assert set(before) == set(after)
        assert before != after
    old = json.loads((source / "manifest.json").read_text())["splits"]
    new = manifest.content["splits"]
    for split in ("train", "validation"):
        assert [new[split][key] for key in ("first_class", "num_classes")] == [
            old[split][key] for key in ("first_class", "num_classes")
        ]
    verify_dataset(tmp_path / "out")


def test_a_class_that_loses_its_last_train_image_is_numbered_behind_the_others(split_shards, read_faces, tmp_path):
    source = split_shards("image")
    keys = [face.source_key for face in faces_of(read_faces, source, "train") if face.label == 2]
    manifest = rewrite(source, tmp_path / "out", "".join(f",{key},drop\n" for key in keys))
    splits = manifest.content["splits"]
    assert (splits["train"]["first_class"], splits["train"]["num_classes"]) == (0, 5)
    assert (splits["validation"]["first_class"], splits["validation"]["num_classes"]) == (0, 6)
    table = pd.read_csv(tmp_path / "out" / "classes.csv")
    assert table.source_label.tolist() == [0, 1, 3, 4, 5, 2]
    assert table.num_train.tolist()[-1] == 0
    verify_dataset(tmp_path / "out")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_one_split_can_be_taken_alone(split_shards, read_faces, tmp_path, split):
    source = split_shards("identity")
    manifest = rewrite(source, tmp_path / "out", split=split)
    keys = {face.source_key for face in faces_of(read_faces, source, split)}
    assert {face.source_key for face in faces_of(read_faces, tmp_path / "out", "train")} == keys
    assert list(manifest.content["splits"]) == ["train"]


def test_both_splits_can_be_pooled_and_divided_anew_with_a_warning(split_shards, read_faces, tmp_path):
    source = split_shards("identity")
    manifest = rewrite(source, tmp_path / "out", split="pool", validation_fraction=0.25)
    assert "8 images of the validation split were pooled" in manifest.content["warnings"][0]
    assert Counter(face.label for face in faces_of(read_faces, tmp_path / "out", "validation")) == dict.fromkeys(
        range(6), 1
    )


def test_a_split_that_is_kept_cannot_be_made_as_well(split_shards, tmp_path):
    with pytest.raises(SourceError, match=r"validation split, which is kept.*--split pool"):
        rewrite(split_shards("image"), tmp_path / "out", validation_fraction=0.25)


def test_there_must_be_a_validation_split_to_take(shards, tmp_path):
    with pytest.raises(SourceError, match="expected a validation split"):
        rewrite(shards, tmp_path / "out", split="validation")


def test_people_whom_training_had_never_seen_are_not_trained_on_in_silence(split_shards, tmp_path):
    source = split_shards("identity")
    with pytest.raises(SourceError, match="class 0: moves train images to class 5, which is in the validation"):
        rewrite(source, tmp_path / "out", "0,,5\n")
    manifest = rewrite(source, tmp_path / "out", "5,,0\n")
    assert manifest.content["warnings"] == [
        "People of the validation split, unseen by training before, who are trained on now: 1."
    ]
    pooled = rewrite(source, tmp_path / "pooled", "0,,5\n", split="pool")
    assert pooled.num_classes == 5


@pytest.mark.parametrize(
    ("split_by", "rows", "message"),
    [
        (None, "0,,drop\n1,,drop\n2,,drop\n3,,drop\n4,,drop\n", "drops all images"),
        ("identity", "0,,drop\n1,,drop\n2,,drop\n3,,drop\n", "No image is left in the train split"),
        (None, "5,,0\n", "the set has the classes 0 to 4"),
    ],
)
def test_an_overlay_that_does_not_fit_leaves_nothing_behind(shards, split_shards, tmp_path, split_by, rows, message):
    with pytest.raises(SourceError, match=message):
        rewrite(split_shards(split_by) if split_by else shards, tmp_path / "out", rows)
    assert not (tmp_path / "out").exists()


def test_a_damaged_source_is_found_and_nothing_appears_under_a_final_name(shards, tmp_path):
    shard = next(shards.glob("*-00001-of-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(SourceError, match="00001-of-00003: expected SHA-256"):
        rewrite(shards, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_made_of_damaged_bytes_does_not_outlive_the_repair(shards, digest_files, tmp_path):
    rewrite(shards, tmp_path / "expected")
    shard = next(shards.glob("*-00001-of-*"))
    sound, times = shard.read_bytes(), (shard.stat().st_atime_ns, shard.stat().st_mtime_ns)
    for content in (sound[:-30] + bytes([sound[-30] ^ 1]) + sound[-29:], sound):
        shard.write_bytes(content)
        os.utime(shard, ns=times)  # as where a disk damages it, and `cp -a` repairs it
        if content != sound:
            with pytest.raises(SourceError, match="expected SHA-256"):
                rewrite(shards, tmp_path / "out")
    rewrite(shards, tmp_path / "out", resume=True)
    assert digest_files(tmp_path / "out") == digest_files(tmp_path / "expected")


def test_an_interrupted_rewrite_goes_on_and_refuses_another_overlay_or_split(
    shards, digest_files, tmp_path, monkeypatch
):
    rewrite(shards, tmp_path / "whole", "1,,0\n,20,9\n")
    source = RewrittenSource(shards, tmp_path / "labels.csv")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(build_module, "write_tables", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(source, tmp_path / "out")
    (tmp_path / "other.csv").write_text("class,new_class\n1,0\n")
    with pytest.raises(OutputError, match=r"overlay was \{'sha256"):
        build(replace(source, overlay=tmp_path / "other.csv"), tmp_path / "out", resume=True)
    with pytest.raises(OutputError, match="split was 'keep' and is 'pool'"):
        build(replace(source, split="pool"), tmp_path / "out", resume=True)
    finished = sorted((tmp_path / "out" / "conversion.incomplete").glob("*-of-00003"))
    states = [path.stat().st_ino for path in finished]
    build(source, tmp_path / "out", resume=True)
    assert [(tmp_path / "out" / path.name).stat().st_ino for path in finished] == states
    assert digest_files(tmp_path / "out") == digest_files(tmp_path / "whole")


def test_the_command_says_what_was_moved_and_dropped(shards, run_prep, tmp_path):
    (tmp_path / "labels.csv").write_text("class,new_class\n1,0\n2,drop\n")
    common = ["rewrite", "shards", "out", "--overlay", "labels.csv", "--shards", "2"]
    planned = run_prep(*common, "--dry-run", cwd=tmp_path)
    assert "Would write 16 images in 3 classes" in planned.stdout
    assert "3 images moved, 4 dropped" in planned.stdout
    assert json.loads(run_prep(*common, "--dry-run", "--json", cwd=tmp_path).stdout)["overlay"]["num_moved"] == 3
    assert not (tmp_path / "out").exists()
    ended = run_prep(*common, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "3 images moved, 4 dropped" in ended.stdout
    assert run_prep("verify", "out", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing", "out"), 1, "nothing: there is no such folder"),
        (("set", "out"), 1, "set: expected manifest.json"),
        (("shards", "out", "--overlay", "gone.csv"), 1, "gone.csv: No such file"),
        (("shards", "out", "--overlay", "gone.csv", "--dry-run"), 1, "gone.csv: cannot be read"),
        (("shards", "shards", "--overwrite"), 2, "expected another folder than the source's"),
        (("shards", "set/../shards", "--overwrite"), 2, "expected another folder than the source's"),
        (("shards", "out", "--split", "test"), 2, "--split"),
        (("shards",), 2, "OUT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_failure_is_one_line_with_its_code(shards, run_prep, tmp_path, arguments, code, message):
    ended = run_prep("rewrite", *arguments, cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
def test_a_rewritten_real_set_keeps_every_image_byte(shared, digest_files, tmp_path):
    build(RecordSetSource(shared / "faces" / "tiny"), tmp_path / "shards")
    before = digest_files(tmp_path / "shards")
    manifest = rewrite(tmp_path / "shards", tmp_path / "out", "3,,5\n7,,drop\n,1,20\n")
    assert (manifest.num_images, manifest.num_classes) == (190, 19)
    verify_dataset(tmp_path / "out")
    assert digest_files(tmp_path / "shards") == before
