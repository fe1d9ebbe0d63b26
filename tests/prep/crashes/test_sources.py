"""A source that changes, shrinks, goes away or cannot be read while it is converted."""

import itertools
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest


def change_bytes(rec):
    """Changes a digit in the image in the middle of the file, and nothing else."""
    content = rec.read_bytes()
    place = content.index(b"image 00", len(content) // 2) + len("image 00")
    with rec.open("r+b") as file:
        file.seek(place)
        file.write(b"x")


def change_and_put_back_the_time(rec):
    times = rec.stat()
    change_bytes(rec)
    os.utime(rec, ns=(times.st_atime_ns, times.st_mtime_ns))


def append(rec):
    with rec.open("ab") as file:
        file.write(bytes(4))


def replace_by_another(rec):
    other = rec.with_name("other")
    shutil.copy2(rec, other)
    change_bytes(other)
    other.replace(rec)


def replace_by_another_of_the_same_time(rec):
    other = rec.with_name("other")
    shutil.copy2(rec, other)
    change_and_put_back_the_time(other)
    other.replace(rec)


def cut_short(rec):
    os.truncate(rec, rec.stat().st_size // 2)


def touch_the_index(rec):
    rec.with_suffix(".idx").touch()


CHANGES = {
    "bytes changed": change_bytes,
    "bytes changed and the time put back": change_and_put_back_the_time,
    "bytes appended": append,
    "replaced": replace_by_another,
    "replaced by a file of the same time": replace_by_another_of_the_same_time,
    "touched": lambda rec: rec.touch(),
    "index touched": touch_the_index,
    "cut short": cut_short,
    "removed": lambda rec: rec.unlink(),
    "made unreadable": lambda rec: rec.chmod(0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_while_it_is_read_gives_no_set(conversion, goes_on, tmp_path, many, change):
    rng, outcomes = random.Random(change), Counter()
    changing = replace(conversion, source=tmp_path / "set", as_user=change == "made unreadable")
    for attempt in itertools.count():
        shutil.copytree(conversion.source, tmp_path / "set", dirs_exist_ok=True)
        out = tmp_path / f"out{attempt}"
        old, options = (conversion.put_old(out), ["--overwrite"]) if rng.random() < 0.5 else ({}, [])
        process = changing.start(out, *options)
        conversion.wait_for_shards(process, out, rng.randrange(1, conversion.num_shards // 3))
        CHANGES[change](tmp_path / "set" / "train.rec")
        ended = changing.wait(process)
        shutil.rmtree(tmp_path / "set")
        if ended.code == 0:  # it was read whole before
            assert conversion.digest(out) == conversion.whole
        else:
            assert (ended.code, ended.said.count("\n")) == (1, 1), ended
            assert ended.said.startswith(f"Error: {tmp_path / 'set'}"), ended
            assert not out.exists() or conversion.check_left(out, old) in ("not begun", "planned", "shards")
        outcomes["refused" if ended.code else "read before"] += 1
        assert goes_on(out, "--overwrite").code == 0
        assert conversion.digest(out) == conversion.whole
        if outcomes["refused"] >= -(-many(1) // 4):
            break
    print(f"{change}: {dict(outcomes)}")


def test_a_source_that_is_cut_short_while_its_index_is_read_is_said(conversion, tmp_path):
    """The file is mapped into memory, and to touch what is no longer there would end the process without a word."""
    shutil.copytree(conversion.source, tmp_path / "set")
    code = (
        "import os, sys, pathlib; from fr_prep.errors import SourceError\n"
        "from fr_prep.sources.record_sets.recordio import RecordFile\n"
        "file = RecordFile(pathlib.Path(sys.argv[1])); os.truncate(sys.argv[1], 100_000)\n"
        "try: file.record_offsets()\n"
        "except SourceError as error: sys.exit(str(error))"
    )
    rec = tmp_path / "set" / "train.rec"
    ended = subprocess.run([sys.executable, "-c", code, rec], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended
    assert ended.stderr.startswith(f"{rec}: cannot be read between byte 0 and "), ended


def test_a_source_on_a_disk_that_cannot_be_read_is_said(conversion, memory_path, mount):
    """The file system lies in a file that is cut short under it: what was behind the cut gives an input/output error."""
    image, disk = memory_path / "image", memory_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    if not shutil.which("mkfs.ext4"):
        pytest.skip("mkfs.ext4 is missing")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", conversion.source, image], check=True)
    rec = (conversion.source / "train.rec").read_bytes()
    cut = image.read_bytes().index(rec[-50_000:-45_000]) & -4096
    mount("-o", "loop,ro,noload", image, disk)
    try:
        os.truncate(image, cut)
        ended = replace(conversion, source=disk).run(memory_path / "out")
    finally:
        subprocess.run(["umount", disk], check=True)
    assert (ended.code, ended.said.count("\n")) == (1, 1), ended
    assert ended.said.startswith(f"Error: {disk}"), ended
    assert "the disk fails there" in ended.said, ended
