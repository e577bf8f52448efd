"""One replication: draw the instance, run the methods on it, and make rows of results and errors.

A replication that raises becomes a row with its traceback.  One that runs longer than the limit is ended: by SIGALRM
where the worker computes in its main thread (loky, sequential), by an asynchronous exception elsewhere (dask), and if
it sits in compiled code that never returns, a watchdog ends the whole worker and the executor records the replication.
"""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from numbers import Real
from pathlib import Path

import numpy as np
import threadpoolctl

from simulations.design import Method, Regime
from simulations.storage.rows import Row
from simulations.streams import Streams

__all__ = ["ReplicationTimeout", "Task", "prepare_worker", "run_task"]


_RESERVED = ("cell", "replication", "status", "error", "seconds", "regime", "method")
_ROOT = f"{Path(__file__).resolve().parents[2]}{os.sep}"
_own_process = False  # whether this process is a worker, which a watchdog may end


class ReplicationTimeout(BaseException):
    """The replication ran past its limit.  Not an Exception, so that no ``except Exception`` swallows it."""


@dataclass(frozen=True)
class Task:
    """A batch of replications of one regime for some methods: what travels to a worker."""

    root_seed: int
    regime: Regime
    regime_hash: str
    methods: tuple[tuple[str, Method], ...]  # (cell hash, method)
    replications: tuple[int, ...]
    timeout: float | None


def prepare_worker(parent: int) -> None:
    """Make a worker process leave Ctrl-C and SIGTERM to its parent, and follow its parent when that is killed.

    Terminals and batch systems signal the whole process group; the parent decides, and running batches are finished.
    """
    global _own_process
    _own_process = True
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, args=(parent,), daemon=True, name="follow-parent").start()


def _follow_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _freeze(value: object, depth: int = 3) -> None:
    """Make the arrays of an instance read-only, so that no method can change what the next one sees."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            _freeze(item, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for item in value:
            _freeze(item, depth - 1)
    elif depth and is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            _freeze(getattr(value, field.name), depth - 1)


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """End the body after ``seconds`` with ReplicationTimeout, and the process if that does not help."""
    if seconds is None:
        yield
        return
    # A second limit in a C thread: it also ends compiled code that never comes back to the interpreter.  With one
    # replication per process lost, the executor goes on with the others.
    errors = sys.__stderr__
    watchdog = errors is not None and (_own_process or multiprocessing.parent_process() is not None)
    if errors is not None and watchdog:
        faulthandler.dump_traceback_later(2.0 * seconds + 1.0, exit=True, file=errors)
    try:
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
            with _alarm(seconds):
                yield
        else:
            with _asynchronous_exception(seconds):
                yield
    finally:
        if watchdog:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise ReplicationTimeout

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        # Repeated, because a ReplicationTimeout raised inside __del__ or a callback is dropped by the interpreter.
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def _asynchronous_exception(seconds: float) -> Iterator[None]:
    thread = ctypes.c_ulong(threading.get_ident())
    lock = threading.Lock()
    done = False

    def ring() -> None:
        with lock:
            if not done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(ReplicationTimeout))

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            done = True
        timer.cancel()


def _checked_metrics(method: Method, values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(f"method {method.name}: evaluate() returned {type(values).__name__}; return {{metric: float}}")
    metrics: dict[str, float] = {}
    for name in sorted(values):
        value = values[name]
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, Real):
            raise TypeError(f"method {method.name}: metric {name!r} is {type(value).__name__}; return a real number")
        if name.split(".")[0] in _RESERVED:
            raise ValueError(f"method {method.name}: metric {name!r} has the name of another column; rename it")
        if name != _storable(name):
            raise ValueError(
                f"method {method.name}: metric {_storable(name)!r} is no text that can be stored; rename it"
            )
        metrics[str(name)] = float(value)
    return metrics


def _storable(text: str) -> str:
    """Text without lone surrogates, which no UTF-8 file can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _failure(error: BaseException, timeout: float | None) -> str:
    # Paths relative to the repository: the text is part of the exports, which are to be the same on every machine.
    text = _storable(traceback.format_exc().replace(_ROOT, ""))
    return f"ReplicationTimeout: ended after {timeout:g} s\n{text}" if isinstance(error, ReplicationTimeout) else text


def _must_end_the_run(error: BaseException) -> bool:
    """Ctrl-C ends the run where it reaches this process; whatever else a method raises is its own failure.

    A worker ignores Ctrl-C (:func:`prepare_worker`), so there a KeyboardInterrupt was raised by the method.
    SystemExit, GeneratorExit and asyncio's CancelledError are no ``Exception`` and would end the run in silence.
    """
    return isinstance(error, KeyboardInterrupt) and not _own_process


def _replication(task: Task, replication: int) -> Iterator[Row]:
    streams = Streams(task.root_seed, task.regime_hash, replication)
    start = time.perf_counter()
    try:
        with _time_limit(task.timeout):
            instance = task.regime.generate(streams)
        _freeze(instance)
    except BaseException as error:
        if _must_end_the_run(error):
            raise
        text = _failure(error, task.timeout)
        share = (time.perf_counter() - start) / len(task.methods)
        yield from (Row(cell, replication, None, text, share) for cell, _ in task.methods)
        return
    drawing = (time.perf_counter() - start) / len(task.methods)
    for cell, method in task.methods:
        start = time.perf_counter()
        metrics: dict[str, float] | None = None
        failure: str | None = None
        try:
            with _time_limit(task.timeout):
                values = method.evaluate(instance, streams.generator(f"method:{method.name}"))
            metrics = _checked_metrics(method, values)
        except BaseException as error:
            if _must_end_the_run(error):
                raise
            failure = _failure(error, task.timeout)
        yield Row(cell, replication, metrics, failure, drawing + time.perf_counter() - start)


def run_task(task: Task) -> list[Row]:
    """Compute all rows of a task; failures are rows, so this raises only when the machinery itself is broken."""
    # One BLAS thread per worker: with more, workers fight for cores and LAPACK may change last bits with the number.
    with threadpoolctl.threadpool_limits(1):
        return [row for replication in task.replications for row in _replication(task, replication)]
