import json
import shutil

import pytest

from fr_prep.build import BuildSettings, build_dataset
from fr_prep.errors import ShardError
from fr_prep.plan import PlanSettings
from fr_prep.sources.record_set import RecordSetSource
from fr_prep.verify import verify_dataset


@pytest.fixture(scope="module")
def sound(make_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    made = make_set(folder / "set", num_classes=2, images_per_class=2)
    settings = BuildSettings(plan=PlanSettings(num_shards=2, seed=1), quiet=True)
    build_dataset(RecordSetSource(folder / "set"), folder / "out", settings=settings)
    assert len(made.records) == 4
    return folder / "out"


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "copy")
    return tmp_path / "copy"


def shard(folder, index=0):
    return folder / f"faces-train.tfrecord-0000{index}-of-00002"


def edit_manifest(folder, change):
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def one_record_more(manifest):
    manifest["num_images"] += 1
    manifest["splits"]["train"]["num_images"] += 1
    manifest["splits"]["train"]["shards"][0]["num_records"] += 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sound_set_is_said_to_be_sound(sound, workers):
    found = verify_dataset(sound, num_workers=workers, quiet=True)
    assert (found.num_shards, found.num_records, found.num_classes) == (2, 4, 2)


def test_every_flipped_byte_of_a_shard_is_found_and_placed(copy):
    path = shard(copy)
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(ShardError, match=r"00000-of-00002: record [01] at byte \d+"):
            verify_dataset(copy, quiet=True)


def test_every_flipped_byte_of_the_class_index_is_found(copy):
    path = copy / "classes.csv"
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0x02
        path.write_bytes(flipped)
        with pytest.raises(ShardError, match=r"classes\.csv"):
            verify_dataset(copy, quiet=True)


def test_damage_in_several_shards_is_listed_for_each(copy):
    for index in (0, 1):
        content = bytearray(shard(copy, index).read_bytes())
        content[-1] ^= 1
        shard(copy, index).write_bytes(content)
    with pytest.raises(ShardError, match=r"2 problems found\.\n.*00000-of.*\n.*00001-of"):
        verify_dataset(copy, num_workers=2, quiet=True)


def test_a_missing_a_short_and_a_swapped_shard_are_found(copy):
    first, second = shard(copy, 0).read_bytes(), shard(copy, 1).read_bytes()
    shard(copy, 0).unlink()
    with pytest.raises(ShardError, match="00000-of-00002: is missing"):
        verify_dataset(copy, quiet=True)
    shard(copy, 0).write_bytes(first[:-5])
    with pytest.raises(ShardError, match=rf"expected {len(first)} bytes, received {len(first) - 5}"):
        verify_dataset(copy, quiet=True)
    shard(copy, 0).write_bytes(b"")
    with pytest.raises(ShardError, match="00000-of-00002"):
        verify_dataset(copy, quiet=True)
    shard(copy, 0).write_bytes(second)
    shard(copy, 1).write_bytes(first)
    with pytest.raises(ShardError, match="2 problems"):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize("name", ["classes.csv", "label.labels.txt", "features.json", "dataset_info.json"])
def test_a_missing_file_beside_the_shards_is_found(copy, name):
    (copy / name).unlink()
    with pytest.raises(ShardError, match=name):
        verify_dataset(copy, quiet=True)


def claim_one_class(manifest):
    manifest["num_classes"] = manifest["splits"]["train"]["num_classes"] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["splits"]["train"]["shards"][0].update(num_records=3), "expected 5, the sum of the shards"),
        (one_record_more, "expected 3 records, received 2"),
        (lambda m: m["splits"]["train"]["shards"][0].update(sha256="0" * 64), "expected SHA-256 0000"),
        (claim_one_class, "expected a class from 0 to 0"),
        (lambda m: m.update(num_classes=3), "expected classes 0 to 2"),
        (
            lambda m: m["splits"]["train"]["shards"][0].update(file="../../etc/passwd"),
            r"shards\[0\]\.file: expected faces-train",
        ),
        (lambda m: m.update(format_version=2), "format version 1 or older, received 2"),
        (lambda m: m.pop("splits"), "is no manifest"),
        (lambda m: m.update(splits=[1]), "is no manifest"),
        (lambda m: m.update(num_classes="x"), "is no manifest"),
    ],
)
def test_a_manifest_that_promises_otherwise_is_found(copy, change, message):
    edit_manifest(copy, change)
    with pytest.raises(ShardError, match=message):
        verify_dataset(copy, quiet=True)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(ShardError, match=r"manifest\.json, which is missing"):
        verify_dataset(tmp_path, quiet=True)
    with pytest.raises(ShardError, match="no such folder"):
        verify_dataset(tmp_path / "nothing", quiet=True)
