import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fr_eval.errors import EmbeddingFileError, MissingPackageError
from fr_eval.search.index import RECALL, SourceState, build_index, is_current, require_index, search_index
from fr_eval.search.neighbours import find_nearest


@pytest.fixture
def rows(unit_rows):
    """People with several images each."""
    people = np.repeat(unit_rows(300, 16), 8, axis=0)
    return (3 * (people + 0.15 * unit_rows(2400, 16, seed=1))).astype(np.float32)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "faces.npz").write_text("rows")
    return tmp_path / "faces.npz"


@pytest.fixture
def index(rows, source):
    pytest.importorskip("faiss")
    path = source.with_suffix(".faiss")
    build_index(path, rows, SourceState.read(source))
    return path


def test_it_finds_as_many_as_it_says(rows, source, unit_rows):
    pytest.importorskip("faiss")
    path = source.with_suffix(".faiss")
    recall = build_index(path, rows, SourceState.read(source))
    assert RECALL <= recall <= 1
    queries = rows[::50] + 0.1 * unit_rows(48, 16, seed=2)
    cosines, found = search_index(path, queries, count=5)
    exact_cosines, exact = find_nearest(rows, queries, count=5)
    assert np.mean([np.isin(right, row).mean() for right, row in zip(exact, found, strict=True)]) > 0.9
    same = found == exact
    assert np.allclose(cosines[same], exact_cosines[same], atol=1e-5)
    assert sorted(entry.name for entry in source.parent.iterdir()) == ["faces.faiss", "faces.npz"]


def test_faiss_itself_reads_the_file_and_finds_the_same(index, rows):
    import faiss

    queries = rows[::50] / 3
    cosines, found = faiss.read_index(str(index)).search(queries / np.linalg.norm(queries, axis=1, keepdims=True), 5)
    own_cosines, own = search_index(index, queries, count=5)
    assert np.array_equal(found, own)
    assert np.allclose(cosines, own_cosines, atol=1e-6)


def test_an_index_is_current_while_its_source_holds_the_same_whatever_the_times(index, source):
    assert is_current(index, source)
    os.utime(index, (0, 0))
    assert is_current(index, source)
    os.utime(source, (1, 1))
    assert is_current(index, source)
    shutil.copy(source, source.with_name("copy.npz"))
    assert is_current(index, source.with_name("copy.npz"))


@pytest.mark.parametrize("way", ["in place", "as a new file"])
def test_an_index_is_not_current_when_its_source_holds_something_else_of_the_same_size_and_time(index, source, way):
    times = source.stat().st_atime_ns, source.stat().st_mtime_ns
    written = source if way == "in place" else source.with_name("new")
    written.write_text("swor")
    os.utime(written, ns=times)
    written.replace(source)
    os.utime(index, None)
    assert not is_current(index, source)
    assert not is_current(index.with_name("missing"), source)
    build_index(index, np.ones((3, 2), np.float32), SourceState.read(source))
    assert is_current(index, source)


def test_an_index_of_another_size_says_so(index, rows):
    with pytest.raises(EmbeddingFileError, match="expected embeddings of 16 values; received 8"):
        search_index(index, rows[:1, :8], count=5)


def foreign(data):
    """Files that this program did not write."""
    yield from (b"", b"no index at all", data[:1000], data[:-1], data + b"\n", b"x" * len(data))


def test_a_file_that_has_no_mark_is_neither_searched_nor_replaced(index, rows, source):
    import faiss

    data = index.read_bytes()
    faiss.write_index(faiss.read_index(str(index)), str(index))  # as release 0.1.0 wrote it
    for content in (index.read_bytes(), *foreign(data)):
        index.write_bytes(content)
        for attempt in (
            lambda: require_index(index, sources=[source]),
            lambda: is_current(index, source),
            lambda: search_index(index, rows[:1], count=5),
            lambda: build_index(index, rows[:100], SourceState.read(source)),
        ):
            with pytest.raises(EmbeddingFileError, match="expected an index of `fr-eval search`; received another"):
                attempt()
        assert index.read_bytes() == content
    assert sorted(entry.name for entry in source.parent.iterdir()) == ["faces.faiss", "faces.npz"]


def test_damage_is_found_wherever_it_is(source, unit_rows):
    pytest.importorskip("faiss")
    rows, path = unit_rows(40, 4), source.with_suffix(".faiss")
    build_index(path, rows, SourceState.read(source))
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        with pytest.raises(EmbeddingFileError, match=r"is damaged: its checksums do not hold|received another file"):
            search_index(path, rows, count=3)  # so many that every list is looked at
    cut = data[:200] + data[300:]
    path.write_bytes(cut)
    with pytest.raises(EmbeddingFileError, match="is damaged"):
        require_index(path, sources=[])


def test_a_full_disk_leaves_the_old_index(index, source):
    code = (
        "import resource, sys; from pathlib import Path; import numpy as np\n"
        "from fr_eval.search.index import SourceState, build_index\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "build_index(Path(sys.argv[1]), np.ones((100, 16), np.float32), SourceState('', 0, 0, 0))"
    )
    before = index.read_bytes()
    ended = subprocess.run([sys.executable, "-c", code, index], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "EmbeddingFileError: " in ended.stderr
    assert "faces.faiss: cannot be written: " in ended.stderr
    assert index.read_bytes() == before
    assert sorted(entry.name for entry in source.parent.iterdir()) == ["faces.faiss", "faces.npz"]


def test_without_faiss_the_extra_is_named_before_any_work(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'fr-toolkit\[search\]'"):
        require_index(source.with_suffix(".faiss"), sources=[source])
