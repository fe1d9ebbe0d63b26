import multiprocessing
import os
import signal
import struct
import sys
import threading
import time
from functools import partial

import pytest

from fr_prep.errors import SourceError, WorkerError
from fr_prep.workers.pool import LocalPool, default_workers, run_tasks

DIED = r"worker process died .* Try again, with fewer --workers"


def square(number):
    return number * number


def fail(message):
    raise SourceError(message)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_middle_of_a_result():
    """Leaves what a worker leaves in the pipe that is killed while it writes a long result: the length, and a part."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back
    os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1000) + bytes(10))
    die()


def wait_for(path):
    while not path.exists():
        time.sleep(0.001)


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


@pytest.mark.timeout(60)
def test_a_dead_worker_is_reported_and_nothing_hangs():
    with pytest.raises(WorkerError, match=DIED):
        dict(run_tasks([partial(square, 1), die, *[partial(square, 2)] * 50], num_workers=2))


@pytest.mark.parametrize("leave", [os._exit, sys.exit])
@pytest.mark.parametrize("code", [0, 1])
def test_a_worker_that_ends_without_a_result_is_reported(leave, code):
    with pytest.raises(WorkerError, match=DIED):
        dict(run_tasks([partial(square, 1), partial(leave, code), *[partial(square, 2)] * 50], num_workers=2))


def test_a_worker_that_dies_while_its_task_is_awaited_is_reported():
    with LocalPool(2) as pool:
        wait_for_death = pool.submit(die)
        with pytest.raises(WorkerError, match=DIED):
            wait_for_death()
        with pytest.raises(WorkerError, match=DIED):
            pool.submit(partial(square, 2))


def test_a_worker_that_dies_with_more_in_its_queue_than_a_pipe_holds_is_reported():
    large = bytes(4 << 20)
    with pytest.raises(WorkerError, match=DIED):
        dict(run_tasks([die, *[partial(len, large)] * 20], num_workers=2))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("num_others", [0, 50])
def test_a_worker_that_dies_in_the_middle_of_a_result_is_reported(num_others):
    """The library then waits for the rest of it."""
    with pytest.raises(WorkerError, match=DIED):
        dict(run_tasks([die_in_the_middle_of_a_result, *[partial(square, 2)] * num_others], num_workers=2))
    assert not multiprocessing.active_children()


def test_what_can_be_gone_on_with_is_gone_on_with_after_a_death():
    with pytest.raises(
        WorkerError, match=r"died .* What was finished is kept: go on with --resume, with fewer --workers"
    ):
        dict(run_tasks([die], num_workers=2, resumable=True))


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_is_killed_while_the_pool_is_closed_leaves_nobody_waiting(number):
    """Of idle workers one holds the lock of the queue, and who is killed with it does not give it back."""
    with LocalPool(2) as pool:
        ids = set()
        while len(ids) < 2:
            ids.update(dict(pool.run([process_id] * 4)).values())
        worker = sorted(ids)[number]
        os.kill(worker, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (worker, signal.SIGKILL)).start()
    assert not multiprocessing.active_children()


def test_ctrl_c_ends_the_waiting_for_a_task_and_lets_the_task_end(tmp_path):
    """In the middle of the library that runs the workers it is held back: that would stand still for ever."""
    with pytest.raises(KeyboardInterrupt), LocalPool(2) as pool:  # noqa: PT012
        wait_for_result = pool.submit(partial(wait_for, tmp_path / "end"))
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(1.0, (tmp_path / "end").touch).start()
        wait_for_result()
    assert (tmp_path / "end").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_ctrl_c_of_the_program_s_own_is_left_alone():
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    try:
        handler = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert dict(run_tasks([partial(square, 3)] * 3, num_workers=2)) == {0: 9, 1: 9, 2: 9}
        assert signal.getsignal(signal.SIGINT) is handler
        assert caught == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_pool_works_in_a_thread_too():
    found = {}
    thread = threading.Thread(target=lambda: found.update(run_tasks([partial(square, 3)] * 3, num_workers=2)))
    thread.start()
    thread.join()
    assert found == {0: 9, 1: 9, 2: 9}


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


def test_while_workers_are_waited_for_something_else_goes_on(tmp_path):
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 3:
            (tmp_path / "end").touch()

    assert list(LocalPool(1).run([partial(square, 2)], meanwhile=look)) == [(0, 4)]
    assert not looks
    with LocalPool(2) as pool:
        assert list(pool.run([partial(wait_for, tmp_path / "end")], meanwhile=look)) == [(0, None)]
    assert len(looks) >= 3


def test_no_task_is_no_result():
    assert list(run_tasks([], num_workers=2)) == []


def test_there_is_at_least_one_processor():
    assert default_workers() >= 1
