"""What a run says while it goes on: one line for each claim or sabotage that was looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from theory_checks.judge.verdict import Status, decide_sabotage
from theory_checks.rules.evidence import Evidence

__all__ = ["Judged", "Steps"]


@dataclass(frozen=True)
class Judged:
    """A claim in one setting, or a sabotage, that has just been looked at."""

    number: int  # from 1
    total: int
    claim: str
    setting: str  # "" for a claim with one setting
    sabotage: str  # "" for the claim itself
    status: Status  # at the strictest level of the family; Holm's procedure over all of it decides at the end
    seconds: float  # wall time since the step before


class Steps:
    """Counts the steps of a run and their time, and hands each to a callback.

    Parameters
    ----------
    total : int
        Claims × settings and sabotages that will be looked at.
    family : int
        Size of the family.
    level : float
        Probability of any false "violated" in the family.
    told : callable, optional
        Called with every :class:`Judged`.
    """

    def __init__(self, total: int, family: int, level: float, told: Callable[[Judged], None] | None) -> None:
        self.total, self.family, self.level, self.told = total, family, level, told
        self.number, self._since = 0, time.monotonic()

    def __call__(self, claim: str, setting: str, sabotage: str, evidence: Evidence) -> None:
        """Say that the evidence on a claim or sabotage is there."""
        self.number += 1
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        if self.told is not None:
            status, _ = decide_sabotage(evidence, self.family, level=self.level)
            self.told(Judged(self.number, self.total, claim, setting, sabotage, status, seconds))
