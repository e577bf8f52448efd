"""Tables of a comparison with oracles: criteria, CLAIR beside the oracles, and errors of all methods with ranks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.inputs import StudyInput
from reports.numbers import with_error
from reports.renderers.criteria.comparison import BASELINES, Comparison
from reports.renderers.criteria.judgement import LEVEL, OWN, Criterion, oracle_ratio, replications_to_show
from reports.tables import Column, Group, Table
from reports.wording import ERRORS, size_of
from simulations.methods.clients_and_oracles import Clair, OracleClair, OracleDetection, OracleSetTest
from simulations.methods.combined import CombinedClair
from simulations.presentation import Criteria

__all__ = ["criteria_table", "error_table", "oracle_table"]

_HEADINGS = {CombinedClair.name: "comb.", **BASELINES}
_LARGEST = 99.5  # a ratio above is not told to its last digit


def _name(part: str, item: StudyInput) -> str:
    return f"{part}-{item.study.name.replace('_', '-')}"


def criteria_table(item: StudyInput, found: list[Criterion], asked: Criteria) -> Table:
    """In how many settings each criterion is shown, open or refuted, and what comes out over all settings."""
    rows = tuple(
        (c.words, str(c.n), str(int(c.shown.sum())), str(c.open), str(int(c.refuted.sum())), c.pooled) for c in found
    )
    least = replications_to_show(asked.margin, found[0].n)
    remarks = tuple(f"{c.words}: {c.remark}." for c in found if c.remark)
    return Table(
        name=_name("criteria", item),
        caption=(
            f"{item.study.title}: in how many settings each criterion is shown, open or refuted. {size_of(item)} "
            f"Shown: non-inferiority at one-sided level {LEVEL:g} after Holm's procedure over the settings; refuted: "
            "the opposite at the same level; open: neither, which is no success."
        ),
        columns=(
            Column("criterion", is_number=False, width="0.40\\linewidth"),
            Column("settings"),
            Column("shown"),
            Column("open"),
            Column("refuted"),
            Column("over all settings, 95 % interval", is_number=False, width="0.22\\linewidth"),
        ),
        groups=(Group("", rows),),
        provenance=item.provenance,
        notes=(
            "Shares: exact tests on the replications where only one of the two methods succeeds; errors: paired t "
            "tests; against the baselines the largest p-value shows and the smallest, times their number, refutes.",
            f"A share within {asked.margin:g} can be shown in a single setting from {least} replications on, "
            "without a single loss; with fewer the first criterion stays open there or is refuted.",
            *remarks,
        ),
    )


def oracle_table(item: StudyInput, data: Comparison) -> Table:
    """CLAIR beside the oracles, setting by setting."""
    shown = [("P(exact_set)", method) for method in (Clair.name, OracleDetection.name, OracleSetTest.name)]
    columns = [data.cells(*column) for column in (*shown, ("P(false_alarm)", Clair.name))]
    columns += [
        [with_error(*numbers) for numbers in zip(*oracle_ratio(data, metric), strict=True)]
        for metric in ("sin_theta", "refined_mse")
    ]
    return Table(
        name=_name("oracles", item),
        caption=f"{item.study.title}: detection, and errors over those of oracle CLAIR. {size_of(item)} {ERRORS}.",
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
            "Oracle detection knows U*, M* and the noise; the test on the true set knows the set and the rank and "
            "estimates the rest; oracle CLAIR is CLAIR's fit on the true set. Errors of ratios: delta method on "
            "paired replications, an upper bound.",
        ),
        size="scriptsize",
    )


def _ratio_cell(ratio: float, error: float) -> str:
    """Two digits and the error on the last one; what is far from the best is only told to be far."""
    if not np.isfinite(ratio):
        return "--"
    if ratio >= _LARGEST:
        return "99+"
    digits = 2 if ratio < 10 else 0
    if not np.isfinite(error):
        return f"{ratio:.{digits}f}"
    return f"{ratio:.{digits}f}({max(1, round(error * 10**digits))})" if error > 0 else f"{ratio:.{digits}f}"


def error_table(item: StudyInput, data: Comparison) -> Table:
    """Errors of all methods over that of the best one, with standard errors, and mean ranks."""
    methods = [*(method for method, _ in OWN if data.has(method)), *data.baselines]
    columns = [*methods, OracleClair.name]
    errors = pd.DataFrame({method: data.of("mean refined_mse", method) for method in columns})
    spreads = pd.DataFrame({method: data.error("mean refined_mse", method) for method in columns})
    best = errors[methods].min(axis=1)
    ratios, relative = errors.div(best, axis=0), spreads.div(best, axis=0)
    cells = [
        tuple(_ratio_cell(*cell) for cell in zip(line, error, strict=True))
        for line, error in zip(ratios.to_numpy(), relative.to_numpy(), strict=True)
    ]
    ranks, uncertainty = data.mean_ranks(methods)
    mean = ("mean rank", *(with_error(*cell) for cell in zip(ranks, uncertainty, strict=True)), "--")
    return Table(
        name=_name("errors", item),
        caption=(
            f"{item.study.title}: mean squared error of benign clients over that of the best method (CLAIR and "
            f"baselines). {size_of(item)} Monte Carlo standard errors of the numerator in parentheses, on the last "
            "digit."
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
            "and Feng; m. SVD: SVD after median centring; comb.: CLAIR's combined estimates; oracle: CLAIR's fit on "
            "the true set, not ranked. The error of a mean rank comes from normal draws with the standard errors of "
            "the means, as if methods were not paired.",
        ),
        size="tiny",
    )
