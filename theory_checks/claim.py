"""A theorem as data: statement, assumptions, statistic, decision rule, the replications planned, and its sabotage."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from simulations.design import Cell, Study
from theory_checks.rules.decision import Rule

__all__ = ["EFFORTS", "ROOT_SEED", "Assumption", "Claim", "Effort", "Sabotage"]

Effort: TypeAlias = Literal["quick", "standard", "full"]
EFFORTS: tuple[Effort, ...] = ("quick", "standard", "full")

# Fixed before the first run; changing it makes new stores, never mixes with old rows.
ROOT_SEED = 20260521

_IDENTIFIER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Assumption:
    """One assumption of the theorem; ``column`` is 1 on the instances that meet it, and only those enter the rule."""

    text: str
    column: str


@dataclass(frozen=True)
class Sabotage:
    """A named change that makes the claim false; the check must then say *violated*.

    It changes the data or the method (``cells``), or the rule, or both.
    """

    name: str
    description: str
    cells: tuple[Cell, ...] | None = None
    rule: Rule | None = None

    def __post_init__(self) -> None:
        if self.cells is None and self.rule is None:
            raise ValueError(f"sabotage {self.name!r} changes nothing; give cells or a rule")
        if not _IDENTIFIER.fullmatch(self.name):
            raise ValueError(f"sabotage {self.name!r}: use lower-case words joined by hyphens")


@dataclass(frozen=True)
class Claim:
    """One checkable statement.

    Parameters
    ----------
    identifier : str
        Lower-case words joined by hyphens; names the store.
    theorem : int
        1 to 5, or 0 for a statement that belongs to none of the five theorems.
    statement : str
        LaTeX.
    source : str
        Where the statement is derived.
    assumptions : tuple of Assumption
        Evaluated on each instance by the method, as 0/1 columns.
    statistic : str
        What is computed, in words.
    rule : Rule
    cells : tuple of Cell
    replications : mapping effort -> int
        Per cell; fixed here, before any run.
    sabotage : Sabotage
        Required: a check that cannot fail is not registered.
    largest_gap : float or None
        Replications whose column ``relative_gap`` exceeds it are *unsolved*: they never support, and never refute.
    """

    identifier: str
    theorem: int
    title: str
    statement: str
    source: str
    assumptions: tuple[Assumption, ...]
    statistic: str
    rule: Rule
    cells: tuple[Cell, ...]
    replications: Mapping[Effort, int]
    sabotage: Sabotage
    largest_gap: float | None = None

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.identifier):
            raise ValueError(f"claim {self.identifier!r}: use lower-case words joined by hyphens")
        if not isinstance(self.sabotage, Sabotage):
            raise TypeError(f"claim {self.identifier}: a claim without sabotage does not register; give one")
        if set(self.replications) != set(EFFORTS):
            raise ValueError(f"claim {self.identifier}: give replications for {', '.join(EFFORTS)}")
        if not 0 <= self.theorem <= 5:
            raise ValueError(f"claim {self.identifier}: theorem {self.theorem}; give 0 to 5")

    def study(self, effort: Effort, *, sabotaged: bool = False, root_seed: int = ROOT_SEED) -> Study:
        """The simulation behind the claim.

        A sabotage with cells of its own gets half of the claim's replications: it must be rejected all the more with
        all of them.  A sabotage that changes only the rule reuses the claim's rows.
        """
        own_data = sabotaged and self.sabotage.cells is not None
        cells = self.sabotage.cells if own_data and self.sabotage.cells is not None else self.cells
        suffix = f"--{self.sabotage.name}" if own_data else ""
        return Study(
            name=f"{self.identifier}{suffix}",
            title=self.title,
            cells=cells,
            replications=math.ceil(self.replications[effort] / 2) if own_data else self.replications[effort],
            root_seed=root_seed,
            aims=self.statement,
            estimands=self.statistic,
        )

    def active_rule(self, *, sabotaged: bool = False) -> Rule:
        """The rule, or the sabotage's rule where it has one."""
        return self.sabotage.rule if sabotaged and self.sabotage.rule is not None else self.rule

    def used_replications(self, effort: Effort, *, sabotaged: bool = False) -> int:
        """Replications of every cell at this effort."""
        return self.study(effort, sabotaged=sabotaged).replications
