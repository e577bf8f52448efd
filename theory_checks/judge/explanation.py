"""What ``explain`` prints: a claim in full, with the values of its assumptions where rows are there."""

from __future__ import annotations

import math
from pathlib import Path

from simulations.storage.store import load_rows
from theory_checks.claim import Claim, Effort
from theory_checks.judge.verdict import FAMILY_LEVEL
from theory_checks.registry import all_claims
from theory_checks.rules.rates import SlopeRule

__all__ = ["explanation"]


def _examples(claim: Claim, level: float) -> str:
    """Replications needed for a few violations of different size."""
    sizes = (1.5, 2.0, 4.0) if isinstance(claim.rule, SlopeRule) else (0.2, 0.1, 0.05)
    target = getattr(claim.rule, "target", None)
    pieces = []
    for size in sizes:
        if isinstance(claim.rule, SlopeRule):
            violation = size * claim.rule.margin
        elif target is None:
            violation = size
        else:
            sign = 1 if getattr(claim.rule, "direction", "at_least") == "at_most" else -1
            violation = target + sign * size
            if not 0 < violation < 1:
                continue
        pieces.append(f"{claim.rule.replications_needed(violation, level)} for {violation:.3g}")
    return "; ".join(pieces)


def explanation(claim: Claim, effort: Effort, stores: Path) -> list[str]:
    """Lines of text; assumptions get their values from the rows of ``effort`` when the store holds them."""
    level = FAMILY_LEVEL / len(all_claims())
    n = claim.used_replications(effort)
    lines = [
        f"{claim.identifier}: {claim.title}",
        f"statement    {claim.statement}",
        f"source       {claim.source}" + (f" (Theorem {claim.theorem})" if claim.theorem else ""),
    ]
    study = claim.study(effort)
    path = stores / f"{study.name}.sqlite"
    rows = load_rows(path, study) if path.is_file() else None
    for assumption in claim.assumptions:
        values = rows[assumption.column].dropna() if rows is not None and assumption.column in rows else ()
        seen = f"met on {int(sum(values))} of {len(values)} instances" if len(values) else "not evaluated yet, run it"
        lines.append(f"assumption   {assumption.text} [{seen}]")
    lines += [
        f"statistic    {claim.statistic}",
        f"rule         {claim.rule.describe(n)}",
        f"sabotage     {claim.sabotage.name}: {claim.sabotage.description}",
        f"power        {n} replications × {len(claim.cells)} cells ({effort}) detect with probability 0.9: "
        f"{claim.rule.smallest_violation(_used(claim, n), level)}",
        f"needed       replications for a violation of given size: {_examples(claim, level)}",
    ]
    if claim.largest_gap is not None:
        exponent = math.log10(claim.largest_gap)
        lines.append(f"solver       rows with a relative duality gap above 1e{exponent:.0f} count as unsolved")
    return lines


def _used(claim: Claim, n: int) -> int:
    """Replications the rule pools: all cells for counts, one point for slopes and limits."""
    return n * len(claim.cells) if not hasattr(claim.rule, "abscissa") else n
