"""The claims as tables: the verdict table, and one table of evidence per claim."""

from __future__ import annotations

import math

from reports.inputs import ClaimInput
from reports.numbers import number, p_value, with_error
from reports.tables import Column, Group, Table
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict

__all__ = ["claim_table", "verdict_table"]


def _statistic(verdict: Verdict) -> tuple[str, ...]:
    item = verdict.evidence
    interval = f"[{number(item.low)}, {number(item.high)}]" if math.isfinite(item.low) else "--"
    return (str(item.n), with_error(item.estimate, item.standard_error), interval, p_value(verdict.adjusted_p_value))


def verdict_table(claims: tuple[ClaimInput, ...]) -> Table:
    """All claims: the theorem, what came out, and whether the check rejected its sabotage."""
    rows = []
    for item in claims:
        sabotage = item.sabotage.status if item.sabotage else "not run"
        theorem = str(item.verdict.theorem) if item.verdict.theorem else "--"
        rows.append((theorem, item.verdict.title, *_statistic(item.verdict)[:2], item.verdict.status, sabotage))
    efforts = ", ".join(sorted({item.verdict.effort for item in claims}))
    return Table(
        name="verdicts",
        caption=(
            f"Verdicts ({efforts} effort). A claim is violated when Holm's procedure at family-wise level "
            f"{FAMILY_LEVEL:g} rejects it, supported when its own criterion is met, inconclusive otherwise. Its "
            "sabotage, a change that makes the claim false, has to come out as violated."
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
        rows.append((f"sabotage: {item.sabotage.sabotage}", *_statistic(item.sabotage), item.sabotage.status))
    counts = item.verdict.evidence
    notes = [counts.detail] if counts.detail else []
    aside = [f"{n} {word}" for word, n in (("failed", counts.failed), ("unsolved", counts.unsolved)) if n]
    if counts.skipped:
        aside.append(f"{counts.skipped} outside the assumptions")
    if aside:
        notes.append("Set aside: " + ", ".join(aside) + " replications.")
    return Table(
        name=f"claim-{item.verdict.claim}",
        caption=f"{item.verdict.title}: evidence.",
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
