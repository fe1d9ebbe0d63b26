"""What `fr-prep verify` finds in a shard."""

import shutil

import numpy as np
import pytest

from fr_data.tfrecord.frames import find_frames, masked_crc32c
from fr_prep.plan.plan import PlanSettings
from fr_prep.sources.record_sets.record_set import RecordSetSource
from fr_prep.verify.verify import check_dataset
from fr_prep.write.build import BuildSettings, build_dataset

NAMES = ["faces-train.tfrecord-00000-of-00002", "faces-train.tfrecord-00001-of-00002"]
VALIDATION = "faces-validation.tfrecord-00000-of-00001"


@pytest.fixture
def copy(split_shards, tmp_path):
    shutil.copytree(split_shards, tmp_path / "copy")
    return tmp_path / "copy"


def frames_of(path):
    """(first byte, past the last byte) of each record's frame."""
    frames = find_frames(np.fromfile(path, dtype=np.uint8))
    return [(start - 12, end + 4) for start, end in zip(frames.starts.tolist(), frames.ends.tolist(), strict=True)]


def flip(path, place, mask=0x10):
    content = bytearray(path.read_bytes())
    content[place] ^= mask
    path.write_bytes(content)


def write_record(path, number, data):
    """Puts other data into a record, with CRCs that are right."""
    whole = path.read_bytes()
    start, end = frames_of(path)[number]
    length = len(data).to_bytes(8, "little")
    header, footer = (masked_crc32c(part).to_bytes(4, "little") for part in (length, data))
    path.write_bytes(whole[:start] + length + header + data + footer + whole[end:])


def data_of(path, number):
    start, end = frames_of(path)[number]
    return path.read_bytes()[start + 12 : end - 4]


def first_end(path):
    """Where the second frame starts."""
    return 16 + int.from_bytes(path.read_bytes()[:8], "little")


def places(folder):
    return [(problem.file, problem.record, problem.offset) for problem in check_dataset(folder, quiet=True).problems]


def only_problem(folder, **options):
    (problem,) = check_dataset(folder, quiet=True, **options).problems
    return problem


@pytest.mark.parametrize(("name", "step"), [pytest.param(NAMES[0], 1, marks=pytest.mark.slow), (VALIDATION, 5)])
def test_a_flipped_byte_of_a_shard_is_the_only_problem_and_its_record_is_named(copy, name, step):
    path = copy / name
    whole = path.read_bytes()
    keys = np.load(copy / "records.npy")["source_key"][{NAMES[0]: 0, VALIDATION: 6}[name] :]
    for number, (start, end) in enumerate(frames_of(path)):
        for place in [*range(start, start + 12), *range(start + 12, end, step)]:
            flip(path, place, 1 << place % 8)
            problem = only_problem(copy)
            assert (problem.file, problem.record, problem.offset) == (name, number, start)
            assert problem.key == keys[number]
            path.write_bytes(whole)


def test_a_shard_cut_short_anywhere_is_found_where_it_ends(copy):
    path = copy / NAMES[0]
    whole, frames = path.read_bytes(), frames_of(path)
    edges = [start + near for start, _ in frames for near in (0, 1, 11, 12, 13, 20)]
    for length in [*edges, *range(0, len(whole), 9), len(whole) - 1]:
        path.write_bytes(whole[:length])
        first, *others = check_dataset(copy, quiet=True).problems
        if length == 0:
            assert (first.problem, others) == (f"is empty: expected {len(whole)} bytes in 3 records", [])
            continue
        assert first.problem == f"expected {len(whole)} bytes, received {length}"
        number, start = next((number, start) for number, (start, end) in enumerate(frames) if length < end)
        if length == start:
            assert [other.problem for other in others] == [f"expected 3 records, received {number}"]
        else:
            assert [(other.record, other.offset) for other in others] == [(number, start)]
            assert "cut short" in others[0].problem


@pytest.mark.parametrize("num_bytes", [1, 11, 12, 13, 500])
def test_bytes_behind_the_last_record_are_found(copy, num_bytes):
    path = copy / NAMES[1]
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + bytes(num_bytes))
    sized, behind = check_dataset(copy, quiet=True).problems
    assert sized.problem == f"expected {size} bytes, received {size + num_bytes}"
    assert (behind.record, behind.offset) == (3, size)
    assert behind.problem == f"expected the end of the file, received {num_bytes} more bytes"


