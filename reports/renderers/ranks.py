"""Mean ranks of competing methods over the settings of a study, and where CLAIR is behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clair_stats.laws import holm
from reports.inputs import StudyInput
from reports.numbers import with_error
from reports.paired import RankedPanel, panels_of
from reports.tables import Column, Group, Table
from reports.wording import size_of
from reports.words import measure_words
from simulations.methods.clients_and_oracles import Clair

__all__ = ["gains", "losses", "rank_table", "ranked_panels"]

# Which way is better; measures that are not listed are not ranked.
_BETTER = {
    **dict.fromkeys(("refined_mse", "sin_theta", "relative_error", "false_alarm"), -1),
    **dict.fromkeys(("accuracy", "worst_accuracy", "exact_set", "precision", "recall"), 1),
    **dict.fromkeys(("own_accuracy", "common_accuracy", "resisted"), 1),
}
_FEWEST_METHODS = 3
_LEVEL = 0.05


def _metric(measure: str) -> str:
    text = measure.removeprefix("mean ")
    return text[2:-1] if text.startswith("P(") else text


def ranked_panels(item: StudyInput) -> dict[str, RankedPanel]:
    """Every measure with a known better side on which at least three methods compete."""
    metrics = dict.fromkeys(_metric(measure) for measure in item.summary["measure"])
    panels = panels_of(item, {metric: _BETTER[metric] for metric in metrics if metric in _BETTER})
    return {metric: panel for metric, panel in panels.items() if _competing(panel) >= _FEWEST_METHODS}


def _competing(panel: RankedPanel) -> int:
    return int(np.sum(~np.isnan(panel.means()).all(axis=0)))


def _behind(panel: RankedPanel, method: int) -> NDArray[np.bool_]:
    """Settings in which some other method is better: Bonferroni over the others, Holm over the settings."""
    others = [j for j in range(len(panel.methods)) if j != method]
    p_values = np.array([panel.p_better(j, method) for j in others])
    defined = np.sum(~np.isnan(p_values), axis=0)
    least = np.min(np.where(np.isnan(p_values), 1.0, p_values), axis=0)
    return np.asarray(holm(np.where(defined > 0, np.minimum(1.0, defined * least), np.nan)) <= _LEVEL)


def _cells(panel: RankedPanel) -> list[str]:
    ranks, errors = panel.mean_ranks()
    means = panel.means()
    cells = []
    for j, (rank, error) in enumerate(zip(ranks, errors, strict=True)):
        n = int(np.sum(~np.isnan(means[:, j])))
        cells.append(f"{with_error(rank, error)}; {_behind(panel, j).sum()}/{n}" if n else "--")
    return cells


def rank_table(item: StudyInput, panels: dict[str, RankedPanel]) -> Table | None:
    """Mean rank of every method over the settings, and in how many settings it is behind; None without panels."""
    if not panels:
        return None
    methods = next(iter(panels.values())).methods
    n_settings = len(next(iter(panels.values())).settings)
    over = f"averaged over {n_settings} settings" if n_settings > 1 else "in the one setting"
    return Table(
        name=f"ranks-{item.study.name}",
        caption=(
            f"{item.study.title}: rank of each method {over} (1 is best) with its Monte Carlo standard error, and in "
            f"how many settings the method is shown to be behind another one. {size_of(item)}"
        ),
        columns=(
            Column("method", is_number=False, width="0.26\\linewidth"),
            *(Column(measure_words(metric), is_number=False) for metric in panels),
        ),
        groups=(Group("", tuple(zip(methods, *(_cells(panel) for panel in panels.values()), strict=True))),),
        provenance=item.provenance,
        notes=(
            "Ranks are those of the means; their errors come from the bootstrap over replications. Behind: paired "
            "one-sided t test against every other method at level 0.05, Bonferroni over methods, Holm over settings. "
            "Not behind does not mean as good.",
        ),
    )


def losses(panels: dict[str, RankedPanel]) -> tuple[str, ...]:
    """Where CLAIR without options is behind a method that is no oracle, a sentence per measure."""
    return _against_rivals(panels, "behind", lambda panel, rival, own: panel.p_better(rival, own))


def gains(panels: dict[str, RankedPanel]) -> tuple[str, ...]:
    """Where CLAIR without options is ahead of a method that is no oracle, a sentence per measure."""
    return _against_rivals(panels, "ahead of", lambda panel, rival, own: panel.p_better(own, rival))


def _against_rivals(
    panels: dict[str, RankedPanel], words: str, p_values: Callable[[RankedPanel, int, int], NDArray[np.float64]]
) -> tuple[str, ...]:
    found = []
    for metric, panel in panels.items():
        if Clair.name not in panel.methods:
            continue
        own = panel.methods.index(Clair.name)
        rivals = [m for m in panel.methods if not m.startswith(Clair.name) and "oracle" not in m.lower()]
        told = []
        for rival in rivals:
            shown = holm(p_values(panel, panel.methods.index(rival), own)) <= _LEVEL / len(rivals)
            if shown.any():
                told.append(f"{rival} in {int(shown.sum())} of {len(panel.settings)} settings")
        if told:
            found.append(f"On {measure_words(metric)} CLAIR is {words} {', '.join(told)}.")
    return tuple(found)
