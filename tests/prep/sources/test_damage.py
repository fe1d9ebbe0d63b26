"""Damaged sets under `--on-error skip`: what is sound comes out whole, what is not is listed, nothing is made up."""

import re
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fr_prep.errors import SourceError
from fr_prep.sources.image_reader import ImageReader
from fr_prep.sources.image_set import ImageSet
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_index import write_record_index
from fr_prep.sources.record_sets.recordio import RecordFile

MAGIC = bytes.fromhex("0a23d7ce")
SKIP = RecordSettings(on_error="skip")
HEADER_BYTES = 8 + 24  # frame and image header, in front of labels and image


def read_skipping(folder: Path, **options: object) -> ImageSet:
    return read_face_set(folder, RecordSettings(on_error="skip", **options))


def records_of(found: ImageSet) -> list[tuple[int, int, bytes]]:
    with ImageReader(found.places) as reader:
        images = [reader.read(row) for row in range(len(found.keys))]
    return list(zip(found.keys.tolist(), found.labels.tolist(), images, strict=True))


def truth_of(made: object, *, without: tuple[int, ...] = ()) -> list[tuple[int, int, bytes]]:
    return [(record.key, record.label, record.image) for record in made.records if record.key not in without]


def left_out_of(found: ImageSet) -> list[tuple[int, int | None]]:
    return [(record.offset, record.key) for record in found.left_out]


def patch(made: object, offset: int, content: bytes) -> None:
    whole = bytearray(made.rec.read_bytes())
    whole[offset : offset + len(content)] = content
    made.rec.write_bytes(whole)


def offset_of(made: object, key: int) -> int:
    return dict(made.entries)[key]


@pytest.fixture(params=[True, False], ids=["with idx", "without idx"])
def made(request: pytest.FixtureRequest, tmp_path: Path, make_set: Callable) -> object:
    """12 images, keys 1 to 12 with `.idx` and without."""
    return make_set(tmp_path, index=request.param)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("array_labels", [True, False])
def test_a_sound_set_is_the_same_whether_damage_may_be_skipped_or_not(
    tmp_path: Path, make_set: Callable, numbered_jpeg: Callable, index: bool, header: bool, array_labels: bool
) -> None:
    make_set(
        tmp_path,
        index=index,
        header=header,
        array_labels=array_labels,
        images=lambda key: numbered_jpeg(key) + bytes(key % 4) + MAGIC * (key % 3),
    )
    skipped, strict = read_skipping(tmp_path), read_face_set(tmp_path)
    assert records_of(skipped) == records_of(strict)
    assert (skipped.dialect, skipped.warnings, skipped.left_out) == (strict.dialect, [], ())
    assert skipped.num_other_records == strict.num_other_records


def at_length(length: int) -> Callable[[int], tuple[int, bytes]]:
    return lambda at: (at + 4, struct.pack("<I", length))


# What is done to a record that has 335 bytes, and the reason that is given for leaving it out.
WRONG = {
    "no magic": (lambda at: (at, bytes(4)), "expected the RecordIO magic 0xced7230a at byte {}, received 0x00000000"),
    "a frame of zeros": (lambda at: (at, bytes(40)), "expected the RecordIO magic"),
    "a later part": (lambda at: (at + 7, b"\x40"), "received a later part of a split record"),
    "an unknown flag": (lambda at: (at + 7, b"\xa0"), "received an unknown continuation flag, 5"),
    "a first part": (lambda at: (at + 7, b"\x20"), "expected a length divisible by 4 of the part at byte {}"),
    "too long": (at_length(400), "says that it reaches to byte .*, but at byte .* another frame starts"),
    "longer than the file": (at_length(2**29 - 1), "says that it (is|reaches to byte) .*, but"),
    "too short": (at_length(200), "ends at byte .*, but its image does not"),
    "shorter by a byte": (at_length(334), "ends at byte .*, but its image does not"),
    "shorter than its header": (at_length(20), "an image header of 24 bytes, but is 20"),
    "of no bytes": (at_length(0), "an image header of 24 bytes, but is 0"),
    "many labels": (lambda at: (at + 8, struct.pack("<I", 10**9)), "an image header of 4000000024 bytes"),
    "label one half": (lambda at: (at + 12, struct.pack("<f", 0.5)), "expected a class as label.* received 0.5"),
    "label nan": (lambda at: (at + 12, struct.pack("<f", float("nan"))), "expected a class as label.* received nan"),
    "no JPEG": (lambda at: (at + 32, bytes(8)), "expected a JPEG or PNG image"),
    "an image of zeros": (lambda at: (at + 32, bytes(300)), "expected a JPEG or PNG image"),
}


