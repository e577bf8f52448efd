"""The rows behind claims: every study is run to its end once and read once, however many claims look at it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from simulations.engine.executor import RunReport
from simulations.engine.options import RunOptions
from simulations.storage.store import load_rows
from theory_checks.claim import Claim, Effort, Setting
from theory_checks.judge.complete import run_to_the_end
from theory_checks.rules.evidence import Evidence, nothing
from theory_checks.rules.rule import Rule

__all__ = ["Rows", "Stores", "assess_setting"]


@dataclass(frozen=True)
class Stores:
    """Folders of the stores.

    Parameters
    ----------
    claims : Path
        Studies of single claims.
    studies : Path or None
        Studies that claims share and ``python -m simulations run`` runs as well; None: beside the claims'.
    """

    claims: Path
    studies: Path | None = None

    def path(self, claim: Claim, effort: Effort, *, sabotaged: bool = False) -> Path:
        """The store of a claim."""
        folder = self.claims if claim.design is None or self.studies is None else self.studies
        return folder / f"{claim.study(effort, sabotaged=sabotaged).name}.sqlite"


@dataclass(frozen=True)
class Rows:
    """Rows at one effort and root seed; what is missing is run, with ``options`` for ``run_study``."""

    effort: Effort
    stores: Stores
    root_seed: int | None = None
    options: RunOptions = field(default_factory=RunOptions)
    announce: Callable[[str], None] | None = None  # called with the name of every study before it is run
    finished: Callable[[RunReport], None] | None = None  # called with what every run did
    _read: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def of(self, claim: Claim, *, sabotaged: bool = False) -> pd.DataFrame:
        """All rows of the claim's study, or of its sabotage's.

        Raises
        ------
        UnfinishedError
            The run was interrupted.
        """
        study = claim.study(self.effort, sabotaged=sabotaged, root_seed=self.root_seed)
        if study.name not in self._read:
            if self.announce is not None:
                self.announce(study.name)
            store = self.stores.path(claim, self.effort, sabotaged=sabotaged)
            report = run_to_the_end(study, store, **self.options)
            if self.finished is not None:
                self.finished(report)
            self._read[study.name] = load_rows(store, study)
        return self._read[study.name]


def _with_instances(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The rows of a setting, with a column that says which of them share their instance."""
    regimes = {cell.hash: cell.regime_hash for cell in setting.cells}
    if "cell" not in rows:
        return rows
    own = rows[rows["cell"].isin(regimes)]
    return own.assign(instance=own["cell"].map(regimes) + "-" + own["replication"].astype(str))


def assess_setting(
    claim: Claim, setting: Setting, rows: pd.DataFrame, *, rule: Rule | None = None, sabotaged: bool = False
) -> Evidence:
    """Set aside failed, unsolved and inapplicable replications, count them, and apply the rule to the rest.

    Parameters
    ----------
    claim : Claim
    setting : Setting
    rows : DataFrame
        One row per cell and replication of the claim's study.
    rule : Rule, optional
        Instead of the claim's own.
    sabotaged : bool
        Whether the rows are those of the sabotage, which may break assumptions.
    """
    own = _with_instances(rows, setting)
    good = own[own["status"] == "ok"]
    failed = len(own) - len(good)
    if good.empty:
        return nothing("every replication failed" if failed else "no replication", failed=failed)
    counts = {name: float(good[name].sum()) for name in claim.counted if name in good and good[name].notna().any()}
    unsolved = 0
    if claim.largest_gap is not None and "relative_gap" in good:
        # A gap that is not a number is not small: the comparison is false then.
        solved = good["relative_gap"] <= claim.largest_gap
        unsolved = int((~solved).sum())
        good = good[solved]
    applicable = pd.Series(True, index=good.index)
    # A sabotage may break an assumption on purpose; it is then judged on all instances.
    for assumption in () if sabotaged else claim.assumptions:
        applicable &= good[assumption.column] == 1
    evidence = (rule or claim.active_rule(sabotaged=sabotaged)).assess(good[applicable])
    return dataclasses.replace(
        evidence,
        failed=failed,
        skipped=evidence.skipped + int((~applicable).sum()),
        unsolved=unsolved,
        extra={**evidence.extra, **counts},
    )