def test_a_record_too_many_and_one_too_few_are_counted(copy):
    path = copy / NAMES[1]
    whole = path.read_bytes()
    start, end = frames_of(path)[1]
    path.write_bytes(whole + whole[start:end])
    assert [problem.problem for problem in check_dataset(copy, quiet=True).problems] == [
        f"expected {len(whole)} bytes, received {len(whole) + end - start}",
        "expected 3 records, received 4",
    ]
    path.write_bytes(whole[:start] + whole[end:])
    assert "expected 3 records, received 2" in [p.problem for p in check_dataset(copy, quiet=True).problems]


def test_swapped_shards_are_found_though_every_crc_is_right(copy):
    first, second = ((copy / name).read_bytes() for name in NAMES)
    (copy / NAMES[0]).write_bytes(second)
    (copy / NAMES[1]).write_bytes(first)
    found = check_dataset(copy, quiet=True)
    assert {problem.file for problem in found.problems} == {*NAMES, "records.npy"}


def test_a_changed_byte_whose_crc_was_made_anew_is_found_by_the_digest(copy):
    data = bytearray(data_of(copy / NAMES[0], 1))
    data[60] ^= 1  # in the image
    write_record(copy / NAMES[0], 1, bytes(data))
    problem = only_problem(copy)
    assert (problem.file, problem.record) == (NAMES[0], None)
    assert "though the CRC of every record is right" in problem.problem


def test_damage_in_several_places_is_all_named_also_behind_a_lost_frame(copy):
    first, second = (frames_of(copy / name) for name in NAMES)
    flip(copy / NAMES[0], first[0][0] + 1)  # length of record 0: its end is unknown
    flip(copy / NAMES[0], first[2][0] + 50)
    flip(copy / NAMES[1], second[1][0] + 9)  # CRC of the length of record 1
    flip(copy / VALIDATION, 30)
    assert places(copy) == [
        (NAMES[0], 0, 0),
        (NAMES[0], 2, first[2][0]),
        (NAMES[1], 1, second[1][0]),
        (VALIDATION, 0, 0),
    ]
    assert check_dataset(copy, quiet=True).num_records == 8 - 4


@pytest.mark.parametrize("data", [b"", b"no example", b"\x0a\x7f", b"\xff" * 40])
def test_a_record_that_is_no_face_is_found_though_all_digests_are_right(copy, seal_set, data):
    write_record(copy / NAMES[0], 1, data)
    seal_set(copy)
    problem = check_dataset(copy, quiet=True).problems[0]
    assert (problem.file, problem.record, problem.offset) == (NAMES[0], 1, first_end(copy / NAMES[0]))
    assert problem.problem.startswith("expected")


@pytest.fixture(scope="module")
def drawn(make_set, drawn_image, tmp_path_factory):
    """A set of which record 3 of the source is cut short behind its header, which conversion does not see."""
    folder = tmp_path_factory.mktemp("decode")
    make_set(folder / "set", images=lambda key: drawn_image(key)[: -40 if key == 3 else None])
    settings = BuildSettings(plan=PlanSettings(num_shards=2, seed=1), quiet=True)
    build_dataset(RecordSetSource(folder / "set"), folder / "out", settings=settings)
    return folder / "out"


def test_an_image_that_cannot_be_decoded_is_named(drawn):
    assert check_dataset(drawn, quiet=True).problems == []
    problem = only_problem(drawn, decode=True)
    row = np.load(drawn / "records.npy")["source_key"].tolist().index(3)
    name = drawn / f"faces-train.tfrecord-0000{row // 6}-of-00002"
    assert (problem.file, problem.record, problem.key) == (name.name, row % 6, 3)
    assert problem.offset == frames_of(name)[row % 6][0]
    assert problem.problem.startswith("the image cannot be decoded: image file is truncated")


def test_images_of_another_kind_than_the_manifest_says_are_found(copy, seal_set):
    def change(manifest, **kind):
        manifest["image"]["kinds"][0].update(kind)

    for kind in ({"encoding": "png"}, {"height": 17}, {"width": 15}, {"channels": 1}):
        seal_set(copy, lambda m, kind=kind: change(m, **kind))
        assert check_dataset(copy, quiet=True).problems == []
        found = check_dataset(copy, decode=True, quiet=True)
        assert found.num_problems == 8 + 1
        assert found.problems[0].problem.endswith("received jpeg 16 x 16 x 3")
        seal_set(copy, lambda m: change(m, encoding="jpeg", height=16, width=16, channels=3))
    seal_set(copy, lambda m: change(m, num_images=7))
    problem = only_problem(copy, decode=True)
    assert problem.problem == "expected images of 8 jpeg 16 x 16 x 3, as in the shards, received 7 jpeg 16 x 16 x 3"
