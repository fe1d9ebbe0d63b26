"""Every command that writes, with every output that it must not touch: nothing that was there before is another afterwards."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from fr_data.bins.bins import write_bin
from fr_prep.cli import main

# Command → its line; OUT is what is written.
FILES = {
    "preview": ["preview", "set", "OUT.png"],
    "preview of a bin": ["preview", "x.bin", "OUT.html"],
    "preview of findings": ["preview", "set", "OUT.html", "--found", "found.csv"],
    "stats --table": ["stats", "set", "--workers", "1", "--table", "OUT.csv"],
    "stats --picture": ["stats", "set", "--workers", "1", "--picture", "OUT.png"],
    "stats --list": ["stats", "set", "--workers", "1", "--list", "OUT.csv", "--bins", "x.bin"],
    "stats --overlay": ["stats", "shards", "--workers", "1", "--overlay", "OUT.csv"],
    "bin2jpeg": ["bin2jpeg", "x.bin", "--output", "OUT.bin"],
    "folder2bin": ["folder2bin", "people", "OUT.bin", "--num-pairs", "2", "--folds", "1", "--workers", "1"],
    "folder2bin --pairs": ["folder2bin", "people", "OUT.bin", "--pairs", "pairs.csv"],
}
# What each of them reads.
SOURCES = {
    "preview": ["set/train.rec", "set/property"],
    "preview of a bin": ["x.bin"],
    "preview of findings": ["found.csv", "set/train.rec"],
    "stats --table": ["set/train.rec", "set/train.idx"],
    "stats --picture": ["set/train.rec", "set/property"],
    "stats --list": ["set/train.rec", "x.bin"],
    "stats --overlay": ["shards/manifest.json", "shards/faces-train.tfrecord-00000-of-00001"],
    "bin2jpeg": ["x.bin"],
    "folder2bin": ["people/Ann/1.jpg"],
    "folder2bin --pairs": ["people/Ann/1.jpg", "pairs.csv"],
}
FOLDERS = {
    "rec2tfrecord": ["rec2tfrecord", "set", "OUT", "--workers", "1"],
    "folder2tfrecord": ["folder2tfrecord", "people", "OUT", "--workers", "1"],
    "rewrite": ["rewrite", "shards", "OUT", "--workers", "1"],
    "merge": ["merge", "shards", "others", "OUT", "--workers", "1"],
    "bin2tfrecord": ["bin2tfrecord", "x.bin", "OUT", "--workers", "1"],
    "rec2jpeg": ["rec2jpeg", "set", "OUT", "--workers", "1"],
    "tfrecord2rec": ["tfrecord2rec", "shards", "OUT", "--workers", "1"],
    "bin2jpeg --folder": ["bin2jpeg", "x.bin", "--folder", "OUT"],
    "demo-data": ["demo-data", "OUT", "--identities", "2", "--images", "2", "--pairs", "20", "--workers", "1"],
}
# A file of each, and what marks the result as whole.
MARKS = {
    "rec2tfrecord": "manifest.json",
    "folder2tfrecord": "classes.csv",
    "rewrite": "records.npy",
    "merge": "features.json",
    "bin2tfrecord": "dataset_info.json",
    "rec2jpeg": "images.csv",
    "tfrecord2rec": "train.rec",
    "bin2jpeg --folder": "pairs.csv",
    "demo-data": "unseen.bin",
}


def entries(folder):
    """All that is in a folder: kind, and bytes of files or where links lead."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content = path.readlink() if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
        found[path.relative_to(folder).as_posix()] = (stat.S_IFMT(mode), content)
    return found


