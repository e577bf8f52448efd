"""Verdicts on the regimes as tables: all claims × settings of one regime, and regime × claim."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from reports.inputs import RegimeInput
from reports.numbers import number, with_error
from reports.tables import Column, Group, Table
from theory_checks.judge.regime_tables import regime_summary, regime_tables
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict

__all__ = ["regime_summary_table", "regime_table"]

_WORDS = {"supported": "yes", "violated": "no", "inconclusive": "open"}


def _short(regime: str) -> str:
    return regime.removeprefix("regime_")


def regime_summary_table(verdicts: Sequence[Verdict]) -> Table:
    """Claim × regime; within a cell the regime's variants in the order of its table."""
    summary = regime_summary(verdicts)
    regimes = list(dict.fromkeys(summary["regime"]))
    parts = {regime: summary[summary["regime"] == regime] for regime in regimes}
    rows = []
    for title in summary.columns[2:]:
        cells = [
            " / ".join("--" if pd.isna(value) else _WORDS.get(str(value), str(value)) for value in part[title])
            for part in parts.values()
        ]
        rows.append((title, *cells))
    efforts = ", ".join(sorted({verdict.effort for verdict in verdicts}))
    sizes = [verdict.evidence.n for verdict in verdicts]
    failed = max(verdict.evidence.failed for verdict in verdicts)
    return Table(
        name="regimes",
        caption=(
            f"Regime × claim ({efforts} effort): what holds where estimates come from real fits. Yes: supported; no: "
            f"violated (Holm within the regime, family-wise level {FAMILY_LEVEL:g}); open: inconclusive. Controls are "
            "settings or false rules, named before the first run, that must come out as violated. "
            f"n: {min(sizes)} to {max(sizes)} a verdict, at most {failed} of them failed; errors stand in the "
            "tables of the regimes."
        ),
        columns=(
            Column("claim", is_number=False, width="0.34\\linewidth"),
            *(Column(_short(regime), is_number=False) for regime in regimes),
        ),
        groups=(Group("", tuple(rows)),),
        notes=tuple(
            f"{_short(regime)}: {' / '.join(str(variant) for variant in part['variant'])}."
            for regime, part in parts.items()
            if len(part) > 1
        ),
    )


def _row(line: pd.Series) -> tuple[str, ...]:
    low, high = float(line["low"]), float(line["high"])
    interval = f"[{number(low)}, {number(high)}]" if math.isfinite(low) and math.isfinite(high) else "--"
    verdict = str(line["verdict"])
    if line["expected"]:  # a control is wrong on purpose
        verdict = "control rejected" if verdict == "violated" else f"control not rejected ({verdict})"
    return (
        str(line["claim"]),
        str(line["claimed"]),
        str(line["n"]),
        with_error(float(line["value"]), float(line["mcse"])),
        interval,
        verdict,
    )


def _notes(frame: pd.DataFrame) -> tuple[str, ...]:
    found = [
        "Statistics carry their Monte Carlo standard error on the last digits; n counts replications, for slopes "
        "the points of the fit."
    ]
    worst = frame.groupby(["variant", "setting"], sort=False)[["failed", "separated", "not_converged"]].max()
    for column, words in (
        ("failed", "Replications that failed, counted and not drawn again"),
        ("separated", "Clients whose data are separated, refitted with a stated penalty"),
        ("not_converged", "Clients whose fit did not converge"),
    ):
        counts = worst[worst[column] > 0].reset_index().to_dict("records")
        if counts:
            told = "; ".join(f"{line['variant']}, {line['setting']}: {line[column]:.0f}" for line in counts)
            found.append(f"{words}: {told}.")
    return tuple(found)


def _failed(frame: pd.DataFrame) -> str:
    most = int(frame["failed"].max())
    return f"at most {most} failed in a setting (counted, not drawn again)" if most else "none failed"


def regime_table(item: RegimeInput) -> Table:
    """Every claim in every setting of one regime: what is claimed, what came out, and the verdict."""
    ((regime, frame),) = regime_tables(item.verdicts).items()
    groups = tuple(
        Group(f"{variant} · {setting}", tuple(_row(line) for _, line in part.iterrows()))
        for (variant, setting), part in frame.groupby(["variant", "setting"], sort=False)
    )
    return Table(
        name=f"regime-{_short(regime)}",
        caption=(
            f"{item.study.title}. {int((frame['expected'] == '').sum())} claims × settings, one family under Holm's "
            f"procedure, and {int((frame['expected'] != '').sum())} controls, which must be violated. n: replications "
            f"that entered, {_failed(frame)}."
        ),
        columns=(
            Column("claim", is_number=False, width="0.32\\linewidth"),
            Column("claimed", is_number=False, width="0.14\\linewidth"),
            Column("n"),
            Column("statistic"),
            Column("95 % interval", is_number=False),
            Column("verdict", is_number=False),
        ),
        groups=groups,
        provenance=item.provenance,
        notes=_notes(frame),
    )
