import os
import stat
import subprocess
import sys

import pytest

from fr_data.errors import FileError
from fr_data.files import (
    find_strangers,
    locked_folder,
    remove_drafts,
    remove_listed,
    require_output,
    require_outputs,
    whole_file,
    whole_files,
    whole_folder,
    write_whole,
)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    return tmp_path


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_an_output_that_is_there_is_refused_without_overwrite(place):
    with pytest.raises(FileError, match=r"kept\.txt: exists already.*--overwrite"):
        require_output(place / "kept.txt", overwrite=False)
    assert require_output(place / "kept.txt", overwrite=True) == place / "kept.txt"


def test_an_output_in_a_folder_that_is_missing_is_refused(place):
    with pytest.raises(FileError, match="its folder does not exist"):
        require_output(place / "no" / "a.txt", overwrite=False)


@pytest.mark.parametrize("how", ["same", "link", "dots", "hard link"])
def test_a_source_is_never_an_output(place, how):
    source = place / "kept.txt"
    (place / "sub").mkdir()
    output = {"same": source, "dots": place / "sub" / ".." / "kept.txt"}.get(how, place / "other")
    if how == "link":
        output.symlink_to(source)
    if how == "hard link":
        output.hardlink_to(source)
    with pytest.raises(FileError, match="is read by this command"):
        require_output(output, overwrite=True, sources=[source])


def test_a_file_in_a_source_folder_is_not_replaced_but_a_new_one_may_be_made(place):
    with pytest.raises(FileError, match="lies in"):
        require_output(place / "kept.txt", overwrite=True, sources=[place])
    assert require_output(place / "new.txt", overwrite=True, sources=[place]) == place / "new.txt"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_only_regular_files_are_replaced(place, kind):
    path = place / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = type(path)("/dev/null")
    for attempt in (lambda: require_output(path, overwrite=True), lambda: write_whole(path, "new")):
        with pytest.raises(FileError, match=f"received a {kind}"):
            attempt()
    assert not stat.S_ISREG(path.lstat().st_mode)


def test_a_link_to_a_file_is_followed_and_stays(place):
    link = place / "link"
    link.symlink_to("kept.txt")
    target = require_output(link, overwrite=True)
    write_whole(link, "new")
    assert target == place / "kept.txt"
    assert link.is_symlink()
    assert (place / "kept.txt").read_text() == "new"


def test_two_options_never_name_one_file(place):
    (place / "sub").mkdir()
    with pytest.raises(FileError, match="named by --csv and by --report"):
        require_outputs({"--csv": place / "a", "--report": f"{place}/sub/../a"}, overwrite=True)


def test_a_file_is_the_old_one_until_the_new_one_is_whole(place):
    def fail():
        with whole_file(place / "kept.txt") as draft:
            draft.write_text("half")
            assert draft.name == "kept.txt"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (place / "kept.txt").read_text() == "kept"
    assert listing(place) == ["kept.txt"]
    write_whole(place / "kept.txt", b"new")
    assert (place / "kept.txt").read_bytes() == b"new"
    assert listing(place) == ["kept.txt"]


def test_drafts_of_others_stay(place):
    (place / "out.txt.incomplete").mkdir()
    (place / "out.txt.incomplete" / "mine").touch()
    write_whole(place / "out.txt", "new")
    with whole_folder(place / "out") as draft:
        draft.mkdir()
    assert listing(place) == ["kept.txt", "out", "out.txt", "out.txt.incomplete", "out.txt.incomplete/mine"]


def test_a_folder_never_takes_the_place_of_a_file_nor_a_file_of_a_folder(place):
    def make():
        with whole_folder(place / "kept.txt") as draft:
            draft.mkdir()

    with pytest.raises(FileError, match="received a file"):
        make()
    assert (place / "kept.txt").read_text() == "kept"


