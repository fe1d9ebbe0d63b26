import os
import stat
import subprocess
import sys

import pytest

from fr_data.errors import OutputError, OutputExistsError
from fr_data.files import (
    find_strangers,
    locked_folder,
    remove_drafts,
    remove_listed,
    require_output,
    require_output_folder,
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
    with pytest.raises(OutputExistsError, match=r"kept\.txt: exists already.*--overwrite"):
        require_output(place / "kept.txt", overwrite=False)
    assert require_output(place / "kept.txt", overwrite=True) == place / "kept.txt"


def test_an_output_in_a_folder_that_is_missing_is_refused(place):
    with pytest.raises(OutputError, match="its folder does not exist"):
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
    with pytest.raises(OutputError, match="is read by this command"):
        require_output(output, overwrite=True, sources=[source])


def test_a_file_in_a_source_folder_is_not_replaced_but_a_new_one_may_be_made(place):
    with pytest.raises(OutputError, match="belongs to"):
        require_output(place / "kept.txt", overwrite=True, sources=[place])
    assert require_output(place / "new.txt", overwrite=True, sources=[place]) == place / "new.txt"


@pytest.mark.parametrize("how", ["hard link", "link out of the folder", "deep link in a circle"])
def test_a_file_that_a_source_folder_holds_by_another_name_is_not_replaced(place, how):
    (place / "set" / "a").mkdir(parents=True)
    if how == "hard link":
        (place / "set" / "a" / "1").hardlink_to(place / "kept.txt")
    elif how == "link out of the folder":
        (place / "set" / "a" / "1").symlink_to(place / "kept.txt")
    else:
        (place / "set" / "a" / "up").symlink_to("..")
        (place / "set" / "a" / "out").symlink_to(place)
    with pytest.raises(OutputError, match="belongs to"):
        require_output(place / "kept.txt", overwrite=True, sources=[place / "set"])


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
        with pytest.raises(OutputError, match=f"received a {kind}"):
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


def test_what_leads_nowhere_or_has_too_long_a_name_ends_in_one_line(place):
    (place / "circle").symlink_to("circle")
    reader, writer = os.pipe()
    (place / "pipe").symlink_to(f"/proc/self/fd/{writer}")
    long = "x" * 5000
    for output, sources in (("circle", []), (long, []), ("pipe", []), ("kept.txt/new", []), (f"{long}/new", [])):
        with pytest.raises(OutputError, match=r"cannot be written|received a pipe|does not exist"):
            require_output(place / output, overwrite=True, sources=sources)
    os.close(reader)
    os.close(writer)
    assert require_output(place / "new", overwrite=True, sources=[place / "circle", place / long, "/"]) == place / "new"


def test_a_long_name_that_a_file_may_have_is_written(place):
    for name in ("x" * 255, "é" * 127):
        write_whole(place / name, "new")
        assert (place / name).read_text() == "new"


def test_a_folder_is_an_output_under_the_same_rules(place):
    (place / "set" / "in").mkdir(parents=True)
    (place / "link").symlink_to("set")
    assert require_output_folder(place / "new", overwrite=False) == place / "new"
    assert require_output_folder(place / "link", overwrite=True) == place / "set"
    for output, sources, message in (
        ("kept.txt", [], "expected a folder, or nothing; received a file"),
        ("set/../set", ["set"], "is read by this command"),
        ("link", ["set"], "is read by this command"),
        ("set/in", ["set"], "belongs to"),
        ("set", ["set/in"], "holds .*, which is read"),
        ("set/in/..", ["set/in"], "holds .*, which is read"),
        ("new/new", [], "its folder does not exist"),
    ):
        with pytest.raises(OutputError, match=message):
            require_output_folder(place / output, overwrite=True, sources=[place / source for source in sources])
    with pytest.raises(OutputExistsError, match="--overwrite"):
        require_output_folder(place / "set", overwrite=False)


@pytest.mark.parametrize("name", ["set/sub/..", "set/.", "."])
def test_a_folder_that_is_named_by_dots_is_replaced_where_it_lies(place, name, monkeypatch):
    (place / "set" / "sub").mkdir(parents=True)
    monkeypatch.chdir(place / "set" if name == "." else place)
    with whole_folder(name) as draft:
        assert draft.name == "set"
        draft.mkdir()
    assert listing(place) == ["kept.txt", "set"]


def test_the_root_folder_is_no_output():
    for attempt in (whole_folder, whole_file):
        with pytest.raises(OutputError, match="is the root folder"), attempt("/"):
            pass


def test_two_options_never_name_one_file(place):
    (place / "sub").mkdir()
    with pytest.raises(OutputError, match="named by --csv and by --report"):
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


def test_a_folder_is_the_old_one_where_the_block_fails(place):
    def fail():
        with whole_folder(place / "set") as draft:
            draft.mkdir()
            (draft / "new").touch()
            raise KeyboardInterrupt

    (place / "set").mkdir()
    (place / "set" / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert listing(place) == ["kept.txt", "set", "set/old"]


def test_text_is_written_with_its_line_ends(place):
    for text in ("99.75 ± 0.75 %\r\n", "shorter\n"):
        write_whole(place / "kept.txt", text)
        assert (place / "kept.txt").read_bytes() == text.encode()


def test_a_full_disk_leaves_the_old_file_and_no_draft(place):
    code = (
        "import resource, sys; from fr_data.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(sys.argv[1], bytes(2000))"
    )
    ended = subprocess.run([sys.executable, "-c", code, place / "kept.txt"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "kept.txt: cannot be written: File too large." in ended.stderr
    assert (place / "kept.txt").read_text() == "kept"
    assert listing(place) == ["kept.txt"]


def test_a_place_that_cannot_be_written_is_named(place):
    with pytest.raises(OutputError, match=r"missing/new: cannot be written: No such file"):
        write_whole(place / "missing" / "new", "x")


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

    with pytest.raises(OutputError, match="received a file"):
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
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(place / "new", "x")
    with pytest.raises(OutputError, match="its folder cannot be written to"):
        require_output(place / "new", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everywhere")
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(place):
    (place / "a").mkdir(mode=0)
    with pytest.raises(OutputError, match="a: cannot be listed"):
        find_strangers(place, ["a/known", "kept.txt"])


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
    with pytest.raises(OutputError, match=r"list\.json: lists"):
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
    with pytest.raises(OutputError, match=f"set.idx: expected a file, or nothing; received a {kind}"):
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
        pytest.raises(OutputError, match="new/set: another process is writing there"),
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
        with pytest.raises(OutputError, match=r"expected a folder, or nothing|cannot be written"), locked_folder(path):
            pass
    assert listing(place) == ["kept.txt"]
