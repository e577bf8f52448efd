"""Tables and figure of a comparison of CLAIR with oracles and baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reports.figures import new_figure
from reports.inputs import StudyInput
from reports.renderers.criteria.comparison import Comparison
from reports.renderers.criteria.judgement import OWN
from reports.renderers.criteria.tables import criteria_table, error_table, oracle_table
from reports.renderers.rendered import Rendered, presentation_of
from simulations.methods.clients_and_oracles import Clair, OracleDetection
from simulations.presentation import Criteria

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["criteria_figure", "render"]

_MARKERS = "o^sDvP*X"


def _draw_sets(axis: Axes, data: Comparison, margin: float) -> None:
    oracle, own = data.of("P(exact_set)", OracleDetection.name), data.of("P(exact_set)", Clair.name)
    for i, kind in enumerate(dict.fromkeys(data.kinds)):
        chosen = [other == kind for other in data.kinds]
        axis.plot(oracle[chosen], own[chosen], _MARKERS[i % len(_MARKERS)], markersize=4, alpha=0.6, label=kind)
    axis.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
    axis.plot([margin, 1], [0, 1 - margin], color="0.4", linewidth=0.8, linestyle=":")
    axis.set(xlabel="P(exact set), oracle detection", ylabel="P(exact set), CLAIR")
    axis.legend(fontsize=6, frameon=False)


def _draw_errors(axis: Axes, data: Comparison) -> None:
    for method, words in OWN:
        if not data.has(method):
            continue
        error = data.of("mean refined_mse", method)
        difference, _ = data.best_baseline(method)
        ratio = np.sort((error / (error + difference)).to_numpy(float))
        axis.plot(ratio, np.arange(1, ratio.size + 1) / ratio.size, drawstyle="steps-post", label=words)
    axis.axvline(1.0, color="0.4", linewidth=0.8)
    axis.legend(fontsize=6, frameon=False)
    axis.set(xscale="log", xlabel="MSE of CLAIR over the best baseline's", ylabel="share of settings", ylim=(0, 1))


def criteria_figure(item: StudyInput) -> Figure | None:
    """Probability of the exact set against the oracle's, and the mean squared error over the best baseline's."""
    data = Comparison(item)
    if data.of("P(exact_set)", Clair.name).isna().all():
        return None
    figure, axes = new_figure(7.2, 3.2, 2 if data.baselines else 1)
    _draw_sets(axes[0], data, presentation_of(item, Criteria).margin)
    if data.baselines:
        _draw_errors(axes[1], data)
    return figure


def render(item: StudyInput) -> Rendered:
    """Criteria; CLAIR beside the oracles, setting by setting; errors of all methods where there are baselines."""
    asked, data = presentation_of(item, Criteria), Comparison(item)
    tables = [criteria_table(item, data, asked), oracle_table(item, data, asked)]
    if data.baselines:
        tables.append(error_table(item, data))
    return Rendered(tuple(tables), criteria_figure(item), whole_design=False)
