"""``python -m simulations real``: tables and picture of the page on real federations, from the store of its study."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import typer
from scipy import special

from simulations.commands.fragments import write_fragment
from simulations.commands.parts import write_parts
from simulations.commands.shared import StorePath, asked_study, console, store_path
from simulations.storage.store import load_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["error_table", "errors_of", "flag_table", "planted_table", "real"]

_LEVEL = 0.95
_OFTEN = 0.5  # of the splits, from which on a client is named
_METHODS = ("own", "mean", "mixed model", "ARMUL", "CLAIR average", "CLAIR")
_NAMES = {"Local": "own", "Federated average": "mean", "Mixed model": "mixed model", "ARMUL": "ARMUL", "CLAIR": "CLAIR"}
_KEYS = ["data", "training", "planted", "replication"]


def real(
    store: StorePath = None,
    page: Annotated[Path | None, typer.Option("--page", help="Renew the tables of this page, and its picture.")] = None,
) -> None:
    """Relative test error of every method, planted clients found and others accused, and who is flagged by nature."""
    study = asked_study("real_clients")
    rows = load_rows(store_path(study, store), study).rename(
        columns={f"regime.{name}": name for name in ("data", "training", "planted")}
    )
    errors = errors_of(rows)
    parts = {
        "errors": error_table(errors),
        "planted": planted_table(rows),
        "flags": flag_table(rows),
        "lost": _lost(rows),
    }
    for text in parts.values():
        console().print(text + "\n")
    if page is not None:
        write_parts(page, parts)
        write_fragment(_picture(errors), page.with_name(f"{page.stem.replace('_', '-')}.png"))


def errors_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Relative test errors, one row per data set, training, planting and split, one column per method.

    ARMUL is the one of its three ranks whose mean over the splits of the setting is best.
    """
    good = rows[rows["status"] == "ok"].assign(error=lambda table: 1.0 - table["explained"])
    tables = {}
    for name, own in good.groupby("method"):
        if name == "ARMUL":
            wide = own.pivot(index=_KEYS, columns="method.rank", values="error")
            best = wide.groupby(level=_KEYS[:3]).transform("mean").to_numpy().argmin(axis=1)
            tables["ARMUL"] = pd.Series(wide.to_numpy()[np.arange(len(wide)), best], index=wide.index)
        else:
            tables[_NAMES[str(name)]] = own.set_index(_KEYS)["error"]
    tables["CLAIR average"] = 1.0 - good[good["method"] == "CLAIR"].set_index(_KEYS)["average_explained"]
    return pd.DataFrame(tables)[list(_METHODS)]


def _interval(differences: pd.Series) -> tuple[float, float]:
    """Mean and half width of the 95 % interval by Student's t over splits."""
    known = differences.dropna()
    half = float(special.stdtrit(len(known) - 1, 0.5 + _LEVEL / 2.0) * known.std(ddof=1) / math.sqrt(len(known)))
    return float(known.mean()), half


def _signed(differences: pd.Series) -> str:
    mean, half = _interval(differences)
    return f"{mean:+.4f} ± {half:.4f}".replace("-", "−")


def error_table(errors: pd.DataFrame) -> str:
    """Markdown: one line per data set and training without planted clients; rows as of :func:`errors_of`."""
    clean = errors.xs("none", level="planted")
    lines = [
        f"| data | training | {' | '.join(_METHODS)} | CLAIR − own | CLAIR − mixed model |",
        "|---|---|" + "---|" * (len(_METHODS) + 2),
    ]
    for (data, training), own in clean.reset_index().groupby(["data", "training"], sort=False):
        means = [f"{own[name].mean():.3f}" for name in _METHODS]
        lines.append(
            f"| {data} | {training} | {' | '.join(means)} | {_signed(own['CLAIR'] - own['own'])} | "
            f"{_signed(own['CLAIR'] - own['mixed model'])} |"
        )
    return "\n".join(lines)


def _error(values: pd.Series, digits: int) -> str:
    """Mean and, in parentheses, Monte Carlo standard error over splits; what is undefined is left out."""
    known = values.dropna().to_numpy(dtype=np.float64)
    error = known.std(ddof=1) / math.sqrt(known.size) if known.size > 1 else math.nan
    return f"{known.mean():.{digits}f} ({error:.{digits}f})"


