"""`fr-prep verify` as a whole. See also test_shard_check, test_table_check, test_record_check and test_source_check."""

import json
import random
import shutil
from dataclasses import asdict

import numpy as np
import pytest

from fr_data.errors import ToolkitError
from fr_data.tfrecord.frames import find_frames
from fr_prep.errors import ShardError
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify.verify import check_dataset, verify_dataset
from fr_prep.write.build import BuildSettings, build_dataset

NAMES = ["faces-train.tfrecord-00000-of-00002", "faces-train.tfrecord-00001-of-00002"]
VALIDATION = "faces-validation.tfrecord-00000-of-00001"


@pytest.fixture
def copy(split_shards, tmp_path):
    shutil.copytree(split_shards, tmp_path / "copy")
    return tmp_path / "copy"


def flip(path, place, mask=0x10):
    content = bytearray(path.read_bytes())
    content[place] ^= mask
    path.write_bytes(content)


def frames_of(path):
    """(first byte, past the last byte) of each record's frame."""
    frames = find_frames(np.fromfile(path, dtype=np.uint8))
    return [(start - 12, end + 4) for start, end in zip(frames.starts.tolist(), frames.ends.tolist(), strict=True)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("decode", [False, True])
def test_a_sound_set_is_said_to_be_sound(split_shards, workers, decode):
    found = check_dataset(split_shards, num_workers=workers, decode=decode, quiet=True)
    assert (found.problems, found.warnings) == ([], [])
    assert (found.num_shards, found.num_records, found.num_classes) == (3, 8, 4)
    assert found.num_bytes == sum(path.stat().st_size for path in split_shards.glob("*.tfrecord*"))


@pytest.mark.slow
def test_every_flipped_byte_of_every_file_of_a_set_is_found(copy):
    """All of the set's bytes, one after the other, each with a mask of its own: some 8,000 damaged sets."""
    rng = random.Random(8)
    num_flips = 0
    for path in sorted(copy.iterdir()):
        whole = path.read_bytes()
        for place in range(len(whole)):
            flip(path, place, rng.randrange(1, 256))
            with pytest.raises(ShardError):
                verify_dataset(copy, quiet=True)
            path.write_bytes(whole)
            num_flips += 1
    assert num_flips == sum(path.stat().st_size for path in copy.iterdir()) > 8000
    verify_dataset(copy, quiet=True)


def test_what_is_not_there_or_no_file_is_said(copy):
    (copy / NAMES[0]).unlink()
    (copy / NAMES[1]).unlink()
    (copy / NAMES[1]).mkdir()
    (copy / "classes.csv").unlink()
    (copy / "features.json").unlink()
    (copy / "features.json").mkdir()
    assert [str(problem) for problem in check_dataset(copy, quiet=True).problems] == [
        f"{NAMES[0]}: is missing",
        f"{NAMES[1]}: cannot be read: Is a directory",
        "classes.csv: is missing",
        "features.json: cannot be read: Is a directory",
    ]


def test_the_outcome_does_not_depend_on_the_workers(copy):
    for name in (*NAMES, VALIDATION):
        flip(copy / name, 40)
    outcomes = [check_dataset(copy, num_workers=workers, quiet=True) for workers in (1, 2, 3)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0].num_problems == 3


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(ShardError, match=r"manifest\.json, which is missing"):
        verify_dataset(tmp_path, quiet=True)
    with pytest.raises(ShardError, match="no such folder"):
        verify_dataset(tmp_path / "nothing", quiet=True)


def test_files_that_look_like_shards_of_the_set_are_warned_of(copy):
    names = ["faces-train.tfrecord-00002-of-00003", "faces-validation.tfrecord-00000-of-00001.incomplete"]
    for name in [*names, "other-train.tfrecord-00000-of-00001"]:
        (copy / name).write_bytes(b"x")
    found = check_dataset(copy, quiet=True)
    assert found.problems == []
    assert [warning.split()[0] for warning in found.warnings] == names


def test_random_damage_never_passes_and_is_never_another_error(copy):
    """Bytes flipped, lost, added or moved, in any file, in one to three places."""
    rng = random.Random(10)
    files = sorted(copy.iterdir())
    for _ in range(200):
        path = rng.choice(files)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(damaged))
            match rng.randrange(4):
                case 0:
                    damaged[place] ^= 1 << rng.randrange(8)
                case 1:
                    del damaged[place : place + rng.randrange(1, 50)]
                case 2:
                    damaged[place:place] = rng.randbytes(rng.randrange(1, 50))
                case 3:
                    damaged[place : place + 30] = bytes(30)
        path.write_bytes(damaged)
        if damaged != whole:
            with pytest.raises(ToolkitError):
                verify_dataset(copy, quiet=True)
        path.write_bytes(whole)
    verify_dataset(copy, quiet=True)


