"""Breakdown under the adaptive attack: harm at every share and norm, as tables and as curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.inputs import StudyInput
from reports.numbers import with_error
from reports.tables import Column, Group, Table
from simulations.methods.robust_aggregators import RobustBaseline
from simulations.regimes.adaptive_attack import AdaptiveAttackRegime
from simulations.studies.adaptive_attack import HARM, STUDY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["breakdown_figure", "breakdown_tables", "is_breakdown"]

_SHARE, _NORM = "regime.share", "regime.contamination_scale"


def is_breakdown(item: StudyInput) -> bool:
    """Whether the study is the one on the adaptive attack."""
    return item.study.name == STUDY.name


def _harm(item: StudyInput) -> pd.DataFrame:
    """Rows of the measure of harm with the columns ``label`` and ``adaptive``."""
    found = item.summary[item.summary["measure"] == HARM.label]
    baseline = found["method"] == RobustBaseline.name
    names = found["method.method"].astype(str).str.replace("_", " ") if baseline.any() else found["method"]
    return found.assign(
        label=found["method"].where(~baseline, names), adaptive=found["regime"] == AdaptiveAttackRegime.name
    )


def breakdown_tables(item: StudyInput) -> list[Table]:
    """Harm under the attack made for each method, and under the plain coordinated contamination of the same size."""
    harm = _harm(item)
    norms = sorted(harm[_NORM].unique())
    made = []
    for adaptive, name, attack in (
        (True, "study-adaptive-attack", "the attack made for each method"),
        (False, "study-adaptive-attack-plain", "plain coordinated contamination, for comparison"),
    ):
        groups = []
        for share, part in harm[harm["adaptive"] == adaptive].groupby(_SHARE):
            rows = []
            for label, own in part.groupby("label", sort=False):
                cells = {line[_NORM]: with_error(line["value"], line["mcse"]) for line in own.to_dict("records")}
                rows.append((str(label), *(cells.get(norm, "--") for norm in norms)))
            groups.append(Group(f"share {share:g}", tuple(rows)))
        notes = [
            "Mean squared error of what benign clients are handed, over that of their own local fits: above 1 a client "
            "is better off alone. Columns: Frobenius norm of the contaminating part, in units of the root mean square "
            "norm of a benign client's own part.",
            *item.set_aside,
        ]
        made.append(
            Table(
                name=name,
                caption=f"{item.study.title}; {attack}, {item.study.replications} replications.",
                columns=(
                    Column("method", is_number=False, width="0.23\\linewidth"),
                    *(Column(f"norm {norm:g}") for norm in norms),
                ),
                groups=tuple(groups),
                provenance=item.provenance,
                notes=tuple(notes),
            )
        )
    return made


def breakdown_figure(item: StudyInput) -> Figure | None:
    """One panel per share: harm against the norm under the attack made for each method, bars of ±1.96 MCSE."""
    from reports.figures import new_figure, style_of

    harm = _harm(item)
    harm = harm[harm["adaptive"]]
    if harm.empty:
        return None
    shares = sorted(harm[_SHARE].unique())
    figure, axes = new_figure(7.2, 3.9, len(shares), share_y=True)
    labels = list(dict.fromkeys(harm["label"]))
    for axis, share in zip(axes, shares, strict=True):
        for i, label in enumerate(labels):
            own = harm[(harm[_SHARE] == share) & (harm["label"] == label)].sort_values(_NORM)
            bars = 1.96 * np.nan_to_num(own["mcse"].to_numpy(float))
            axis.errorbar(
                own[_NORM],
                own["value"],
                yerr=bars,
                label=label,
                markersize=3.5,
                linewidth=2.2 if i == 0 else 0.9,
                zorder=3 if i == 0 else 2,
                **style_of(i),
            )
        axis.axhline(1.0, color="0.4", linewidth=0.8, linestyle=":")
        axis.set(xscale="log", yscale="log", title=f"share {share:g}", xlabel="norm of the attack")
        axis.set_xticks(sorted(harm[_NORM].unique()), [f"{norm:g}" for norm in sorted(harm[_NORM].unique())])
        axis.set_xticks([], minor=True)
    axes[0].set_ylabel("MSE over that of local fits")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=7, frameon=False, loc="outside lower center", ncols=4)
    return figure
