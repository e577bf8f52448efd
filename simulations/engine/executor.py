"""Execution: batches of replications to workers, rows back to one writer; no row is lost and none is computed twice.

Workers compute, the calling process alone writes, in transactions of many rows.  Whatever ends a run (Ctrl-C, SIGTERM,
kill -9, a full disk), the committed rows are whole and the next run computes exactly the others.

A worker that dies (out of memory, a crash in compiled code, a kill) takes its batch with it.  The batches that were out
at that moment are then computed again one replication at a time in a worker of their own; a replication whose worker
dies there twice is recorded as failed, all others come out as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Unpack

from simulations.design import Study
from simulations.engine.groups import everything, groups, in_shard
from simulations.engine.options import RunOptions, Settings
from simulations.engine.run import Run
from simulations.engine.workers import Backend, Inline, loky, stop_loky
from simulations.storage.provenance import foreign_rows, origins, refuse_mixture
from simulations.storage.store import Store

__all__ = ["BACKENDS", "RunReport", "open_backend", "run_study"]

BACKENDS = ("loky", "sequential", "dask")


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    study: str
    store: Path
    expected: int  # rows the study has (in the asked shard)
    written: int  # rows this run made
    failed: int  # failed rows in the store
    missing: int  # rows still not there
    seconds: float
    interrupted: int | None = None  # signal number
    lost_workers: tuple[str, ...] = field(default=())  # one message per worker that died
    foreign: int = 0  # rows that other sources, packages or another machine made than those at hand

    @property
    def exit_status(self) -> int:
        """0 complete; 1 complete with failed rows; 3 rows missing; 130 after Ctrl-C, 143 after SIGTERM."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return 3 if self.missing else 1 if self.failed else 0


def run_study(
    study: Study,
    store_path: str | os.PathLike[str],
    *,
    replications: int | None = None,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
    **options: Unpack[RunOptions],
) -> RunReport:
    """Compute every row of the study that the store lacks.

    Parameters
    ----------
    study : Study
    store_path : path-like
        Made when missing; continued when there.
    replications : int, optional
        Instead of the study's own number.
    retry_failed : bool
        Compute failed rows again (with the same streams).
    shard : (i, n), optional
        Only the replications r with r mod n == i − 1, 1 ≤ i ≤ n, for jobs that write separate stores.
    **options
        Workers, limits and progress: the fields of :class:`simulations.engine.options.Settings`.

    Raises
    ------
    ValueError, TypeError
        A bad argument, before any work.
    StoreError
        The store cannot be used or written (see :class:`simulations.storage.store.Store`); what was committed is safe.
    BackendError
        Workers cannot be started or cannot load the regimes and methods.
    """
    how = Settings(**options)
    if replications is not None:
        study = replace(study, replications=replications)
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard is {shard[0]}/{shard[1]}; give i/n with 1 <= i <= n")
    started = time.monotonic()
    with (
        open_backend(how.backend, how.n_jobs, how.scheduler) as workers,
        Store(store_path, study, mode="append") as store,
    ):
        store.origins = origins(study)
        gaps = in_shard(store.missing(retry_failed=retry_failed), shard)
        missing = sum(len(gap) for gap in gaps.values())
        if missing and not how.accept_mixed:
            refuse_mixture(store, store.origins, missing)
        expected = sum(len(gap) for gap in in_shard(everything(study), shard).values())
        run = Run(study, store, groups(study, gaps), workers, how, expected - missing)
        _to_the_end(run)
        left = sum(len(gap) for gap in in_shard(store.missing(), shard).values())
        failed = sum(status.failed for status in store.status())
        foreign = foreign_rows(store, store.origins)
    seconds, lost = time.monotonic() - started, tuple(dict.fromkeys(run.lost))
    return RunReport(
        study.name, Path(store_path), expected, run.written, failed, left, seconds, run.signals.received, lost, foreign
    )


def _to_the_end(run: Run) -> None:
    """Run until nothing is left or a signal ends it; what came back is committed in any case."""
    if not run.groups:
        return
    with run.signals:
        try:
            run.run()
        except KeyboardInterrupt:
            run.backend.abandon()
            run.signals.received = run.signals.received or signal.SIGINT
        run.commit(force=True)


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
        yield Backend(1, lambda n_workers: Inline())
    elif backend == "loky":
        yield Backend(n_jobs, loky, stop_loky)
    else:
        from simulations.engine.dask_backend import open_dask

        with open_dask(n_jobs, scheduler) as dask_backend:
            yield dask_backend