def planted_table(rows: pd.DataFrame) -> str:
    """Markdown: share of planted clients found, others flagged and majorities by kind; one line per data and training.

    In parentheses Monte Carlo standard errors.

    Rows as the store has them, with columns data, training and planted.
    """
    from simulations.regimes.real_planting import PLANTINGS

    found = rows[(rows["method"] == "CLAIR") & (rows["status"] == "ok")]
    lines = ["| data | training | none | " + " | ".join(PLANTINGS) + " |", "|---|---|" + "---|" * (1 + len(PLANTINGS))]
    for data, training in dict.fromkeys(zip(found["data"], found["training"], strict=True)):
        own = found[(found["data"] == data) & (found["training"] == training)]
        cells = []
        for kind in ("none", *PLANTINGS):
            part = own[own["planted"] == kind]
            told = "–" if part.empty else f"{_error(part['accused'], 1)}, {part['majority'].mean():.2f}"
            cells.append(told if kind == "none" or part.empty else f"{_error(part['recall'], 2)}, {told}")
        lines.append(f"| {data} | {training} | {' | '.join(cells)} |")
    return "\n".join(lines)


def flag_table(rows: pd.DataFrame) -> str:
    """Markdown: clients that are flagged in at least half of the splits without planted ones, with that share.

    Rows as the store has them, with columns data, training and planted.
    """
    from simulations.methods.real_prediction import FLAG
    from simulations.regimes.real_sources import load_table

    clean = rows[(rows["method"] == "CLAIR") & (rows["planted"] == "none") & (rows["status"] == "ok")]
    lines = [
        "| data | training | clients | flagged per split | flagged in half of the splits or more |",
        "|---|---|---|---|---|",
    ]
    for (data, training), part in clean.groupby(["data", "training"], sort=False):
        names = load_table(str(data)).client_names
        shares = part[[FLAG.format(k) for k in range(len(names))]].mean()
        often = sorted(
            ((share, name) for share, name in zip(shares, names, strict=True) if share >= _OFTEN),
            key=lambda pair: (-pair[0], pair[1]),
        )
        told = ", ".join(f"{name} {share:.2f}" for share, name in often) or "nobody"
        lines.append(f"| {data} | {training} | {len(names)} | {part['flagged'].mean():.1f} | {told} |")
    return "\n".join(lines)


def _lost(rows: pd.DataFrame) -> str:
    failed = rows[rows["status"] != "ok"]
    if failed.empty:
        return f"{len(rows)} rows, none failed."
    told = "; ".join(
        f"{data} {training} {planted}, {method}: {len(part)}"
        for (data, training, planted, method), part in failed.groupby(
            ["data", "training", "planted", "method"], sort=False
        )
    )
    return textwrap.fill(f"{len(rows)} rows, {len(failed)} failed ({told}).", 118)


def _picture(errors: pd.DataFrame) -> Figure:
    """Difference of every method's relative test error to that of the own fit, without planted clients."""
    from matplotlib.figure import Figure

    clean = errors.xs("none", level="planted")
    data = list(dict.fromkeys(clean.index.get_level_values("data")))
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (training, words) in zip(panels, (("few", "6 observations per feature"), ("half", "half")), strict=True):
        for place, method in enumerate(_METHODS[1:]):
            spread = [
                _interval(clean.loc[(name, training)][method] - clean.loc[(name, training)]["own"]) for name in data
            ]
            rows = [k + 0.14 * (place - 2) for k in range(len(data))]
            means, halves = zip(*spread, strict=True)
            panel.errorbar(means, rows, xerr=halves, fmt="osD^v"[place], ms=4, lw=1, label=method)
        panel.axvline(0.0, color="black", lw=0.6)
        panel.set_xlabel(f"relative test error − own fit's ({words})", fontsize=8)
        panel.set_xscale("symlog", linthresh=0.01)
        panel.tick_params(labelsize=7)
    panels[0].set_yticks(range(len(data)), data, fontsize=8)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    return figure
