"""What a confirmatory study has to show: a statement about its rows that is tested, fixed before the run.

A study holds criteria (:class:`simulations.design.Study`), :mod:`simulations.measures.criteria` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CriterionResult", "RegisteredCriterion"]


@dataclass(frozen=True)
class CriterionResult:
    """What the rows say about one criterion."""

    estimate: float
    standard_error: float  # Monte Carlo
    n: int  # units that the test counts: settings or replications
    lost: int  # failed or undefined rows; they were counted against the criterion
    p_value: float  # of the hypothesis that the criterion does not hold


class RegisteredCriterion(Protocol):
    """A frozen dataclass with JSON-serialisable fields, so that its hash is that of what it says."""

    @property
    def statement(self) -> str:
        """What has to be shown, in words."""
        ...

    def test(self, rows: pd.DataFrame) -> CriterionResult:
        """Test it on the rows of :func:`simulations.storage.store.load_rows` with the cells' regime hash.

        Parameters
        ----------
        rows : DataFrame
            One line per cell and replication: ``design`` (hash of the regime), ``method`` (name), ``replication``,
            ``status`` and the metrics.
        """
        ...
