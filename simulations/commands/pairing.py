"""``summarise --paired`` and ``summarise --best``: methods on the same replications, beside one or beside the best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from simulations.commands.shared import cell_label, console, to_digits, varied_factors
from simulations.design import Cell, Study, factors
from simulations.measures.pairing import against_best, counts_of, paired_to, references
from simulations.measures.summaries import Mean, Proportion
from simulations.storage.store import load_rows

__all__ = ["print_best", "print_paired"]


def print_paired(study: Study, store: Path, told: str) -> None:
    """Every mean and proportion of the study, beside that of the method with one field of another value.

    Parameters
    ----------
    study : Study
    store : Path
    told : str
        ``field=value`` of the reference.
    """
    pairs, out = references(study, told), console()
    rows, varied = load_rows(store, study), varied_factors(study)
    cells = {cell.hash: cell for cell in study.cells}
    for measure in study.measures:
        if not isinstance(measure, Mean | Proportion):
            continue
        for cell, line in paired_to(rows, pairs, measure.columns[0]).iterrows():
            label, error = cell_label(cells[str(cell)], varied), line["error"]
            out.print(
                f"{label}: {measure.label} of {told} {line['reference']:.4g}, difference "
                f"{to_digits(line['difference'], error)} ({error:.2g}), n = {int(line['n'])}, "
                f"p = {line['p_worse']:.2g} that it is not smaller"
            )


def print_best(study: Study, store: Path, method: str, among: str, metric: str) -> None:
    """How often a method is behind the best of the methods of one name, setting by setting, and by how much.

    Parameters
    ----------
    study : Study
    store : Path
    method : str
        Name, or ``field=value``; the first method of a regime that has it.
    among : str
        Name of the methods that it is compared with.
    metric : str
        Less is better.

    Raises
    ------
    ValueError
        Names or a metric that the study does not have.
    """
    names = ", ".join(sorted({cell.method.name for cell in study.cells}))
    for option, name in (("--best", method), ("--among", among)):
        if not any(_is(cell, name) for cell in study.cells):
            raise ValueError(f"{option} {name}: no method of {study.name}; known: {names}, or FIELD=VALUE")
    rows = load_rows(store, study)
    if metric not in rows:
        raise ValueError(f"--metric {metric}: the store of {study.name} has no such column")
    told = pd.DataFrame(_told(study, method, among))
    rivals = [name for name in dict.fromkeys(told["method"]) if name != method]
    found = against_best(rows[["cell", "replication", metric]].merge(told, on="cell"), metric, method, rivals)
    out, varied = console(), [name for name in varied_factors(study) if name.startswith("regime.")]
    regimes = {cell.regime_hash: _setting(factors(cell), varied) for cell in study.cells}
    for setting, line in found[found["ratio"] > 1.0].sort_values("ratio", ascending=False).iterrows():
        out.print(
            f"{regimes[str(setting)]}: {line['ratio']:.3f} of {line['best']}, paired p = {line['p_worse']:.2g}, "
            f"n = {int(line['n'])}"
        )
    out.print(counts_of(found))


def _told(study: Study, method: str, among: str) -> list[dict[str, str]]:
    """Cell, setting and name of the method that is asked about and of those that it is compared with."""
    varied = [name for name in varied_factors(study) if name.startswith("method.")]
    lines, seen = [], set()
    for cell in study.cells:
        own = {"cell": cell.hash, "setting": cell.regime_hash}
        if _is(cell, method) and cell.regime_hash not in seen:
            seen.add(cell.regime_hash)
            lines.append(own | {"method": method})
        elif _is(cell, among):
            lines.append(own | {"method": _rival(cell, varied)})
    return lines


def _is(cell: Cell, told: str) -> bool:
    """Whether a method has this name, or this ``field=value``."""
    field, _, value = told.partition("=")
    return cell.method.name == told or str(factors(cell).get(f"method.{field}")) == value != ""


def _rival(cell: Cell, varied: list[str]) -> str:
    mine = factors(cell)
    return ", ".join(str(mine[name]) for name in varied if mine.get(name) is not None) or cell.method.name


def _setting(mine: Mapping[str, object], varied: list[str]) -> str:
    return ", ".join(f"{name.split('.', 1)[1]}={mine[name]}" for name in varied if mine.get(name) is not None)
