"""How a run works: workers, limits and messages; nothing here changes a row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypedDict

__all__ = ["Progress", "RunOptions", "Settings"]


@dataclass(frozen=True)
class Progress:
    """Where a run stands; handed to the ``progress`` callback after every batch."""

    rows_done: int  # rows present in the store or waiting for the next commit
    rows_total: int
    failed: int  # failed rows among those this run made
    rows_per_second: float
    seconds_left: float


class RunOptions(TypedDict, total=False):
    """Keywords of :func:`simulations.engine.executor.run_study`; see :class:`Settings`."""

    n_jobs: int
    backend: str | Executor
    scheduler: str | None
    timeout: float | None
    batch_seconds: float
    shuffle_seed: int | None
    progress: Callable[[Progress], None] | None
    accept_mixed: bool


@dataclass(frozen=True)
class Settings:
    """How a run works.

    Parameters
    ----------
    n_jobs : int
        Worker processes.
    backend : {"loky", "sequential", "dask"} or concurrent.futures.Executor
        ``"sequential"`` computes in this process (for debugging; a crash ends the run).
    scheduler : str, optional
        Address of a running dask scheduler; ``backend="dask"`` without it starts a local cluster of ``n_jobs`` workers.
    timeout : float, optional
        Seconds that drawing an instance, or one method on it, may take before it is ended and recorded as failed.
    batch_seconds : float
        Work per task; longer batches cost less overhead, shorter ones stop sooner.
    shuffle_seed : int, optional
        Interleave regimes at random; changes nothing but the order of the work.
    progress : callable, optional
        Called with :class:`Progress` after every batch.
    accept_mixed : bool
        Add rows to a store that holds rows of another version of code, packages or machine
        (:mod:`simulations.storage.provenance`).
    """

    n_jobs: int = 2
    backend: str | Executor = "loky"
    scheduler: str | None = None
    timeout: float | None = None
    batch_seconds: float = 0.25
    shuffle_seed: int | None = None
    progress: Callable[[Progress], None] | None = None
    accept_mixed: bool = False

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout is {self.timeout}; give a positive number of seconds")