@pytest.mark.parametrize("key", [1, 7, 12], ids=["first", "middle", "last"])
@pytest.mark.parametrize("name", WRONG)
def test_a_damaged_record_is_left_out_and_listed_and_no_other(made: object, name: str, key: int) -> None:
    change, reason = WRONG[name]
    at = offset_of(made, key)
    patch(made, *change(at))
    found = read_skipping(made.folder)
    assert records_of(found) == truth_of(made, without=(key,))
    assert left_out_of(found) == [(at, key)]
    reason_given = found.left_out[0].reason
    if name in ("no magic", "a frame of zeros", "a later part", "an unknown flag") and not made.idx.exists():
        assert reason_given == f"Bytes {at} to {at + 344} hold no sound record: no record starts there."
    else:
        assert re.search(reason.format(at), reason_given, re.IGNORECASE)
    (warning,) = [warning for warning in found.warnings if "left out" in warning]
    assert warning == (
        f"1 damaged records or stretches were left out, 15 records are sound; the first, at byte {at}, key {key}: {reason_given}"
    )


def test_records_beside_one_another_are_left_out_one_by_one_with_an_idx_and_as_a_stretch_without(made: object) -> None:
    start, end = offset_of(made, 4), offset_of(made, 7)
    patch(made, start, bytes(end - start))
    found = read_skipping(made.folder)
    if made.idx.exists():
        assert records_of(found) == truth_of(made, without=(4, 5, 6))
        assert left_out_of(found) == [(offset_of(made, key), key) for key in (4, 5, 6)]
    else:
        # Nothing says that three are gone: the stretch takes one key.
        expected = truth_of(made, without=(4, 5, 6))
        assert records_of(found) == [(key - 2 * (key > 6), label, image) for key, label, image in expected]
        assert left_out_of(found) == [(start, 4)]
        assert f"Bytes {start} to {end} hold no sound record" in found.left_out[0].reason


def test_header_and_identity_records_are_left_out_as_well(made: object) -> None:
    for key in (0, 14):
        patch(made, offset_of(made, key), bytes(8))
    found = read_skipping(made.folder)
    assert records_of(found) == truth_of(made)
    assert left_out_of(found) == [(offset_of(made, key), key) for key in (0, 14)]
    assert found.num_other_records == 2


@pytest.mark.parametrize("length", range(0, 4288, 61))
def test_of_a_file_cut_short_all_whole_records_come_out(made: object, length: int) -> None:
    whole = made.rec.read_bytes()
    assert len(whole) == 4288
    made.rec.write_bytes(whole[:length])
    kept = [record for record in truth_of(made) if offset_of(made, record[0]) + 344 <= length]
    if not kept:
        with pytest.raises(SourceError, match=r"train\.rec: (expected|is)|expected image records"):
            read_skipping(made.folder)
        return
    found = read_skipping(made.folder)
    assert records_of(found) == kept
    named_after = [key for key, offset in made.entries if offset + (344 if 1 <= key <= 12 else 40) > length]
    if made.idx.exists():
        assert sorted(key for _, key in left_out_of(found)) == sorted(named_after)


