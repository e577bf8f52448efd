"""Tables and figure of a comparison of CLAIR with oracles and baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reports.figures import Picture, new_figure, style_of
from reports.inputs import StudyInput
from reports.renderers.criteria.comparison import Comparison
from reports.renderers.criteria.judgement import OWN, Criterion, criteria
from reports.renderers.criteria.tables import criteria_table, error_table, oracle_table
from reports.renderers.rendered import Rendered, presentation_of
from reports.wording import size_of
from simulations.methods.clients_and_oracles import Clair, OracleDetection
from simulations.presentation import Criteria

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["criteria_picture", "render"]


def _draw_sets(axis: Axes, data: Comparison, margin: float) -> None:
    oracle, own = data.of("P(exact_set)", OracleDetection.name), data.of("P(exact_set)", Clair.name)
    for i, kind in enumerate(dict.fromkeys(data.kinds)):
        chosen = [other == kind for other in data.kinds]
        axis.plot(
            oracle[chosen], own[chosen], **{**style_of(i), "linestyle": "none"}, markersize=4, alpha=0.7, label=kind
        )
    axis.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
    axis.plot([margin, 1], [0, 1 - margin], color="0.4", linewidth=0.8, linestyle=":")
    axis.set(xlabel="P(exact set), oracle detection", ylabel="P(exact set), CLAIR")
    axis.legend(fontsize=7, frameon=False)


def _draw_errors(axis: Axes, data: Comparison) -> None:
    for method, words in OWN:
        if not data.has(method):
            continue
        error = data.of("mean refined_mse", method)
        difference, _ = data.best_baseline(method)
        ratio = np.sort((error / (error + difference)).to_numpy(float))
        axis.plot(ratio, np.arange(1, ratio.size + 1) / ratio.size, drawstyle="steps-post", label=words)
    axis.axvline(1.0, color="0.4", linewidth=0.8)
    axis.legend(fontsize=7, frameon=False)
    axis.set(xscale="log", xlabel="MSE of CLAIR over the best baseline's", ylabel="share of settings", ylim=(0, 1))


def criteria_picture(item: StudyInput, data: Comparison, margin: float) -> Picture | None:
    """Probability of the exact set against the oracle's, and the mean squared error over the best baseline's."""
    if data.of("P(exact_set)", Clair.name).isna().all():
        return None
    figure, axes = new_figure(7.2, 3.2, 2 if data.baselines else 1)
    _draw_sets(axes[0], data, margin)
    words = "P(exact set) of CLAIR against oracle detection's, one marker per setting; dotted: the margin"
    if data.baselines:
        _draw_errors(axes[1], data)
        words += ". Right: distribution over settings of CLAIR's mean squared error over the best baseline's"
    worst = max(float(data.error("P(exact_set)", method).max()) for method in (Clair.name, OracleDetection.name))
    errors = f"Largest Monte Carlo standard error of a share: {worst:.2g}."
    return Picture(figure, f"{item.study.title}: {words}. {size_of(item)} {errors}")


def _losses(found: list[Criterion]) -> tuple[str, ...]:
    return tuple(
        f"{c.words[0].upper()}{c.words[1:]}: refuted in {int(c.refuted.sum())} of {c.n} settings"
        f"{f' ({c.remark})' if c.remark else ''}, open in {c.open}."
        for c in found
        if c.refuted.any()
    )


def render(item: StudyInput) -> Rendered:
    """Criteria; CLAIR beside the oracles, setting by setting; errors of all methods where there are baselines."""
    asked, data = presentation_of(item, Criteria), Comparison(item)
    found = criteria(data, asked)
    tables = [criteria_table(item, found, asked), oracle_table(item, data)]
    if data.baselines:
        tables.append(error_table(item, data))
    picture = criteria_picture(item, data, asked.margin)
    return Rendered(tuple(tables), picture, losses=_losses(found), whole_design=False)
