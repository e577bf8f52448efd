"""The claims as tables: the verdict table, and one table of evidence per claim."""

from __future__ import annotations

import math

from reports.inputs import ClaimInput
from reports.numbers import number, p_value, with_limits
from reports.tables import Column, Group, Table
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict
from theory_checks.rules.evidence import Evidence

__all__ = ["claim_table", "verdict_table"]


def _statistic(verdict: Verdict) -> tuple[str, ...]:
    item = verdict.evidence
    interval = f"[{number(item.low)}, {number(item.high)}]" if math.isfinite(item.low) else "--"
    statistic = with_limits(item.estimate, item.standard_error, item.low, item.high)
    return (str(item.n), statistic, interval, p_value(verdict.adjusted_p_value))


def _rejected(sabotage: Verdict) -> str:
    """A sabotage is wrong on purpose: that it is found violated is the success of the check."""
    return "rejected" if sabotage.status == "violated" else f"not rejected ({sabotage.status})"


def _set_aside(counts: Evidence) -> str:
    """What did not enter, for a caption."""
    kinds = (
        ("failed", counts.failed),
        ("unsolved", counts.unsolved),
        ("undefined", counts.undefined),
        ("outside the assumptions", counts.skipped),
    )
    told = [f"{n} {word}" for word, n in kinds if n]
    return f"set aside: {', '.join(told)}" if told else "none failed, none was set aside"


def verdict_table(claims: tuple[ClaimInput, ...]) -> Table:
    """All claims: the theorem, what came out, and whether the check rejected its sabotage."""
    rows = []
    for item in claims:
        sabotage = _rejected(item.sabotage) if item.sabotage else "not run"
        theorem = str(item.verdict.theorem) if item.verdict.theorem else "--"
        rows.append((theorem, item.verdict.title, *_statistic(item.verdict)[:2], item.verdict.status, sabotage))
    efforts = ", ".join(sorted({item.verdict.effort for item in claims}))
    return Table(
        name="verdicts",
        caption=(
            f"Verdicts ({efforts} effort); n: replications that entered the rule. A claim is violated when "
            "Holm's procedure at family-wise level "
            f"{FAMILY_LEVEL:g} rejects it, supported when its own criterion is met, inconclusive otherwise. Its "
            "sabotage, a change that makes the claim false, has to be rejected by the same check."
        ),
        columns=(
            Column("Thm"),
            Column("claim", is_number=False, width="0.40\\linewidth"),
            Column("n"),
            Column("statistic"),
            Column("verdict", is_number=False),
            Column("sabotage", is_number=False),
        ),
        groups=(Group("", tuple(rows)),),
        notes=("Statistics carry their Monte Carlo standard error on the last digits: 0.948(72) is 0.948 ± 0.072.",),
    )


def claim_table(item: ClaimInput) -> Table:
    """The claim's evidence and its sabotage's, side by side."""
    rows = [("claim", *_statistic(item.verdict), item.verdict.status)]
    if item.sabotage:
        rows.append((f"sabotage: {item.sabotage.sabotage}", *_statistic(item.sabotage), _rejected(item.sabotage)))
    counts = item.verdict.evidence
    notes = [counts.detail] if counts.detail else []
    if item.verdict.claimed or item.verdict.accepted:
        notes.append(f"Claimed: {item.verdict.claimed}. Supported when: {item.verdict.accepted}.")
    return Table(
        name=f"claim-{item.verdict.claim}",
        caption=(
            f"{item.verdict.title}: evidence for the claim and for its sabotage. n: replications that entered; "
            f"{_set_aside(counts)}. Standard errors in parentheses, on the last digits."
        ),
        columns=(
            Column("", is_number=False, width="0.30\\linewidth"),
            Column("n"),
            Column("statistic"),
            Column("95 % interval", is_number=False),
            Column("adjusted p", is_number=False),
            Column("verdict", is_number=False),
        ),
        groups=(Group("", tuple(rows)),),
        provenance=item.provenance,
        notes=tuple(notes),
    )
