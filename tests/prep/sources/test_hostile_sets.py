"""Attacks on what verifies and describes a set: damaged tables, manifests that lie, manifests made to harm."""

import json
import random
import shutil
from pathlib import Path

import pytest

from fr_data.errors import ToolkitError
from fr_prep.errors import ShardError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.survey.describe import describe
from fr_prep.verify.verify import verify_dataset
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.manifest import manifest_text, read_manifest


@pytest.fixture(scope="module")
def sound(make_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    make_set(folder / "set", num_classes=3, images_per_class=3)
    settings = BuildSettings(plan=PlanSettings(num_shards=2, seed=1, validation_fraction=0.3), quiet=True)
    build_dataset(RecordSetSource(folder / "set"), folder / "out", settings=settings)
    return folder / "out"


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "copy")
    return tmp_path / "copy"


def edit_manifest(folder, change):
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(manifest_text(content))


def first_shard(content):
    return content["splits"]["train"]["shards"][0]


@pytest.mark.parametrize("mask", [0x01, 0x07, 0x80], ids=hex)
@pytest.mark.parametrize("name", ["classes.csv", "label.labels.txt", "dataset_info.json", "features.json"])
def test_every_flipped_byte_of_a_table_is_found(copy, name, mask):
    whole = (copy / name).read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= mask  # 0x07 makes a line feed a carriage return
        (copy / name).write_bytes(flipped)
        with pytest.raises(ShardError):
            verify_dataset(copy, quiet=True)


def test_a_class_index_with_other_line_ends_is_found(copy):
    path = copy / "classes.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(ShardError):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: first_shard(m).update(num_records=True),
        lambda m: first_shard(m).update(sha256=first_shard(m)["sha256"].upper()),
        lambda m: m["splits"]["train"]["shards"].append(first_shard(m)),
        lambda m: m["splits"]["train"]["shards"].pop(),
        lambda m: m["splits"].pop("validation"),
    ],
    ids=["true", "case", "shard twice", "shard left out", "split left out"],
)
def test_a_manifest_of_other_shards_is_found(copy, change):
    edit_manifest(copy, change)
    with pytest.raises(ShardError):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(num_images=m["num_images"] + 1),
        lambda m: m.update(num_images=0),
        lambda m: m["splits"]["train"].update(num_images=1),
        lambda m: m["splits"]["train"].update(num_bytes=1),
    ],
    ids=["one more", "none", "split images", "split bytes"],
)
def test_a_total_that_lies_is_found(copy, change):
    edit_manifest(copy, change)
    with pytest.raises(ShardError):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: first_shard(m).update(num_records=[1]),
        lambda m: first_shard(m).update(sha256=5),
        lambda m: first_shard(m).update(file=""),
        lambda m: first_shard(m).update(file="."),
        lambda m: first_shard(m).update(file=".."),
        lambda m: first_shard(m).update(file="a\0b"),
        lambda m: first_shard(m).update(file="a" * 300),
        lambda m: first_shard(m).update(file="/etc/passwd"),
        lambda m: first_shard(m).update(file=7),
        lambda m: first_shard(m).update(file="manifest.json"),
        lambda m: m.update(num_classes=float("nan")),
        lambda m: m.update(splits={}),
        lambda m: m.update(format_version="1"),
        lambda m: m.update(format_version=None),
    ],
    ids=range(14),
)
def test_a_manifest_with_values_that_cannot_be_is_refused(copy, change):
    edit_manifest(copy, change)
    with pytest.raises(ShardError):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: first_shard(m).pop("num_bytes"),
        lambda m: first_shard(m).pop("num_records"),
        lambda m: first_shard(m).pop("sha256"),
        lambda m: first_shard(m).update(num_bytes="many"),
        lambda m: first_shard(m).update(num_bytes=None),
        lambda m: m.pop("class_index"),
        lambda m: m.update(class_index="classes.csv"),
        lambda m: m["class_index"].update(file="../secret.csv"),
        lambda m: m["class_index"].update(file="/nowhere/classes.csv"),
        lambda m: m["class_index"].update(file="no.csv"),
        lambda m: m["class_index"].update(file="."),
        lambda m: m["class_index"].pop("sha256"),
        lambda m: m.update(num_classes=-1),
        lambda m: m.update(num_classes=10**13),
        lambda m: m.update(num_classes=10**30),
        lambda m: m.update(num_images=float("inf")),
    ],
    ids=range(16),
)
def test_a_manifest_that_lacks_what_verify_needs_is_refused(copy, change):
    (copy.parent / "secret.csv").write_bytes((copy / "classes.csv").read_bytes())
    edit_manifest(copy, change)
    with pytest.raises(ShardError):
        verify_dataset(copy, quiet=True)


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"{"],
    ids=["empty", "object", "list", "null", "number", "text", "no UTF-8", "cut"],
)
@pytest.mark.parametrize("use", [verify_dataset, describe, read_manifest])
def test_a_manifest_that_is_no_object_of_json_is_refused(copy, text, use):
    (copy / "manifest.json").write_bytes(text)
    with pytest.raises(ShardError):
        use(copy)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000], ids=["list", "object"])
