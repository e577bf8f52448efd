"""Ball arithmetic against floating point on the instances of the agreement study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import pandas as pd

from simulations.design import crossed
from simulations.engine.options import RunOptions
from simulations.storage.store import load_rows
from theory_checks.judge.complete import run_to_the_end
from theory_checks.maps.bulk import agreement_study
from theory_checks.methods.proofs import STATES, ProofMethod

__all__ = ["Proofs", "proofs"]


@dataclass(frozen=True, eq=False)
class Proofs:
    """Answers in floating point (rows) against answers in ball arithmetic (columns), and where they differ."""

    n: int
    failed: int
    table: pd.DataFrame
    different: pd.DataFrame
    largest_width: float  # of an enclosure of η
    duals: pd.Series  # instances per answer to "is the dual point of the solution within its bounds"
    gaps: pd.DataFrame  # relative duality gap of the solution in floating point, and proved
    largest_move: float  # of a block of S to a point that is feasible, over the largest block of the data

    @property
    def contradictions(self) -> int:
        """Instances that one arithmetic proves and the other refutes."""
        counts = self.table.loc[list(STATES), list(STATES)].to_numpy()
        proved, refuted = STATES.index("proved"), STATES.index("refuted")
        return int(counts[proved, refuted]) + int(counts[refuted, proved])


def proofs(instances: int, folder: Path, **options: Unpack[RunOptions]) -> Proofs:
    """Run (or continue) the comparison.

    Parameters
    ----------
    instances : int
        Half of them with a free common component.
    folder : Path
        Of the store.
    **options
        For :func:`simulations.engine.executor.run_study`.

    Returns
    -------
    Proofs

    Raises
    ------
    UnfinishedError
        The run was interrupted.
    """
    study = agreement_study(instances)
    regimes = [cell.regime for cell in study.cells]
    study = replace(study, name="certificate-proofs", cells=crossed(regimes, ProofMethod()))
    store = folder / f"{study.name}.sqlite"
    run_to_the_end(study, store, **options)
    rows = load_rows(store, study)
    good = rows[rows["status"] == "ok"]
    names = {float(number): state for number, state in enumerate(STATES)}
    plain, proved = good["floating"].map(names), good["rigorous"].map(names)
    table = pd.crosstab(plain, proved).reindex(index=STATES, columns=STATES, fill_value=0)
    duals = good["dual"].map(names).value_counts().reindex(STATES, fill_value=0)
    gaps = good[["gap", "proved_gap"]]
    return Proofs(
        n=len(good),
        failed=len(rows) - len(good),
        table=table,
        different=good[plain != proved],
        largest_width=float(good["width"].max()),
        duals=duals,
        gaps=gaps,
        largest_move=float(good["moved"].max()),
    )
