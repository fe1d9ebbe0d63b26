import hashlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fr_prep.errors import SourceError
from fr_prep.sources.class_folders.class_listing import list_class_folders


def write(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())


def test_files_stand_class_by_class_and_by_path_whatever_the_depth(tmp_path):
    write(tmp_path, "b/2.jpg", "b/10.jpg", "a b/x.jpg", "a/z/1.jpg", "a/z-1.jpg", "a/z.jpg", "B/x.jpg", "é/1.jpg")
    listing = list_class_folders(tmp_path)
    assert listing.class_names == ("B", "a", "a b", "b", "é")
    assert list(listing.names) == [
        *("B/x.jpg", "a/z-1.jpg", "a/z.jpg", "a/z/1.jpg", "a b/x.jpg", "b/10.jpg", "b/2.jpg", "é/1.jpg")
    ]
    assert listing.class_numbers.tolist() == [0, 1, 1, 1, 2, 3, 3, 4]
    assert listing.sizes.tolist() == [len(name.encode()) for name in listing.names]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/.", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=4
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(NAMES, st.lists(NAMES, max_size=2).map(tuple), NAMES), min_size=1, max_size=12))
def test_whatever_files_are_called_they_come_in_the_order_of_class_and_path(tmp_path_factory, paths):
    folder = tmp_path_factory.mktemp("classes")
    written = [
        (f"c{name}", "/".join([*(f"c{inner}" for inner in inners), f"c{file}.f"])) for name, inners, file in paths
    ]
    for name, path in written:
        write(folder, f"{name}/{path}")
    listing = list_class_folders(folder)
    expected = sorted(written, key=lambda parts: (parts[0].encode(), parts[1].encode()))
    assert list(listing.names) == [f"{name}/{path}" for name, path in expected]
    assert [listing.class_names[number] for number in listing.class_numbers] == [name for name, _ in expected]


def test_hidden_and_special_files_and_those_beside_are_listed_apart(tmp_path):
    write(tmp_path, "a/1.jpg", "a/.DS_Store", "a/.cache/2.jpg", ".git/3.jpg", "labels.csv")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    listing = list_class_folders(tmp_path)
    assert list(listing.names) == ["a/1.jpg"]
    assert list(listing.hidden) == ["a/.DS_Store", "a/.cache/", "a/pipe.jpg"]
    assert listing.beside == (".git", "labels.csv")


def test_links_are_followed_and_one_that_leads_nowhere_has_no_size(tmp_path):
    write(tmp_path, "src/a/1.jpg", "elsewhere/2.jpg", "other.jpg")
    (tmp_path / "src" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "src" / "a" / "2.jpg").symlink_to(tmp_path / "other.jpg")
    (tmp_path / "src" / "a" / "3.jpg").symlink_to("nowhere")
    (tmp_path / "src" / "a" / "4.jpg").symlink_to("4.jpg")
    listing = list_class_folders(tmp_path / "src")
    assert list(listing.names) == ["a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg", "b/2.jpg"]
    assert listing.sizes.tolist() == [11, 9, -1, -1, 15]


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_that_leads_back_is_an_error_and_no_endless_walk(tmp_path, target):
    write(tmp_path, "a/deep/1.jpg")
    (tmp_path / "a" / "deep" / "back").symlink_to(target)
    with pytest.raises(SourceError, match=r"a/deep/back/: leads back to a folder that it stands in"):
        list_class_folders(tmp_path)


def test_the_digest_is_that_of_paths_and_sizes(tmp_path):
    write(tmp_path, "b/2.jpg", "a/1.jpg")
    before = list_class_folders(tmp_path)
    assert before.digest() == hashlib.sha256(b"a/1.jpg\x007\nb/2.jpg\x007\n").hexdigest()
    os.utime(tmp_path / "a" / "1.jpg", ns=(5, 5))
    after = list_class_folders(tmp_path)
    assert (before.digest() == after.digest(), before.stamp() == after.stamp()) == (True, False)


def test_the_first_file_that_differs_is_named(tmp_path):
    write(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg")
    before = list_class_folders(tmp_path)
    assert before.first_difference(list_class_folders(tmp_path)) is None
    (tmp_path / "a" / "2.jpg").write_bytes(b"longer than before")
    assert before.first_difference(list_class_folders(tmp_path)) == "a/2.jpg"
    before = list_class_folders(tmp_path)
    (tmp_path / "b" / "3.jpg").unlink()
    assert before.first_difference(list_class_folders(tmp_path)) == "b/3.jpg"
    write(tmp_path, "b/3.jpg", "b/0.jpg")
    assert before.first_difference(list_class_folders(tmp_path)) == "b/0.jpg"


@pytest.mark.parametrize("name", [b"two\nlines", b"a\xe2\x80\xa8b", b" ", b"\xff\xfe"])
def test_a_class_whose_name_the_class_index_cannot_hold_is_refused(tmp_path, name):
    (tmp_path / os.fsdecode(name)).mkdir()
    with pytest.raises(SourceError, match=r"expected a class folder.*Rename it"):
        list_class_folders(tmp_path)


def test_what_holds_no_class_folder_is_refused(tmp_path):
    with pytest.raises(SourceError, match="there is no such folder"):
        list_class_folders(tmp_path / "none")
    write(tmp_path, "flat/1.jpg", "flat/2.jpg")
    with pytest.raises(SourceError, match=r"expected a folder for each class.*holds 2 files and no folder"):
        list_class_folders(tmp_path / "flat")


def test_the_table_of_rec2jpeg_is_passed_over_beside_class_folders_only(tmp_path):
    write(tmp_path, "0/1.jpg", "0/images.csv", "images.csv", "others.csv")
    listing = list_class_folders(tmp_path)
    assert (listing.beside, list(listing.names)) == (("others.csv",), ["0/1.jpg", "0/images.csv"])


def test_an_unfinished_tree_of_rec2jpeg_is_refused(tmp_path):
    write(tmp_path, "0/1.jpg", "conversion.incomplete/1/2.jpg")
    with pytest.raises(SourceError, match=r"is unfinished, conversion\.incomplete is there"):
        list_class_folders(tmp_path)


@pytest.mark.usefixtures("as_nobody")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path, "a/1.jpg")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(SourceError, match=r"a/: cannot be read: Permission denied"):
            list_class_folders(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o755)
