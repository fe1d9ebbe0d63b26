"""A power failure at each step of a conversion: what was not synced is gone, as on a machine that loses its power.

An ext4 file system in a file is shut down by its own call for such tests, which throws away all that is not on the disk yet.
"""

import subprocess
from collections import Counter

import pytest

ALONE = ("--workers", "1")


@pytest.fixture
def disk(memory_path, mount):
    """Gives what makes an empty file system, and what takes it away and brings it back; skipped where that is not allowed."""
    image, folder = memory_path / "image", memory_path / "disk"
    folder.mkdir()

    def remount():
        subprocess.run(["umount", folder], capture_output=True)
        mount("-o", "loop", image, folder)

    def make():
        subprocess.run(["umount", folder], capture_output=True)
        image.write_bytes(b"")
        with image.open("r+b") as file:
            file.truncate(16 << 20)
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        except FileNotFoundError:
            pytest.skip("mkfs.ext4 is missing")
        remount()
        return folder

    yield make, remount
    subprocess.run(["umount", folder], capture_output=True)


@pytest.mark.parametrize("old_set", [False, True], ids=["new folder", "over an old set"])
def test_a_power_failure_at_any_step_loses_no_set_and_is_gone_on_from(stepped, disk, many, old_set):
    (make, remount), conversion, phases = disk, stepped.conversion, Counter()
    options = [*ALONE, *(["--overwrite"] if old_set else [])]
    out = make() / "out"
    old = conversion.put_old(out) if old_set else {}
    assert stepped.run(out, *options).code == 0
    for at in range(1, len(stepped.steps()) + 1, max(1, 8 // many(1))):
        out = make() / "out"
        if old_set:
            conversion.put_old(out)
            subprocess.run(["sync", "-f", out], check=True)
        assert stepped.run(out, *options, at=at, fault={"power_cut": str(out.parent)}).code == -9
        remount()
        phase = conversion.check_left(out, old) if out.exists() else "not begun"
        conversion.check_goes_on(out, phase, old, stepped.run, keeps_shards=False)
        phases[phase] += 1
    print(f"{phases.total()} power failures: {dict(phases)}")
    assert phases.total() >= 9
