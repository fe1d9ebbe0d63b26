import numpy as np
import pytest

from fr_prep.errors import DamagedRecordError, SourceError
from fr_prep.sources.record_sets.face_records import RecordSettings
from fr_prep.sources.record_sets.image_records import pack_image_record
from fr_prep.sources.record_sets.insightface import read_face_set
from fr_prep.sources.record_sets.record_files import find_record_file
from fr_prep.sources.record_sets.record_index import write_record_index


def test_a_set_with_header_gives_its_images_in_file_order(make_set, tmp_path):
    made = make_set(tmp_path, num_classes=3, images_per_class=[1, 4, 2])
    found = read_face_set(tmp_path)
    assert found.keys.tolist() == [record.key for record in made.records]
    assert found.labels.tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert found.places.image_lengths.tolist() == [len(record.image) for record in made.records]
    assert found.num_other_records == 4
    assert found.warnings == []
    assert "InsightFace" in found.dialect


def test_a_set_without_header_or_index_or_property_is_read_as_well(make_set, tmp_path):
    made = make_set(tmp_path, header=False, index=False, property_text=None)
    found = read_face_set(tmp_path)
    assert found.keys.tolist() == list(range(len(made.records)))
    assert found.num_other_records == 0
    assert "no .idx" in found.dialect
    assert (found.property, found.warnings) == (None, [])


def test_without_index_keys_are_positions_in_the_file(make_set, tmp_path):
    make_set(tmp_path, num_classes=2, images_per_class=2, index=False)
    assert read_face_set(tmp_path).keys.tolist() == [1, 2, 3, 4]


def test_labels_may_stand_in_arrays_with_gaps(make_set, tmp_path):
    make_set(tmp_path, labels=[5, 900, -2], array_labels=True)
    found = read_face_set(tmp_path)
    assert np.unique(found.labels).tolist() == [-2, 5, 900]
    assert "arrays of 2" in found.dialect


def test_the_path_may_be_the_rec_itself(make_set, tmp_path):
    made = make_set(tmp_path)
    assert find_record_file(made.rec) == made.rec
    assert read_face_set(made.rec).path == made.rec


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "received nothing"), (["a.txt"], "received a.txt"), (["a.rec", "b.rec"], "a.rec, b.rec.*Give the path")],
)
def test_a_folder_without_one_rec_is_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=message):
        find_record_file(tmp_path)


def test_train_rec_is_taken_among_several(make_set, tmp_path):
    made = make_set(tmp_path)
    (tmp_path / "other.rec").touch()
    assert find_record_file(tmp_path) == made.rec


@pytest.mark.parametrize("name", ["nothing", "file.txt"])
def test_what_is_no_set_is_refused(tmp_path, name):
    (tmp_path / "file.txt").touch()
    with pytest.raises(SourceError, match=name):
        read_face_set(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"x", b"hello, I am no RecordIO file, but text of some length"])
def test_a_file_that_is_no_recordio_is_refused(tmp_path, content):
    (tmp_path / "train.rec").write_bytes(content)
    with pytest.raises(SourceError, match=r"train\.rec"):
        read_face_set(tmp_path)


@pytest.mark.parametrize("label", [0.5, float("nan"), float("inf"), float(2**40)], ids=str)
def test_a_label_that_is_no_class_is_refused_by_its_key(write_records, gray_jpeg, tmp_path, label):
    payloads = [pack_image_record(float(value), key=0, image=gray_jpeg) for value in (0, label, 1)]
    write_records(tmp_path / "train.rec", payloads)
    with pytest.raises(SourceError, match="key 1: expected a class"):
        read_face_set(tmp_path)


def test_labels_past_exact_float32_are_warned_of(make_set, tmp_path):
    make_set(tmp_path, labels=[0, 1, 2**24 + 2])
    assert any("16,777,216" in warning for warning in read_face_set(tmp_path).warnings)


def test_a_wrong_header_count_is_a_warning_and_the_images_count(make_set, tmp_path):
    made = make_set(tmp_path, num_classes=2, images_per_class=3)
    patched = bytearray(made.rec.read_bytes())
    start = made.entries[0][1] + 8 + 24
    patched[start : start + 4] = np.float32(100).tobytes()
    made.rec.write_bytes(patched)
    found = read_face_set(tmp_path)
    assert len(found.keys) == 6
    assert "promises 99 images, the file holds 6" in found.warnings[0]


