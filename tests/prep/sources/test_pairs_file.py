import pytest

from fr_prep.errors import SourceError
from fr_prep.sources.bins.pairs_file import read_pairs_file


@pytest.fixture
def read(tmp_path):
    """Reads a list of pairs that is given as text."""

    def read_text(text):
        (tmp_path / "pairs.txt").write_text(text, encoding="utf-8")
        return read_pairs_file(tmp_path / "pairs.txt", tmp_path / "lfw")

    return read_text


@pytest.fixture
def lfw(tmp_path):
    for name, number, suffix in (
        ("Ann_A", 1, "jpg"),
        ("Ann_A", 12, "jpg"),
        ("Bo", 1, "png"),
        ("Bo", 2, "jpg"),
        ("Cy", 1, "jpg"),
    ):
        (tmp_path / "lfw" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "lfw" / name / f"{name}_{number:04d}.{suffix}").touch()


def names(pairs, folder):
    return [path.relative_to(folder / "lfw").as_posix() for path in pairs.files]


def test_the_table_of_bin2jpeg_is_read(read, tmp_path):
    pairs = read('pair,first,second,same\n0,000000.jpg,000001.jpg,1\n1,"a, b.png",c d.jpg,0\n')
    assert names(pairs, tmp_path) == ["000000.jpg", "000001.jpg", "a, b.png", "c d.jpg"]
    assert (pairs.same, pairs.num_folds, pairs.kind) == ((True, False), None, "table of bin2jpeg")


@pytest.mark.usefixtures("lfw")
def test_the_folds_of_lfw_are_read(read, tmp_path):
    pairs = read("2\t1\nAnn_A\t1\t12\nAnn_A\t1\tCy\t1\nBo\t1\t2\nBo\t2\tAnn_A\t12\n")
    assert names(pairs, tmp_path) == [
        *("Ann_A/Ann_A_0001.jpg", "Ann_A/Ann_A_0012.jpg", "Ann_A/Ann_A_0001.jpg", "Cy/Cy_0001.jpg"),
        *("Bo/Bo_0001.png", "Bo/Bo_0002.jpg", "Bo/Bo_0002.jpg", "Ann_A/Ann_A_0012.jpg"),
    ]
    assert (pairs.same, pairs.num_folds, pairs.kind) == ((True, False, True, False), 2, "LFW pairs.txt")


@pytest.mark.usefixtures("lfw")
def test_a_list_of_lfw_without_folds_is_one_fold(read):
    pairs = read("2\r\nAnn_A 1 12\r\nBo 1 2\r\nAnn_A 1 Cy 1\r\nBo 2 Ann_A 12\r\n")
    assert (pairs.same, pairs.num_folds) == ((True, True, False, False), 1)


@pytest.mark.parametrize("text", ["a/1.jpg b/2.jpg 1\nc.jpg /d.jpg 0\n", "\na/1.jpg\tb/2.jpg\t1\n\nc.jpg\t/d.jpg\t0"])
def test_a_plain_list_is_read_and_a_whole_path_stays_one(read, tmp_path, text):
    pairs = read(text)
    assert [str(path) for path in pairs.files] == [
        *(str(tmp_path / "lfw" / name) for name in ("a/1.jpg", "b/2.jpg", "c.jpg")),
        "/d.jpg",
    ]
    assert (pairs.same, pairs.num_folds, pairs.kind) == ((True, False), None, "list of paths")


def test_a_path_with_spaces_stands_between_tabs(read, tmp_path):
    assert names(read("a b/1.jpg\tc d.jpg\t0"), tmp_path) == ["a b/1.jpg", "c d.jpg"]
    with pytest.raises(
        SourceError, match=r"line 2: expected two paths and 0 or 1, between tabs where a path holds spaces"
    ):
        read("a.jpg b.jpg 0\na b.jpg c.jpg 1")


@pytest.mark.usefixtures("lfw")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "received an empty file"),
        ("\n \n", "received an empty file"),
        ("first,second\na,b\n", r"expected the header pair,first,second,same, LFW's .* received 'first,second'"),
        ("a.jpg b.jpg -1\n", r"received 'a\.jpg b\.jpg -1'"),
        ("a.jpg b.jpg 1\na.jpg b.jpg yes\n", "line 2: expected two paths and 0 or 1"),
        ("pair,first,second,same\n", "received a header without any"),
        (
            "pair,first,second,same\n0,a,b,1\n1,a,b,2\n",
            "line 3: expected pair,first,second,same with same 0 or 1, received '1,a,b,2'",
        ),
        ("pair,first,second,same\n0,a,b\n", "line 2: expected pair,first,second,same"),
        (
            "10 300\nBo 1 2\n",
            "expected 10 folds of 300 same and 300 different pairs, as its first line says, received 1 lines",
        ),
        ("0\n", "expected 1 folds of 0"),
        ("1\nBo 1 2\nBo 1 2\n", "line 3: expected name, i, other name and j, received 'Bo 1 2'"),
        ("1\nBo 1 Cy 1\nBo 1 Cy 1\n", "line 2: expected name, i and j"),
        ("1\nBo 1 x\nBo 1 Cy 1\n", "line 2: expected name, i and j"),
        ("1\nBo 1 2\nBo 1 Cy 7\n", r"line 3: expected one image .*Cy_0007\.\*, it is there with none of \.jpg"),
    ],
)
def test_what_is_no_such_list_is_refused_by_its_line(read, text, message):
    with pytest.raises(SourceError, match=message):
        read(text)


@pytest.mark.usefixtures("lfw")
def test_an_image_of_lfw_with_two_endings_is_no_guess(read, tmp_path):
    (tmp_path / "lfw" / "Bo" / "Bo_0001.jpg").touch()
    with pytest.raises(SourceError, match=r"Bo_0001\.\*, it is there with several endings"):
        read("1\nBo 1 2\nBo 1 Cy 1\n")


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"\x80\x04\x95\xff\xfe")
    with pytest.raises(SourceError, match=r"x\.bin: expected a list of pairs, which is text in UTF-8"):
        read_pairs_file(tmp_path / "x.bin", tmp_path)
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read_pairs_file(tmp_path / "none.txt", tmp_path)
