"""``make verify``: the steps one after the other, each announced with its number and the minutes it takes.

Every step is a command of its own, which can be run alone and goes on where it was interrupted.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simulations.engine.progress import time_left

__all__ = ["Step", "StudyTime", "announcement", "closing", "run_steps", "study_minutes", "verify_steps"]

_INTERRUPTED = (130, 143)  # exit statuses after SIGINT and SIGTERM
_UNUSABLE = 2  # bad input or an unusable store


@dataclass(frozen=True)
class Step:
    """One command of ``make verify``.

    Parameters
    ----------
    title : str
        What it does, in words.
    arguments : tuple of str
        Module and arguments of ``python -m``.
    minutes : float
        Processor time of a first run at quick effort; on an idle machine the time that ``make verify`` prints at its
        end, times the workers.
    parallel : bool
        Whether workers share it.
    """

    title: str
    arguments: tuple[str, ...]
    minutes: float
    parallel: bool = True


class StudyTime(NamedTuple):
    """A study of ``make verify``."""

    name: str
    minutes: float  # processor time of its first run at quick effort
    replications: int | None = None  # at quick effort; the study's own when None, and at every other effort


def study_minutes(text: str) -> StudyTime:
    """A study and the processor minutes of its first run at quick effort, from ``NAME=MINUTES[/REPLICATIONS]``.

    Raises
    ------
    ValueError
        Of another form.
    """
    name, _, rest = text.partition("=")
    minutes, _, replications = rest.partition("/")
    try:
        return StudyTime(name, float(minutes), int(replications) if replications else None)
    except ValueError:
        raise ValueError(f"--study {text!r}: give NAME=MINUTES, for example digits=1.5, or NAME=MINUTES/10") from None


def verify_steps(effort: str, jobs: int, studies: Sequence[StudyTime]) -> tuple[Step, ...]:
    """The steps in their order.

    Parameters
    ----------
    effort : str
        Of the theorem checks: quick, standard or full; at quick effort a study may have fewer replications.
    jobs : int
        Worker processes.
    studies : sequence of StudyTime

    Returns
    -------
    tuple of Step
    """
    workers = ("--jobs", str(jobs))
    return (
        Step("theorems and their sabotages", ("theory_checks", "run", "--effort", effort, *workers), 3.6),
        Step("maps of exact recovery", ("theory_checks", "maps", *workers), 0.6),
        *(
            Step(
                f"study {study.name.replace('_', ' ')}",
                ("simulations", "run", study.name, *workers, *_fewer(study, effort)),
                study.minutes,
            )
            for study in studies
        ),
        Step("the report", ("reports", "build"), 0.2, parallel=False),
    )


def _fewer(study: StudyTime, effort: str) -> tuple[str, ...]:
    """The option that leaves replications to a later run, which adds them to the same store."""
    if effort != "quick" or study.replications is None:
        return ()
    return ("--replications", str(study.replications))


def announcement(number: int, total: int, step: Step, jobs: int) -> str:
    """Such as ``step 3 of 6: study linear regression, about 1 minute``."""
    minutes = max(1, round(step.minutes / (jobs if step.parallel else 1)))
    return f"step {number} of {total}: {step.title}, about {minutes} minute{'s' if minutes > 1 else ''}"


def closing(steps: Sequence[Step], seconds: Sequence[float]) -> str:
    """Where the time went."""
    each = "; ".join(f"{step.title} {time_left(taken)}" for step, taken in zip(steps, seconds, strict=False))
    return f"verified in {time_left(sum(seconds))} ({each})"


def run_steps(
    steps: Sequence[Step], jobs: int, tell: Callable[[str], None], call: Callable[[Sequence[str]], int] | None = None
) -> int:
    """Run the steps; a claim that fails stops nothing, so that the report can say so, and decides the exit status.

    Parameters
    ----------
    steps : sequence of Step
    jobs : int
    tell : callable
        Called with every line for the reader.
    call : callable, optional
        Runs a module with arguments and returns its exit status; a process of its own when not given.

    Returns
    -------
    int
        Of the first step where all others ended well, else that of the step that did not.
    """
    status, seconds = 0, []
    for number, step in enumerate(steps, start=1):
        tell(announcement(number, len(steps), step, jobs))
        began = time.monotonic()
        ended = (call or _process)(step.arguments)
        seconds.append(time.monotonic() - began)
        if ended in _INTERRUPTED or ended == _UNUSABLE or (ended and number > 1):
            tell(f"stopped in step {number} of {len(steps)}; the same command goes on from here")
            return ended
        status = status or ended
    tell(closing(steps, seconds))
    return status


def _process(arguments: Sequence[str]) -> int:
    """Exit status of ``python -m`` with these arguments; Ctrl-C reaches it by itself, and it ends in order.

    SIGTERM reaches this process alone, as an exit: it is handed on.
    """
    process = subprocess.Popen([sys.executable, "-m", *arguments])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
        except SystemExit:
            process.terminate()
            process.wait()
            raise