@pytest.mark.parametrize("num_bytes", [4, 8, 40, 348, 1000])
@pytest.mark.parametrize("inside", [True, False], ids=["in a record", "between records"])
def test_records_behind_bytes_that_were_put_in_come_out_with_their_keys(
    made: object, num_bytes: int, inside: bool
) -> None:
    whole, at = made.rec.read_bytes(), offset_of(made, 6) + 100 * inside
    made.rec.write_bytes(whole[:at] + b"\x55" * num_bytes + whole[at:])
    found = read_skipping(made.folder)
    if inside or made.idx.exists():
        assert records_of(found) == truth_of(made, without=(6,) if inside else ())
    else:  # the stretch takes a key
        assert records_of(found) == [(key + (key > 5), label, image) for key, label, image in truth_of(made)]
    if made.idx.exists():
        assert left_out_of(found) == ([(offset_of(made, 6), 6)] if inside else [])
        assert any("records of train.rec stand elsewhere than train.idx says" in text for text in found.warnings)


def test_records_behind_bytes_that_are_gone_come_out_with_their_keys(made: object) -> None:
    whole, at = made.rec.read_bytes(), offset_of(made, 6) + 100
    made.rec.write_bytes(whole[:at] + whole[at + 400 :])
    found = read_skipping(made.folder)
    expected = truth_of(made, without=(6, 7))
    if not made.idx.exists():
        expected = [(key - (key > 7), label, image) for key, label, image in expected]
    assert records_of(found) == expected


def test_ids_that_are_no_keys_are_not_taken_for_keys(
    tmp_path: Path, make_set: Callable, write_records: Callable, numbered_jpeg: Callable
) -> None:
    payloads = [pack_image_record(float(key % 2), key=11 - key, image=numbered_jpeg(key)) for key in range(12)]
    offsets = write_records(tmp_path / "train.rec", payloads)
    write_record_index(tmp_path / "train.idx", list(enumerate(offsets)))
    whole = (tmp_path / "train.rec").read_bytes()
    (tmp_path / "train.rec").write_bytes(whole[: offsets[6]] + bytes(8) + whole[offsets[6] :])
    found = read_skipping(tmp_path)
    assert found.keys.tolist() == list(range(6))
    assert [record.key for record in found.left_out] == list(range(6, 12))
    assert any("6 sound records of train.rec are not named in train.idx" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (1, "no multiple of 4"),
        (4, "expected the RecordIO magic"),
        (10**6, "outside the file"),
        (2**40, "outside the file"),
    ],
)
def test_an_entry_of_the_idx_that_points_nowhere_is_mended_by_the_id_or_left_out(
    tmp_path: Path, make_set: Callable, shift: int, reason: str
) -> None:
    made = make_set(tmp_path)
    write_record_index(made.idx, [(key, offset + shift * (key == 5)) for key, offset in made.entries])
    found = read_skipping(tmp_path)
    assert (records_of(found), found.left_out) == (truth_of(made), ())
    assert found.warnings == [
        f"1 records of train.rec stand elsewhere than train.idx says, and were found by their ids (key 5 at byte "
        f"{offset_of(made, 5)}, for instance)."
    ]
    patch(made, offset_of(made, 5) + 16, struct.pack("<Q", 999))
    found = read_skipping(tmp_path)
    assert records_of(found) == truth_of(made, without=(5,))
    assert left_out_of(found) == [(offset_of(made, 5) + shift, 5)]
    assert reason in found.left_out[0].reason.replace("Exp", "exp")


def test_an_image_that_says_nothing_of_its_end_is_not_kept_beside_damage_and_a_whole_one_is(
    tmp_path: Path, make_set: Callable, numbered_jpeg: Callable
) -> None:
    endless = numbered_jpeg(3)[:-2]
    made = make_set(tmp_path, images=lambda key: endless if key == 3 else numbered_jpeg(key))
    assert records_of(read_skipping(tmp_path)) == truth_of(made)
    patch(made, offset_of(made, 4), bytes(8))
    assert records_of(read_skipping(tmp_path)) == truth_of(made, without=(3, 4))
    patch(made, offset_of(made, 10), bytes(8))
    assert records_of(read_skipping(tmp_path)) == truth_of(made, without=(3, 4, 10))


