"""``python -m simulations gains``: refined against own estimates, setting by setting, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy import special

from clair_stats.laws import holm
from simulations.commands.shared import StorePath, asked_study, console, store_path
from simulations.design import factors
from simulations.storage.store import load_rows

__all__ = ["compared", "gains", "page"]

# Family-wise level, over all settings and both kinds of knowledge, of "worse" and of "better" each.
_LEVEL = 0.05
# (name, own, refined, averaged, which sign is a gain): squared errors are compared on the log scale.
_MEASURES = (("squared error", "refined_mse", -1.0), ("accuracy", "accuracy", 1.0))


def gains(
    store: StorePath = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write the page to this file.")] = None,
) -> None:
    """Refined against own estimates in every setting: gains, losses beyond Monte Carlo error, what averaging does."""
    from simulations.studies.refinement_gains import GROUPS

    study = asked_study("refinement_gains")
    groups = {regime: name for name, regimes in GROUPS.items() for regime in regimes}
    cells = pd.DataFrame(
        {
            "cell": cell.hash,
            "group": groups[cell.regime],
            "setting": str(cell.regime),
            "told": factors(cell)["method.told"],
        }
        for cell in study.cells
    )
    rows = load_rows(store_path(study, store), study).merge(cells, on="cell")
    text = page(rows, missing=len(study.cells) - rows["cell"].nunique())
    console().print(text)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


def compared(rows: pd.DataFrame, metric: str, sign: float) -> pd.DataFrame:
    """One line per group, setting and knowledge: mean paired difference of the refined estimate to the own one.

    Parameters
    ----------
    rows : DataFrame
        Columns group, setting, told, and the metric alone and with ``own_`` and ``average_`` in front.
    metric : str
        ``refined_mse`` (differences of logarithms) or ``accuracy``.
    sign : float
        1 where larger is better, −1 where smaller is.

    Returns
    -------
    DataFrame
        n, gain (positive is better), error, p_worse and p_better (one-sided, paired t), average (gain of averaging).
    """
    scale = np.log if metric == "refined_mse" else np.asarray
    used = rows.dropna(subset=[metric, f"own_{metric}"])
    used = used.assign(
        gain=sign * (scale(used[metric]) - scale(used[f"own_{metric}"])),
        average=sign * (scale(used[f"average_{metric}"]) - scale(used[f"own_{metric}"])),
    )
    found = used.groupby(["group", "told", "setting"], sort=False).agg(
        n=("gain", "size"), gain=("gain", "mean"), deviation=("gain", "std"), average=("average", "mean")
    )
    found = found[found["n"] > 1].copy()
    found["error"] = found["deviation"] / np.sqrt(found["n"])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(found["gain"] == 0.0, 0.0, found["gain"] / found["error"])
    found["p_worse"] = special.stdtr(found["n"] - 1, ratio)
    found["p_better"] = special.stdtr(found["n"] - 1, -ratio)
    return found.reset_index()


def page(rows: pd.DataFrame, *, missing: int = 0) -> str:
    """The page in Markdown."""
    n_settings, counts = rows["setting"].nunique(), rows.groupby("cell").size()
    replications = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    lines = [
        "# Refined against own estimates",
        "",
        "Written by `python -m simulations gains` from the study `refinement_gains` "
        f"({n_settings} settings, {replications} replications, with the fits' scales and with their covariances; "
        f"{missing} cells without a row).",
        "",
        "Every replication compares the refined with the own estimates of the benign clients on the same data. A "
        "setting is *worse* or *better* where a one-sided paired t-test says so at family-wise level "
        f"{_LEVEL:g} over all lines of a table (Holm); *nominally worse* counts settings whose mean is on the losing "
        f"side. Rows without an estimate are counted: {int(rows['refined_mse'].isna().sum())}.",
        "",
    ]
    for name, metric, sign in _MEASURES:
        if metric in rows:
            lines += _section(name, metric, compared(rows, metric, sign))
    return "\n".join(lines)


def _section(name: str, metric: str, found: pd.DataFrame) -> list[str]:
    found = found.assign(worse=holm(found["p_worse"]) <= _LEVEL, better=holm(found["p_better"]) <= _LEVEL)
    ratio = metric == "refined_mse"

    def shown(gain: float) -> str:
        return f"{np.exp(-gain):.2f}" if ratio else f"{gain:+.3f}"

    head = "ratio to the own one (geometric mean)" if ratio else "difference to the own one"
    lines = [
        f"## {name.capitalize()}: {head}",
        "",
        "| studies | told | settings | worse | nominally worse | better | mean | least gain (standard error) | "
        "averaging | averaging, worst |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (group, told), part in found.groupby(["group", "told"], sort=False):
        least = part.sort_values("gain").iloc[0]
        lines.append(
            f"| {group} | {told} | {len(part)} | {int(part['worse'].sum())} | {int((part['gain'] < 0).sum())} | "
            f"{int(part['better'].sum())} | {shown(part['gain'].mean())} | {shown(least['gain'])} "
            f"({least['error']:.3f}) | {shown(part['average'].mean())} | {shown(part['average'].min())} |"
        )
    right = found[found["average"] > found["gain"]]
    lines += [
        "",
        "What it costs where averaging was right: averaging after the same verdict is ahead of the refined estimate "
        f"in {len(right)} of {len(found)} lines, there by {_price(right, ratio=ratio)}. Elsewhere it is behind by "
        f"{_price(found.drop(right.index), ratio=ratio)}. It is worse than the own estimate in "
        f"{int((found['average'] < 0).sum())} lines.",
    ]
    losing = found[found["gain"] < 0].sort_values("gain")
    lines += ["", "Settings on the losing side:", ""] if len(losing) else ["", "No setting is on the losing side."]
    for _, line in losing.iterrows():
        verdict = ", worse" if line["worse"] else ""
        lines.append(
            f"* {line['group']}, {line['told']}: {shown(line['gain'])} (standard error {line['error']:.3f}, "
            f"p = {line['p_worse']:.2g}{verdict}): `{line['setting']}`"
        )
    return [*lines, ""]


def _price(lines: pd.DataFrame, *, ratio: bool) -> str:
    if not len(lines):
        return "nothing"
    away = (lines["average"] - lines["gain"]).abs()
    if ratio:
        return f"{100 * np.expm1(away.mean()):.1f} % on average, {100 * np.expm1(away.max()):.1f} % at most"
    return f"{away.mean():.3f} on average, {away.max():.3f} at most"
