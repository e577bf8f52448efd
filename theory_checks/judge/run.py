"""From claims to verdicts: run the missing replications, read the rows, apply the rules, decide over the family."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simulations.storage.store import load_rows
from theory_checks.claim import ROOT_SEED, Claim, Effort
from theory_checks.judge.complete import run_to_the_end
from theory_checks.judge.verdict import FAMILY_LEVEL, Status, Verdict, decide
from theory_checks.rules.evidence import Evidence
from theory_checks.rules.rates import SlopeRule

__all__ = ["assess_rows", "collect", "exit_status", "run_claims"]


def assess_rows(claim: Claim, rows: pd.DataFrame, *, sabotaged: bool = False) -> Evidence:
    """Set aside failed, unsolved and inapplicable replications, count them, and apply the rule to the rest."""
    good = rows[rows["status"] == "ok"]
    failed = len(rows) - len(good)
    if good.empty:
        nan = math.nan
        return Evidence(0, nan, nan, nan, nan, 1.0, False, "every replication failed", failed=failed)
    unsolved = 0
    if claim.largest_gap is not None and "relative_gap" in good:
        solved = ~(good["relative_gap"] > claim.largest_gap)
        unsolved = int((~solved).sum())
        good = good[solved]
    applicable = pd.Series(True, index=good.index)
    # A sabotage may break an assumption on purpose; it is then judged on all instances.
    for assumption in () if sabotaged else claim.assumptions:
        applicable &= good[assumption.column] == 1
    skipped = int((~applicable).sum())
    evidence = claim.active_rule(sabotaged=sabotaged).assess(good[applicable])
    return dataclasses.replace(evidence, failed=failed, skipped=skipped, unsolved=unsolved)


def collect(
    claim: Claim,
    effort: Effort,
    folder: Path,
    *,
    sabotaged: bool = False,
    root_seed: int = ROOT_SEED,
    **options: Any,  # noqa: ANN401 - handed on to run_study
) -> Evidence:
    """Run what is missing of one claim (or of its sabotage) and assess it; ``options`` go to ``run_study``."""
    study = claim.study(effort, sabotaged=sabotaged, root_seed=root_seed)
    store = folder / f"{study.name}.sqlite"
    run_to_the_end(study, store, **options)
    return assess_rows(claim, load_rows(store, study), sabotaged=sabotaged)


def run_claims(
    claims: Sequence[Claim],
    effort: Effort,
    folder: Path,
    *,
    with_claims: bool = True,
    with_sabotages: bool = True,
    root_seed: int = ROOT_SEED,
    progress: Callable[[str], None] | None = None,
    **options: Any,  # noqa: ANN401 - handed on to run_study
) -> list[Verdict]:
    """Verdicts of the claims, then of their sabotages.

    Claims form one family under Holm's procedure.  Every sabotage is tested at the strictest level its claim can be
    left with in that family, level / number of claims, so a rejection would also have happened among the claims.
    """
    verdicts: list[Verdict] = []
    if with_claims:
        evidence = []
        for claim in claims:
            if progress:
                progress(claim.identifier)
            evidence.append(collect(claim, effort, folder, root_seed=root_seed, **options))
        for claim, item, (status, adjusted) in zip(claims, evidence, decide(evidence), strict=True):
            verdicts.append(_verdict(claim, effort, item, status, adjusted, len(claims), sabotaged=False))
    if with_sabotages:
        for claim in claims:
            if progress:
                progress(f"{claim.identifier} / {claim.sabotage.name}")
            item = collect(claim, effort, folder, sabotaged=True, root_seed=root_seed, **options)
            adjusted = min(1.0, item.p_value * len(claims))
            clean = item.failed == 0 and item.unsolved == 0
            accepted: Status = "supported" if item.within and clean else "inconclusive"
            outcome: Status = "violated" if adjusted <= FAMILY_LEVEL else accepted
            verdicts.append(_verdict(claim, effort, item, outcome, adjusted, len(claims), sabotaged=True))
    return verdicts


def _verdict(
    claim: Claim, effort: Effort, item: Evidence, status: Status, adjusted: float, family: int, *, sabotaged: bool
) -> Verdict:
    rule = claim.active_rule(sabotaged=sabotaged)
    planned = claim.used_replications(effort, sabotaged=sabotaged)
    n = item.n if not math.isnan(item.estimate) and item.n else planned
    n = planned if isinstance(rule, SlopeRule) else n
    return Verdict(
        claim=claim.identifier,
        theorem=claim.theorem,
        title=claim.title,
        status=status,
        effort=effort,
        sabotage=claim.sabotage.name if sabotaged else "",
        evidence=item,
        adjusted_p_value=adjusted,
        rule=rule.describe(n),
        smallest_violation=rule.smallest_violation(n, FAMILY_LEVEL / family),
    )


def exit_status(verdicts: Sequence[Verdict]) -> int:
    """0: every claim supported and every sabotage rejected; 1: a claim violated or a sabotage accepted; 3: open."""
    if any(v.status == "violated" for v in verdicts if not v.sabotage):
        return 1
    if any(v.status != "violated" for v in verdicts if v.sabotage):
        return 1
    return 3 if any(v.status == "inconclusive" for v in verdicts if not v.sabotage) else 0
