"""`--verification-pairs`: the verification bin of the identities that `--split-by identity` sets apart."""

import json
from pathlib import Path

import jsonschema
import pytest

from fr_data.bins.bins import read_bin
from fr_prep.errors import ShardError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.sources.shards.merged import MergedSource
from fr_prep.sources.shards.rewritten import RewrittenSource
from fr_prep.verify.verify import verify_dataset
from fr_prep.write import build as build_module
from fr_prep.write.build import BuildSettings, build_dataset, plan_dataset
from fr_prep.write.manifest import read_manifest

SCHEMA = Path(__file__).parents[3] / "docs" / "manifest.schema.json"


def settings(*, workers=1, overwrite=False, resume=False, **plan):
    chosen = {"num_shards": 3, "seed": 1, "validation_fraction": 0.5, "split_by": "identity", "verification_pairs": 40}
    return BuildSettings(
        plan=PlanSettings(**{**chosen, **plan}), num_workers=workers, overwrite=overwrite, resume=resume, quiet=True
    )


@pytest.fixture
def made(make_set, drawn_image, tmp_path):
    """40 people with 3 images each."""
    return make_set(tmp_path / "set", num_classes=40, images_per_class=3, images=drawn_image)


def build(made, out, **options):
    return build_dataset(RecordSetSource(made.folder), out, settings=settings(**options))


def test_the_bin_shows_unseen_people_only_and_tells_the_truth(made, read_faces, tmp_path):
    manifest = build(made, tmp_path / "out")
    entry = manifest.content["verification_bin"]
    found = read_bin(tmp_path / "out" / entry["file"])
    assert (entry["file"], entry["num_pairs"], entry["sha256"]) == ("faces-validation.bin", 40, found.sha256)
    who = {record.image: record.label for record in made.records}
    faces = read_faces(tmp_path / "out")
    people = {split: {face.source_label for shard in shards for face in shard} for split, shards in faces.items()}
    assert {who[image] for image in found.images} <= people["validation"]
    assert not people["train"] & people["validation"]
    assert [
        who[a] == who[b] for a, b in zip(found.images[0::2], found.images[1::2], strict=True)
    ] == found.issame.tolist()
    assert found.issame.tolist() == ([True] * 2 + [False] * 2) * 10
    jsonschema.validate(manifest.content, json.loads(SCHEMA.read_text()))


def test_the_number_of_workers_changes_no_byte(made, digest_files, tmp_path):
    for workers in (1, 3):
        build(made, tmp_path / f"out{workers}", workers=workers)
    assert digest_files(tmp_path / "out1") == digest_files(tmp_path / "out3")
    build(made, tmp_path / "other", seed=2)
    assert (
        digest_files(tmp_path / "other")["faces-validation.bin"]
        != digest_files(tmp_path / "out1")["faces-validation.bin"]
    )


@pytest.mark.parametrize("step", ["write_bin", "write_tables"])
def test_an_interrupted_conversion_ends_with_the_same_bytes(made, digest_files, monkeypatch, tmp_path, step):
    build(made, tmp_path / "whole")

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(made, tmp_path / "out")
    monkeypatch.undo()
    assert not (tmp_path / "out" / "faces-validation.bin").exists()
    build(made, tmp_path / "out", resume=True)
    assert digest_files(tmp_path / "out") == digest_files(tmp_path / "whole")


def test_a_set_without_one_replaces_it(made, tmp_path):
    build(made, tmp_path / "out")
    manifest = build(made, tmp_path / "out", overwrite=True, verification_pairs=0)
    assert "verification_bin" not in manifest.content
    assert not (tmp_path / "out" / "faces-validation.bin").exists()


def convert(source, out, **options):
    chosen = {"validation_fraction": 0, "split_by": "image", "verification_pairs": 0}
    return build_dataset(source, out, settings=settings(**{**chosen, **options}))


@pytest.mark.parametrize("split", ["keep", "train"])
def test_it_goes_along_when_the_set_is_rewritten(made, digest_files, tmp_path, split):
    entry = build(made, tmp_path / "out").content["verification_bin"]
    source = RewrittenSource(tmp_path / "out", split=split)
    assert convert(source, tmp_path / "again").content["verification_bin"] == entry
    assert digest_files(tmp_path / "again")[entry["file"]] == digest_files(tmp_path / "out")[entry["file"]]
    verify_dataset(tmp_path / "again", quiet=True)
    num_bytes = plan_dataset(source, settings(validation_fraction=0, split_by="image", verification_pairs=0)).num_bytes
    assert num_bytes >= sum(path.stat().st_size for path in (tmp_path / "again").glob("faces-*"))


def test_one_that_goes_along_is_written_again_when_an_interrupted_rewrite_goes_on(
    made, digest_files, monkeypatch, tmp_path
):
    build(made, tmp_path / "out")
    source = RewrittenSource(tmp_path / "out")
    convert(source, tmp_path / "whole")

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module, "write_tables", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "again")
    monkeypatch.undo()
    convert(source, tmp_path / "again", resume=True)
    assert digest_files(tmp_path / "again") == digest_files(tmp_path / "whole")


