import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fr_data.bins.bins import decode_image, read_bin, write_bin
from fr_data.tfrecord.frames import masked_crc32c
from fr_prep.errors import OutputError, ShardError, SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.open_source import open_source
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.survey.describe import describe
from fr_prep.verify.verify import verify_dataset
from fr_prep.write import verification_shards as shards_module
from fr_prep.write.build import BuildSettings, build_dataset
from fr_prep.write.manifest import KINDS, read_manifest
from fr_prep.write.verification_shards import convert_bin, name_of_bin, plan_bin

SCHEMA = Path(__file__).parents[3] / "docs" / "pairs-manifest.schema.json"


def settings(*, num_shards=None, workers=1, overwrite=False, resume=False, name="pairs", **plan):
    plan = PlanSettings(num_shards=num_shards, **plan)
    return BuildSettings(name=name, plan=plan, num_workers=workers, overwrite=overwrite, resume=resume, quiet=True)


@pytest.fixture
def made(drawn_image, tmp_path):
    """A bin of 7 pairs: JPEG, PNG, and two images of other formats."""
    formats = ["JPEG"] * 8 + ["PNG"] * 4 + ["BMP", "WEBP"]
    images = [drawn_image(number, image_format=image_format) for number, image_format in enumerate(formats)]
    write_bin(tmp_path / "x.bin", images, [True, False, False, True, True, False, True])
    return tmp_path / "x.bin"


def convert(source, out, **options):
    return convert_bin(source, out, settings=settings(**options))


def read_records(folder):
    """The Examples of all shards, in order; both CRCs of the frame are looked at."""
    records = []
    for shard in read_manifest(folder, kinds=KINDS).shards():
        data, offset = (folder / shard["file"]).read_bytes(), 0
        while offset < len(data):
            length = int.from_bytes(data[offset : offset + 8], "little")
            body = data[offset + 12 : offset + 12 + length]
            assert masked_crc32c(body) == int.from_bytes(data[offset + 12 + length : offset + 16 + length], "little")
            records.append(body)
            offset += 16 + length
    return records