@pytest.mark.parametrize("empty", [pack_image_record(0.0, key=2), pack_image_record([0.0], key=2)])
def test_an_empty_image_is_left_out(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable, empty: bytes
) -> None:
    sound = [pack_image_record(float(key), key=key, image=numbered_jpeg(key)) for key in range(2)]
    offsets = write_records(tmp_path / "train.rec", [*sound, empty])
    found = read_skipping(tmp_path)
    assert found.keys.tolist() == [0, 1]
    assert left_out_of(found) == [(offsets[2], 2)]
    assert found.num_other_records == 0


def test_a_png_and_an_image_with_much_in_front_of_its_size_are_known_for_what_they_are(
    tmp_path: Path, make_set: Callable, numbered_jpeg: Callable, plain_png: bytes
) -> None:
    comment = b"\xff\xfe\x40\x00" + bytes(0x4000 - 2)
    images = [numbered_jpeg(1), plain_png, numbered_jpeg(2)[:2] + comment + numbered_jpeg(2)[2:]]
    made = make_set(tmp_path, images=lambda key: images[key % 3])
    for key in (2, 5):  # the one in front must show its end
        patch(made, offset_of(made, key), bytes(8))
    assert records_of(read_skipping(tmp_path)) == truth_of(made, without=(2, 5))


def test_the_number_of_workers_changes_nothing(
    tmp_path: Path, make_set: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fr_prep.sources.record_sets.unknown_images._TASK_IMAGES", 5)
    made = make_set(tmp_path)
    for key in (3, 11):
        patch(made, offset_of(made, key) + 32, bytes(20))
    one, many = read_skipping(tmp_path), read_skipping(tmp_path, num_workers=3)
    assert one.keys.tolist() == many.keys.tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 10, 12]
    assert one.left_out == many.left_out


def test_a_set_of_which_nothing_is_sound_is_refused(made: object) -> None:
    for key, offset in made.entries:
        patch(made, offset + (32 if 1 <= key <= 12 else 0), bytes(8))
    with pytest.raises(
        SourceError, match=r"train\.rec: expected image records, but each of them is damaged \(1[236]\)"
    ):
        read_skipping(made.folder)
    made.rec.write_bytes(bytes(5000))
    with pytest.raises(SourceError, match="expected image records, but none is sound: no record starts there"):
        read_skipping(made.folder)


def test_a_set_of_which_most_is_lost_is_warned_of_loudly(made: object) -> None:
    for key in range(2, 11):
        patch(made, offset_of(made, key) + 32, bytes(8))
    found = read_skipping(made.folder)
    assert found.keys.tolist() == [1, 11, 12]
    assert any(warning.startswith("MORE THAN HALF OF THE SET IS LOST: 9 damaged") for warning in found.warnings)


def test_a_stretch_of_most_of_the_file_is_warned_of_loudly(tmp_path: Path, make_set: Callable) -> None:
    made = make_set(tmp_path, index=False)
    patch(made, offset_of(made, 3), bytes(2500))
    assert any(warning.startswith("MORE THAN HALF OF THE SET IS LOST") for warning in read_skipping(tmp_path).warnings)


def test_a_label_that_a_record_has_not_is_left_out(
    tmp_path: Path, write_records: Callable, numbered_jpeg: Callable
) -> None:
    labels = [[0.0, 5.0], 1.0, [2.0, 6.0]]
    payloads = [pack_image_record(label, key=key, image=numbered_jpeg(key)) for key, label in enumerate(labels)]
    write_records(tmp_path / "train.rec", payloads)
    found = read_skipping(tmp_path, label_position=1)
    assert (found.keys.tolist(), found.labels.tolist()) == ([0, 2], [5, 6])
    assert "a label at position 1" in found.left_out[0].reason


# -- anything at all

