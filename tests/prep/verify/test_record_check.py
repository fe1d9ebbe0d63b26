"""Sets of verification pairs as `fr-prep verify` sees them; what it checks of faces is in test_verify."""

import shutil
from collections import Counter

import numpy as np
import pytest

from fr_data.bins.bins import write_bin
from fr_data.tfrecord.frames import find_frames, masked_crc32c
from fr_prep.errors import SourceError
from fr_prep.plan.plan import PlanSettings
from fr_prep.verify.verify import check_dataset
from fr_prep.write.build import BuildSettings
from fr_prep.write.verification_shards import convert_bin

NAMES = ["pairs-test.tfrecord-00000-of-00002", "pairs-test.tfrecord-00001-of-00002"]


@pytest.fixture(scope="module")
def sound(numbered_jpeg, tmp_path_factory):
    """Four pairs in two shards: the same, two people, the same, two people."""
    folder = tmp_path_factory.mktemp("pairs")
    write_bin(folder / "pairs.bin", [numbered_jpeg(number) for number in range(8)], [True, False] * 2)
    settings = BuildSettings(name="pairs", plan=PlanSettings(num_shards=2), quiet=True)
    convert_bin(folder / "pairs.bin", folder / "out", settings=settings)
    return folder / "out"


@pytest.fixture
def copy(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "copy")
    return tmp_path / "copy"


def frames_of(path):
    return find_frames(np.fromfile(path, dtype=np.uint8))


def set_value(path, number, name, value):
    """Changes a feature of a record, which takes one byte, and the CRC with it."""
    frames = frames_of(path)
    start, end = int(frames.starts[number]), int(frames.ends[number])
    data = bytearray(path.read_bytes())
    data[data.index(name.encode() + b"\x12\x05\x1a\x03\x0a\x01", start) + len(name) + 6] = value
    data[end : end + 4] = masked_crc32c(bytes(data[start:end])).to_bytes(4, "little")
    path.write_bytes(data)


def problems_of(folder, **options):
    return [str(problem) for problem in check_dataset(folder, quiet=True, **options).problems]


@pytest.mark.parametrize("decode", [False, True])
def test_sound_pairs_are_said_to_be_sound(sound, decode):
    found = check_dataset(sound, decode=decode, num_workers=2, quiet=True)
    assert (found.problems, found.num_records, found.num_shards, found.num_classes) == ([], 8, 2, None)


def test_the_command_speaks_of_no_classes(sound, run_prep):
    ended = run_prep("verify", "out", cwd=sound.parent)
    assert ended.stdout.startswith("out: sound. 8 records in 2 shards, 0.0 MB")


def test_a_flipped_byte_is_found_in_its_record(copy):
    path = copy / NAMES[1]
    whole, frames = path.read_bytes(), frames_of(path)
    starts = frames.starts - 12
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x21
        path.write_bytes(damaged)
        (problem,) = check_dataset(copy, quiet=True).problems
        record = int(np.searchsorted(starts, place, side="right")) - 1
        assert (problem.file, problem.record, problem.offset) == (NAMES[1], record, starts[record])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("pair", 3, "expected pair 2, received 3"),
        ("side", 0, "expected side 1, received 0"),
        ("same", 0, "expected same 1, received 0"),
        ("same", 5, "expected same 1, received 5"),
    ],
)
def test_a_value_that_lies_is_named_though_all_digests_are_right(copy, seal_set, name, value, expected):
    set_value(copy / NAMES[1], 1, name, value)
    seal_set(copy)
    offset = int(frames_of(copy / NAMES[1]).starts[1]) - 12
    assert problems_of(copy)[0] == f"{NAMES[1]}: record 1 at byte {offset}: {expected}"


def test_a_number_of_same_pairs_that_lies_is_found(copy, seal_set):
    seal_set(copy, lambda manifest: manifest.update(num_same=3))
    assert problems_of(copy) == ["manifest.json: expected num_same 2, as in the shards, received 3"]


def test_shards_in_another_order_are_found_though_all_digests_are_right(copy, seal_set):
    first, second = ((copy / name).read_bytes() for name in NAMES)
    (copy / NAMES[0]).write_bytes(second)
    (copy / NAMES[1]).write_bytes(first)
    seal_set(copy)
    assert Counter(problem.split(":")[0] for problem in problems_of(copy)) == {NAMES[0]: 4, NAMES[1]: 4}


def test_pairs_are_compared_with_no_source(sound):
    with pytest.raises(SourceError, match="made by bin2tfrecord"):
        check_dataset(sound, source=sound.parent / "pairs.bin", quiet=True)
