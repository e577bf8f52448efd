"""What a claim on regimes consists of before it meets a regime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from simulations.studies._regime_design import RegimeDesign, SectionKind
from theory_checks.rules.rates import SlopeRule
from theory_checks.rules.rule import Rule

__all__ = ["SCATTER", "MakeRule", "Statement", "constant", "slope"]

# Monte Carlo scatter of one log sin Θ and one log risk that is planned for; serves the power computation only.
SCATTER = 0.25

MakeRule: TypeAlias = Callable[[RegimeDesign], Rule]


@dataclass(frozen=True)
class Statement:
    """One claim, before it meets a regime.

    Parameters
    ----------
    kinds : tuple of SectionKind
        Sections in which it is looked at, each a setting with a verdict of its own.
    part : str
        Whose rows are read (:meth:`simulations.studies._regime_design.DesignSection.cells_of`).
    rule : callable
        From the design, which knows the planned scatter.
    false_rule : (name, description, callable) or None
        The control; None: a departure that the design names.
    """

    identifier: str
    theorem: int
    title: str
    statement: str
    statistic: str
    kinds: tuple[SectionKind, ...]
    part: str
    rule: MakeRule
    false_rule: tuple[str, str, MakeRule] | None = None


def slope(abscissa: str, ordinate: str, target: float, margin: float, residual: float, batches: int = 0) -> SlopeRule:
    """A rate over four points, each twice the one before.

    Parameters
    ----------
    abscissa, ordinate : str
        Columns of the rows; the slope is that of their logarithms.
    target, margin : float
        The exponent that theory gives, and the largest deviation from it that supports the claim.
    residual : float
        Planned standard deviation of one log error around the line.
    batches : int
        Batches over which replications are averaged before the logarithm; 0 for none.
    """
    return SlopeRule(
        abscissa=abscissa,
        ordinate=ordinate,
        target=target,
        margin=margin,
        residual=residual,
        spread=0.775,  # of the logs of four points, each twice the one before
        points=4,
        batches=batches,
    )


def constant(rule: Rule) -> MakeRule:
    """The same rule on every regime."""
    return lambda design: rule
