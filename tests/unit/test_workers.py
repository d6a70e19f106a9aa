"""Work on pictures in other processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PROJECT

from graft.core.errors import WorkerDiedError
from graft.data.workers import MIN_TASKS, open_workers


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
    with open_workers() as workers, pytest.raises(WorkerDiedError, match="memory ran out"):
        list(workers.map(_die, range(MIN_TASKS)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's prctl")
def test_workers_of_a_killed_process_do_not_stay() -> None:
    script = (
        "import time; from graft.data.workers import open_workers\n"
        "with open_workers() as workers:\n"
        "    list(workers.map(abs, range(50)))\n"
        "    print(*workers._pool._processes, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert parent.stdout is not None
    workers = [int(number) for number in parent.stdout.readline().split()]
    assert workers
    parent.kill()
    parent.wait()
    deadline_s = time.monotonic() + 10
    while any(_is_alive(worker) for worker in workers) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not any(_is_alive(worker) for worker in workers)


def _is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
