"""From inputs to tables: the verdict table, one table per claim, one per study, and ranks where methods compete."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.inputs import ClaimInput, StudyInput
from reports.labels import labels, settings
from reports.numbers import column_power, number, p_value, superscript, with_error
from reports.tables import Column, Group, Table
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict

__all__ = ["claim_table", "rank_table", "study_table", "verdict_table"]

# Which way is better; measures that are not listed are not ranked.
_LOWER = ("refined_mse", "sin_theta", "relative_error", "false_alarm")
_HIGHER = ("accuracy", "worst_accuracy", "exact_set", "precision", "recall")
_FEWEST_METHODS = 3


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


def _grid(item: StudyInput) -> pd.DataFrame:
    """The summary with the columns ``setting`` and ``label``."""
    records = item.summary.to_dict("records")
    return item.summary.assign(setting=settings(records), label=labels(records, "method"))


def study_table(item: StudyInput) -> Table:
    """Methods × performance measures, one group of rows per setting."""
    grid = _grid(item)
    measures = list(dict.fromkeys(grid["measure"]))
    powers = {measure: column_power(list(grid.loc[grid["measure"] == measure, "value"])) for measure in measures}
    groups = []
    for setting, part in grid.groupby("setting", sort=False):
        rows = []
        for label, own in part.groupby("label", sort=False):
            values = {
                line["measure"]: with_error(line["value"] / unit, line["mcse"] / unit)
                for line in own.to_dict("records")
                for unit in (10.0 ** powers[line["measure"]],)
            }
            rows.append((str(label), *(values.get(measure, "--") for measure in measures)))
        groups.append(Group(str(setting), tuple(rows)))
    notes = [f"{item.study.replications} replications of each cell; Monte Carlo standard errors on the last digits."]
    if any(" − " in measure for measure in measures):
        notes.append("Differences (a − b) are paired: both methods saw the same data.")
    notes += item.set_aside
    return Table(
        name=f"study-{item.study.name}",
        caption=f"{item.study.title}.",
        columns=(
            Column("method", is_number=False, width="0.21\\linewidth"),
            *(Column(_heading(measure, powers[measure])) for measure in measures),
        ),
        groups=tuple(groups),
        provenance=item.provenance,
        notes=tuple(notes),
    )


def _heading(measure: str, power: int) -> str:
    words = measure.removeprefix("mean ").replace("_", " ")
    return f"{words} / {superscript(power)}" if power else words


def _better(metric: str) -> int:
    return -1 if metric in _LOWER else 1 if metric in _HIGHER else 0


def rank_table(item: StudyInput) -> Table | None:
    """Mean rank of every method over the settings, and in how many it is within Monte Carlo error of the best.

    None where fewer than three methods compete or no measure has a known better side.
    """
    grid = _grid(item)
    methods = list(dict.fromkeys(grid["label"]))
    plain = [m for m in dict.fromkeys(grid["measure"]) if " − " not in m and _better(_metric(m))]
    if len(methods) < _FEWEST_METHODS or not plain:
        return None
    columns: list[Column] = [Column("method", is_number=False, width="0.22\\linewidth")]
    cells: dict[str, list[str]] = {method: [] for method in methods}
    for measure in plain:
        values = grid[grid["measure"] == measure].pivot_table(
            index="setting", columns="label", values="value", sort=False
        )
        errors = grid[grid["measure"] == measure].pivot_table(
            index="setting", columns="label", values="mcse", sort=False
        )
        if values.shape[1] < _FEWEST_METHODS:
            continue
        signed = -_better(_metric(measure)) * values
        ranks = signed.rank(axis=1)
        best = signed.idxmin(axis=1)
        columns += [Column(_metric(measure).replace("_", " "), is_number=False)]
        for method in methods:
            if method not in values:
                cells[method].append("--")
                continue
            near = 0
            for setting, winner in best.items():
                spread = np.hypot(errors.at[setting, method], errors.at[setting, winner])
                near += bool(signed.at[setting, method] - signed.at[setting, winner] <= 1.96 * spread)
            cells[method].append(f"{ranks[method].mean():.2f} ({near}/{int(values[method].notna().sum())})")
    if len(columns) == 1:
        return None
    return Table(
        name=f"ranks-{item.study.name}",
        caption=f"{item.study.title}: mean rank of each method over the settings (1 is best).",
        columns=tuple(columns),
        groups=(Group("", tuple((method, *cells[method]) for method in methods)),),
        provenance=item.provenance,
        notes=("In parentheses: in how many settings the method is within 1.96 standard errors of the best one.",),
    )


def _metric(measure: str) -> str:
    text = measure.removeprefix("mean ")
    return text[2:-1] if text.startswith("P(") else text
