"""Breakdown under an attack: harm at every share and norm, as tables and as curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.figures import Picture, new_figure, style_of
from reports.inputs import StudyInput
from reports.labels import method_names
from reports.numbers import with_error
from reports.renderers.rendered import Rendered, presentation_of
from reports.tables import Column, Group, Table
from reports.wording import ERRORS, INTERVALS, size_of
from reports.words import worded
from simulations.methods.clients_and_oracles import Clair
from simulations.presentation import Breakdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["breakdown_picture", "breakdown_tables", "render"]


def _harm(item: StudyInput) -> pd.DataFrame:
    """Rows of the measure of harm with the columns ``share``, ``norm``, ``label`` and ``attacked``."""
    shown = presentation_of(item, Breakdown)
    found = item.summary[item.summary["measure"] == shown.measure]
    return found.assign(
        share=found[shown.share],
        norm=found[shown.norm],
        label=method_names(found).map(worded),
        attacked=found["regime"] == shown.attacked,
    )


def _table(item: StudyInput, harm: pd.DataFrame, norms: list[float], name: str, attack: str) -> Table:
    groups = []
    for share, part in harm.groupby("share"):
        rows = []
        for label, own in part.groupby("label", sort=False):
            cells = {line["norm"]: with_error(line["value"], line["mcse"]) for line in own.to_dict("records")}
            rows.append((str(label), *(cells.get(norm, "--") for norm in norms)))
        groups.append(Group(f"share {share:g}", tuple(rows)))
    return Table(
        name=name,
        caption=f"{item.study.title}; {attack}. {size_of(item)} {ERRORS}.",
        columns=(
            Column("method", is_number=False, width="0.23\\linewidth"),
            *(Column(f"norm {norm:g}") for norm in norms),
        ),
        groups=tuple(groups),
        provenance=item.provenance,
        notes=(
            "Mean squared error of what benign clients are handed, over that of their own local fits: above 1 a client "
            "is better off alone. Columns: Frobenius norm of the contaminating part, in units of the root mean square "
            "norm of a benign client's own part.",
        ),
    )


def breakdown_tables(item: StudyInput) -> tuple[Table, Table]:
    """Harm under the attack made for each method, and under the plain contamination of the same size."""
    harm = _harm(item)
    norms = sorted(harm["norm"].unique())
    name = f"study-{item.study.name.replace('_', '-')}"
    plain = "plain coordinated contamination, for comparison"
    return (
        _table(item, harm[harm["attacked"]], norms, name, "the attack made for each method"),
        _table(item, harm[~harm["attacked"]], norms, f"{name}-plain", plain),
    )


def _panel(axis: Axes, harm: pd.DataFrame, labels: list[str], norms: list[float]) -> None:
    for i, label in enumerate(labels):
        own = harm[harm["label"] == label].sort_values("norm")
        first = i == 0
        axis.errorbar(
            own["norm"],
            own["value"],
            yerr=np.nan_to_num(np.abs(own[["low", "high"]].to_numpy(float).T - own["value"].to_numpy(float))),
            label=label,
            markersize=3.5,
            linewidth=2.2 if first else 0.9,
            zorder=3 if first else 2,
            **style_of(i),
        )
    axis.axhline(1.0, color="0.4", linewidth=0.8, linestyle=":")
    axis.set(xscale="log", yscale="log", xlabel="norm of the attack")
    axis.set_xticks(norms, [f"{norm:g}" for norm in norms])
    axis.set_xticks([], minor=True)


def breakdown_picture(item: StudyInput) -> Picture | None:
    """One panel per share: harm against the norm under the attack made for each method, bars of 95 % intervals."""
    harm = _harm(item)
    harm = harm[harm["attacked"]]
    if harm.empty:
        return None
    shares, norms = sorted(harm["share"].unique()), sorted(harm["norm"].unique())
    figure, axes = new_figure(7.2, 3.9, len(shares), share_y=True)
    labels = list(dict.fromkeys(harm["label"]))
    for axis, share in zip(axes, shares, strict=True):
        _panel(axis, harm[harm["share"] == share], labels, norms)
        axis.set_title(f"share {share:g}")
    axes[0].set_ylabel("MSE over that of local fits")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, fontsize=7, frameon=False, loc="outside lower center", ncols=4)
    caption = (
        f"{item.study.title}: mean squared error of benign clients over that of their local fits, under the attack "
        f"made for each method; above the dotted line a client is better off alone. {size_of(item)} {INTERVALS}."
    )
    return Picture(figure, caption)


def _losses(item: StudyInput) -> tuple[str, ...]:
    """Where the attack makes CLAIR worse than local fits by more than its 95 % interval."""
    harm = _harm(item)
    own = harm[harm["attacked"] & (harm["label"] == Clair.name)]
    worse = own[own["low"] > 1.0]
    if worse.empty:
        return ()
    points = ", ".join(f"share {line['share']:g} and norm {line['norm']:g}" for line in worse.to_dict("records"))
    return (f"The attack makes CLAIR worse than local fits in {len(worse)} of {len(own)} settings: {points}.",)


def render(item: StudyInput) -> Rendered:
    """Both tables and the curves."""
    return Rendered(breakdown_tables(item), breakdown_picture(item), losses=_losses(item), whole_design=False)
