"""Tables of a comparison with oracles: criteria, CLAIR beside the oracles, and errors of all methods with ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.inputs import StudyInput
from reports.numbers import with_error
from reports.renderers.criteria.comparison import BASELINES, Comparison
from reports.renderers.criteria.judgement import OWN, criteria, oracle_ratio
from reports.tables import Column, Group, Table
from simulations.methods.clients_and_oracles import Clair, OracleClair, OracleDetection, OracleSetTest
from simulations.methods.combined import CombinedClair
from simulations.presentation import Criteria

__all__ = ["criteria_table", "error_table", "oracle_table"]

_HEADINGS = {CombinedClair.name: "comb.", **BASELINES}


def _name(part: str, item: StudyInput) -> str:
    return f"{part}-{item.study.name.replace('_', '-')}"


def _notes(item: StudyInput) -> tuple[str, ...]:
    return f"{item.study.replications} replications of each setting.", *item.set_aside


def criteria_table(item: StudyInput, data: Comparison, asked: Criteria) -> Table:
    """In how many settings each criterion is met."""
    rows = []
    for found in criteria(data, asked):
        counts = [found.met.sum(), (~found.met & ~found.missed).sum(), found.missed.sum()]
        shown = [str(int(count)) for count in counts]
        rows.append((found.words, str(len(found.met)), *([shown[0], "--", "--"] if found.aside else shown)))
    return Table(
        name=_name("criteria", item),
        caption=f"{item.study.title}: in how many settings each criterion is met.",
        columns=(
            Column("criterion", is_number=False, width="0.52\\linewidth"),
            Column("settings"),
            Column("met"),
            Column("missed within error"),
            Column("missed"),
        ),
        groups=(Group("", tuple(rows)),),
        provenance=item.provenance,
        notes=(
            *_notes(item),
            "Within error: by less than 1.96 Monte Carlo standard errors of the paired difference.",
        ),
    )


def oracle_table(item: StudyInput, data: Comparison, asked: Criteria) -> Table:
    """CLAIR beside the oracles, setting by setting."""
    shown = [("P(exact_set)", method) for method in (Clair.name, OracleDetection.name, OracleSetTest.name)]
    shown.append(("P(false_alarm)", Clair.name))
    columns = [
        [with_error(value, spread) for value, spread in zip(data.of(*column), data.error(*column), strict=True)]
        for column in shown
    ]
    ratios = [oracle_ratio(data, metric, asked.ratio)[0] for metric in ("sin_theta", "refined_mse")]
    columns += [[f"{value:.2f}" if np.isfinite(value) else "--" for value in ratio] for ratio in ratios]
    return Table(
        name=_name("oracles", item),
        caption=f"{item.study.title}: detection, and errors over those of oracle CLAIR.",
        columns=(
            Column("setting", is_number=False, width="0.25\\linewidth"),
            Column("P(Ĉ = C) CLAIR"),
            Column("oracle detection"),
            Column("test on true set"),
            Column("false alarm CLAIR"),
            Column("sin Θ ratio"),
            Column("MSE ratio"),
        ),
        groups=data.groups(list(zip(*columns, strict=True))),
        provenance=item.provenance,
        notes=(
            *_notes(item),
            "Oracle detection knows U*, M* and the noise; the test on the true set knows the set and the rank and "
            "estimates the rest; oracle CLAIR is CLAIR's fit on the true set.",
        ),
        size="scriptsize",
    )


def _short(ratio: float) -> str:
    if not np.isfinite(ratio):
        return "--"
    if ratio < 10:
        return f"{ratio:.2f}"
    return f"{ratio:.0f}" if ratio < 100 else "99+"


def error_table(item: StudyInput, data: Comparison) -> Table:
    """Errors of all methods over that of the best one, and ranks."""
    methods = [*(method for method, _ in OWN if data.has(method)), *data.baselines]
    errors = pd.DataFrame({method: data.of("mean refined_mse", method) for method in methods})
    ranks = errors.rank(axis=1, method="min")
    ratios = errors.div(errors.min(axis=1), axis=0)
    oracle = data.of("mean refined_mse", OracleClair.name) / errors.min(axis=1)
    cells = [
        (*(f"{_short(ratio)}/{rank:.0f}" for ratio, rank in zip(line, places, strict=True)), _short(limit))
        for line, places, limit in zip(ratios.to_numpy(), ranks.to_numpy(), oracle.to_numpy(), strict=True)
    ]
    mean = ("mean rank", *(f"{errors.rank(axis=1)[m].mean():.2f}" for m in methods), "--")
    return Table(
        name=_name("errors", item),
        caption=(
            f"{item.study.title}: mean squared error of benign clients over that of the best method (CLAIR and "
            "baselines), and rank."
        ),
        columns=(
            Column("setting", is_number=False, width="0.13\\linewidth"),
            *(Column(_HEADINGS.get(m, m), is_number=False) for m in methods),
            Column("oracle", is_number=False),
        ),
        groups=(*data.groups(cells), Group("all settings", (mean,))),
        provenance=item.provenance,
        notes=(
            "CLAIR is told nothing; every baseline is told the rank, the number of contaminated clients and the "
            "noise. FMS: fast median subspace; STE: subspace-constrained Tyler; TGF: spectral method of Tian, Gu "
            "and Feng; m. SVD: SVD after median centring; comb.: CLAIR's combined estimates, in which flagged "
            "clients inform the rest; oracle: CLAIR's fit on the true set, not ranked.",
        ),
        size="tiny",
    )