def test_the_command_says_that_a_set_is_sound(split_shards, run_prep):
    ended = run_prep("verify", "out", "--decode", "--source", "set", cwd=split_shards.parent)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(
        "out: sound. 8 records in 3 shards, 4 classes, 0.0 MB, every image decoded, equal to set."
    )


def test_the_command_lists_what_is_wrong_and_ends_with_1(copy, run_prep):
    flip(copy / NAMES[0], 40)
    (copy / "faces-train.tfrecord-00002-of-00003").write_bytes(b"x")
    key = np.load(copy / "records.npy")["source_key"][0]
    ended = run_prep("verify", "copy", cwd=copy.parent)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        "Warning: faces-train.tfrecord-00002-of-00003 is no part of the set, though its name looks like that of a shard. "
        "Move it away.",
        "Error: copy: 1 problem found.",
        f"{NAMES[0]}: record 0 at byte 0 (key {key}): the CRC of its data is wrong",
        "Copy what is damaged again from where it is whole, or convert the set again.",
    ]
    assert "Warning" not in run_prep("verify", "copy", "--quiet", cwd=copy.parent).stderr


def test_the_command_gives_the_problems_as_json(copy, run_prep):
    flip(copy / NAMES[0], 40)
    ended = run_prep("verify", "copy", "--json", "--quiet", "--workers", "2", cwd=copy.parent)
    assert (ended.returncode, ended.stderr) == (1, "")
    key = int(np.load(copy / "records.npy")["source_key"][0])
    problem = {"file": NAMES[0], "record": 0, "offset": 0, "key": key, "problem": "the CRC of its data is wrong"}
    assert json.loads(ended.stdout) == {
        "path": "copy",
        "sound": False,
        **asdict(check_dataset(copy, quiet=True)),
        "num_problems": 1,
        "problems": [problem],
    }
    (copy / "manifest.json").write_text("{")
    ended = run_prep("verify", "copy", "--json", cwd=copy.parent)
    assert ended.returncode == 1
    assert [problem["file"] for problem in json.loads(ended.stdout)["problems"]] == ["manifest.json"]


def test_many_problems_are_counted_and_the_first_of_each_file_are_listed(make_set, run_prep, tmp_path):
    make_set(tmp_path / "set", num_classes=2, images_per_class=100)
    plan = PlanSettings(num_shards=4, seed=1)
    build_dataset(RecordSetSource(tmp_path / "set"), tmp_path / "out", settings=BuildSettings(plan=plan, quiet=True))
    for path in (tmp_path / "out").glob("*.tfrecord*"):
        for _, end in frames_of(path):
            flip(path, end - 1)
    ended = run_prep("verify", "out", cwd=tmp_path)
    lines = ended.stderr.splitlines()
    assert lines[0] == "Error: out: 200 problems found."
    assert lines[-2] == "… and 150 more; --json lists 20 of each file."
    assert len(lines) == 1 + 50 + 2
    found = json.loads(run_prep("verify", "out", "--json", cwd=tmp_path).stdout)
    assert (found["num_problems"], len(found["problems"])) == (200, 80)
