"""Where batches are computed: loky processes, a dask cluster, this process, or any executor the caller brings.

All of them are ``concurrent.futures`` executors, so the run itself (``simulations.engine.executor``) knows only
futures.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from joblib.externals.loky import get_reusable_executor

from simulations.engine.replicate import prepare_worker
from simulations.engine.workers import Backend

__all__ = ["BACKENDS", "open_backend"]

BACKENDS = ("loky", "sequential", "dask")
# Set in the worker before NumPy is imported there; with more threads the workers would fight for the cores.
_ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class _Inline(Executor):
    """Compute at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: object, **kwargs: object) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _loky(n_workers: int) -> Executor:
    # Reusable: several studies run one after the other pay for the start of the workers once.  A broken one is
    # replaced by this call.
    executor: Executor = get_reusable_executor(
        max_workers=n_workers, timeout=60, initializer=prepare_worker, initargs=(os.getpid(),), env=_ONE_THREAD
    )
    return executor


def _stop_loky() -> None:
    get_reusable_executor(max_workers=1, kill_workers=True).shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def open_backend(backend: str | Executor, n_jobs: int, scheduler: str | None) -> Iterator[Backend]:
    """Open one of :data:`BACKENDS` by name, or wrap an executor.

    Raises
    ------
    ValueError
        An unknown name or fewer than one worker.
    BackendError
        A dask scheduler that cannot be reached, or dask not installed.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1:
        raise ValueError(f"n_jobs is {n_jobs!r}; give at least one worker")
    if isinstance(backend, Executor):
        given = backend
        yield Backend(n_jobs, lambda n_workers: given)
        return
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r}; give one of {', '.join(BACKENDS)}")
    if scheduler is not None and backend != "dask":
        raise ValueError(f"a scheduler address needs backend 'dask', not {backend!r}")
    if backend == "sequential":
        yield Backend(1, lambda n_workers: _Inline())
    elif backend == "loky":
        yield Backend(n_jobs, _loky, _stop_loky)
    else:
        from simulations.engine.dask_backend import open_dask

        with open_dask(n_jobs, scheduler) as dask_backend:
            yield dask_backend