def test_a_folder_replaces_the_old_one_as_a_whole(place):
    for name in ("old", "new"):
        with whole_folder(place / "set") as draft:
            draft.mkdir()
            (draft / name).write_text(name)
    assert listing(place) == ["kept.txt", "set", "set/new"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_ends_in_one_line(place):
    place.chmod(0o500)
    with pytest.raises(FileError, match="cannot be written"):
        write_whole(place / "new", "x")


def test_strangers_are_all_that_no_list_names(place):
    (place / "a" / "b").mkdir(parents=True)
    for name in ("a/known", "a/b/other"):
        (place / name).touch()
    (place / "a" / "link").symlink_to("known")
    (place / "empty").mkdir()
    assert find_strangers(place, ["a/known", "gone"]) == ["a/b", "a/b/other", "a/link", "empty", "kept.txt"]
    assert find_strangers(place, ["a/known", "a/b/other", "kept.txt", "a/link"]) == ["a/link", "empty"]


@pytest.mark.parametrize("name", ["../kept.txt", "/etc/passwd", "link/x", "a//x", "./x", "", "a", "nul\0", 3, None])
def test_a_forged_list_removes_nothing(place, name):
    folder = place / "set"
    (folder / "a").mkdir(parents=True)
    (folder / "own").touch()
    (place / "x").touch()
    (folder / "link").symlink_to(place)
    before = listing(place)
    with pytest.raises(FileError, match=r"list\.json: lists"):
        remove_listed(folder, ["own", name], list_name="list.json")
    assert listing(place) == before


def test_listed_files_are_removed_and_missing_ones_passed_over(place):
    (place / "a").mkdir()
    (place / "a" / "own").touch()
    remove_listed(place, ["a/own", "a/gone", "gone/gone"], list_name="list.json")
    assert listing(place) == ["a", "kept.txt"]


def write_group(folder, names, text):
    with whole_files(folder, names) as draft:
        for name in names:
            (draft / name).write_text(text)


def test_files_that_belong_together_are_replaced_as_a_group(place):
    names = ["set.rec", "set.idx"]
    write_group(place, names, "old")

    def fail():
        with whole_files(place, names) as draft:
            (draft / "set.rec").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {(place / name).read_text() for name in names} == {"old"}
    write_group(place, names, "new")
    assert {(place / name).read_text() for name in names} == {"new"}
    assert listing(place) == ["kept.txt", "set.idx", "set.rec"]


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_a_group_replaces_files_only(place, kind):
    path = place / "set.idx"
    {"folder": path.mkdir, "link": lambda: path.symlink_to("kept.txt"), "pipe": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(FileError, match=f"set.idx: expected a file, or nothing; received a {kind}"):
        write_group(place, ["set.rec", "set.idx"], "new")
    assert listing(place) == ["kept.txt", "set.idx"]
    assert (place / "kept.txt").read_text() == "kept"


def test_drafts_are_removed_by_what_they_hold(place):
    for name in (
        "a.abcd1234.incomplete/a",
        "a.abcd_234.incomplete/b",
        "a.bcde1234.incomplete/mine",
        "b.abcd1234.incomplete/a",
        "c.abcd1234.incomplete/a",
        "a.incomplete/a",
        "a.ABCD1234.incomplete/a",
    ):
        (place / name).parent.mkdir()
        (place / name).touch()
    (place / "a.link1234.incomplete").symlink_to("a.incomplete")
    remove_drafts(place, {"a", "b"}.__contains__)
    remaining = ["a.ABCD1234.incomplete", "a.bcde1234.incomplete", "a.incomplete", "a.link1234.incomplete"]
    assert sorted(path.name for path in place.iterdir()) == [*remaining, "c.abcd1234.incomplete", "kept.txt"]


def test_a_folder_is_locked_for_one_writer_of_any_process(place):
    code = "import sys; from fr_data.files import locked_folder\n"
    code += "with locked_folder(sys.argv[1]): print('locked', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, place / "new" / "set"], stdin=-1, stdout=-1)
    assert holder.stdout.readline() == b"locked\n"
    with (
        pytest.raises(FileError, match="new/set: another process is writing there"),
        locked_folder(place / "new" / "set"),
    ):
        pass
    holder.communicate(b"")
    assert listing(place) == ["kept.txt"], "a folder that stayed empty goes, and those above it"
    with locked_folder(place / "new") as folder:
        (folder / "file").touch()
    assert listing(place) == ["kept.txt", "new", "new/file"]


def test_what_can_be_no_folder_is_not_locked(place):
    for path in (place / "kept.txt", place / "kept.txt" / "set", place / ("a" * 300)):
        with pytest.raises(FileError, match=r"expected a folder, or nothing|cannot be written"), locked_folder(path):
            pass
    assert listing(place) == ["kept.txt"]
