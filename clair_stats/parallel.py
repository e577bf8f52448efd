"""One function for many items, in turn or several at a time; the results are the same numbers in the same order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

__all__ = ["each", "unheard"]

A = TypeVar("A")
B = TypeVar("B")


def each(
    function: Callable[[A], B],
    items: Iterable[A],
    *,
    n_jobs: int | None = 1,
    shared_memory: bool = False,
    processes: bool = False,
    done: Callable[[int], object] | None = None,
) -> list[B]:
    """Apply a function to every item.

    Parameters
    ----------
    function : callable
        Without side effects in memory.
    items : iterable
        Read as results are asked for.
    n_jobs : int, optional
        Items at a time, as joblib counts them; threads unless ``joblib.parallel_config`` says otherwise, for instance
        "dask" with the workers of other machines.  In turn for 1 and None.
    shared_memory : bool
        Whether items are too large to be sent to another process: threads in any case.
    processes : bool
        Processes of this machine in any case, for functions that hold the interpreter's lock: scipy's ``eigh`` does,
        and two threads then take the time of one.
    done : callable, optional
        Called with the number of results that are there.

    Returns
    -------
    list
        In the order of the items.
    """
    if n_jobs in (1, None):
        results: Iterable[B] = map(function, items)
    else:
        # Imported here: one item at a time needs none of it.
        from joblib import Parallel, delayed

        where = {"require": "sharedmem"} if shared_memory else {"prefer": "threads"}
        if processes:
            where = {"backend": "loky"}
        workers = Parallel(n_jobs=n_jobs, return_as="generator", **where)
        with unheard() if processes else nullcontext():  # the call starts them
            results = workers(delayed(function)(item) for item in items)
    found = []
    for result in results:
        found.append(result)
        if done is not None:
            done(len(found))
    return found


@contextmanager
def unheard() -> Iterator[None]:
    """Ctrl-C waits until the end, and never reaches a process that is started meanwhile.

    A worker that imports would answer it with a traceback of its own, whatever its parent makes of it.  Processes
    inherit what is blocked; the parent ends them.

    Yields
    ------
    None
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    for tracker in (resource_tracker, loky_tracker):  # which let the signal through once more when they have started
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
