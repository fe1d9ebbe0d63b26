import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from fr_data.bins.bins import BinError, read_bin, write_bin

TRUTHS = [True, False, True]


def save(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pairs.bin"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("store", "kind"),
    [
        (lambda image: image, "bytes"),
        (lambda image: np.frombuffer(image, np.uint8).copy(), "array (n,)"),
        (lambda image: np.frombuffer(image, np.uint8).copy()[:, np.newaxis], "array (n, 1)"),
    ],
)
def test_every_way_to_store_images_is_read(path, images, protocol, store, kind):
    bin_ = read_bin(save(path, ([store(image) for image in images], [True, False] * 3), protocol))
    assert bin_.images == images
    assert bin_.issame.tolist() == [True, False] * 3
    assert bin_.entry_kinds == {kind: 12}
    assert bin_.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (bin_.num_pairs, bin_.name, bin_.protocol) == (6, "pairs", protocol if protocol > 1 else 0)


@pytest.mark.parametrize(
    "truths",
    [
        [1, 0, 1],
        (True, False, True),
        np.array(TRUTHS),
        np.array([1, 0, 1], np.int64),
        np.array([1, 0, 1], ">i4"),
        np.array(TRUTHS, dtype=object),
        list(np.array(TRUTHS)),
        [np.int64(1), np.bool_(False), True],
    ],
)
def test_every_way_to_store_truths_is_read(path, images, truths):
    assert read_bin(save(path, [images[:6], truths])).issame.tolist() == TRUTHS


def test_an_array_of_objects_is_read_as_its_entries(path, images):
    entries = np.empty(6, object)
    entries[:] = images[:6]
    assert read_bin(save(path, (entries, TRUTHS))).images == images[:6]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda i: 7, "expected a pickle of \\(images, truths\\)"),
        (lambda i: (i, TRUTHS, 1), "a tuple of 3"),
        (lambda i: (i[:5], TRUTHS), "received 5 images and 3 truths \\(they need 6 images\\)"),
        (lambda i: (i, []), "received 12 images and 0 truths"),
        (lambda i: ([], []), "no pairs"),
        (lambda i: (b"text", TRUTHS), "expected a list of images"),
        (lambda i: (i[:6], 1), "expected a list or an array of truths"),
        (lambda i: (i[:6], [True, 2, False]), "truth 1: expected True or False .* the integer 2"),
        (lambda i: (i[:6], [True, None, False]), "truth 1"),
        (lambda i: (i[:6], np.array([1, 2, 0])), "truth 1"),
        (lambda i: (i[:6], np.array([[1], [0], [1]])), "one row of truths"),
        (lambda i: (i[:6], np.array([1.0, 0.0, 1.0])), "data type 'f8'"),
        (lambda i: ([*i[:5], "text"], TRUTHS), "entry 5 \\(pair 2, image 2 of 2\\)"),
        (lambda i: ([*i[:5], b""], TRUTHS), "no bytes"),
        (lambda i: ([*i[:5], b"no image"], TRUTHS), "entry 5 .* not a readable image"),
        (lambda i: ([*i[:5], i[5][:300]], TRUTHS), "entry 5 .* not a readable image"),
        (lambda i: ([np.zeros((2, 2), np.uint8), *i[:5]], TRUTHS), "entry 0 .* shape \\(2, 2\\)"),
        (lambda i: ([np.zeros(8, np.int64), *i[:5]], TRUTHS), "array of bytes"),
        (lambda i: ([np.zeros(0, np.uint8), *i[:5]], TRUTHS), "array of bytes"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused_with_the_place(path, images, value, message):
    with pytest.raises(BinError, match=message) as caught:
        read_bin(save(path, value(images)))
    assert str(caught.value).startswith(str(path))


def test_images_are_left_unchecked_when_asked(path, images):
    save(path, ([*images[:5], b"no image"], TRUTHS))
    assert read_bin(path, check_images=False).num_pairs == 3


@pytest.mark.parametrize(
    ("data", "like"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"PK\x03\x04 and so on", "ZIP"),
        (b"\xff\xd8\xff\xe0 and so on", "JPEG"),
        (b"\x1f\x8b\x08 and so on", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
    ],
)
def test_a_file_of_another_kind_is_named(path, data, like):
    path.write_bytes(data)
    with pytest.raises(BinError, match=like):
        read_bin(path)


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(BinError, match="received a folder"):
        read_bin(tmp_path)
    with pytest.raises(BinError, match="no such file"):
        read_bin(tmp_path / "missing.bin")


def test_trailing_bytes_are_refused(path, images):
    save(path, (images[:6], TRUTHS))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BinError, match="4 bytes follow"):
        read_bin(path)


