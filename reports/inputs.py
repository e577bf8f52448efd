"""What there is to report, as records: claims with verdicts, regimes with verdicts, studies with summaries, maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from simulations.design import Study
from simulations.registration import Entry
from simulations.storage.store import load_rows
from theory_checks.claim import Claim
from theory_checks.judge.verdict import Verdict

__all__ = ["ClaimInput", "Inputs", "RegimeInput", "StudyInput"]


@dataclass(frozen=True, eq=False)
class StudyInput:
    """A study whose store holds rows."""

    study: Study
    summary: pd.DataFrame
    provenance: tuple[str, ...]
    missing: int  # rows that are not there yet
    failed: int
    store: Path | None = None  # where the rows lie
    common: int | None = None  # replications that every cell has, where all have equally many

    @property
    def shorter(self) -> bool:
        """All cells stop at the same replication before the last: ``--replications`` was given, nothing is lost."""
        return self.common is not None and 0 < self.common < self.study.replications

    def rows(self) -> pd.DataFrame:
        """The successful replications, one line each.

        Raises
        ------
        FileNotFoundError
            The summary was not read from a store.
        """
        if self.store is None:
            raise FileNotFoundError(f"study {self.study.name}: no store; run `python -m simulations run` first")
        rows = load_rows(self.store, self.study)
        return rows[rows["status"] == "ok"]


@dataclass(frozen=True, eq=False)
class ClaimInput:
    """A claim with its verdict, its sabotage's verdict where it was run, and the rows where the store is there."""

    claim: Claim
    verdict: Verdict
    sabotage: Verdict | None
    rows: pd.DataFrame | None
    provenance: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RegimeInput:
    """The verdicts on one regime, and where its rows come from when its store is there."""

    study: Study
    verdicts: tuple[Verdict, ...]
    provenance: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """Name of its section and table."""
        return f"regime-{self.study.name.split('--')[0].removeprefix('regime_')}"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything found under one results folder."""

    claims: tuple[ClaimInput, ...]
    studies: tuple[StudyInput, ...]
    maps: tuple[Path, ...]
    regimes: tuple[RegimeInput, ...] = ()
    missing: tuple[str, ...] = field(default=())  # one plain line each: what is left out and the command that makes it
    unrun: int = 0  # registered claims without a verdict
    entries: tuple[Entry, ...] = ()  # of the registry of confirmatory runs
