"""What the commands share: the study that is asked for, its store, and names for cells and numbers."""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulations.design import Cell, Study, factors
from simulations.studies import find_study

__all__ = [
    "AcceptMixed",
    "Methods",
    "Replications",
    "StorePath",
    "StudyName",
    "asked_study",
    "cell_label",
    "console",
    "store_path",
    "to_digits",
    "varied_factors",
]

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (see list) or a .toml file.")]
StorePath = Annotated[Path | None, typer.Option("--store", help="The store; results/<study>.sqlite when not given.")]
Replications = Annotated[int | None, typer.Option("--replications", min=1, help="Instead of the study's own number.")]
AcceptMixed = Annotated[
    bool, typer.Option("--accept-mixed", help="Add to rows that other sources, packages or machines made.")
]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Only the cells of this method; repeatable.")]


def console(*, errors: bool = False) -> Console:
    """Plain lines on standard output, or on standard error."""
    return Console(stderr=errors, highlight=False, soft_wrap=True, markup=False)


def asked_study(name: str, replications: int | None = None, methods: list[str] | None = None) -> Study:
    """The named study with another number of replications, or with the cells of some methods only.

    Raises
    ------
    ValueError
        An unknown study or method, with the nearest name.
    """
    study = find_study(name)
    if methods:
        known = sorted({cell.method.name for cell in study.cells})
        for method in methods:
            if method not in known:
                near = difflib.get_close_matches(method, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"study {study.name}: unknown method {method!r}; {hint}")
        study = replace(study, cells=tuple(cell for cell in study.cells if cell.method.name in methods))
    return study if replications is None else replace(study, replications=replications)


def store_path(study: Study, store: Path | None, suffix: str = "") -> Path:
    """The given store, or the study's own in ``results``."""
    return store if store is not None else Path("results") / f"{study.name}{suffix}.sqlite"


def cell_label(cell: Cell, varied: list[str]) -> str:
    """Names of regime and method, and the values of the factors that vary."""
    mine = factors(cell)
    fields = ", ".join(f"{name.split('.', 1)[1]}={mine[name]}" for name in varied if mine.get(name) is not None)
    return f"{cell.regime.name} × {cell.method.name}" + (f" ({fields})" if fields else "")


def varied_factors(study: Study) -> list[str]:
    """Factors that tell the cells of a study apart, besides the names."""
    tables = [factors(cell) for cell in study.cells]
    names = dict.fromkeys(name for table in tables for name in table if "." in name)
    return [name for name in names if len({str(table[name]) for table in tables if name in table}) > 1]


def to_digits(value: float, mcse: float) -> str:
    """The value to the second digit of its standard error."""
    if not (math.isfinite(mcse) and mcse > 0.0 and math.isfinite(value)):
        return f"{value:.6g}"
    return f"{value:.{max(0, 1 - math.floor(math.log10(mcse)))}f}"
