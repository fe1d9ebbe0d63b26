import io
import os
from functools import partial

import pytest
from tqdm import tqdm

from fr_prep.verify.progress import WorkerProgress
from fr_prep.workers.pool import run_tasks


def work(report, amounts):
    for amount in amounts:
        report(amount)


def make_bar(*, disable=False):
    return tqdm(total=100, file=io.StringIO(), disable=disable)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_bar_moves_before_a_task_has_ended(num_workers):
    with make_bar() as bar, WorkerProgress(bar, num_workers=num_workers) as progress:
        dict(
            run_tasks(
                [partial(work, progress.report, [5, 7]), partial(work, progress.report, [30])], num_workers=num_workers
            )
        )
        progress.show()
        assert bar.n == 42
        progress.show()
        assert bar.n == 42


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_bar_ends_where_the_tasks_end_though_less_was_reported(num_workers):
    with make_bar() as bar, WorkerProgress(bar, num_workers=num_workers) as progress:
        work(progress.report, [10, 20])
        progress.finish(60)
        assert bar.n == 60
        progress.finish(40)
        assert bar.n == 100


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_bar_that_is_off_stays_off(num_workers):
    with make_bar(disable=True) as bar, WorkerProgress(bar, num_workers=num_workers) as progress:
        work(progress.report, [10])
        progress.finish(60)
        assert bar.n == 0


def test_where_no_file_can_be_made_in_memory_the_bar_moves_task_by_task(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with make_bar() as bar, WorkerProgress(bar, num_workers=2) as progress:
        dict(run_tasks([partial(work, progress.report, [5])], num_workers=2))
        progress.finish(60)
        assert bar.n == 60


def test_a_report_that_nobody_can_take_harms_nothing():
    with make_bar() as bar, WorkerProgress(bar, num_workers=2) as progress:
        report = progress.report
    report(5)
