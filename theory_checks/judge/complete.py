"""Run a study to its end, or say that it is unfinished: nothing may be judged on some of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from simulations.design import Study
from simulations.engine.executor import RunReport, run_study
from simulations.engine.options import RunOptions

__all__ = ["UnfinishedError", "run_to_the_end"]


class UnfinishedError(RuntimeError):
    """Rows are missing after a run, because it was interrupted; nothing is judged."""

    def __init__(self, report: RunReport) -> None:
        super().__init__(
            f"{report.study}: {report.missing} rows are missing; finished batches are stored, the same command goes on"
        )
        self.report = report


def run_to_the_end(study: Study, store: Path, **options: Unpack[RunOptions]) -> RunReport:
    """Compute what is missing of a study; ``options`` go to ``run_study``.

    Raises
    ------
    UnfinishedError
        The run was interrupted.
    """
    report = run_study(study, store, **options)
    if report.missing:
        raise UnfinishedError(report)
    return report
