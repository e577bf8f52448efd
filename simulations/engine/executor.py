"""Execution: batches of replications to workers, rows back to the one writer, nothing lost and nothing drawn twice.

Workers compute, the calling process alone writes, in transactions of many rows.  Whatever ends a run (Ctrl-C, SIGTERM,
kill -9, a full disk), the committed rows are whole and the next run computes exactly the others.

A worker that dies (out of memory, a crash in compiled code, a kill) takes its batch with it.  The batches that were out
at that moment are then computed again one replication at a time in a worker of their own; a replication whose worker
dies there twice is recorded as failed, all others come out as if nothing had happened.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from simulations.design import Method, Regime, Study
from simulations.engine.backends import open_backend
from simulations.engine.replicate import Task, run_task
from simulations.engine.workers import Backend, LostWorker
from simulations.storage.provenance import record_run
from simulations.storage.rows import Row
from simulations.storage.store import Store

__all__ = ["Progress", "RunReport", "run_study"]

_COMMIT_ROWS = 2_000
_COMMIT_SECONDS = 0.5
_LARGEST_BATCH = 1_000
_STRIKES = 2


@dataclass(frozen=True)
class Progress:
    """Where a run stands; handed to the ``progress`` callback after every batch."""

    rows_done: int  # rows present in the store or waiting for the next commit
    rows_total: int
    failed: int  # failed rows among those this run made
    rows_per_second: float
    seconds_left: float


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

    @property
    def exit_status(self) -> int:
        """0 complete; 1 complete with failed rows; 3 rows missing; 130 after Ctrl-C, 143 after SIGTERM."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return 3 if self.missing else 1 if self.failed else 0


@dataclass
class _Group:
    """Replications of one regime that lack rows of the same methods."""

    regime: Regime
    regime_hash: str
    methods: tuple[tuple[str, Method], ...]
    replications: list[int]
    taken: int = 0
    seconds: float = 0.0  # measured so far
    measured: int = 0

    @property
    def left(self) -> int:
        return len(self.replications) - self.taken


def _groups(study: Study, gaps: dict[str, np.ndarray[Any, np.dtype[np.int64]]]) -> list[_Group]:
    """Split what is missing so that the methods of a regime share their instance wherever possible."""
    groups: list[_Group] = []
    by_regime: dict[str, list[int]] = {}
    for position, cell in enumerate(study.cells):
        by_regime.setdefault(cell.regime_hash, []).append(position)
    for regime_hash, positions in by_regime.items():
        cells = [study.cells[position] for position in positions]
        lacking = np.zeros((len(cells), study.replications), dtype=np.bool_)
        for row, cell in zip(lacking, cells, strict=True):
            row[gaps[cell.hash]] = True
        patterns, which = np.unique(lacking, axis=1, return_inverse=True)
        for number in range(patterns.shape[1]):
            methods = tuple((c.hash, c.method) for c, on in zip(cells, patterns[:, number], strict=True) if on)
            if methods:
                replications = np.flatnonzero(which.ravel() == number).tolist()
                groups.append(_Group(cells[0].regime, regime_hash, methods, replications))
    return groups


