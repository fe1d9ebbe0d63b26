"""A conversion whose processes are killed, stopped or interrupted at random moments."""

import itertools
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest


@pytest.fixture(scope="module")
def wait_for_moment(conversion, tmp_path_factory):
    """Gives what waits for a random moment of a conversion, of its whole time or, `inside`, after a random number of shards."""
    out = tmp_path_factory.mktemp("timed") / "out"
    begun = time.monotonic()
    assert conversion.run(out).code == 0
    seconds = time.monotonic() - begun

    def wait(rng, process, out, *, inside):
        if not inside:
            time.sleep(rng.uniform(0, seconds))
            return
        conversion.wait_for_shards(process, out, rng.randrange(conversion.num_shards))
        time.sleep(rng.choice([0, 0, seconds / 8]) * rng.random())  # also behind the last shard

    return wait


def signal_group(process, number):
    """Sends a signal to a conversion and its workers, as a terminal does; a group that has ended takes none."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def seconds_until_gone(processes):
    """Waits until processes have ended."""
    begun = time.monotonic()
    while not all(map(has_ended, processes)):
        assert time.monotonic() - begun < 60
        time.sleep(0.001)
    return time.monotonic() - begun


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(conversion, goes_on, wait_for_moment, tmp_path, many):
    rng, phases, out = random.Random(1), Counter(), tmp_path / "out"
    for number in itertools.count():
        old, options = (conversion.put_old(out), ["--overwrite"]) if number % 2 else ({}, [])
        process = conversion.start(out, *options)
        wait_for_moment(rng, process, out, inside=number % 4 > 0)
        workers = conversion.workers(process)
        signal_group(process, signal.SIGKILL)
        conversion.wait(process)
        seconds_until_gone(workers)
        phase = conversion.check_left(out, old) if out.exists() else "not begun"
        conversion.check_goes_on(out, phase, old, goes_on)
        phases[phase] += 1
        shutil.rmtree(out)
        if phases.total() >= many(8) and phases.total() - phases["not begun"] - phases["ended"] >= many(4):
            break
    print(f"{phases.total()} kills: {dict(phases)}")


def test_killed_again_and_again_it_goes_on_and_writes_no_shard_twice(conversion, goes_on, tmp_path, many):
    rng, num_kills = random.Random(2), 0
    for chain in itertools.count():
        out, options, written = tmp_path / f"out{chain}", [], {}
        while True:
            process = conversion.start(out, *options)
            conversion.wait_for_shards(process, out, len(written) + rng.randrange(40))
            signal_group(process, signal.SIGKILL)
            conversion.wait(process)
            phase = conversion.check_left(out, {}) if out.exists() else "not begun"
            whole = {**conversion.shards(out / "conversion.incomplete"), **conversion.shards(out)}
            assert written.items() <= whole.items(), "a whole shard was written again"
            if phase in ("clearing", "ended"):
                break
            num_kills, written, options = num_kills + 1, whole, ["--resume"] if out.exists() else []
        conversion.check_goes_on(out, phase, {}, goes_on)
        if num_kills >= many(3):
            break
    print(f"{num_kills} kills in {chain + 1} chains")


def test_workers_end_with_a_parent_that_is_killed_alone(conversion, goes_on, wait_for_moment, tmp_path, many):
    rng, num_orphans, longest = random.Random(3), 0, 0.0
    for number in itertools.count():
        out = tmp_path / f"out{number}"
        process = conversion.start(out)
        wait_for_moment(rng, process, out, inside=True)
        workers = conversion.workers(process)
        process.kill()
        conversion.wait(process)
        longest = max(longest, seconds_until_gone(workers))
        num_orphans += len(workers)
        phase = conversion.check_left(out, {}) if out.exists() else "not begun"
        conversion.check_goes_on(out, phase, {}, goes_on)
        if num_orphans >= many(3):
            break
    print(f"{num_orphans} workers ended with {number + 1} parents, after {longest:.3f} s at most")


def test_a_killed_worker_is_reported_and_the_rest_is_kept(conversion, goes_on, wait_for_moment, tmp_path, many):
    rng, outcomes, longest = random.Random(4), Counter(), 0.0
    for number in itertools.count():
        out = tmp_path / f"out{number}"
        process = conversion.start(out)
        while not (workers := conversion.workers(process)) and process.poll() is None:
            time.sleep(0.001)
        wait_for_moment(rng, process, out, inside=True)
        for worker in rng.sample(workers, min(1, len(workers))):
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        begun = time.monotonic()
        ended = conversion.wait(process)
        longest = max(longest, time.monotonic() - begun)
        seconds_until_gone(workers)
        phase = conversion.check_left(out, {}) if out.exists() else "not begun"
        if ended.code:
            assert ended.code == 1, ended
            assert ended.said.startswith("Error: A worker process died"), ended
            assert "go on with --resume" in ended.said
            assert ended.said.count("\n") == 1
        else:  # it had nothing left to do, or had ended
            assert phase == "ended"
        outcomes["reported" if ended.code else "not needed any more"] += 1
        conversion.check_goes_on(out, phase, {}, goes_on)
        if outcomes["reported"] >= many(2):
            break
    print(f"{outcomes.total()} workers killed: {dict(outcomes)}, after {longest:.1f} s at most")


def test_a_worker_that_stands_still_for_a_while_is_waited_for(conversion, tmp_path, many):
    rng = random.Random(5)
    for number in range(many(1)):
        out = tmp_path / f"out{number}"
        process = conversion.start(out)
        conversion.wait_for_shards(process, out, 5)
        time.sleep(rng.uniform(0, 0.1))
        for worker in conversion.workers(process)[:1]:
            with suppress(psutil.NoSuchProcess):
                worker.suspend()
                time.sleep(0.3)
                worker.resume()
        assert conversion.wait(process).code == 0
        assert conversion.digest(out) == conversion.whole


@pytest.mark.parametrize("alone", [False, True], ids=["group", "parent alone"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_ended_by_a_signal_it_goes_on(conversion, goes_on, wait_for_moment, tmp_path, many, number, alone):
    rng, phases = random.Random(6), Counter()
    for attempt in itertools.count():
        out = tmp_path / f"out{attempt}"
        process = conversion.start(out)
        wait_for_moment(rng, process, out, inside=True)
        workers = conversion.workers(process)
        process.send_signal(number) if alone else signal_group(process, number)
        ended = conversion.wait(process)
        seconds_until_gone(workers)
        phase = conversion.check_left(out, {}) if out.exists() else "not begun"
        if phase not in ("not begun", "ended"):
            assert ended.code == (130 if number == signal.SIGINT else -number), ended
            assert "Traceback" not in ended.said
            assert number == signal.SIGTERM or "go on with --resume" in ended.said
        phases[phase] += 1
        conversion.check_goes_on(out, phase, {}, goes_on)
        if phases.total() - phases["not begun"] - phases["ended"] >= many(1):
            break
    print(f"{phases.total()} times {number.name}: {dict(phases)}")


def test_ctrl_c_leaves_no_half_written_shard(conversion, tmp_path):
    for number in itertools.count():
        out = tmp_path / f"out{number}"
        process = conversion.start(out)
        conversion.wait_for_shards(process, out, 1)
        signal_group(process, signal.SIGINT)
        ended = conversion.wait(process)
        if conversion.phase(out) == "shards":
            break
    assert ended.code == 130
    assert not list((out / "conversion.incomplete").glob("*-of-*.incomplete"))


def test_a_worker_killed_at_any_of_its_steps_is_reported(stepped, memory_path):
    """As a kernel that is short of memory kills it."""
    conversion, phases = stepped.conversion, Counter()
    for at in range(1, 12):
        out = memory_path / f"out{at}"
        ended = stepped.run(out, at=at, fault={"signal": signal.SIGKILL}, in_worker=True)
        phase = conversion.check_left(out, {})
        if ended.code:
            assert ended.said.startswith("Error: A worker process died"), ended
        else:  # no worker had so many steps
            assert phase == "ended"
        conversion.check_goes_on(out, phase, {}, stepped.run)
        phases[phase] += 1
    print(f"{phases.total()} steps of workers: {dict(phases)}")
    assert phases["ended"] <= 8
