"""What ``explain`` prints: a claim in full, what was measured, and the values of its assumptions."""

from __future__ import annotations

import math

import pandas as pd

from simulations.storage.store import load_rows
from theory_checks.claim import Claim, Effort
from theory_checks.judge.rows import Stores, assess_setting
from theory_checks.judge.verdict import FAMILY_LEVEL
from theory_checks.registry import family_size

__all__ = ["explanation"]


def _examples(claim: Claim, level: float) -> str:
    """Replications needed for a few violations of different size."""
    needed = ((size, claim.rule.replications_needed(size, level)) for size in claim.rule.examples())
    return "; ".join(f"{n} for {size:.3g}" for size, n in needed)


def _assumptions(claim: Claim, rows: pd.DataFrame | None) -> list[str]:
    lines = []
    for assumption in claim.assumptions:
        values = rows[assumption.column].dropna() if rows is not None and assumption.column in rows else ()
        seen = f"met on {int(sum(values))} of {len(values)} instances" if len(values) else "not evaluated yet, run it"
        lines.append(f"assumption   {assumption.text} [{seen}]")
    return lines


def _settings(claim: Claim) -> list[str]:
    """Where a claim on a regime is looked at."""
    return [
        f"setting      {setting.section}: {setting.label}{' (departure)' if setting.is_departure else ''}"
        for setting in claim.settings
    ]


def _measured(claim: Claim, effort: Effort, stores: Stores, *, sabotaged: bool) -> list[str]:
    """What the stored rows say, setting by setting, in the numbers that the rule looks at."""
    word = "sabotaged" if sabotaged else "measured"
    path = stores.path(claim, effort, sabotaged=sabotaged)
    if not path.is_file():
        return [f"{word:<12} not run yet"]
    rows = load_rows(path, claim.study(effort, sabotaged=sabotaged))
    lines = []
    for setting in (claim.sabotaged_setting(),) if sabotaged else claim.judged:
        item = assess_setting(claim, setting, rows, sabotaged=sabotaged)
        where = f"{setting.section}: {setting.label}: " if setting.label else ""
        lines.append(f"{word:<12} {where}{item.detail}")
    return lines


def explanation(claim: Claim, effort: Effort, stores: Stores) -> list[str]:
    """Lines of text; assumptions get their values from the rows of ``effort`` when the store holds them."""
    level = FAMILY_LEVEL / family_size(claim.regime)
    n = claim.used_replications(effort)
    n_cells = len(claim.judged[0].cells)
    path = stores.path(claim, effort)
    rows = load_rows(path, claim.study(effort)) if path.is_file() else None
    lines = [
        f"{claim.identifier}: {claim.title}",
        f"statement    {claim.statement}",
        f"source       {claim.source}" + (f" (Theorem {claim.theorem})" if claim.theorem else ""),
        *([f"regime       {claim.regime}"] if claim.regime else []),
        *_settings(claim),
        *_assumptions(claim, rows),
        f"statistic    {claim.statistic}",
        f"claimed      {claim.rule.claimed}; supported when: {claim.rule.accepted}",
        f"rule         {claim.rule.describe(n)}",
        *_measured(claim, effort, stores, sabotaged=False),
        f"family       {family_size(claim.regime)} claims × settings decided together",
        f"sabotage     {claim.sabotage.name}: {claim.sabotage.description}",
        *_measured(claim, effort, stores, sabotaged=True),
        f"power        {n} replications × {n_cells} cells ({effort}) detect with probability 0.9: "
        f"{claim.rule.smallest_violation(claim.rule.pooled(n, n_cells), level)}",
        f"needed       replications for a violation of given size: {_examples(claim, level)}",
    ]
    if claim.largest_gap is not None:
        exponent = math.log10(claim.largest_gap)
        lines.append(f"solver       rows with a relative duality gap above 1e{exponent:.0f} count as unsolved")
    return lines