@pytest.fixture(scope="module")
def sources(make_set, drawn_image, tmp_path_factory):
    """A folder with a source of each kind."""
    tmp_path = tmp_path_factory.mktemp("sources")
    make_set(tmp_path / "set", num_classes=2, images_per_class=2, images=drawn_image)
    for seed, name in enumerate(("shards", "others")):
        line = ["rec2tfrecord", tmp_path / "set", tmp_path / name, "--shards", "1", "--workers", "1", "-q"]
        assert run(*line, "--seed", seed).exit_code == 0
    write_bin(tmp_path / "x.bin", [drawn_image(number) for number in range(4)], [True, False])
    for number, name in enumerate(("Ann", "Bob", "Cem")):
        (tmp_path / "people" / name).mkdir(parents=True)
        for image in (1, 2):
            (tmp_path / "people" / name / f"{image}.jpg").write_bytes(drawn_image(10 * number + image))
    (tmp_path / "pairs.csv").write_text("pair,first,second,same\n0,Ann/1.jpg,Ann/2.jpg,1\n1,Ann/1.jpg,Bob/2.jpg,0\n")
    header = "kind,distance,fine_distance,class,source_key,other_class,other_key,bin,bin_entry,problem"
    (tmp_path / "found.csv").write_text(f"{header}\nduplicate,0,0,0,1,1,3,,,\n")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    return tmp_path


