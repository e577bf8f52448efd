"""A statement as data: assumptions, statistic, decision rule, the replications planned, settings, and its sabotage."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from simulations.design import Cell, Study
from simulations.streams import effort_seed
from theory_checks.rules.rule import Rule

__all__ = ["EFFORTS", "ROOT_SEED", "Assumption", "Claim", "Effort", "Sabotage", "Setting", "SharedDesign"]

Effort: TypeAlias = Literal["quick", "standard", "full"]
EFFORTS: tuple[Effort, ...] = ("quick", "standard", "full")

# Fixed before the first run; changing it makes new stores, never mixes with old rows.
ROOT_SEED = 20260521

_IDENTIFIER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class SharedDesign(Protocol):
    """A design whose one study serves many claims: every claim looks at some of its cells."""

    @property
    def name(self) -> str:
        """Name of the regime."""
        ...

    def study(self, effort: str, *, root_seed: int | None = None) -> Study:
        """The study at "quick", "standard" or "full" effort; None: the root seed of the design."""
        ...


@dataclass(frozen=True)
class Assumption:
    """One assumption of the theorem; ``column`` is 1 on the instances that meet it, and only those enter the rule."""

    text: str
    column: str


@dataclass(frozen=True)
class Setting:
    """Where a claim is looked at: a section of a design, a setting in it, and the cells there.

    Parameters
    ----------
    section, label : str
        Both empty for a claim that has one setting only.
    cells : tuple of Cell
    position : int
        Place in the tables.
    is_departure : bool
        Assumptions are bent here: a violation is a finding about the limits of the claim, not its failure.
    """

    section: str
    label: str
    cells: tuple[Cell, ...]
    position: int = 0
    is_departure: bool = False


@dataclass(frozen=True)
class Sabotage:
    """A named change that makes the claim false; the check must then say *violated*.

    It changes the data or the method (``cells``), or the rule, or both.  In a shared design ``section`` and ``setting``
    say where the cells are.
    """

    name: str
    description: str
    cells: tuple[Cell, ...] | None = None
    rule: Rule | None = None
    section: str = ""
    setting: str = ""
    share: float = 0.5  # of the claim's replications that it runs, where it has cells of its own

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
        Lower-case words joined by hyphens; names the store.  Unique among the claims of its design.
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
        Of all settings.
    replications : mapping effort -> int
        Per cell; fixed here, before any run.
    sabotage : Sabotage
        Required: a check that cannot fail is not registered.
    largest_gap : float or None
        Replications whose column ``relative_gap`` exceeds it are *unsolved*: they never support, and never refute.
    design : SharedDesign or None
        The design whose study holds the rows; None: a study of the claim's own.
    settings : tuple of Setting
        Each gets a verdict of its own; empty: one setting with all cells.
    fine : Sabotage or None
        A change of about 1.5 times the smallest violation that the check detects at quick effort with probability 0.9,
        in place of the gross one; None: the sabotage is as fine as it can be (said in its description), or belongs to a
        shared design.
    counted : tuple of str
        Columns whose sums are reported beside the verdict, such as clients whose fit did not converge.
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
    design: SharedDesign | None = None
    settings: tuple[Setting, ...] = ()
    counted: tuple[str, ...] = ()
    fine: Sabotage | None = None

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.identifier):
            raise ValueError(f"claim {self.identifier!r}: use lower-case words joined by hyphens")
        if not isinstance(self.sabotage, Sabotage):
            raise TypeError(f"claim {self.identifier}: a claim without sabotage does not register; give one")
        if set(self.replications) != set(EFFORTS):
            raise ValueError(f"claim {self.identifier}: give replications for {', '.join(EFFORTS)}")
        if self.fine is not None and self.fine.name == self.sabotage.name:
            raise ValueError(f"claim {self.identifier}: both sabotages are called {self.fine.name}; rename one")
        if not 0 <= self.theorem <= 5:
            raise ValueError(f"claim {self.identifier}: theorem {self.theorem}; give 0 to 5")
        if self.design is not None and not self.settings:
            raise ValueError(f"claim {self.identifier}: a shared design needs settings; name the cells that are judged")

    def finely_sabotaged(self) -> Claim:
        """The claim with its fine sabotage in the place of the gross one.

        Raises
        ------
        ValueError
            It has none.
        """
        if self.fine is None:
            raise ValueError(f"claim {self.identifier} has no finer sabotage than {self.sabotage.name}")
        return replace(self, sabotage=replace(self.fine, share=1.0), fine=None)

    @property
    def regime(self) -> str:
        """Name of the shared design, empty for a claim with a study of its own."""
        return "" if self.design is None else self.design.name

    @property
    def judged(self) -> tuple[Setting, ...]:
        """The settings, each of which gets a verdict."""
        return self.settings or (Setting("", "", self.cells),)

    def study(self, effort: Effort, *, sabotaged: bool = False, root_seed: int | None = None) -> Study:
        """The simulation behind the claim; every effort has rows of its own (:func:`effort_seed`).

        A sabotage with cells of its own gets a share of the claim's replications: it must be rejected all the more with
        all of them.  A sabotage that changes only the rule reuses the claim's rows, and so does one whose cells lie in
        a shared design.
        """
        if self.design is not None:
            return self.design.study(effort, root_seed=root_seed)
        own_data = sabotaged and self.sabotage.cells is not None
        suffix = f"--{self.sabotage.name}" if own_data else ""
        suffix += "" if effort == "quick" else f"--{effort}"
        return Study(
            name=f"{self.identifier}{suffix}",
            title=self.title,
            cells=self.active_cells(sabotaged=sabotaged),
            replications=math.ceil(self.replications[effort] * (self.sabotage.share if own_data else 1.0)),
            root_seed=effort_seed(ROOT_SEED if root_seed is None else root_seed, effort),
            aims=self.statement,
            estimands=self.statistic,
        )

    def active_cells(self, *, sabotaged: bool = False) -> tuple[Cell, ...]:
        """The claim's cells, or the sabotage's where it has some."""
        return self.sabotage.cells if sabotaged and self.sabotage.cells is not None else self.cells

    def active_rule(self, *, sabotaged: bool = False) -> Rule:
        """The rule, or the sabotage's rule where it has one."""
        return self.sabotage.rule if sabotaged and self.sabotage.rule is not None else self.rule

    def sabotaged_setting(self) -> Setting:
        """Where the sabotage is judged: at its own cells, or where the claim is judged first."""
        if self.sabotage.cells is not None:
            return Setting(self.sabotage.section, self.sabotage.setting, self.sabotage.cells)
        return self.judged[0]

    def used_replications(self, effort: Effort, *, sabotaged: bool = False) -> int:
        """Replications of every cell at this effort."""
        return self.study(effort, sabotaged=sabotaged).replications
