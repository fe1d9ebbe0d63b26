"""Several processes on one folder at the same time: writers, and readers while one writes."""

import itertools
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress

import psutil

REFUSALS = {
    "another process is writing there": "locked",
    "a finished data set is there": "came after",
    "an unfinished conversion is there": "came after",
    "is another one: seed": "came after",
}


def outcome(ended):
    """Names how a writer ended: it won, or was refused in one line that says so."""
    if ended.code == 0:
        return "won"
    assert (ended.code, ended.said.count("\n")) == (1, 1), ended
    return next(name for text, name in REFUSALS.items() if text in ended.said)


def test_of_two_writers_that_start_together_one_wins_whole(conversion, tmp_path, many):
    pairs = Counter()
    for number in itertools.count():
        out = tmp_path / f"out{number}"
        writers = [conversion.start(out), conversion.start(out, "--seed", "2")]
        ended = [conversion.wait(writer) for writer in writers]
        outcomes = [outcome(one) for one in ended]
        assert outcomes.count("won") == 1, ended
        assert (conversion.digest(out) == conversion.whole) == (outcomes[0] == "won")
        assert subprocess.run([conversion.script, "verify", out, "--quiet"], capture_output=True).returncode == 0
        pairs["with a lock" if "locked" in outcomes else "one after the other"] += 1
        if pairs["with a lock"] >= many(2):
            break
    print(f"{pairs.total()} pairs of writers: {dict(pairs)}")


def test_one_that_goes_on_and_one_that_starts_anew_do_not_meet(conversion, tmp_path, many):
    pairs = Counter()
    for number in range(many(1)):
        out = tmp_path / f"out{number}"
        killed = conversion.start(out)
        conversion.wait_for_shards(killed, out, 20)
        killed.send_signal(signal.SIGKILL)
        conversion.wait(killed)
        writers = [conversion.start(out, "--resume"), conversion.start(out, "--overwrite")]
        outcomes = [outcome(conversion.wait(writer)) for writer in writers]
        assert "won" in outcomes
        assert conversion.digest(out) == conversion.whole
        pairs[tuple(outcomes)] += 1
    print(f"--resume and --overwrite: {dict(pairs)}")


def test_who_reads_while_a_set_is_replaced_finds_a_whole_one_or_is_told(conversion, tmp_path, many):
    found = Counter()
    for number in itertools.count():
        out = tmp_path / f"out{number}"
        conversion.put_old(out)
        writer = conversion.start(out, "--overwrite")
        while writer.poll() is None:
            for command in ("verify", "inspect"):
                ended = subprocess.run([conversion.script, command, out], capture_output=True, text=True)
                assert "Traceback" not in ended.stderr, ended
                assert ended.returncode in (0, 1), ended
                found[command, "whole" if ended.returncode == 0 else "told"] += 1
        assert conversion.wait(writer).code == 0
        assert conversion.digest(out) == conversion.whole
        if found.total() >= many(2):
            break
    print(f"readers: {dict(found)}")


def test_the_folder_stays_locked_until_the_last_worker_has_ended(conversion, tmp_path):
    for number in itertools.count():
        out = tmp_path / f"out{number}"
        first = conversion.start(out)
        conversion.wait_for_shards(first, out, 1)
        with standing_still(conversion.workers(first)[:1]):
            first.send_signal(signal.SIGINT)
            time.sleep(0.3)  # it takes the signal, and waits for its worker
            second = conversion.run(out, "--overwrite")
        ended = conversion.wait(first)
        if conversion.phase(out) == "shards":
            break
    assert (ended.code, outcome(second)) == (130, "locked")
    assert conversion.run(out, "--resume").code == 0
    assert conversion.digest(out) == conversion.whole


@contextmanager
def standing_still(workers):
    """Has workers stand still for a while, those that have not ended."""
    try:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.suspend()
        yield
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.resume()