def test_a_manifest_nested_too_deep_is_refused(copy, text):
    (copy / "manifest.json").write_bytes(text)
    with pytest.raises(ShardError):
        read_manifest(copy)


def places(value, path=()):
    """All places in nested JSON."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


ODD_VALUES = [None, True, -1, 0, 2**70, 1.5, float("inf"), "", "..", "x", [], {}, [1], {"a": 1}]


@pytest.mark.parametrize("use", [verify_dataset, describe])
def test_any_value_anywhere_in_a_manifest_is_sound_or_a_shard_error(copy, use):
    text = (copy / "manifest.json").read_text()
    rng = random.Random(3)
    found = list(places(json.loads(text)))
    escaped = set()
    for _ in range(400):
        content = json.loads(text)
        *parents, last = rng.choice(found[1:])
        target = content
        for key in parents:
            target = target[key]
        if rng.random() < 0.3 and isinstance(target, dict):
            del target[last]
        else:
            target[last] = rng.choice(ODD_VALUES)
        (copy / "manifest.json").write_text(manifest_text(content))
        try:
            use(copy)
        except ToolkitError:
            continue
        except Exception as error:
            escaped.add(f"{'.'.join(map(str, (*parents, last)))}: {type(error).__name__}")
    assert not escaped


def test_random_damage_to_any_file_of_a_set_never_passes(copy):
    """A flipped, lost or added byte in any file whose content the manifest vouches for."""
    rng = random.Random(4)
    files = sorted(path for path in copy.iterdir() if "tfrecord" in path.name)
    for _ in range(200):
        path = rng.choice(files)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        place = rng.randrange(len(damaged))
        match rng.randrange(3):
            case 0:
                damaged[place] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[place : place + rng.randrange(1, 9)]
            case 2:
                damaged[place:place] = rng.randbytes(rng.randrange(1, 9))
        path.write_bytes(damaged)
        with pytest.raises(ShardError):
            verify_dataset(copy, quiet=True)
        path.write_bytes(whole)
    verify_dataset(copy, quiet=True)


def add_up(manifest, change):
    """Changes the first shard and every total to match."""
    first_shard(manifest).update(change)
    for split in manifest["splits"].values():
        split["num_images"] = sum(shard["num_records"] for shard in split["shards"])
        split["num_bytes"] = sum(shard["num_bytes"] for shard in split["shards"])
    manifest["num_images"] = sum(split["num_images"] for split in manifest["splits"].values())


def test_a_record_that_is_no_face_is_found_though_its_crcs_are_right(copy):
    from fr_data.tfrecord.frames import masked_crc32c
    from fr_prep.digests import sha256_of_file

    name = first_shard(json.loads((copy / "manifest.json").read_text()))["file"]
    for data in (b"", b"no example", b"\x0a\x7f", b"\xff" * 40):
        length = len(data).to_bytes(8, "little")
        crcs = [masked_crc32c(part).to_bytes(4, "little") for part in (length, data)]
        (copy / name).write_bytes(length + crcs[0] + data + crcs[1])
        change = {"num_bytes": len(data) + 16, "num_records": 1, "sha256": sha256_of_file(copy / name)}
        edit_manifest(copy, lambda m, change=change: add_up(m, change))
        with pytest.raises(ShardError, match="record 0 at byte 0: expected"):
            verify_dataset(copy, quiet=True)


def test_a_manifest_without_its_class_index_is_a_shard_error_to_describe(copy):
    (copy / "classes.csv").unlink()
    with pytest.raises(ShardError):
        describe(copy)


def test_a_folder_in_place_of_a_shard_is_found(copy):
    path = copy / first_shard(json.loads((copy / "manifest.json").read_text()))["file"]
    path.unlink()
    path.mkdir()
    with pytest.raises(ShardError, match="cannot be read"):
        verify_dataset(copy, quiet=True)


def test_a_name_that_is_too_long_is_a_shard_error():
    with pytest.raises(ToolkitError):
        verify_dataset(Path("a" * 300))
