"""What the run asks of its workers: an executor that can be replaced, and how the loss of a worker is reported."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import TypeVar

from joblib.externals.loky.process_executor import TerminatedWorkerError

__all__ = ["Backend", "BackendError", "LostWorker"]

_UNLOADABLE = (
    "the workers cannot load a regime or method ({}); define it in a module that can be imported from the repository "
    "root, not in a script or notebook"
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
        Ends workers at once.
    """

    def __init__(self, n_jobs: int, make: Callable[[int], Executor], stop: Callable[[], None] | None = None) -> None:
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
        if self._stop is not None:
            self._stop()
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
