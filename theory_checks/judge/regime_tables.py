"""Verdicts on regimes as data frames: every claim × setting of one regime, and regime × claim.

Both only read verdicts, so a report can show them without any store.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from theory_checks.judge.verdict import Verdict

__all__ = ["regime_summary", "regime_tables"]


def _title(verdict: Verdict) -> str:
    """The claim's title, and the name of the control where this is one."""
    return verdict.title + (f" [{verdict.sabotage}]" if verdict.sabotage else "")


def regime_tables(verdicts: Sequence[Verdict]) -> dict[str, pd.DataFrame]:
    """One table per regime: every claim × setting with its verdict, value and Monte Carlo standard error."""
    lines: dict[str, list[dict[str, object]]] = {}
    for verdict in (v for v in verdicts if v.regime):
        item = verdict.evidence
        lines.setdefault(verdict.regime, []).append(
            {
                "variant": verdict.section,
                "setting": verdict.setting,
                "claim": _title(verdict),
                "claimed": verdict.claimed,
                "accepted": verdict.accepted,
                "verdict": verdict.status,
                "expected": "violated" if verdict.sabotage else "",
                "value": item.estimate,
                "mcse": item.standard_error,
                "low": item.low,
                "high": item.high,
                "n": item.n,
                "failed": item.failed,
                "undefined": item.undefined,
                "separated": item.extra.get("separated", math.nan),
                "not_converged": item.extra.get("not_converged", math.nan),
                "detail": item.detail,
            }
        )
    return {regime: pd.DataFrame(table) for regime, table in lines.items()}


def regime_summary(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Regime × claim: the verdict of the sweeps, one row per variant; departures are in the regime's own table.

    The last two columns count the departures' claims that are violated, and the controls that are, of all controls.
    """
    table: dict[tuple[str, str], dict[str, object]] = {}
    caught: dict[tuple[str, str], list[bool]] = {}
    titles: dict[str, None] = {}
    for verdict in (v for v in verdicts if v.regime):
        key = verdict.regime, verdict.section
        line = table.setdefault(key, {})
        if verdict.sabotage:
            caught.setdefault(key, []).append(verdict.status == "violated")
        elif verdict.is_departure:
            line["departures violated"] = int(str(line.get("departures violated", 0))) + (verdict.status == "violated")
        else:
            titles.setdefault(verdict.title)
            line[verdict.title] = verdict.status
    for key, line in table.items():
        found = caught.get(key, [])
        line.setdefault("departures violated", 0)
        line["controls caught"] = f"{sum(found)} of {len(found)}"
    frame = pd.DataFrame.from_dict(table, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(table), names=["regime", "variant"])
    return frame[[*titles, "departures violated", "controls caught"]].reset_index()
