"""A disk that fills up at each point of a conversion, or fails there."""

import errno
import itertools
import re
import shutil
import subprocess
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest

ALONE = ("--workers", "1")
PAGE_BYTES = 4096


@pytest.fixture
def mounted(mount):
    """Gives what mounts something for a while; the last argument is the folder."""

    @contextmanager
    def mount_for_a_while(*arguments):
        mount(*arguments)
        try:
            yield
        finally:
            subprocess.run(["umount", arguments[-1]], check=True)

    return mount_for_a_while


@pytest.fixture
def set_free_pages(mount):
    def set_pages(disk, num_pages):
        mount("-o", f"remount,size={shutil.disk_usage(disk).used + num_pages * PAGE_BYTES}", disk)

    return set_pages


def assert_said(ended, out, pattern):
    """The error is one line that names the folder, or a file in it, and says what to do."""
    assert (ended.code, ended.said.count("\n")) == (1, 1), ended
    assert ended.said.startswith(f"Error: {out}"), ended
    assert re.search(pattern, ended.said), ended


@pytest.mark.parametrize("old_set", [False, True], ids=["new folder", "over an old set"])
def test_a_disk_that_is_full_at_any_page_is_said_and_harms_nothing(stepped, mounted, set_free_pages, tmp_path, old_set):
    conversion, phases, disk = stepped.conversion, Counter(), tmp_path / "disk"
    options, out = [*ALONE, *(["--overwrite"] if old_set else [])], disk / "out"
    disk.mkdir()
    for num_pages in range(100):
        with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk):
            old = conversion.put_old(out) if old_set else {}
            set_free_pages(disk, num_pages or 1)
            ended = stepped.run(out, *options)
            if ended.code == 0:
                break
            assert_said(ended, out, r"The disk is full: free some space, then|bytes of free space")
            phase = conversion.check_left(out, old) if out.exists() else "not begun"
            set_free_pages(disk, 100)
            conversion.check_goes_on(out, phase, old, stepped.run)
            phases[phase] += 1
    print(f"{phases.total()} sizes of the disk: {dict(phases)}")
    assert {"not begun", "shards", "tables", "syncing"} <= set(phases)


FAILURES = {
    errno.ENOSPC: "The disk is full: free some space, then go on with --resume.",
    errno.EDQUOT: "The disk quota is used up: free some space, then go on with --resume.",
    errno.EIO: "Input/output error\\. Mend that, then go on with --resume\\.",
    errno.EROFS: "Read-only file system. Choose a folder that can be written.",
}


@pytest.mark.parametrize("old_set", [False, True], ids=["new folder", "over an old set"])
def test_a_step_that_fails_is_said_and_harms_nothing(stepped, memory_path, many, old_set):
    conversion, phases = stepped.conversion, Counter()
    options, out = [*ALONE, *(["--overwrite"] if old_set else [])], memory_path / "out"
    old = conversion.put_old(out) if old_set else {}
    assert stepped.run(out, *options).code == 0
    names = stepped.steps()
    steps = range(1, len(names) + 1, max(1, 6 // many(1)))
    for at, number in zip(steps, itertools.cycle(FAILURES)):
        shutil.rmtree(out)
        if old_set:
            conversion.put_old(out)
        ended = stepped.run(out, *options, at=at, fault={"errno": number})
        if ended.code == 0:  # the folder is there already, and the empty folder that is to go is neither
            assert names[at - 1] in (f"os.mkdir {out}", f"os.rmdir {out}")
            continue
        phase = conversion.check_left(out, old) if out.exists() else "not begun"
        if not names[at - 1].endswith("out/manifest.json"):  # which is read, at the very end
            assert_said(ended, out, FAILURES[number])
        conversion.check_goes_on(out, phase, old, stepped.run)
        phases[phase] += 1
    print(f"{phases.total()} failed steps: {dict(phases)}")
    assert phases.total() >= 12


def test_a_limit_of_the_size_of_files_is_said_and_harms_nothing(stepped, memory_path):
    conversion, phases, out = stepped.conversion, Counter(), memory_path / "out"
    old = conversion.put_old(out)
    sizes = {path.stat().st_size for path in conversion.old.with_name("whole").iterdir()}
    for num_bytes in sorted({1, *(size - 1 for size in sizes)}):
        ended = stepped.run(out, *ALONE, "--overwrite", file_bytes=num_bytes)
        assert_said(ended, out, r"File too large\. Mend that, then go on with --resume\.")
        phases[conversion.check_left(out, old)] += 1
    assert stepped.run(out, *ALONE, "--resume").code == 0
    assert conversion.digest(out) == conversion.whole
    print(f"{phases.total()} limits: {dict(phases)}")
    assert {"planned", "tables"} <= set(phases)


def test_what_the_disk_lost_is_written_again(conversion, mount, mounted, set_free_pages, tmp_path):
    """A write that fails behind the program's back is told once, by the next sync; until memory is short the file looks whole.

    The file system lies in a file on a smaller one, which fills up. The device between them passes the one write off as done
    that was cut at the very end, so one shard may be lost in spite of all; without care it would be half of them.
    """
    few_shards, disk, small = replace(conversion, num_shards=10), tmp_path / "disk", tmp_path / "small"
    disk.mkdir()
    small.mkdir()
    assert few_shards.run(tmp_path / "whole").code == 0
    whole = conversion.digest(tmp_path / "whole")
    num_bytes = sum(path.stat().st_size for path in (tmp_path / "whole").iterdir())
    with mounted("-t", "tmpfs", "-o", "size=64m", "tmpfs", small):
        image = small / "image"
        with image.open("wb") as file:
            file.truncate(32 << 20)
        command = [
            "mkfs.ext4",
            "-q",
            "-F",
            "-b",
            "4096",
            "-N",
            "256",
            "-E",
            "lazy_itable_init=0,lazy_journal_init=0",
            image,
        ]
        if not shutil.which("mkfs.ext4") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mkfs.ext4 is missing")
        with mounted("-o", "loop", image, disk):
            subprocess.run(["sync", "-f", disk], check=True)
            set_free_pages(small, num_bytes // 2 // PAGE_BYTES)
            ended, num_failed = few_shards.run(disk / "out"), 0
            mount("-o", "remount,size=64m", small)
            while ended.code:
                assert_said(ended, disk / "out", "cannot be written")
                ended, num_failed = few_shards.run(disk / "out", "--resume"), num_failed + 1
                assert num_failed < 10
            assert num_failed
        with mounted("-o", "loop", image, disk):
            found = conversion.digest(disk / "out")
    assert found.keys() == whole.keys()
    assert sum(found[name] != whole[name] for name in whole) <= 1
