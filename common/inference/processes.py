"""Calls in new processes, so that earlier calls do not affect the measurements."""

import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Process
from multiprocessing.connection import Connection

from common import LabError, one_line
from common.sweep.workers import ending, spawn


def in_fresh_processes(
    function: Callable[..., object], calls: Sequence[tuple], jobs: int = 1
) -> Iterator[object]:
    """The results of `function` for the arguments of each call, in the order of the calls.

    Every call has a new process; `jobs` processes run in parallel. After an exception, or if the
    process ends without a result, the result is a LabError. The profiler prints no messages.
    """
    os.environ.update(KINETO_LOG_LEVEL="99", TORCH_CPP_LOG_LEVEL="ERROR")  # for new processes
    processes: list[tuple[Connection, Process]] = []
    for number in range(len(calls)):
        for arguments in calls[len(processes) : number + jobs]:
            processes.append(spawn(answer, function, arguments))
        connection, process = processes[number]
        try:
            result = connection.recv()
        except EOFError:
            process.join()
            result = LabError(f"the measuring process ended {ending(process.exitcode)}")
        yield result
    for _, process in processes:
        process.join()


def answer(connection: Connection, function: Callable[..., object], arguments: tuple) -> None:
    """Send the result of `function`, or its error."""
    try:
        connection.send(function(*arguments))
    except LabError as error:
        connection.send(error)
    except Exception as error:  # any error becomes one line
        connection.send(LabError(one_line(error)))
