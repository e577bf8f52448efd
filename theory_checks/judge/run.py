"""From claims to verdicts: run the missing replications, read the rows, apply the rules, decide over the family.

The claims on the theorems are one family, the claims on each regime are another; Holm's procedure corrects within a
family, for all of its members, whichever of them are run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Protocol, Unpack

import pandas as pd

from simulations.engine.executor import RunReport
from simulations.engine.options import RunOptions
from theory_checks.claim import Claim, Effort, Setting
from theory_checks.judge.progress import Judged, Steps
from theory_checks.judge.rows import Rows, Stores, assess_setting
from theory_checks.judge.verdict import (
    FAMILY_LEVEL,
    Status,
    Verdict,
    decide,
    decide_sabotage,
    supported_together,
)
from theory_checks.registry import family_size
from theory_checks.rules.evidence import Evidence

__all__ = ["RowSource", "assess_rows", "exit_status", "judge_rows", "run_claims"]


class RowSource(Protocol):
    """Where the rows of claims come from."""

    def __call__(self, claim: Claim, *, sabotaged: bool = False) -> pd.DataFrame:
        """All rows of the claim's study, or of its sabotage's."""
        ...


def assess_rows(claim: Claim, rows: pd.DataFrame, *, sabotaged: bool = False) -> Evidence:
    """Evidence of a claim with one setting; see :func:`theory_checks.judge.rows.assess_setting`."""
    setting = claim.sabotaged_setting() if sabotaged else claim.judged[0]
    return assess_setting(claim, setting, rows, sabotaged=sabotaged)


def _settings(claims: Sequence[Claim]) -> list[tuple[Claim, Setting]]:
    """What gets a verdict, in the order of the tables: by setting, then by claim."""
    pairs = [(claim, setting) for claim in claims for setting in claim.judged]
    return sorted(pairs, key=lambda pair: pair[1].position)


def judge_rows(
    claims: Sequence[Claim],
    rows: RowSource,
    effort: Effort,
    *,
    family: int,
    with_claims: bool = True,
    with_sabotages: bool = True,
    level: float = FAMILY_LEVEL,
    told: Callable[[Judged], None] | None = None,
) -> list[Verdict]:
    """Verdicts of one family from its rows: the claims, then their sabotages.

    Parameters
    ----------
    claims : sequence of Claim
        Members of one family.
    rows : callable
        ``rows(claim, sabotaged=False)``: all rows of the claim's study, or of its sabotage's.
    effort : str
    family : int
        Number of claims × settings of the whole family, run or not.
    with_claims, with_sabotages : bool
        What gets a verdict.
    level : float
        At which claims are called violated (over the family) or supported (each); smaller at a registered try.
    told : callable, optional
        Called with every claim × setting and every sabotage that has been looked at.

    Notes
    -----
    Every sabotage is tested at the strictest level its claim can be left with in the family, level / family, so a
    rejection would also have happened among the claims.
    """
    verdicts: list[Verdict] = []
    pairs = _settings(claims) if with_claims else []
    steps = Steps(len(pairs) + (len(claims) if with_sabotages else 0), family, level, told)
    if with_claims:
        evidence = []
        for claim, setting in pairs:
            evidence.append(assess_setting(claim, setting, rows(claim)))
            steps(claim.identifier, setting.label, "", evidence[-1])
        decided = decide(evidence, level=level, family=family)
        together = supported_together(evidence, level=level, family=family)
        for (claim, setting), item, (status, adjusted), shown in zip(pairs, evidence, decided, together, strict=True):
            verdicts.append(_verdict(claim, setting, effort, item, status, adjusted, family, level, together=shown))
    for claim in claims if with_sabotages else ():
        setting = claim.sabotaged_setting()
        item = assess_setting(claim, setting, rows(claim, sabotaged=True), sabotaged=True)
        steps(claim.identifier, setting.label, claim.sabotage.name, item)
        status, adjusted = decide_sabotage(item, family, level=level)
        verdicts.append(_verdict(claim, setting, effort, item, status, adjusted, family, level, sabotaged=True))
    return verdicts


def run_claims(
    claims: Sequence[Claim],
    effort: Effort,
    folder: Path | Stores,
    *,
    with_claims: bool = True,
    with_sabotages: bool = True,
    root_seed: int | None = None,
    family: int | None = None,
    level: float = FAMILY_LEVEL,
    announce: Callable[[str], None] | None = None,
    finished: Callable[[RunReport], None] | None = None,
    told: Callable[[Judged], None] | None = None,
    **options: Unpack[RunOptions],
) -> list[Verdict]:
    """Verdicts of the claims, then of their sabotages, family by family.

    Parameters
    ----------
    claims : sequence of Claim
    effort : {"quick", "standard", "full"}
    folder : Path or Stores
        Where the rows are kept and continued.
    with_claims, with_sabotages : bool
        What is run and judged.
    root_seed : int, optional
        Instead of the claims' own.
    family : int, optional
        Size of the family; None: of the registered one (:func:`theory_checks.registry.family_size`).
    level : float
        See :func:`judge_rows`.
    announce : callable, optional
        Called with the name of every study before it is run.
    finished : callable, optional
        Called with the report of every study that has run.
    told : callable, optional
        Called with every claim × setting and every sabotage that has been looked at.
    **options
        For :func:`simulations.engine.executor.run_study`.
    """
    stores = folder if isinstance(folder, Stores) else Stores(folder)
    source = Rows(effort, stores, root_seed, options, announce, finished)
    verdicts: list[Verdict] = []
    for regime, members in groupby(sorted(claims, key=lambda claim: claim.regime), key=lambda claim: claim.regime):
        chosen = list(members)
        here = sum(len(claim.judged) for claim in chosen)
        size = max(here, family_size(regime)) if family is None else family
        verdicts += judge_rows(
            chosen,
            source.of,
            effort,
            family=size,
            with_claims=with_claims,
            with_sabotages=with_sabotages,
            level=level,
            told=told,
        )
    return verdicts


def _verdict(
    claim: Claim,
    setting: Setting,
    effort: Effort,
    item: Evidence,
    status: Status,
    adjusted: float,
    family: int,
    level: float,
    *,
    sabotaged: bool = False,
    together: bool = False,
) -> Verdict:
    rule = claim.active_rule(sabotaged=sabotaged)
    n = rule.size(claim.used_replications(effort, sabotaged=sabotaged), item.n)
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
        smallest_violation=rule.smallest_violation(n, level / family),
        regime=claim.regime,
        section=setting.section,
        setting=setting.label,
        is_departure=setting.is_departure and not sabotaged,
        claimed=rule.claimed,
        accepted=rule.accepted,
        family=family,
        supported_together=together,
        level=level,
    )


def exit_status(verdicts: Sequence[Verdict]) -> int:
    """0: every claim supported and every sabotage rejected; 1: a claim violated or a sabotage accepted; 3: open.

    Settings whose assumptions are bent do not count: what happens there is a finding.
    """
    claims = [v for v in verdicts if not v.sabotage and not v.is_departure]
    if any(v.status == "violated" for v in claims):
        return 1
    if any(v.status != "violated" for v in verdicts if v.sabotage):
        return 1
    return 3 if any(v.status == "inconclusive" for v in claims) else 0