def test_a_damaged_bin_is_read_or_refused_and_nothing_else(path, images):
    rng = np.random.default_rng(3)
    arrays = [np.frombuffer(image, np.uint8)[:, np.newaxis] for image in images[:6]]
    wholes = [pickle.dumps((images[:6], TRUTHS), 4), pickle.dumps((images[:6], TRUTHS), 2)]
    wholes += [pickle.dumps((arrays, np.array(TRUTHS)), 2), pickle.dumps((arrays, list(np.array(TRUTHS))), 5)]
    refused = 0
    for trial in range(600):
        data = bytearray(wholes[trial % len(wholes)])
        if trial % 3 == 0:
            del data[rng.integers(len(data)) :]
        else:
            # Most of a bin is image bytes: aim at its end, too, where the opcodes stand.
            first = 0 if trial % 3 == 1 else len(data) - 200
            for position in rng.integers(first, len(data), 1 + trial % 4):
                data[position] = rng.integers(256)
        path.write_bytes(data)
        try:
            assert read_bin(path).num_pairs == 3
        except BinError:
            refused += 1
    assert refused > 200


def test_a_written_bin_is_read_by_python_as_insightface_reads_it(path, images):
    write_bin(path, images, np.array([True, False] * 3))
    with path.open("rb") as file:
        entries, issame = pickle.load(file, encoding="bytes")
    assert entries == images
    assert issame == [True, False] * 3
    assert {type(entry) for entry in entries} == {bytes}
    assert {type(truth) for truth in issame} == {bool}
    assert read_bin(path).images == images


def test_equal_content_gives_equal_bytes(path, images):
    # Entry 4 repeats entry 0, once as the same object and once as a copy.
    write_bin(path, [*images[:4], images[0], images[5]], TRUTHS)
    first = path.read_bytes()
    write_bin(path, [*images[:4], bytes(bytearray(images[0])), images[5]], TRUTHS)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["pairs.bin"]


def test_the_bytes_of_a_written_bin_stay_as_they_are(path):
    write_bin(path, [b"abc", b"defg", b"abc", b"hi"], [True, False])
    assert path.read_bytes() == (
        b"\x80\x04\x95!\x00\x00\x00\x00\x00\x00\x00]\x94(C\x03abc\x94C\x04defg\x94h\x01C\x02hi\x94e]\x94(\x88\x89e\x86\x94."
    )


@pytest.mark.parametrize(
    ("images", "truths", "message"),
    [
        ([b"a", b"b"], [True, False], "2 images and 2 truths"),
        ([], [], "0 images"),
        ([b"a", b""], [True], "entry 1"),
        ([b"a", "b"], [True], "entry 1"),
        ([b"a", b"b"], [1], "truth 0"),
    ],
)
def test_a_bin_that_could_not_be_read_is_not_written(path, images, truths, message):
    with pytest.raises(BinError, match=message):
        write_bin(path, images, truths)
    assert not path.exists()


def test_the_module_imports_no_tensorflow_and_no_science():
    code = "import sys, fr_data.bins.bins; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("tensorflow", "keras", "sklearn", "matplotlib", "pandas", "PIL", "jinja2", "click", "tqdm"):
        assert f"'{name}'" not in loaded


@pytest.mark.shared
def test_real_bins_of_every_dialect_hold_what_they_should(shared):
    folder = shared / "mxnet" / "bins"
    truth = json.loads((folder / "truth.json").read_text())
    kinds = {
        "py2_str": "str (Python 2)",
        "py3_bytes": "bytes",
        "py3_list_numpy_bool": "bytes",
        "numpy1_arrays": "array (n,)",
        "numpy1_columns": "array (n, 1)",
        "numpy2_arrays": "array (n,)",
    }
    for name, kind in kinds.items():
        bin_ = read_bin(folder / f"{name}.bin")
        assert [hashlib.sha256(image).hexdigest() for image in bin_.images] == truth["sha256"]
        assert bin_.issame.tolist() == truth["issame"]
        assert bin_.entry_kinds == {kind: 40}
    for name in ("png", "mixed_sizes"):
        assert read_bin(folder / f"{name}.bin").issame.tolist() == truth["issame"]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_image", "entry 7 \\(pair 3"),
        ("odd_count", "39 images and 20 truths"),
        ("hostile_system", "'posix.system'"),
        ("hostile_eval", "'__builtin__.eval'"),
        ("hostile_builtin_getattr", "'builtins.getattr'"),
    ],
)
def test_real_damaged_and_hostile_bins_are_refused(shared, tmp_path, monkeypatch, name, message):
    path = (shared / "mxnet" / "bins" / f"{name}.bin").resolve()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BinError, match=message):
        read_bin(path)
    assert list(tmp_path.iterdir()) == []
