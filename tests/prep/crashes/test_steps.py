"""A conversion that is killed, or meets Ctrl-C, at each of its steps on the file system, one after the other."""

import shutil
import signal
from collections import Counter

import pytest

KILL, CTRL_C = {"signal": signal.SIGKILL}, {"signal": signal.SIGINT}
ALONE = ("--workers", "1")  # so that all steps are those of one process


@pytest.fixture
def choose(many):
    """Gives what chooses the steps to try: one of so many before the publication of a set, and one of so many in it."""

    def choose_steps(names, *, before, inside):
        publication = next(place for place, name in enumerate(names, start=1) if "replaced.json.incomplete" in name)
        before, inside = (max(1, number // many(1)) for number in (before, inside))
        return [*range(1, publication, before), *range(publication, len(names) + 1, inside)]

    return choose_steps


@pytest.fixture
def interrupt(stepped, memory_path):
    """Gives what leaves a folder as a conversion leaves it that replaces a set and is killed when half its files are moved."""

    def interrupt_moves(out, *options):
        options = (*ALONE, "--overwrite", *options)
        stepped.conversion.put_old(memory_path / "other")
        assert stepped.run(memory_path / "other", *options).code == 0
        half = next(
            place
            for place, name in enumerate(stepped.steps(), start=1)
            if name.startswith("os.rename") and name.endswith("records.npy")
        )
        shutil.rmtree(memory_path / "other")
        stepped.conversion.put_old(out)
        assert stepped.run(out, *options, at=half, fault=KILL).code == -9
        assert stepped.conversion.phase(out) == "moving"
        assert len(stepped.conversion.shards(out)) == 3
        return out

    return interrupt_moves


@pytest.mark.parametrize(("fault", "code"), [(KILL, -9), (CTRL_C, 130)], ids=["kill", "Ctrl-C"])
@pytest.mark.parametrize("old_set", [False, True], ids=["new folder", "over an old set"])
def test_stopped_at_any_step_it_goes_on_to_the_same_bytes(stepped, choose, memory_path, fault, code, old_set):
    conversion, phases = stepped.conversion, Counter()
    out, options = memory_path / "out", [*ALONE, *(["--overwrite"] if old_set else [])]
    old = conversion.put_old(out) if old_set else {}
    assert stepped.run(out, *options).code == 0
    for at in choose(stepped.steps(), before=8, inside=2 if fault == KILL else 6):
        shutil.rmtree(out)
        if old_set:
            conversion.put_old(out)
        stopped = stepped.run(out, *options, at=at, fault=fault)
        assert stopped.code == code, stopped
        phase = conversion.check_left(out, old) if out.exists() else "not begun"
        conversion.check_goes_on(out, phase, old, stepped.run)
        phases[phase] += 1
    print(f"{phases.total()} steps: {dict(phases)}")
    if fault == KILL:
        assert phases["moving"] >= 4
        assert phases["clearing"] >= 3
        assert phases["removing"] >= (6 if old_set else 1)


def test_killed_at_any_step_of_going_on_it_still_goes_on(stepped, interrupt, memory_path, many):
    conversion, phases, out = stepped.conversion, Counter(), memory_path / "out"
    interrupted, again = interrupt(memory_path / "interrupted"), (*ALONE, "--resume")
    shutil.copytree(interrupted, out)
    assert stepped.run(out, *again).code == 0
    for at in range(1, len(stepped.steps()) + 1, max(1, 5 // many(1))):
        shutil.rmtree(out)
        shutil.copytree(interrupted, out)
        assert stepped.run(out, *again, at=at, fault=KILL).code == -9
        phase = conversion.check_left(out, {})
        conversion.check_goes_on(out, phase, {}, stepped.run)
        phases[phase] += 1
    print(f"{phases.total()} steps of going on: {dict(phases)}")
    assert phases["moving"] >= 4
    assert phases["clearing"] >= 1


def test_killed_at_any_step_of_starting_anew_over_an_interrupted_one_it_can_start_anew(
    stepped, interrupt, choose, memory_path
):
    conversion, phases, out = stepped.conversion, Counter(), memory_path / "out"
    interrupted, anew = interrupt(memory_path / "interrupted", "--seed", "2"), (*ALONE, "--overwrite")
    shutil.copytree(interrupted, out)
    assert stepped.run(out, *anew).code == 0
    for at in choose(stepped.steps(), before=6, inside=6):
        shutil.rmtree(out)
        shutil.copytree(interrupted, out)
        assert stepped.run(out, *anew, at=at, fault=KILL).code == -9
        phase = conversion.phase(out)
        resumed = stepped.run(out, *ALONE, "--resume")
        if resumed.code:
            assert "is another one: seed was 2 and is 1" in resumed.said or phase in ("clearing", "ended"), resumed
            assert stepped.run(out, *anew).code == 0
        assert conversion.digest(out) == conversion.whole
        phases[phase] += 1
    print(f"{phases.total()} steps of starting anew: {dict(phases)}")
    assert phases.total() >= 15


def test_ctrl_c_at_any_line_neither_hangs_nor_shows_a_traceback(stepped, memory_path, many):
    """The library that runs the workers takes locks that an exception in the middle of it would leave locked for ever."""
    conversion, phases, out = stepped.conversion, Counter(), memory_path / "out"
    assert stepped.run(out, lines=True).code == 0
    num_lines, num_tried = len(stepped.steps()), many(10)
    for number in range(num_tried):
        shutil.rmtree(out, ignore_errors=True)
        stopped = stepped.run(out, lines=True, at=num_lines * (2 * number + 1) // (2 * num_tried), fault=CTRL_C)
        phase = conversion.check_left(out, {}) if out.exists() else "not begun"
        before_or_behind = phase in ("not begun", "ended") and stopped.said.endswith("\nAborted!\n")
        assert stopped.code == 130 or (stopped.code == 1 and before_or_behind) or phase == "ended", (number, stopped)
        # Python itself drops an exception that comes while it clears an object away, and says so.
        assert "Traceback" not in stopped.said or stopped.said.startswith("Exception ignored in")
        conversion.check_goes_on(out, phase, {}, stepped.run)
        phases[phase, stopped.code] += 1
    print(f"Ctrl-C at {num_tried} of {num_lines} lines: {dict(phases)}")
    assert sum(count for (phase, _), count in phases.items() if phase not in ("not begun", "ended")) >= num_tried // 4