def test_wrong_identity_ranges_are_a_warning_and_the_labels_count(make_set, tmp_path):
    made = make_set(tmp_path, num_classes=2, images_per_class=3)
    patched = bytearray(made.rec.read_bytes())
    start = made.entries[-1][1] + 8 + 24
    patched[start : start + 4] = np.float32(5).tobytes()
    made.rec.write_bytes(patched)
    found = read_face_set(tmp_path)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert "ranges of the identity records disagree" in found.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("9,16,16", "promises 9 classes"), ("x", "expected `classes,height,width`"), ("3,16", "expected")],
)
def test_a_property_that_disagrees_is_a_warning(make_set, tmp_path, text, message):
    make_set(tmp_path, property_text=text)
    assert any(message in warning for warning in read_face_set(tmp_path).warnings)


def test_records_that_the_index_does_not_name_are_counted(make_set, tmp_path):
    made = make_set(tmp_path, num_classes=2, images_per_class=3, header=False)
    write_record_index(made.idx, [entry for entry in made.entries if entry[0] not in (1, 2, 5)])
    found = read_face_set(tmp_path)
    assert found.keys.tolist() == [0, 3, 4]
    assert any("3 records of train.rec are not named in train.idx" in warning for warning in found.warnings)


def test_the_index_of_another_file_is_refused_by_the_offset(make_set, tmp_path):
    made = make_set(tmp_path)
    write_record_index(made.idx, [(key, offset + 4) for key, offset in made.entries])
    with pytest.raises(DamagedRecordError, match=r"expected the RecordIO magic .* at byte 4") as raised:
        read_face_set(tmp_path)
    assert raised.value.offset == 4


def test_a_file_cut_short_anywhere_is_refused(make_set, tmp_path):
    made = make_set(tmp_path, num_classes=2, images_per_class=2, header=False)
    whole = made.rec.read_bytes()
    ends = {offset for _, offset in made.entries} | {len(whole)}
    for index in (True, False):
        for length in range(0, len(whole), 13):
            made.rec.write_bytes(whole[:length])
            made.idx.unlink(missing_ok=True)
            if index:
                write_record_index(made.idx, made.entries)
            if index or length not in ends:
                with pytest.raises(SourceError):
                    read_face_set(tmp_path)


def test_a_set_without_any_image_is_refused(write_records, tmp_path):
    write_records(tmp_path / "train.rec", [pack_image_record([1.0, 1.0], key=0)])
    with pytest.raises(SourceError, match="without an image"):
        read_face_set(tmp_path)


def test_an_unreadable_file_is_said(make_set, tmp_path, as_nobody):
    made = make_set(tmp_path)
    made.rec.chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        read_face_set(tmp_path)


@pytest.mark.parametrize(("position", "expected"), [(0, [5, 5, 6, 6]), (1, [20, 20, 10, 10]), (2, [-1, -1, 0, 0])])
def test_any_label_of_an_array_can_be_the_class(make_set, tmp_path, position, expected):
    make_set(tmp_path, num_classes=2, images_per_class=2, labels=[[5.0, 20.0, -1.0], [6.0, 10.0, 0.0]])
    found = read_face_set(tmp_path, RecordSettings(label_position=position))
    assert found.labels.tolist() == expected
    assert found.warnings == []


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [0.0, 1.0, 2.0],
            r"key 1: expected a label at position 2, but of labels the record holds a single one, position 0. 12 of",
        ),
        (
            [[0.0, 9.0, 4.0], [1.0, 9.0], 2.0],
            r"key 5: .* position 2, but of labels the record holds 2, from position 0 to 1. 8 of",
        ),
    ],
    ids=["single", "two of three"],
)
def test_a_label_that_a_record_has_not_is_refused_by_key_and_number(make_set, tmp_path, labels, message):
    make_set(tmp_path, labels=labels)
    with pytest.raises(
        SourceError, match=f"{message} 12 labels are like that: .* or another --label-position is its class"
    ):
        read_face_set(tmp_path, RecordSettings(label_position=2))


def test_a_label_at_a_position_must_be_a_whole_number_too(make_set, tmp_path):
    make_set(tmp_path, labels=[[0.0, 1.0], [1.0, 0.25], [2.0, 1.0]])
    with pytest.raises(SourceError, match=r"key 5: expected a class as label, a whole number, received 0.25. 4 of 12"):
        read_face_set(tmp_path, RecordSettings(label_position=1))
