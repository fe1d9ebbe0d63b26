import os
import signal
import time
from functools import partial

import pytest

from fr_prep.errors import SourceError, WorkerError
from fr_prep.pool import default_workers, run_tasks


def square(number):
    return number * number


def fail(message):
    raise SourceError(message)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def process_id():
    time.sleep(0.05)
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_task_gives_its_result_with_its_position(workers):
    found = dict(run_tasks((partial(square, number) for number in range(20)), num_workers=workers))
    assert found == {number: number * number for number in range(20)}


def test_one_worker_is_this_process_and_several_are_others():
    assert dict(run_tasks([process_id], num_workers=1)) == {0: os.getpid()}
    ids = set(dict(run_tasks([process_id] * 6, num_workers=2)).values())
    assert len(ids) == 2
    assert os.getpid() not in ids


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_is_raised_as_it_is(workers):
    with pytest.raises(SourceError, match="no such set"):
        dict(run_tasks([partial(square, 1), partial(fail, "no such set")], num_workers=workers))


def test_a_dead_worker_is_reported_and_nothing_hangs():
    begun = time.monotonic()
    with pytest.raises(WorkerError, match="--resume"):
        dict(run_tasks([partial(square, 1), die, *[partial(square, 2)] * 50], num_workers=2))
    assert time.monotonic() - begun < 10


def test_tasks_are_taken_as_they_are_needed():
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield partial(square, number)

    results = run_tasks(tasks(), num_workers=2)
    next(results)
    assert len(taken) < 10
    results.close()


def test_no_task_is_no_result():
    assert list(run_tasks([], num_workers=2)) == []


def test_there_is_at_least_one_processor():
    assert default_workers() >= 1