def test_records_stand_in_the_order_of_the_bin_with_its_bytes(made, tmp_path):
    manifest = convert(made, tmp_path / "out", num_shards=3)
    bin_, records = read_bin(made), read_records(tmp_path / "out")
    assert [shard["num_records"] for shard in manifest.shards()] == [6, 4, 4]  # pairs are never parted
    for index, (record, image) in enumerate(zip(records, bin_.images, strict=True)):
        if index < 12:
            assert image in record
        # `12 05 1a 03 0a 01 value`: a feature of one small integer.
        for name, value in (("pair", index // 2), ("same", int(bin_.issame[index // 2])), ("side", index % 2)):
            assert name.encode() + bytes([0x12, 5, 0x1A, 3, 0x0A, 1, value]) in record


def test_other_formats_become_png_of_the_pixels_that_evaluation_sees(made, tmp_path):
    manifest = convert(made, tmp_path / "out")
    bin_, plan = read_bin(made), plan_bin(made, settings())
    assert plan.images[:12] == bin_.images[:12]
    assert all(image.startswith(b"\x89PNG") for image in plan.images[12:])
    for before, after in zip(bin_.images[12:], plan.images[12:], strict=True):
        np.testing.assert_array_equal(decode_image(before), decode_image(after))
    assert manifest.content["source"]["num_encoded"] == 2
    assert any(
        "no JPEG or PNG became PNG of the pixels that evaluation sees: 2." in warning
        for warning in manifest.content["warnings"]
    )


def test_the_manifest_keeps_to_its_schema_and_names_the_bin(made, tmp_path):
    manifest = convert(made, tmp_path / "out")
    content = manifest.content
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    assert (content["kind"], content["name"]) == ("verification pairs", "pairs")
    assert (content["num_pairs"], content["num_same"], content["num_images"]) == (7, 4, 14)
    assert content["source"]["files"] == [
        {"file": "x.bin", "num_bytes": made.stat().st_size, "digest": f"sha256:{read_bin(made).sha256}"}
    ]
    assert str(tmp_path) not in json.dumps(content)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("dataset_info.json", "features.json", "manifest.json", "pairs-test.tfrecord-00000-of-00001")
    ]


def test_the_number_of_workers_changes_no_byte(made, digest_files, tmp_path):
    for workers in (1, 3):
        convert(made, tmp_path / f"out{workers}", num_shards=4, workers=workers)
    assert digest_files(tmp_path / "out1") == digest_files(tmp_path / "out3")


def test_a_small_golden_bin_keeps_its_bytes_for_ever(numbered_jpeg, digest_files, tmp_path):
    write_bin(tmp_path / "x.bin", [numbered_jpeg(number) for number in range(6)], [True, False, True])
    convert(tmp_path / "x.bin", tmp_path / "out")
    assert digest_files(tmp_path / "out")["pairs-test.tfrecord-00000-of-00001"] == GOLDEN_SHARD


GOLDEN_SHARD = "5f62356126990116e20b13db09915f54015dfc92f36de48cc6291ae8ce6f3043"


def test_shards_are_as_large_as_wished(made, tmp_path):
    assert len(plan_bin(made, settings(shard_bytes=2000)).shards) > 1
    assert len(plan_bin(made, settings(shard_bytes=1)).shards) == 7
    with pytest.raises(SourceError, match="has 7 pairs, too few for 8 shards"):
        plan_bin(made, settings(num_shards=8))


def test_an_interrupted_conversion_goes_on_to_the_same_bytes(made, digest_files, monkeypatch, tmp_path):
    convert(made, tmp_path / "whole", num_shards=3)
    write = shards_module.write_shard

    def fail_at_the_last(task):
        if "00002-of" in task.path.name:
            raise KeyboardInterrupt
        return write(task)

    monkeypatch.setattr(shards_module, "write_shard", fail_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        convert(made, tmp_path / "out", num_shards=3)
    monkeypatch.undo()
    with pytest.raises(OutputError, match="--resume"):
        convert(made, tmp_path / "out", num_shards=3)
    with pytest.raises(OutputError, match="num_shards was 3 and is 2"):
        convert(made, tmp_path / "out", num_shards=2, resume=True)
    convert(made, tmp_path / "out", num_shards=3, resume=True)
    assert digest_files(tmp_path / "out") == digest_files(tmp_path / "whole")


def test_a_finished_folder_is_replaced_only_when_asked_whatever_its_kind(made, make_set, tmp_path):
    make_set(tmp_path / "set")
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "out", settings=settings(num_shards=2, name="faces"))
    with pytest.raises(OutputError, match="a finished data set is there"):
        convert(made, tmp_path / "out")
    convert(made, tmp_path / "out", overwrite=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"dataset_info.json", "features.json", "manifest.json", "pairs-test.tfrecord-00000-of-00001"}
    build_dataset(
        RecordSetSource(tmp_path / "set"),
        tmp_path / "out",
        settings=settings(num_shards=2, name="faces", overwrite=True),
    )
    assert not list((tmp_path / "out").glob("pairs-*"))


def test_a_bin_that_is_refused_leaves_nothing(tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"cposix\nsystem\n(S'touch PWNED'\ntR.")
    with pytest.raises(SourceError, match=r"posix\.system"):
        convert(tmp_path / "bad.bin", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.bin"]


def test_inspect_says_what_the_folder_is(made, tmp_path):
    convert(made, tmp_path / "out", num_shards=2)
    found = describe(tmp_path / "out")
    assert found.kind == "verification shards"
    facts = [found.facts[key] for key in ("num_pairs", "num_same", "num_different", "num_images", "num_shards")]
    assert facts == [7, 4, 3, 14, 2]
    json.dumps(found.to_dict())


def test_verify_finds_a_flipped_byte(made, tmp_path):
    convert(made, tmp_path / "out")
    assert verify_dataset(tmp_path / "out", quiet=True).num_records == 14
    shard = tmp_path / "out" / "pairs-test.tfrecord-00000-of-00001"
    content = bytearray(shard.read_bytes())
    content[500] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ShardError, match="pairs-test"):
        verify_dataset(tmp_path / "out", quiet=True)


def test_who_wants_faces_is_told_that_these_are_pairs(made, tmp_path):
    convert(made, tmp_path / "out")
    with pytest.raises(SourceError, match="expected a set of faces, received verification pairs"):
        open_source(tmp_path / "out").read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_pairs": 8}, "num_images: expected 16, two a pair, received 14"),
        ({"num_pairs": 0}, "num_pairs: expected a whole number from 1"),
        ({"num_same": 8}, "num_same: expected a whole number from 0 to 7"),
        ({"splits": {}}, "splits: expected test, received none"),
        ({"kind": "voices"}, "kind: expected faces or verification pairs, received 'voices'"),
        ({"name": "../x"}, "name: expected a text like"),
        ({"tensorflow_datasets": {}}, "tensorflow_datasets: expected dataset_info.json, features.json"),
        ({"source": None}, "source: expected an object"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_at_its_key(made, tmp_path, change, message):
    manifest = convert(made, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({**manifest.content, **change}))
    with pytest.raises(ShardError, match=message):
        read_manifest(tmp_path / "out", kinds=KINDS)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lfw.bin", "lfw"),
        ("cfp-fp.v2.bin", "cfp_fp_v2"),
        ("30.bin", "bin_30"),
        ("é.bin", "bin__"),
        (".bin", "bin__bin"),
    ],
)
def test_a_bin_s_own_name_is_made_one_that_tensorflow_datasets_takes(file, name):
    assert name_of_bin(Path(file)) == name
    BuildSettings(name=name_of_bin(Path(file)))


@pytest.mark.shared
def test_all_dialects_give_the_same_shards(shared, digest_files, tmp_path):
    digests = []
    for name in ("lfw_tiny", "lfw_tiny_py2", "lfw_tiny_ndarray"):
        convert(shared / "faces" / f"{name}.bin", tmp_path / name)
        digests.append(digest_files(tmp_path / name)["pairs-test.tfrecord-00000-of-00001"])
    assert len(set(digests)) == 1