class _Signals:
    """SIGINT and SIGTERM ask the run to end after the batches that are out; the second one ends it at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class _Run:
    """The state of one run: what is to do, what is out, what waits for a commit."""

    def __init__(
        self,
        study: Study,
        store: Store,
        groups: list[_Group],
        backend: Backend,
        timeout: float | None,
        batch_seconds: float,
        shuffle: random.Random | None,
        present: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.study, self.store, self.groups, self.backend = study, store, groups, backend
        self.timeout, self.batch_seconds, self.shuffle, self.progress = timeout, batch_seconds, shuffle, progress
        self.signals = _Signals()
        self.waiting: list[Row] = []
        self.committed_at = self.started_at = time.monotonic()
        self.present, self.written, self.failed = present, 0, 0
        self.to_write = sum(len(group.replications) * len(group.methods) for group in groups)
        self.lost: list[str] = []

    def batches(self) -> Iterator[tuple[_Group, Task]]:
        """Cut the groups into tasks of about ``batch_seconds``, learning from the batches that came back."""
        open_groups = deque(group for group in self.groups if group.left)
        while open_groups and self.signals.received is None:
            if self.shuffle is not None:
                open_groups.rotate(self.shuffle.randrange(len(open_groups)))
            group = open_groups[0]
            # Guided self-scheduling: batches shrink towards the end, so that no worker waits long for the last one.
            size = max(1, min(self._fitting(group), group.left // (2 * self.backend.n_jobs), _LARGEST_BATCH))
            chosen = tuple(group.replications[group.taken : group.taken + size])
            group.taken += size
            if not group.left:
                open_groups.popleft()
            yield (
                group,
                Task(self.study.root_seed, group.regime, group.regime_hash, group.methods, chosen, self.timeout),
            )

    def _fitting(self, group: _Group) -> int:
        if not group.measured:
            return 1
        return int(min(self.batch_seconds * group.measured / max(group.seconds, 1e-9), 4 * group.measured))

    def receive(self, rows: list[Row]) -> None:
        self.waiting += rows
        self.written += len(rows)
        self.failed += sum(row.metrics is None for row in rows)
        if self.progress is not None:
            elapsed = max(time.monotonic() - self.started_at, 1e-9)
            rate = self.written / elapsed
            left = (self.to_write - self.written) / rate if rate else float("inf")
            total = self.present + self.to_write
            self.progress(Progress(self.present + self.written, total, self.failed, rate, left))

    def commit(self, *, force: bool = False) -> None:
        due = len(self.waiting) >= _COMMIT_ROWS or time.monotonic() - self.committed_at >= _COMMIT_SECONDS
        if self.waiting and (force or due):
            self.store.append(self.waiting)
            self.waiting.clear()
            self.committed_at = time.monotonic()

    def run(self) -> None:
        batches = self.batches()
        out: dict[Future[list[Row]], tuple[_Group, Task]] = {}
        broken: list[Task] = []
        while True:
            while not broken and len(out) < 2 * self.backend.n_jobs and (batch := next(batches, None)) is not None:
                group, task = batch
                try:
                    out[self.backend.executor().submit(run_task, task)] = (group, task)
                except BrokenExecutor:
                    broken.append(task)
            if not out:
                if not broken:
                    return
                self.backend.renew()
                self.alone(broken)
                broken = []
                continue
            done, _ = wait(out, timeout=0.2, return_when=FIRST_COMPLETED)
            self.backend.check()
            for future in done:
                group, task = out.pop(future)
                try:
                    rows = self.backend.result(future)
                except LostWorker as error:
                    self.lost.append(str(error))
                    broken.append(task)
                    continue
                group.measured += len(task.replications)
                group.seconds += sum(row.seconds for row in rows)
                self.receive(rows)
            self.commit()

    def alone(self, tasks: list[Task]) -> None:
        """Compute the batches of a dead worker one row at a time, to find the replication that kills, if one does."""
        for task in tasks:
            for replication in task.replications:
                for cell, method in task.methods:
                    if self.signals.received is not None:
                        return
                    single = replace(task, methods=((cell, method),), replications=(replication,))
                    self.receive(self._single(single))
                    self.commit()

    def _single(self, task: Task) -> list[Row]:
        start = time.perf_counter()
        message = ""
        for _ in range(_STRIKES):
            try:
                future = self.backend.executor(alone=True).submit(run_task, task)
                while not wait((future,), timeout=0.5).done:
                    self.backend.check()
                return self.backend.result(future)
            except LostWorker as error:
                message = str(error)
                self.lost.append(message)
                self.backend.renew()
        text = (
            f"WorkerDied: the worker process computing this replication died {_STRIKES} times, alone ({message}). "
            "Likely causes: out of memory, a crash in compiled code, or a run past --timeout in compiled code."
        )
        return [Row(task.methods[0][0], task.replications[0], None, text, time.perf_counter() - start)]


def run_study(
    study: Study,
    store_path: str | os.PathLike[str],
    *,
    n_jobs: int = 2,
    backend: str | Executor = "loky",
    scheduler: str | None = None,
    replications: int | None = None,
    timeout: float | None = None,
    retry_failed: bool = False,
    shard: tuple[int, int] | None = None,
    batch_seconds: float = 0.25,
    shuffle_seed: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> RunReport:
    """Compute every row of the study that the store lacks.

    Parameters
    ----------
    study : Study
    store_path : path-like
        Made when missing; continued when there.
    n_jobs : int
        Worker processes.
    backend : {"loky", "sequential", "dask"} or concurrent.futures.Executor
        ``"sequential"`` computes in this process (for debugging; a crash ends the run).
    scheduler : str, optional
        Address of a running dask scheduler; ``backend="dask"`` without it starts a local cluster of ``n_jobs`` workers.
    replications : int, optional
        Instead of the study's own number.
    timeout : float, optional
        Seconds that drawing an instance, or one method on it, may take before it is ended and recorded as failed.
    retry_failed : bool
        Compute failed rows again (with the same streams).
    shard : (i, n), optional
        Only the replications r with r mod n == i − 1, 1 ≤ i ≤ n, for jobs that write separate stores.
    batch_seconds : float
        Work per task; longer batches cost less overhead, shorter ones stop sooner.
    shuffle_seed : int, optional
        Interleave regimes at random; changes nothing but the order of the work.
    progress : callable, optional
        Called with :class:`Progress` after every batch.

    Returns
    -------
    RunReport

    Raises
    ------
    ValueError
        A bad argument, before any work.
    StoreError
        The store cannot be used or written (see :class:`simulations.storage.store.Store`); what was committed is safe.
    BackendError
        Workers cannot be started or cannot load the regimes and methods.
    """
    if replications is not None:
        study = replace(study, replications=replications)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout is {timeout}; give a positive number of seconds")
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ValueError(f"shard is {shard[0]}/{shard[1]}; give i/n with 1 <= i <= n")
    started = time.monotonic()
    with open_backend(backend, n_jobs, scheduler) as workers, Store(store_path, study, mode="append") as store:
        record_run(store)
        gaps = _in_shard(store.missing(retry_failed=retry_failed), shard)
        groups = _groups(study, gaps)
        expected = sum(len(gap) for gap in _in_shard(_everything(study), shard).values())
        present = expected - sum(len(gap) for gap in gaps.values())
        shuffle = None if shuffle_seed is None else random.Random(shuffle_seed)
        run = _Run(study, store, groups, workers, timeout, batch_seconds, shuffle, present, progress)
        if groups:
            with run.signals:
                try:
                    run.run()
                except KeyboardInterrupt:
                    workers.abandon()
                    run.signals.received = run.signals.received or signal.SIGINT
                run.commit(force=True)
        left = sum(len(gap) for gap in _in_shard(store.missing(), shard).values())
        failed = sum(status.failed for status in store.status())
    return RunReport(
        study=study.name,
        store=Path(store_path),
        expected=expected,
        written=run.written,
        failed=failed,
        missing=left,
        seconds=time.monotonic() - started,
        interrupted=run.signals.received,
        lost_workers=tuple(dict.fromkeys(run.lost)),
    )


def _everything(study: Study) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    return {cell.hash: np.arange(study.replications) for cell in study.cells}


def _in_shard(
    gaps: dict[str, np.ndarray[Any, np.dtype[np.int64]]], shard: tuple[int, int] | None
) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    if shard is None:
        return gaps
    return {cell: gap[gap % shard[1] == shard[0] - 1] for cell, gap in gaps.items()}