PLACES = st.integers(0, 2**20)
MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("zero"), PLACES, st.integers(1, 900)),
        st.tuples(st.just("write"), PLACES, st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("insert"), PLACES, st.integers(1, 300)),
        st.tuples(st.just("delete"), PLACES, st.integers(1, 300)),
        st.tuples(st.just("truncate"), PLACES, st.just(0)),
        # At a frame, which the place is the number of.
        st.tuples(st.just("magic"), PLACES, st.integers(1, 2**32 - 1)),
        st.tuples(st.just("flag"), PLACES, st.integers(1, 7)),
        st.tuples(st.just("length"), PLACES, st.one_of(st.integers(-400, 400), st.integers(0, 2**29 - 1))),
    ),
    min_size=1,
    max_size=3,
)


class Mutated:
    """A file's bytes, and for each the place in the sound file that it is from, or -1."""

    def __init__(self, content: bytes) -> None:
        self.content, self.origins = bytearray(content), list(range(len(content)))
        self.frames = [at for at in range(0, len(content), 4) if content[at : at + 4] == MAGIC]

    def apply(self, kind: str, place: int, what: int | bytes) -> None:
        at = place % (len(self.content) + 1)
        frame = self.frames[place % len(self.frames)]
        match kind:
            case "magic":
                self._add(frame, what)
            case "flag":
                self._add(frame + 4, what << 29)
            case "length":
                self._add(frame + 4, what)
            case "flip":
                self._put(at, bytes(byte ^ 1 << what for byte in self.content[at : at + 1]))
            case "zero":
                self._put(at, bytes(len(self.content[at : at + what])))
            case "write":
                self._put(at, what[: len(self.content) - at])
            case "insert":  # what is shifted off the 4-byte steps can be found by no reader
                self.content[at:at], self.origins[at:at] = b"\x5a" * 4 * what, [-1] * 4 * what
            case "delete":
                del self.content[at : at + 4 * what], self.origins[at : at + 4 * what]
            case "truncate":
                del self.content[at:], self.origins[at:]

    def _add(self, at: int, number: int) -> None:
        if at + 4 <= len(self.content):
            old = int.from_bytes(self.content[at : at + 4], "little")
            self._put(at, ((old + number) % 2**32).to_bytes(4, "little"))

    def _put(self, at: int, content: bytes) -> None:
        for place, byte in enumerate(content, start=at):
            if self.content[place] != byte:
                self.content[place], self.origins[place] = byte, -1

    def find(self, start: int, end: int) -> int:
        """Where a stretch of the sound file is now, whole and on a 4-byte step, or -1."""
        at = self.origins.index(start) if start in self.origins else -1
        return at if self.origins[at : at + end - start] == list(range(start, end)) and at % 4 == 0 else -1


def varied_image(key: int) -> bytes:
    """What looks like a JPEG from its frame to its end, of another length for each key; every third one holds the magic."""
    magics = b"".join(MAGIC + b"x" for _ in range(5 * (key % 3 == 1)))  # at every alignment
    comment = bytes(range(1, 20 + 11 * key)) + magics
    frame = bytes.fromhex("ffc0 000b 08 0010 0010 01 011100") + bytes.fromhex("ffda 0008 01 0100 003f00")
    scan = bytes(range(1, 150 + 2 * key))
    return b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + frame + scan + magics + b"\xff\xd9"


class Truth:
    """A sound set, and where each byte of each of its records lies."""

    def __init__(self, made: object) -> None:
        self.made, self.content = made, made.rec.read_bytes()
        self.records = {record.key: (record.label, record.image) for record in made.records}
        offsets = sorted(offset for _, offset in made.entries)
        ends = dict(pairwise([*offsets, len(self.content)]))
        self.stretches = {key: (offset, ends[offset]) for key, offset in made.entries if key in self.records}
        with RecordFile(made.rec) as file:
            self.places = {key: payload_places(file, offset_of(made, key)) for key in self.records}

    def explains(self, label: int, image: bytes, places: list[int], origins: list[int], key: int) -> bool:
        """Whether a record is this one but for bytes that are not its own any more."""
        true_label, true_image = self.records[key]
        true_places = self.places[key]
        same = [origins[place] == true for place, true in zip(places, true_places, strict=False)]
        start = len(true_places) - len(true_image)
        return (
            len(image) == len(places) - start
            and abs(len(image) - len(true_image)) <= 3  # within the padding
            and (label == true_label or not all(same[4:8]))
            and all(byte == true or not own for byte, true, own in zip(image, true_image, same[start:], strict=False))
        )


