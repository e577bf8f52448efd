"""Merging of verdicts: a claim that is judged again replaces its earlier verdict, and all others stay.

Holm's procedure is applied again to the p-values of each family, since an added member changes the correction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from theory_checks.claim import Claim
from theory_checks.judge.verdict import FAMILY_LEVEL, Verdict, decide, decide_sabotage, supported_together
from theory_checks.registry import families, family_size

__all__ = ["merged", "not_run"]


def merged(earlier: Sequence[Verdict], new: Sequence[Verdict]) -> list[Verdict]:
    """New and earlier verdicts, family by family in the order of the registry, decided together.

    Verdicts on claims that are no longer registered are left out, and so are earlier verdicts on settings of a claim
    that has been judged again.
    """
    again = {(verdict.regime, verdict.claim, bool(verdict.sabotage)) for verdict in new}
    kept = [v for v in earlier if (v.regime, v.claim, bool(v.sabotage)) not in again]
    result: list[Verdict] = []
    for regime, claims in families().items():
        order = {claim.identifier: place for place, claim in enumerate(claims)}
        own = [v for v in (*kept, *new) if v.regime == regime and v.claim in order]
        result += _decided(_in_order([v for v in own if not v.sabotage], claims), family_size(regime))
        sabotages = sorted((v for v in own if v.sabotage), key=lambda v: order[v.claim])
        result += [_sabotage_decided(verdict, family_size(regime)) for verdict in sabotages]
    return result


def _in_order(verdicts: Sequence[Verdict], claims: Sequence[Claim]) -> list[Verdict]:
    """By setting, then by claim; settings that are no longer registered are left out."""
    places = {
        (claim.identifier, setting.section, setting.label): (setting.position, number)
        for number, claim in enumerate(claims)
        for setting in claim.judged
    }
    known = [v for v in verdicts if (v.claim, v.section, v.setting) in places]
    return sorted(known, key=lambda v: places[v.claim, v.section, v.setting])


def _decided(verdicts: Sequence[Verdict], family: int) -> list[Verdict]:
    evidence = [verdict.evidence for verdict in verdicts]
    # Verdicts of one file were decided at one level: that of exploration, or that of one registered try.
    level = min((verdict.level for verdict in verdicts), default=FAMILY_LEVEL)
    decided = decide(evidence, level=level, family=family)
    together = supported_together(evidence, level=level, family=family)
    return [
        dataclasses.replace(v, status=status, adjusted_p_value=adjusted, family=family, supported_together=shown)
        for v, (status, adjusted), shown in zip(verdicts, decided, together, strict=True)
    ]


def _sabotage_decided(verdict: Verdict, family: int) -> Verdict:
    status, adjusted = decide_sabotage(verdict.evidence, family, level=verdict.level)
    return dataclasses.replace(verdict, status=status, adjusted_p_value=adjusted, family=family)


def not_run(verdicts: Sequence[Verdict], regime: str) -> list[str]:
    """Identifiers of the family's claims that have no verdict."""
    judged = {verdict.claim for verdict in verdicts if verdict.regime == regime and not verdict.sabotage}
    return [claim.identifier for claim in families()[regime] if claim.identifier not in judged]
