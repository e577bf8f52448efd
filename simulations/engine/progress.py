"""Progress of a run: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from simulations.engine.options import Progress

__all__ = ["reporter", "time_left"]

_LINE_SECONDS = 10.0


def time_left(seconds: float) -> str:
    """Hours, minutes and seconds, such as 1:02:03 or 0:07."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def reporter(name: str, *, console: Console | None = None) -> Iterator[Callable[[Progress], None]]:
    """A callback for ``run_study(progress=...)`` that shows rows, rate, failures and time left on standard error."""
    console = console or Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _plain_lines(name, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[info]}"))
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(name, total=None, info="")

        def show(progress: Progress) -> None:
            info = f"{progress.rows_per_second:.0f} rows/s, {time_left(progress.seconds_left)} left"
            if progress.failed:
                info += f", {progress.failed} failed"
            bar.update(task, total=progress.rows_total, completed=progress.rows_done, info=info)

        yield show


def _plain_lines(name: str, console: Console) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < _LINE_SECONDS:
            return
        last = time.monotonic()
        console.print(
            f"{name}: {progress.rows_done}/{progress.rows_total} rows, {progress.rows_per_second:.0f} rows/s, "
            f"{time_left(progress.seconds_left)} left, {progress.failed} failed"
        )

    return show
