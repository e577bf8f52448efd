"""Where a server keeps the reports of its rounds and the evidence about its clients."""

from __future__ import annotations

from pathlib import Path

from clair_stats.adapters.report import write_report
from clair_stats.federation.evidence import ClientEvidence
from clair_stats.federation.round import RoundResult

__all__ = ["RoundFolder"]

_EVIDENCE = "evidence.json"


class RoundFolder:
    """``round-N/report.json`` and ``report.html``, and ``evidence.json``, from which a restarted server goes on.

    Parameters
    ----------
    path : path, optional
        Created when the first round is written; nothing is kept without it.
    """

    def __init__(self, path: Path | str | None) -> None:
        self.path = None if path is None else Path(path)

    def evidence(self) -> ClientEvidence:
        """The evidence of the rounds before; none without a folder or file.

        Returns
        -------
        ClientEvidence

        Raises
        ------
        ValueError
            The file is no evidence file.
        """
        return ClientEvidence() if self.path is None else ClientEvidence.load(self.path / _EVIDENCE)

    def write(self, number: int, result: RoundResult) -> None:
        """One round's report and the evidence after it; the evidence last, so that a cut write repeats the round.

        Parameters
        ----------
        number : int
            Of the round, from 1.
        result : RoundResult
        """
        if self.path is None:
            return
        folder = self.path / f"round-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        write_report(result.report, folder)
        result.evidence.save(self.path / _EVIDENCE)
