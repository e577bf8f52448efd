"""The ADEMP page of a study, generated from the design itself (Morris, White and Crowther 2019, Table 1).

Aims and estimands are the author's words; data-generating mechanisms, methods and performance measures are read from
the cells and measures, so the page cannot say anything that is not run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from simulations.design import Study, describe, factors
from simulations.measure import Measure

__all__ = ["ademp_page"]


def _sentence(part: object) -> str:
    text = inspect.getdoc(type(part)) or ""
    return " ".join(text.split("\n\n")[0].split())


def _cellvalue(value: object) -> str:
    return "–" if value is None else str(value).replace("|", "\\|")


def _table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(header) + " |",
        "|" + " --- |" * len(header),
        *("| " + " | ".join(_cellvalue(value) for value in line) + " |" for line in lines),
    ]


def _parts(rows: Sequence[tuple[object, dict[str, Any]]], prefix: str) -> list[str]:
    """One section per class: its docstring, the fixed fields in words, the factors as a table."""
    text: list[str] = []
    kinds: dict[str, list[tuple[object, dict[str, Any]]]] = {}
    for part, fields in rows:
        kinds.setdefault(fields[prefix], []).append((part, fields))
    for name, members in kinds.items():
        columns = list(dict.fromkeys(key for _, fields in members for key in fields if key != prefix))
        values = {key: [fields.get(key) for _, fields in members] for key in columns}
        varied = [key for key in columns if any(value != values[key][0] for value in values[key])]
        fixed = [f"{key.removeprefix(prefix + '.')} = {values[key][0]}" for key in columns if key not in varied]
        text += [f"**{name}.** {_sentence(members[0][0])}".rstrip(), ""]
        if fixed:
            text += [f"Fixed: {', '.join(fixed)}.", ""]
        if len(varied) == 1:  # a sentence, not a table of one column
            taken = ", ".join(map(_cellvalue, values[varied[0]]))
            text += [f"Varied: {varied[0].removeprefix(prefix + '.')} = {taken}.", ""]
        elif varied:
            header = [key.removeprefix(prefix + ".") for key in varied]
            text += [*_table(header, [[fields.get(key) for key in varied] for _, fields in members]), ""]
    return text


def _measures(measures: Sequence[Measure]) -> list[str]:
    if not measures:
        return ["The mean of every metric; Monte Carlo standard error S/√n.", ""]
    return [*_table(["measure", "definition and Monte Carlo standard error"], [[m.label, m.formula] for m in measures])]


def ademp_page(study: Study) -> str:
    """Markdown page: aims, data-generating mechanisms, estimands, methods, performance measures, size."""
    regimes: dict[str, tuple[object, dict[str, Any]]] = {}
    methods: dict[str, tuple[object, dict[str, Any]]] = {}
    for cell in study.cells:
        fields = factors(cell)
        of_regime = {key: value for key, value in fields.items() if key.split(".")[0] == "regime"}
        of_method = {key: value for key, value in fields.items() if key.split(".")[0] == "method"}
        regimes.setdefault(cell.regime_hash, (cell.regime, of_regime))
        methods.setdefault(str(describe(cell.method)), (cell.method, of_method))
    n = study.replications
    crossed = len(study.cells) == len(regimes) * len(methods)
    share = 100.0 * math.sqrt(0.95 * 0.05 / n)
    lines = [
        f"# {study.title}",
        "",
        f"Study `{study.name}`.",
        "",
        "## Aims",
        "",
        study.aims.strip() or "Not stated.",
        "",
        "## Data-generating mechanisms",
        "",
        f"{len(regimes)} regime{'s' if len(regimes) > 1 else ''}.",
        "",
        *_parts(list(regimes.values()), "regime"),
        "## Estimands",
        "",
        study.estimands.strip() or "Not stated.",
        "",
        "## Methods",
        "",
        f"{len(methods)} method{'s' if len(methods) > 1 else ''}, "
        f"{'every one on every regime' if crossed else 'not all of them on every regime'}; "
        "all methods of a regime see the same data.",
        "",
        *_parts(list(methods.values()), "method"),
        "## Performance measures",
        "",
        *_measures(study.measures),
        "",
        "## Size and random numbers",
        "",
        f"{len(study.cells)} cells × {n} replications, root seed {study.root_seed}. With {n} replications a coverage "
        f"or recovery share of 95 % has a Monte Carlo standard error of {share:.2g} percentage points, "
        f"and any probability at most {50.0 / math.sqrt(n):.2g}. A failed replication is counted, not drawn again.",
        "",
    ]
    if study.notes.strip():
        lines += ["## Notes", "", study.notes.strip(), ""]
    lines.append(f"Design hash `{study.config_hash}`.")
    return "\n".join(lines) + "\n"
