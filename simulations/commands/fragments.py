"""The summary of a study for a paper: one LaTeX table and one figure, each usable alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from clair_stats.files import written_whole
from simulations.commands.shared import to_digits
from simulations.design import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["latex_fragment", "summary_figure", "write_fragment"]

# Methods in colours that stay apart for the colour-blind (Okabe and Ito 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_ROW_INCHES, _PANEL_INCHES = 0.16, 2.6


def _settings(summary: pd.DataFrame, varied: list[str]) -> pd.Series[str]:
    """Regime and the factors that vary in it, in words."""

    def told(line: pd.Series[str]) -> str:
        factors = [
            f"{name.split('.', 1)[1].replace('_', ' ')} {line[name]}" for name in varied if not pd.isna(line[name])
        ]
        return ", ".join([str(line["regime"]), *factors])

    return summary.apply(told, axis=1)


def latex_fragment(summary: pd.DataFrame, study: Study, varied: list[str]) -> str:
    """A table of settings and methods against measures, values with their Monte Carlo standard errors.

    Parameters
    ----------
    summary : DataFrame
        One row per cell and measure, as :func:`simulations.measures.summarise.summarise` gives it.
    study : Study
    varied : list of str
        Columns with the factors that tell the cells apart.

    Returns
    -------
    str
        A longtable; the document needs the packages booktabs and longtable.
    """
    told = [
        f"{to_digits(value, mcse)} ({mcse:.1g})" if mcse == mcse else to_digits(value, mcse)
        for value, mcse in zip(summary["value"], summary["mcse"], strict=True)
    ]
    lines = pd.DataFrame({"setting": _settings(summary, varied), "method": summary["method"]})
    lines["measure"], lines["told"] = summary["measure"], told
    order = list(dict.fromkeys(zip(lines["setting"], lines["method"], strict=True)))
    measures = list(dict.fromkeys(lines["measure"]))
    wide = lines.pivot(index=["setting", "method"], columns="measure", values="told").loc[order, measures]
    wide = wide.fillna("--").reset_index()
    failed = int(summary.drop_duplicates(["regime", "method", *varied])["failed"].sum())
    n = sorted({int(count) for count in summary["n"]})
    used = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    caption = f"{study.title}. Monte Carlo standard errors in brackets; n = {used} replications, {failed} failed."
    styled = wide.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    return str(
        styled.to_latex(
            environment="longtable",
            hrules=True,
            column_format="ll" + "r" * len(measures),
            caption=_escaped(caption),
            label=f"tab:{study.name.replace('_', '-')}",
        )
    )


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "%&#_$" else c for c in text)


def summary_figure(summary: pd.DataFrame, varied: list[str]) -> Figure:
    """One panel per measure: the value of every cell with two Monte Carlo standard errors, methods by colour.

    Parameters
    ----------
    summary : DataFrame
        As for :func:`latex_fragment`.
    varied : list of str

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    labelled = summary.assign(setting=_settings(summary, varied))
    settings = list(dict.fromkeys(labelled["setting"]))
    methods = list(dict.fromkeys(labelled["method"]))
    measures = list(dict.fromkeys(labelled["measure"]))
    height = 1.2 + _ROW_INCHES * len(settings) * len(methods)
    figure = Figure(figsize=(1.5 + _PANEL_INCHES * len(measures), height), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=True):
        own = labelled[labelled["measure"] == measure]
        for place, method in enumerate(methods):
            part = own[own["method"] == method]
            rows = [settings.index(setting) + 0.8 * place / len(methods) for setting in part["setting"]]
            colour = _COLOURS[place % len(_COLOURS)]
            errors = 2 * part["mcse"].fillna(0.0)
            panel.errorbar(part["value"], rows, xerr=errors, fmt="o", ms=3, lw=1, color=colour, label=method)
        panel.set_xlabel(measure, fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0].set_yticks([k + 0.4 for k in range(len(settings))], settings, fontsize=7)
    panels[0].invert_yaxis()
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=7, frameon=False
    )
    return figure


def write_fragment(content: str | Figure, path: Path) -> None:
    """Write a table or a figure, beside its place and then renamed.

    Parameters
    ----------
    content : str or matplotlib.figure.Figure
    path : Path
        For a figure ending in .png, .pdf or .svg.

    Raises
    ------
    OSError
        The place cannot be written.
    """
    with written_whole(path) as beside:
        if isinstance(content, str):
            beside.write_text(content, encoding="utf-8")
        else:
            content.savefig(beside, dpi=150)
