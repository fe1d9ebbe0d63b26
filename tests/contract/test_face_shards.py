"""What `fr-prep` writes, `fr-eval identify` reads: the same people and bytes as in the folders that the shards were made of."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from tests.made_pairs import encode

from fr_eval.errors import FaceSetError
from fr_eval.faces.open_identities import read_identities
from fr_prep.cli import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for person in ("NA", "Zoë", "anna b", "007"):
        (folder / person).mkdir()
        for number in range(5):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            (folder / person / f"{number}.jpg").write_bytes(encode(pixels))
    return folder


@pytest.fixture(scope="module")
def made(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "shards"
    arguments = ["folder2tfrecord", str(folders), str(out), "--shards", "3", "--validation-fraction", "0.3", "--quiet"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def shards(made, tmp_path):
    return shutil.copytree(made, tmp_path / "shards")


def list_faces(faces):
    return sorted((faces.names[label], faces.read(index)) for index, label in enumerate(faces.labels))


def test_shards_hold_the_people_and_images_of_their_folders(folders, shards):
    faces = read_identities(shards)
    assert set(json.loads((shards / "manifest.json").read_text())["splits"]) == {"train", "validation"}
    assert list_faces(faces) == list_faces(read_identities(folders))
    assert faces.warnings == ()


def test_a_place_names_shard_byte_and_key(shards):
    faces = read_identities(shards)
    file, byte, key = faces.locate(7).split(", ")
    data = (shards / file.rpartition("/")[2]).read_bytes()
    start = int(byte.removeprefix("byte "))
    assert data[start : start + len(faces.read(7))] == faces.read(7)
    assert int(key.removeprefix("source key ")) == np.load(shards / "records.npy")["source_key"][7]


@pytest.mark.parametrize("name", ["classes.csv", "records.npy", "faces-train.tfrecord-00001-of-00002"])
def test_a_flipped_byte_and_a_missing_file_are_named(shards, name):
    path = next(shards.glob(name.split("-0")[0] + "*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(FaceSetError, match=rf"{path.name}: expected SHA-256 .*; see `fr-prep verify"):
        read_identities(shards)
    path.unlink()
    with pytest.raises(FaceSetError, match=rf"{path.name}: cannot be read: No such file"):
        read_identities(shards)


def test_other_sets_and_versions_are_refused(shards):
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    for change, message in (
        ({"kind": "verification pairs"}, "received one of verification pairs, which `fr-eval` takes as a BIN"),
        ({"format_version": 2}, "expected format version 1; received 2; update"),
        ({"splits": {}}, "its record table does not fit"),
        ({"splits": {"train": {}}}, "'shards' is missing"),
        ({"splits": []}, "is no sound set of faces"),
    ):
        path.write_text(json.dumps({**manifest, **change}))
        with pytest.raises(FaceSetError, match=message):
            read_identities(shards)
    path.write_text("[")
    with pytest.raises(FaceSetError, match="is no sound set of faces"):
        read_identities(shards)
