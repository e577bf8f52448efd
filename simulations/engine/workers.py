"""Workers: what the run asks of them, how the loss of one is reported, and those of this machine.

All are ``concurrent.futures`` executors, so that the run itself (``simulations.engine.run``) knows only futures.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from clair_stats.parallel import unheard
from simulations.engine.replicate import prepare_worker

__all__ = ["Backend", "BackendError", "Inline", "LostWorker", "loky", "stop_loky"]

_UNLOADABLE = (
    "the workers cannot load a regime or method ({}); define it in a module that can be imported from the repository "
    "root, not in a script or notebook"
)

# Set in the worker before NumPy is imported there; with more threads the workers would fight for the cores.
_ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

T = TypeVar("T")


class BackendError(Exception):
    """Workers cannot be started, reached, or cannot load what they are to compute."""


class LostWorker(Exception):
    """A worker died with its batch, on a backend that goes on without it."""


class Backend:
    """An executor that can be replaced when its workers die.

    Parameters
    ----------
    n_jobs : int
    make : callable
        ``make(n_workers)`` returns an executor, a new one when the last was broken.
    stop : callable, optional
        Ends the workers of an executor at once.
    """

    def __init__(
        self, n_jobs: int, make: Callable[[int], Executor], stop: Callable[[Executor], None] | None = None
    ) -> None:
        self.n_jobs = n_jobs
        self._make, self._stop = make, stop
        self._executor: Executor | None = None
        self._alone = False

    def executor(self, *, alone: bool = False) -> Executor:
        """The present executor; with ``alone`` one whose only worker computes one task at a time."""
        if self._executor is None or self._alone != alone:
            self._executor = self._make(1 if alone else self.n_jobs)
            self._alone = alone
        return self._executor

    def renew(self) -> None:
        """Forget a broken executor."""
        self._executor = None

    def abandon(self) -> None:
        """End the workers now, whatever they compute."""
        if self._stop is not None and self._executor is not None:
            self._stop(self._executor)
        self._executor = None

    def check(self) -> None:
        """Called while waiting; raises BackendError when no result can come any more."""

    def result(self, future: Future[T]) -> T:
        """The result of a task.

        Raises
        ------
        LostWorker
            The worker died; the message says how.
        BackendError
            The worker is alive but could not load the task: no replication is to blame.
        """
        try:
            return future.result()
        except TerminatedWorkerError as error:
            raise LostWorker(_exit_codes(error)) from error
        except BrokenExecutor as error:
            if "un-serialize" in str(error):
                raise BackendError(_UNLOADABLE.format(error.__cause__ or error)) from error
            raise LostWorker(str(error).strip() or type(error).__name__) from error
        except Exception as error:
            if "pickle" in f"{type(error).__name__} {error}".lower():
                raise BackendError(_UNLOADABLE.format(error)) from error
            raise


def _exit_codes(error: BaseException) -> str:
    """The line of loky's message that tells how the workers ended."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    codes = [line for line in lines if "exit codes" in line]
    return (codes or lines or [type(error).__name__])[0]


class Inline(Executor):
    """Compute at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: object, **kwargs: object) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


# Workers of the last run by their number: several studies one after the other pay for the start once.  Not loky's
# reusable executor: joblib's own pool (scikit-learn, ``clair_stats.parallel.each``) takes that for its own and fails.
_kept: dict[int, Executor] = {}


def loky(n_workers: int) -> Executor:
    """Processes of this machine; a broken executor is replaced by a new one."""
    with unheard():
        executor: Executor | None = _kept.get(n_workers)
        if executor is None or not _starts(executor):
            executor = ProcessPoolExecutor(
                max_workers=n_workers, timeout=60, initializer=prepare_worker, initargs=(os.getpid(),), env=_ONE_THREAD
            )
            _kept[n_workers] = executor
            _starts(executor)
    return executor


def _starts(executor: Executor) -> bool:
    """Whether the executor takes a task; its first starts all workers."""
    try:
        executor.submit(os.getpid)
    except (BrokenExecutor, RuntimeError):  # the second of one that was shut down
        return False
    return True


def stop_loky(executor: Executor) -> None:
    """End them now, whatever they compute."""
    executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
