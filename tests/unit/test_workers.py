"""Work on pictures in other processes."""

import os

import pytest

from graft.data.workers import MIN_TASKS, open_workers
from graft.errors import WorkerDiedError


def _own_process(_task: int) -> int:
    return os.getpid()


def _die(_task: int) -> None:
    os.kill(os.getpid(), 9)


def test_few_tasks_stay_in_this_process_and_many_leave_it() -> None:
    with open_workers() as workers:
        assert set(workers.map(_own_process, range(MIN_TASKS - 1))) == {os.getpid()}
        assert os.getpid() not in set(workers.map(_own_process, range(MIN_TASKS)))


def test_results_come_in_the_order_of_the_tasks() -> None:
    with open_workers() as workers:
        assert list(workers.map(abs, range(-50, 0))) == list(range(50, 0, -1))


def test_a_process_that_is_killed_is_an_error_that_says_so() -> None:
    with open_workers() as workers, pytest.raises(WorkerDiedError, match="want of memory"):
        list(workers.map(_die, range(MIN_TASKS)))
