"""Batches on a dask cluster: a running scheduler, or a local cluster of processes.

Workers on other machines need the repository on their path and the same package versions.  Start them with one thread
each (``dask worker ADDRESS --nthreads 1``): a time limit on a replication ends the thread it runs in, and as a last
resort the worker process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from clair_stats.parallel import unheard
from simulations.engine.workers import Backend, BackendError, LostWorker

__all__ = ["dask_setup", "open_dask"]

T = TypeVar("T")
_CONNECT_SECONDS = 15.0
_LOOK_SECONDS = 2.0
_ALONE_SECONDS = 60.0
# For the cluster started here.  A worker that dies is replaced however long that takes (the default gives its place up
# after 15 s), and its batch comes back at once instead of killing three more workers: the run itself finds the culprit.
_LOCAL_SETTINGS = {"distributed.deploy.lost-worker-timeout": "1 day", "distributed.scheduler.allowed-failures": 0}


def dask_setup(worker: object) -> None:
    """What dask calls in each worker of the cluster started here: Ctrl-C is left to the parent, as on loky."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _DaskBackend(Backend):
    def __init__(
        self,
        n_jobs: int,
        make: Callable[[int], Executor],
        count: Callable[[], int],
        lost: type[Exception],
        stop: Callable[[Executor], None] | None,
    ) -> None:
        super().__init__(n_jobs, make, stop)
        self._count, self._lost = count, lost
        self._looked = self._seen = time.monotonic()

    def check(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if self._count():
            self._seen = now
        elif now - self._seen > _ALONE_SECONDS:
            raise BackendError(
                f"the dask scheduler has had no workers for {_ALONE_SECONDS:g} s; start some and run again, "
                "the committed rows are safe"
            )

    def result(self, future: Future[T]) -> T:
        try:
            return super().result(future)
        except self._lost as error:
            # dask gives a task up after its worker died ``distributed.scheduler.allowed-failures`` times.
            raise LostWorker("dask gave the task up because its worker died") from error
        except ModuleNotFoundError as error:
            raise BackendError(
                f"a dask worker cannot import {error.name}; start workers in the repository root with the same packages"
            ) from error


@contextlib.contextmanager
def open_dask(n_jobs: int, scheduler: str | None) -> Iterator[Backend]:
    """Connect to ``scheduler``, or start ``n_jobs`` local worker processes of one thread.

    Raises
    ------
    BackendError
        dask is not installed, or the scheduler does not answer or has no workers.
    """
    try:
        import dask
        import distributed
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BackendError("backend dask needs the extra 'distributed': pip install 'clair-stats[distributed]'") from (
            error
        )
    with contextlib.ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            stack.enter_context(dask.config.set(_LOCAL_SETTINGS))
            # Its threads, and the workers that they start, are born with Ctrl-C blocked.
            with unheard(), _left_at_once():
                cluster = LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=n_jobs,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                    preload=__name__,
                )
            address = stack.enter_context(cluster)
        try:
            client = stack.enter_context(
                Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
            )
            n_threads = sum(client.nthreads().values())
            if scheduler is not None and not n_threads:
                client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
                n_threads = sum(client.nthreads().values())
        except (OSError, TimeoutError, ValueError) as error:
            raise BackendError(
                f"dask scheduler {scheduler}: no answer or no workers within {_CONNECT_SECONDS:g} s ({error}); "
                "check the address and that workers run"
            ) from error
        yield _DaskBackend(
            max(n_threads, 1),
            make=lambda n_workers: client.get_executor(pure=False),
            count=lambda: len(client.nthreads()),
            lost=distributed.KilledWorker,
            stop=None if scheduler is not None else partial(_stop_workers, address),
        )


@contextlib.contextmanager
def _left_at_once() -> Iterator[None]:
    """Signals end the process within: a cluster that is half started cannot be closed, by dask at the end neither.

    Nothing is written yet, and the workers follow this process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    previous = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop_workers(cluster: Any, executor: Executor) -> None:  # noqa: ANN401
    """End the workers of a cluster of our own now; its own way waits for what they compute."""
    for nanny in list(cluster.workers.values()):
        nanny.close_gracefully()  # so that the worker is not replaced
        if nanny.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)
