"""Laws of every batch engine: the order of the tasks, the first failure, nothing shared with the caller."""

import importlib.util
import os
import time
from collections.abc import Callable

import pytest

from martlet.errors import Conflict
from trainer_svc.batch_engine import BatchEngine, InProcess, OnRay, Processes, engine_of

ENGINES: dict[str, Callable[[], BatchEngine]] = {"in-process": InProcess, "processes": lambda: Processes(2)}
if importlib.util.find_spec("ray") is not None:
    ENGINES["ray"] = OnRay


def squared(number: int) -> int:
    time.sleep(0.05 * (number == 0))  # the first task ends last
    return number * number


def refused(number: int) -> int:
    if number % 2:
        raise Conflict(f"task {number}")
    return number


def own_process(_task: int) -> int:
    return os.getpid()


def check_results_stand_in_the_order_of_the_tasks(engine: BatchEngine) -> None:
    """Whatever ends first."""
    assert engine.map(squared, [0, 3, 1, 2]) == [0, 9, 1, 4]


def check_no_task_no_result(engine: BatchEngine) -> None:
    """And no process either."""
    assert engine.map(squared, []) == []


def check_the_first_failure_in_the_tasks_order_is_raised(engine: BatchEngine) -> None:
    """As the function raised it."""
    with pytest.raises(Conflict, match="task 3"):
        engine.map(refused, [0, 3, 5])


def check_it_can_be_used_again(engine: BatchEngine) -> None:
    """Also after a failure."""
    with pytest.raises(Conflict):
        engine.map(refused, [1])
    assert engine.map(refused, [2]) == [2]


LAWS = [
    check_results_stand_in_the_order_of_the_tasks,
    check_no_task_no_result,
    check_the_first_failure_in_the_tasks_order_is_raised,
    check_it_can_be_used_again,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("check_"))
@pytest.mark.parametrize("engine", ENGINES)
def test_law(engine: str, law: Callable[[BatchEngine], None]) -> None:
    law(ENGINES[engine]())


def test_processes_are_others_and_in_process_is_this_one() -> None:
    assert engine_of("in_process").map(own_process, [1]) == [os.getpid()]
    assert os.getpid() not in engine_of("processes", 1).map(own_process, [1, 2])