def payload_places(file: RecordFile, offset: int) -> list[int]:
    """The byte offset of each byte of a payload; the magic between two parts is that of the second one's frame."""
    places: list[int] = []
    for start, length in file.parts_at(offset):
        places += [*(range(start - 8, start - 4) if start > offset + 8 else ()), *range(start, start + length)]
    return places


@pytest.fixture(
    scope="module",
    params=[(True, True), (True, False), (False, True), (False, False)],
    ids=["header and idx", "header", "idx", "bare"],
)
def truth(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_set: Callable,
) -> Truth:
    """Ten images of as many lengths; every third one is in a split record."""
    header, index = request.param
    made = make_set(
        tmp_path_factory.mktemp("sound"),
        num_classes=2,
        images_per_class=5,
        header=header,
        index=index,
        images=varied_image,
    )
    return Truth(made)


def check(truth: Truth, mutated: Mutated) -> None:
    """Reads the mutated file: records of which no byte was touched must be there, and nothing else but for bytes that were."""
    truth.made.rec.write_bytes(mutated.content)
    now = {key: mutated.find(*stretch) for key, stretch in truth.stretches.items()}
    in_place = {key for key, offset in now.items() if offset == truth.stretches[key][0]}
    # With an .idx the ids tell where shifted records are, if so many are in place that they can be trusted.
    found_anywhere = not truth.made.idx.exists() or len(in_place) > 5
    expected = {key for key, offset in now.items() if offset >= 0} if found_anywhere else in_place
    try:
        found = read_skipping(truth.made.folder)
    except SourceError:
        assert not expected
        return
    records = {key: (label, image) for key, label, image in records_of(found)}
    assert len(records) == len(found.keys)
    if truth.made.idx.exists():
        assert {key: records.get(key) for key in expected} == {key: truth.records[key] for key in expected}
        assert truth.records.keys() - records.keys() == {left.key for left in found.left_out} & truth.records.keys()
    else:
        values = list(records.values())
        places = [values.index(truth.records[key]) for key in sorted(expected, key=lambda key: now[key])]
        assert places == sorted(places)
    with RecordFile(truth.made.rec) as file:
        for (key, record), offset in zip(records.items(), found.places.record_offsets.tolist(), strict=True):
            places = payload_places(file, offset)
            keys = [key] if truth.made.idx.exists() and found_anywhere else truth.records
            assert any(truth.explains(*record, places, mutated.origins, key) for key in keys)


@given(mutations=MUTATIONS)
@settings(max_examples=150, deadline=None)
def test_exactly_the_undamaged_records_come_out(truth: Truth, mutations: list[tuple[str, Any, Any]]) -> None:
    mutated = Mutated(truth.content)
    for mutation in mutations:
        mutated.apply(*mutation)
    check(truth, mutated)


@pytest.mark.slow
@pytest.mark.parametrize("index", [True, False], ids=["with idx", "without idx"])
def test_no_flipped_bit_of_a_frame_or_of_the_numbers_behind_it_costs_another_record_or_makes_one_up(
    tmp_path: Path, make_set: Callable, index: bool
) -> None:
    truth = Truth(make_set(tmp_path, num_classes=1, images_per_class=3, index=index, images=varied_image))
    for frame in Mutated(truth.content).frames:
        for place in range(frame, min(frame + 16, len(truth.content))):
            for bit in range(8):
                mutated = Mutated(truth.content)
                mutated.apply("flip", place, bit)
                check(truth, mutated)
