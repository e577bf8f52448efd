"""The two large runs: many instances inside the theorem regions, and certificate against recovery across the border."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import pandas as pd

from simulations.design import Study, crossed
from simulations.engine.options import RunOptions
from simulations.storage.store import load_rows
from theory_checks.claim import ROOT_SEED
from theory_checks.instances.recovery import AdversarialRegime
from theory_checks.judge.complete import run_to_the_end
from theory_checks.methods.exact_program import RecoveryMethod
from theory_checks.rules.decision import AlwaysRule
from theory_checks.rules.evidence import Evidence

__all__ = ["Agreement", "agreement", "agreement_study", "region", "region_study"]

TIE = 1e-3
LARGEST_GAP = 1e-6


def region_study(instances: int) -> Study:
    """Half of the instances in the region of Theorem 1, half in that of Theorem 2 (sharp forms)."""
    regimes = [AdversarialRegime(common_component=common, largest_clients=14) for common in (False, True)]
    return Study(
        name="theorem-region",
        title="Instances inside the theorem regions",
        cells=crossed(regimes, RecoveryMethod()),
        replications=max(1, instances // 2),
        root_seed=ROOT_SEED,
        aims="No instance inside the region of the sharp Theorems 1 and 2 may fail to be recovered.",
    )


def region(instances: int, folder: Path, **options: Unpack[RunOptions]) -> tuple[Evidence, pd.DataFrame]:
    """Run (or continue) the region study; evidence of the rule "always" and the rows that violate or stay unsolved."""
    study = region_study(instances)
    store = folder / f"{study.name}.sqlite"
    run_to_the_end(study, store, **options)
    rows = load_rows(store, study)
    good = rows[rows["status"] == "ok"]
    unsolved = (good["violation"] == 1) & (good["relative_gap"] > LARGEST_GAP)
    evidence = AlwaysRule(report=("off_subspace",)).assess(good[~unsolved])
    return evidence, rows[(rows["status"] != "ok") | rows["violation"].eq(1)]


def agreement_study(instances: int) -> Study:
    """Penalties from well below to well above the sharp window, every kind of contamination, with and without M."""
    regimes = [AdversarialRegime(common_component=common, lowest=-1.0, highest=2.0) for common in (False, True)]
    return Study(
        name="certificate-agreement",
        title="Certificate against empirical recovery",
        cells=crossed(regimes, RecoveryMethod()),
        replications=max(1, instances // 2),
        root_seed=ROOT_SEED,
        aims="Certificate and recovery on both sides of the border.",
    )


@dataclass(frozen=True, eq=False)
class Agreement:
    """Certificate and recovery, instance by instance."""

    n: int
    certified_recovered: int
    certified_failed: int  # would refute the certificate
    open_recovered: int  # not certified, recovered: the certificate is sufficient, not necessary
    open_failed: int
    refuted_recovered: int  # η > 1 or a polar block above λ, yet recovered: would refute the converse
    refuted_failed: int
    unsolved: int
    ties: pd.DataFrame  # |max(η, κ) − 1| ≤ 1e-3, or gap above the limit, one by one
    disagreements: pd.DataFrame  # outside the ties


def agreement(instances: int, folder: Path, **options: Unpack[RunOptions]) -> Agreement:
    """Run (or continue) the agreement study and compare; ties within 1e-3 of the border are set aside and listed."""
    study = agreement_study(instances)
    store = folder / f"{study.name}.sqlite"
    run_to_the_end(study, store, **options)
    rows = load_rows(store, study)
    rows = rows[rows["status"] == "ok"].copy()
    rows["border"] = rows[["eta", "kappa"]].max(axis=1)
    tie = (rows["border"] - 1).abs() <= TIE
    unsolved = (rows["relative_gap"] > LARGEST_GAP) & ~tie
    clear = rows[~tie & ~unsolved]
    certified, recovered = clear["certified"] == 1, clear["recovered"] == 1
    refuted = (clear["eta"] > 1 + TIE) | (clear["polar_ratio"] > 1 + TIE)
    return Agreement(
        n=len(clear),
        certified_recovered=int((certified & recovered).sum()),
        certified_failed=int((certified & ~recovered).sum()),
        open_recovered=int((~certified & recovered).sum()),
        open_failed=int((~certified & ~recovered).sum()),
        refuted_recovered=int((refuted & recovered).sum()),
        refuted_failed=int((refuted & ~recovered).sum()),
        unsolved=int(unsolved.sum()),
        ties=rows[tie],
        disagreements=clear[certified != recovered],
    )
