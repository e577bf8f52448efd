"""Verdicts and the family-wise decision.

A claim is *violated* when the hypothesis "the claim holds" is rejected after Holm's correction over the family,
*supported* when it is not and its own acceptance criterion (an exact bound, an equivalence test) is met, *inconclusive*
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from clair_stats.laws import holm
from theory_checks.rules.evidence import SUPPORT_LEVEL, Evidence

__all__ = ["FAMILY_LEVEL", "Identity", "Status", "Verdict", "decide", "decide_sabotage", "supported_together"]

Status: TypeAlias = Literal["supported", "violated", "inconclusive"]

FAMILY_LEVEL = 0.05


class Identity(NamedTuple):
    """What a verdict is about: two verdicts on the same thing have the same identity."""

    regime: str  # the shared design, "" for a claim with a study of its own
    claim: str
    section: str
    setting: str
    sabotage: str  # "" for the claim itself


@dataclass(frozen=True)
class Verdict:
    """One line of the verdict table."""

    claim: str
    theorem: int  # 0: not one of the five theorems
    title: str
    status: Status
    effort: str
    sabotage: str  # "" for the claim itself, else the name of the change
    evidence: Evidence
    adjusted_p_value: float
    rule: str
    smallest_violation: str  # what the replications would detect with probability 0.9
    regime: str = ""
    section: str = ""
    setting: str = ""
    is_departure: bool = False  # assumptions are bent: a violation is a finding
    claimed: str = ""  # what the statistic should be
    accepted: str = ""  # what supports the claim: the target with its margin, or the bound that has to be shown
    family: int = 0  # size of the family that Holm's procedure corrected for
    supported_together: bool = False  # supported also when any false "supported" in the family has probability 0.05
    level: float = FAMILY_LEVEL  # at which it was decided, for and against; smaller at a registered try
    registered: str = ""  # the try of the registry that this belongs to; "" for exploration

    @property
    def identity(self) -> Identity:
        """What the verdict is about."""
        return Identity(self.regime, self.claim, self.section, self.setting, self.sabotage)

    @property
    def as_expected(self) -> bool:
        """A claim should be supported, a sabotage violated."""
        return self.status == ("violated" if self.sabotage else "supported")


def _padded(p_values: Sequence[float], family: int | None) -> list[float]:
    """p-values of the whole family; a member that was not run can reject nothing and counts as 1."""
    missing = 0 if family is None else family - len(p_values)
    if missing < 0:
        raise ValueError(f"family: {family} members, but {len(p_values)} p-values; give at least as many")
    return [*p_values, *[1.0] * missing]


def decide(
    evidence: Sequence[Evidence], *, level: float = FAMILY_LEVEL, family: int | None = None
) -> list[tuple[Status, float]]:
    """Status and Holm-adjusted p-value of every member of the family.

    Parameters
    ----------
    evidence : sequence of Evidence
        The members that were run.
    level : float
        Family-wise probability of calling some true claim violated, and probability of calling one claim supported
        whose statistic lies outside what its rule accepts.
    family : int, optional
        Size of the whole family; members that were not run count as p = 1, so that running some of them makes the
        correction no weaker.  None: all are here.

    Returns
    -------
    list of (status, adjusted p-value)
    """
    if not evidence:
        return []
    decided: list[tuple[Status, float]] = []
    for item, p_value in zip(evidence, holm(_padded([e.p_value for e in evidence], family)), strict=False):
        decided.append(("violated" if p_value <= level else _unless_violated(item, level), float(p_value)))
    return decided


def _unless_violated(item: Evidence, level: float = SUPPORT_LEVEL) -> Status:
    """A claim with failed, unsolved or undefined replications is not supported.

    Rules decide ``within`` at :data:`SUPPORT_LEVEL`; a stricter level asks their p-value as well.
    """
    clean = item.failed == 0 and item.unsolved == 0 and item.undefined == 0
    strict = level >= SUPPORT_LEVEL or item.support_p_value <= level
    return "supported" if item.within and clean and strict else "inconclusive"


def decide_sabotage(item: Evidence, family: int, *, level: float = FAMILY_LEVEL) -> tuple[Status, float]:
    """Status and p-value at the strictest level its claim can be left with in a family of this size."""
    adjusted = min(1.0, item.p_value * family)
    return ("violated" if adjusted <= level else _unless_violated(item, level)), adjusted


def supported_together(
    evidence: Sequence[Evidence], *, level: float = SUPPORT_LEVEL, family: int | None = None
) -> list[bool]:
    """Which members meet their acceptance criterion when any false "supported" in the family has this probability.

    Holm's procedure over the p-values of the hypotheses "the statistic lies outside what the rule accepts".
    """
    if not evidence:
        return []
    p_values = [item.support_p_value for item in evidence]
    return [
        bool(p_value <= level) and _unless_violated(item, level) == "supported"
        for item, p_value in zip(evidence, holm(_padded(p_values, family)), strict=False)
    ]