@pytest.fixture
def place(sources, tmp_path, monkeypatch):
    """A copy of that folder, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(sources, tmp_path, dirs_exist_ok=True))


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def with_out(line, out):
    return [str(out) if argument.partition(".")[0] == "OUT" else argument for argument in line]


def out_of(line):
    """The name that a line gives its output, with the ending that the command wants."""
    return next(argument for argument in line if argument.partition(".")[0] == "OUT")


def require_refusal(ended, before, place):
    assert ended.exit_code in (1, 2), ended.output
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert ended.stderr.rstrip("\n").rpartition("\n")[2].startswith("Error: ")
    assert entries(place) == before


@pytest.mark.parametrize("command", FILES)
def test_a_file_is_written_and_replaced_by_overwrite_only(place, command):
    line = FILES[command]
    out, before = place / out_of(line), entries(place)
    ended = run(*with_out(line, out))
    assert ended.exit_code == 0, ended.output
    written = out.read_bytes()
    out.write_text("mine")
    require_refusal(run(*with_out(line, out)), {**before, out.name: (stat.S_IFREG, b"mine")}, place)
    assert run(*with_out(line, out), "--overwrite").exit_code == 0
    assert out.read_bytes() == written
    assert {name: entry for name, entry in entries(place).items() if name != out.name} == before


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("how", ["itself", "link", "hard link", "by dots"])
def test_a_file_that_is_read_is_not_written(place, command, how):
    for source in SOURCES[command]:
        out = place / source
        if how == "by dots":
            out = place / "kept" / ".." / source
        elif how != "itself":
            out = place / out_of(FILES[command])
            out.symlink_to(place / source) if how == "link" else out.hardlink_to(place / source)
        before = entries(place)
        ended = run(*with_out(FILES[command], out), "--overwrite")
        if how == "hard link":  # another name of the file, which alone is taken away from it
            assert {**entries(place), out.name: before[out.name]} == before
        else:
            require_refusal(ended, before, place)
        if how in ("link", "hard link"):
            out.unlink()


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("kind", ["folder", "link to a folder", "pipe", "link to a device", "device", "no folder"])
def test_nothing_but_a_file_is_replaced_by_one(place, command, kind):
    out = place / out_of(FILES[command])
    if kind == "folder":
        (place / "kept").rename(out)
    elif kind == "link to a folder":
        out.symlink_to(place / "kept")
    elif kind == "pipe":
        os.mkfifo(out)
    elif kind == "link to a device":
        out.symlink_to("/dev/null")
    else:
        out = Path("/dev/null") if kind == "device" else place / "none" / out.name
    before, device = entries(place), os.lstat("/dev/null")
    require_refusal(run(*with_out(FILES[command], out), "--overwrite"), before, place)
    assert os.lstat("/dev/null").st_ino == device.st_ino


@pytest.mark.parametrize("command", FILES)
def test_a_link_to_a_file_stays_and_drafts_of_others_do_too(place, command):
    out = place / out_of(FILES[command])
    out.symlink_to(Path("kept", "mine.txt"))
    (place / f"{out.name}.incomplete").mkdir()
    (place / f"{out.name}.incomplete" / "mine.txt").write_text("mine")
    before = entries(place)
    assert run(*with_out(FILES[command], out), "--overwrite").exit_code == 0
    after = entries(place)
    assert after.pop("kept/mine.txt") != before.pop("kept/mine.txt")
    assert after == before


@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_is_written_and_replaced_by_overwrite_only_and_strangers_stay(place, command):
    line, out = with_out(FOLDERS[command], "out"), place / "out"
    before = entries(place)
    ended = run(*line)
    assert ended.exit_code == 0, ended.output
    written = entries(out)
    assert MARKS[command] in written
    whole = entries(place)
    require_refusal(run(*line), whole, place)
    (out / "notes.txt").write_text("mine")
    (out / "sub").mkdir()
    (out / "sub" / "0.jpg").write_text("mine")
    whole = entries(place)
    ended = run(*line, "--overwrite")
    if ended.exit_code:
        require_refusal(ended, whole, place)
    assert entries(place) == whole
    assert {name: entry for name, entry in entries(place).items() if name.partition("/")[0] != "out"} == before


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
@pytest.mark.parametrize("beside", ["nothing", "a result"])
def test_what_is_no_file_is_not_replaced_by_one(place, command, kind, beside):
    line, out = with_out(FOLDERS[command], "out"), place / "out"
    if beside == "a result":
        assert run(*line).exit_code == 0
        (out / MARKS[command]).unlink()
    out.mkdir(exist_ok=True)
    mark = out / MARKS[command]
    {"link": lambda: mark.symlink_to("../kept/mine.txt"), "folder": mark.mkdir, "pipe": lambda: os.mkfifo(mark)}[kind]()
    before = entries(place)
    require_refusal(run(*line, "--overwrite"), before, place)


@pytest.mark.parametrize("command", FOLDERS)
def test_a_file_of_somebody_else_is_not_replaced_unless_the_command_names_it(place, command):
    out = place / "out"
    out.mkdir()
    (out / MARKS[command]).write_text("mine")
    before = entries(place)
    ended = run(*with_out(FOLDERS[command], "out"), "--overwrite")
    if command in ("tfrecord2rec", "demo-data"):  # whose help names the files that they write
        assert ended.exit_code == 0
    else:
        require_refusal(ended, before, place)


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("kind", ["file", "link to a file", "in a file", "pipe", "device"])
def test_what_is_no_folder_is_not_replaced_by_one(place, command, kind):
    out = place / "out"
    if kind == "link to a file":
        out.symlink_to(Path("kept", "mine.txt"))
    elif kind == "pipe":
        os.mkfifo(out)
    else:
        out = {"file": place / "kept/mine.txt", "in a file": place / "kept/mine.txt/out", "device": Path("/dev/null")}[
            kind
        ]
    before = entries(place)
    require_refusal(run(*with_out(FOLDERS[command], out), "--overwrite"), before, place)


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("kind", ["link to a folder", "file", "folder"])
@pytest.mark.parametrize("beside", ["nothing", "a result"])
def test_what_has_the_name_of_the_staging_folder_stays(place, command, kind, beside):
    line, out = with_out(FOLDERS[command], "out"), place / "out"
    if beside == "a result":
        assert run(*line).exit_code == 0
    staging = out / "conversion.incomplete"
    out.mkdir(exist_ok=True)
    if kind == "link to a folder":
        staging.symlink_to("../kept")
    elif kind == "file":
        staging.write_text("mine")
    else:
        staging.mkdir()
        (staging / "mine.txt").write_text("mine")
    before = entries(place)
    run(*line)
    assert entries(place).items() >= before.items()
    assert run(*line, "--overwrite").exit_code in (0, 1)
    assert entries(place).items() >= before.items()


def test_a_bin_of_the_set_that_is_replaced_is_not_read(place):
    run("bin2tfrecord", "x.bin", "out", "--name", "faces")
    bin_path = place / "out" / "faces-validation.bin"
    (place / "x.bin").rename(bin_path)
    before = entries(place)
    ended = run("bin2tfrecord", bin_path, "out", "--overwrite")
    require_refusal(ended, before, place)
    assert "is read by this command, and may be replaced by it" in ended.stderr


def test_every_command_that_writes_is_tried():
    known = {line[0] for line in [*FILES.values(), *FOLDERS.values()]}
    assert known == set(main.commands) - {"inspect", "verify"}
    assert FILES.keys() == SOURCES.keys()
    assert FOLDERS.keys() == MARKS.keys()
