import hashlib
import io
import zipfile

import numpy as np
import pytest

from fr_data.bins.bins import read_bin
from fr_eval.errors import ModelError
from fr_eval.models.stored_embeddings import load_embeddings

ROWS = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)


@pytest.fixture
def bin_(bin_path):
    return read_bin(bin_path)


def test_a_npy_file_holds_the_rows_of_the_one_bin(bin_, tmp_path):
    np.save(tmp_path / "e.npy", ROWS)
    stored = load_embeddings(tmp_path / "e.npy")
    assert stored.digest == hashlib.sha256((tmp_path / "e.npy").read_bytes()).hexdigest()
    found = stored.take(bin_, is_only=True)
    assert np.array_equal(found.plain, ROWS)
    assert found.mirrored is None
    with pytest.raises(
        ModelError, match="expected an array named 'pairs', as there are several bins; received 'embeddings'"
    ):
        stored.take(bin_, is_only=False)


@pytest.mark.parametrize("names", [("embeddings", "mirrored"), ("pairs", "pairs_mirrored")])
def test_a_npz_file_holds_mirrored_rows_as_well(names, bin_, tmp_path):
    np.savez(tmp_path / "e.npz", **dict(zip(names, (ROWS, 2 * ROWS), strict=True)))
    stored = load_embeddings(tmp_path / "e.npz")
    found = stored.take(bin_, is_only=True)
    assert np.array_equal(found.plain, ROWS)
    assert np.array_equal(found.mirrored, 2 * ROWS)
    assert stored.take(bin_, is_only=True, mirror=False).mirrored is None


def test_arrays_named_as_the_bins_serve_several(bin_, tmp_path):
    np.savez(tmp_path / "e.npz", pairs=ROWS, other=ROWS[:3], mirrored=ROWS)
    found = load_embeddings(tmp_path / "e.npz").take(bin_, is_only=False)
    assert np.array_equal(found.plain, ROWS)
    assert found.mirrored is None


@pytest.mark.parametrize("rows", [ROWS[:79], ROWS[0], ROWS[..., np.newaxis], np.float32(1)])
def test_other_shapes_than_two_rows_a_pair_are_refused(rows, bin_, tmp_path):
    np.savez(tmp_path / "e.npz", embeddings=rows)
    with pytest.raises(
        ModelError, match=r"e\.npz: expected the array 'embeddings' .*pairs\.bin.* shape \(80, D\); received"
    ):
        load_embeddings(tmp_path / "e.npz").take(bin_, is_only=True)


def test_what_is_no_file_of_arrays_is_refused(bin_, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", embeddings=np.array([{}]))
    np.savez(tmp_path / "whole.npz", embeddings=ROWS)
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    np.save(tmp_path / "whole.npy", ROWS)
    (tmp_path / "half.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:500])
    (tmp_path / "page.npy").write_text("<html>")
    stream = io.BytesIO()
    np.save(stream, ROWS)
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("embeddings.npy", stream.getvalue()[:500])
    for name, message in (
        ("missing.npy", "there is no such file"),
        ("page.npy", "the file begins like HTML"),
        ("objects.npy", "allow_pickle=False"),
        ("half.npz", "not a zip file"),
        ("half.npy", "expected embeddings as NumPy writes them"),
        ("objects.npz", "the array 'embeddings' cannot be read: .*allow_pickle=False"),
        ("bad.npz", "the array 'embeddings' cannot be read"),
    ):
        with pytest.raises(ModelError, match=rf"{name}: .*{message}"):
            load_embeddings(tmp_path / name).take(bin_, is_only=True)