def test_a_damaged_one_does_not_go_along(made, tmp_path):
    build(made, tmp_path / "out")
    with (tmp_path / "out" / "faces-validation.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(SourceError, match=r"faces-validation\.bin: expected SHA-256 "):
        convert(RewrittenSource(tmp_path / "out"), tmp_path / "again")
    assert not (tmp_path / "again" / "manifest.json").exists()


@pytest.mark.parametrize("split", ["pool", "validation"])
def test_it_is_left_out_where_people_in_it_may_be_trained_on_and_that_is_said(made, tmp_path, split):
    build(made, tmp_path / "out")
    content = convert(RewrittenSource(tmp_path / "out", split=split), tmp_path / "again").content
    assert "verification_bin" not in content
    assert "faces-validation.bin is left out: people in it may be trained on now." in content["warnings"]


@pytest.mark.parametrize("split", ["keep", "train"])
@pytest.mark.parametrize("change", ["0", "drop", "6"], ids=["moved to train", "dropped", "a new class"])
def test_it_is_left_out_where_an_overlay_changes_images_it_was_drawn_from(made, tmp_path, split, change):
    manifest = build(made, tmp_path / "out")
    first = manifest.content["splits"]["validation"]["first_class"]
    (tmp_path / "labels.csv").write_text(f"class,new_class\n{first},{change}\n")
    content = convert(RewrittenSource(tmp_path / "out", tmp_path / "labels.csv", split), tmp_path / "again").content
    assert "verification_bin" not in content
    assert not (tmp_path / "again" / "faces-validation.bin").exists()
    assert any("faces-validation.bin is left out: the overlay moves or drops" in text for text in content["warnings"])


def test_it_goes_along_with_an_overlay_on_other_images(made, tmp_path):
    entry = build(made, tmp_path / "out").content["verification_bin"]
    (tmp_path / "labels.csv").write_text("class,new_class\n0,1\n")
    source = RewrittenSource(tmp_path / "out", tmp_path / "labels.csv")
    assert convert(source, tmp_path / "again").content["verification_bin"] == entry


def test_a_new_one_takes_its_place(made, tmp_path):
    entry = build(made, tmp_path / "out").content["verification_bin"]
    content = build_dataset(
        RewrittenSource(tmp_path / "out", split="pool"), tmp_path / "again", settings=settings(seed=2)
    ).content
    assert content["verification_bin"]["num_pairs"] == 40
    assert content["verification_bin"]["sha256"] != entry["sha256"]


def test_a_merged_set_has_none_and_says_which_were_left_out(made, tmp_path):
    build(made, tmp_path / "a")
    convert(RecordSetSource(made.folder), tmp_path / "b")
    content = convert(MergedSource((tmp_path / "a", tmp_path / "b")), tmp_path / "ab").content
    assert "verification_bin" not in content
    assert (
        "Verification bins are left out, since people in them may be in another set: "
        f"{tmp_path / 'a' / 'faces-validation.bin'}."
    ) in content["warnings"]
    content = convert(MergedSource((tmp_path / "b", tmp_path / "ab")), tmp_path / "none").content
    assert not any("left out" in warning for warning in content["warnings"])


def test_verify_finds_a_flipped_byte_of_it(made, tmp_path):
    build(made, tmp_path / "out")
    verify_dataset(tmp_path / "out", quiet=True)
    content = bytearray((tmp_path / "out" / "faces-validation.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "out" / "faces-validation.bin").write_bytes(content)
    with pytest.raises(ShardError, match=r"faces-validation\.bin"):
        verify_dataset(tmp_path / "out", quiet=True)


def test_too_few_unseen_images_are_an_error_before_anything_is_written(made, tmp_path):
    with pytest.raises(
        SourceError, match=r"validation split: expected at least 100 pairs of the same kind.*--verification-pairs"
    ):
        build(made, tmp_path / "out", verification_pairs=200)
    assert not (tmp_path / "out").exists()


def test_an_image_that_the_bin_cannot_hold_is_named_before_anything_is_written(make_set, drawn_image, tmp_path):
    made = make_set(
        tmp_path / "set",
        num_classes=40,
        images_per_class=3,
        images=lambda key: drawn_image(key)[: -100 if key % 3 else None],
    )
    message = (
        r"train\.rec, record at byte \d+, key \d+: is no image that evaluation can decode.*--decode --on-error skip"
    )
    for run in (build, lambda made, _: plan_dataset(RecordSetSource(made.folder), settings())):
        with pytest.raises(SourceError, match=message):
            run(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folds_that_share_people_are_said_to(made, tmp_path):
    manifest = build(made, tmp_path / "out", validation_fraction=0.2)
    assert any("Folds of the verification bin share people" in warning for warning in manifest.content["warnings"])
    assert not any("share people" in warning for warning in build(made, tmp_path / "more").content["warnings"])


def test_a_plan_counts_the_bytes_of_the_bin(made, tmp_path):
    with_bin, without = (
        plan_dataset(RecordSetSource(made.folder), settings(verification_pairs=number)).num_bytes for number in (40, 0)
    )
    build(made, tmp_path / "out")
    assert with_bin - without >= (tmp_path / "out" / "faces-validation.bin").stat().st_size


@pytest.mark.parametrize(
    "wrong",
    [
        {"split_by": "image"},
        {"validation_fraction": 0.0},
        {"verification_pairs": 30},
        {"verification_pairs": -20},
    ],
)
def test_pairs_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="verification pairs"):
        settings(**wrong)


def test_a_manifest_that_names_another_file_is_refused(made, tmp_path):
    build(made, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(path.read_text().replace("faces-validation.bin", "../../x.bin"))
    with pytest.raises(ShardError, match=r"verification_bin\.file: expected faces-validation\.bin"):
        read_manifest(tmp_path / "out")
