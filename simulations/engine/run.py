"""One run: batches out to the workers, rows back, commits; a worker that dies takes nothing with it."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import replace

from simulations.design import Study
from simulations.engine.groups import Portion
from simulations.engine.options import Progress, Settings
from simulations.engine.replicate import Task, run_task
from simulations.engine.signals import Signals
from simulations.engine.workers import Backend, LostWorker
from simulations.storage.rows import Row
from simulations.storage.store import Store

__all__ = ["Run"]

_COMMIT_ROWS = 2_000  # rows that wait for one transaction at most
_COMMIT_SECONDS = 0.5  # and how long
_LARGEST_BATCH = 1_000  # replications of one task
_STRIKES = 2  # deaths of a worker on one replication, alone, before the replication is called failed


class Run:
    """The state of one run: what is to do, what is out, what waits for a commit."""

    def __init__(
        self, study: Study, store: Store, groups: list[Portion], backend: Backend, options: Settings, present: int
    ) -> None:
        self.study, self.store, self.groups, self.backend, self.options = study, store, groups, backend, options
        self.shuffle = None if options.shuffle_seed is None else random.Random(options.shuffle_seed)
        self.signals = Signals()
        self.waiting: list[Row] = []
        self.committed_at = self.started_at = time.monotonic()
        self.present, self.written, self.failed = present, 0, 0
        self.to_write = sum(len(group.replications) * len(group.methods) for group in groups)
        self.lost: list[str] = []

    def batches(self) -> Iterator[tuple[Portion, Task]]:
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
                Task(
                    self.study.root_seed, group.regime, group.regime_hash, group.methods, chosen, self.options.timeout
                ),
            )

    def _task(self, group: Portion, replications: tuple[int, ...]) -> Task:
        limit = self.options.timeout
        return Task(self.study.root_seed, group.regime, group.regime_hash, group.methods, replications, limit)

    def _fitting(self, group: Portion) -> int:
        if not group.measured:
            return 1
        return int(min(self.options.batch_seconds * group.measured / max(group.seconds, 1e-9), 4 * group.measured))

    def receive(self, rows: list[Row]) -> None:
        """Take rows that came back, and say how far the run is."""
        self.waiting += rows
        self.written += len(rows)
        self.failed += sum(row.metrics is None for row in rows)
        if self.options.progress is not None:
            elapsed = max(time.monotonic() - self.started_at, 1e-9)
            rate = self.written / elapsed
            left = (self.to_write - self.written) / rate if rate else float("inf")
            total = self.present + self.to_write
            self.options.progress(Progress(self.present + self.written, total, self.failed, rate, left))

    def commit(self, *, force: bool = False) -> None:
        """Write what waits when it is much, or old, or forced."""
        due = len(self.waiting) >= _COMMIT_ROWS or time.monotonic() - self.committed_at >= _COMMIT_SECONDS
        if self.waiting and (force or due):
            self.store.append(self.waiting)
            self.waiting.clear()
            self.committed_at = time.monotonic()

    def run(self) -> None:
        """Keep every worker busy until nothing is left or a signal has come."""
        batches = self.batches()
        out: dict[Future[list[Row]], tuple[Portion, Task]] = {}
        broken: list[Task] = []
        while True:
            while not broken and len(out) < 2 * self.backend.n_jobs and (batch := next(batches, None)) is not None:
                try:
                    out[self.backend.executor().submit(run_task, batch[1])] = batch
                except BrokenExecutor:
                    broken.append(batch[1])
            if out:
                broken += self._collect(out)
            elif broken:
                self.backend.renew()
                self.alone(broken)
                broken = []
            else:
                return

    def _collect(self, out: dict[Future[list[Row]], tuple[Portion, Task]]) -> list[Task]:
        """Take what is done; returns the tasks whose worker died."""
        broken = []
        done, _ = wait(out, timeout=0.2, return_when=FIRST_COMPLETED)
        self.signals.end_if_overdue()
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
        return broken

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
                    self.signals.end_if_overdue()
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
