"""Two questions about methods on the same data: how far from a reference, and how far from the best of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from simulations.design import Cell, Study, factors

__all__ = ["against_best", "counts_of", "paired_to", "references"]

_LEVEL = 0.05  # of the paired t tests, one by one


def references(study: Study, told: str) -> dict[str, str]:
    """Cell hash of every method → that of its reference: the same regime and method but for one field.

    Parameters
    ----------
    study : Study
    told : str
        ``field=value`` of the reference's method.

    Returns
    -------
    dict of str to str
        Without the references themselves, and without cells that have none.

    Raises
    ------
    ValueError
        No method has this value.
    """
    field, _, value = told.partition("=")
    name = f"method.{field}"

    def others(cell: Cell) -> tuple[str, ...]:
        return (cell.regime_hash, *(f"{key}={part}" for key, part in factors(cell).items() if key != name))

    found = {others(cell): cell.hash for cell in study.cells if str(factors(cell).get(name)) == value}
    if not found:
        known = sorted({str(factors(cell).get(name)) for cell in study.cells if name in factors(cell)})
        raise ValueError(
            f"--paired {told}: no method has it; {field or 'the field'} is one of {', '.join(known) or 'nothing'}"
        )
    pairs = {cell.hash: found[others(cell)] for cell in study.cells if others(cell) in found}
    return {cell: reference for cell, reference in pairs.items() if cell != reference}


def paired_to(rows: pd.DataFrame, pairs: dict[str, str], metric: str) -> pd.DataFrame:
    """Mean difference of every cell to its reference over common replications.

    Parameters
    ----------
    rows : DataFrame
        Columns cell, replication and the metric.
    pairs : dict of str to str
        As :func:`references` gives them.
    metric : str

    Returns
    -------
    DataFrame
        Index cell; reference (its mean), difference, error, n (common replications that are defined), p_worse and
        p_better of one-sided paired t tests where larger is better; NaN below two replications.
    """
    wide = rows.pivot(index="replication", columns="cell", values=metric)
    lines = {}
    for cell, reference in pairs.items():
        if cell not in wide or reference not in wide:
            continue
        both = wide[[cell, reference]].dropna()
        lines[cell] = {"reference": both[reference].mean(), **_difference(both[cell] - both[reference])}
    return pd.DataFrame.from_dict(lines, orient="index")


def _difference(values: pd.Series) -> dict[str, float]:
    n, mean = len(values), float(values.mean())
    if n < 2:
        return {"difference": mean, "error": np.nan, "n": n, "p_worse": np.nan, "p_better": np.nan}
    error = float(values.std(ddof=1)) / np.sqrt(n)
    ratio = mean / error if error > 0 else np.sign(mean) * np.inf if mean else 0.0
    return {
        "difference": mean,
        "error": error,
        "n": n,
        "p_worse": float(student.cdf(ratio, n - 1)),
        "p_better": float(student.sf(ratio, n - 1)),
    }


def against_best(rows: pd.DataFrame, metric: str, method: str, rivals: Sequence[str]) -> pd.DataFrame:
    """In every setting the method beside the best of its rivals, chosen on the same rows, which favours the rivals.

    Parameters
    ----------
    rows : DataFrame
        Columns setting, method, replication and the metric; positive, and less is better.
    metric : str
    method : str
    rivals : sequence of str

    Returns
    -------
    DataFrame
        Index setting; best (the rival's name), ratio (of means, method over rival), difference, error, n, and
        p_worse of the paired t test that the method's values are not larger.
    """
    lines = {}
    for setting, part in rows.groupby("setting", sort=False):
        wide = part.pivot(index="replication", columns="method", values=metric)
        there = [name for name in rivals if name in wide and wide[name].notna().any()]
        if method not in wide or not there:
            continue
        best = str(wide[there].mean().idxmin())
        both = wide[[method, best]].dropna()
        found = _difference(both[best] - both[method])
        lines[setting] = {"best": best, "ratio": both[method].mean() / both[best].mean(), **found}
    return pd.DataFrame.from_dict(lines, orient="index")


def counts_of(found: pd.DataFrame) -> str:
    """The table of :func:`against_best` in one sentence and one line per rival that is ahead somewhere."""
    logs = np.log(found["ratio"].to_numpy(dtype=float))
    error = float(logs.std(ddof=1)) / np.sqrt(logs.size) if logs.size > 1 else np.nan
    behind = found[found["ratio"] > 1.0]
    sure = int((behind["p_worse"] <= _LEVEL).sum())
    ahead = int((found["p_better"] <= _LEVEL).sum())
    lines = [
        f"{len(found)} settings: ratio to the best {np.exp(logs.mean()):.3f} (geometric mean; standard error over "
        f"settings {100 * error:.1f} %)",
        f"behind in {len(behind)}, in {sure} beyond Monte Carlo error (paired t tests at {_LEVEL:g}, one by one)"
        + (f"; by {100 * (float(found['ratio'].max()) - 1):.1f} % at most" if len(behind) else ""),
        f"ahead in {int((found['ratio'] < 1.0).sum())}, in {ahead} beyond Monte Carlo error",
    ]
    return "\n".join([*lines, *(f"behind {name}: {n}" for name, n in behind["best"].value_counts().items())])
