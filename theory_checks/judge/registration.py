"""A family of claims in the registry: what is registered, and what came out in one line.

Any family may be explored at any seed.  Confirming it is another matter: the whole family, at one effort, with claims,
rules and sources as they were registered, at the seed of the entry, decided at the level of the try.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from simulations.design import content_hash
from simulations.registration import Plan
from simulations.storage.sources import module_digest, source_digest
from theory_checks.claim import Claim, Effort
from theory_checks.judge.verdict import Verdict
from theory_checks.registry import families, family_size

__all__ = ["outcome", "plan_of_family", "sources_of"]

# What makes verdicts of rows, besides the rules.
_JUDGES = ("theory_checks.judge.rows", "theory_checks.judge.run", "theory_checks.judge.verdict")


def _studies(claim: Claim, effort: Effort) -> list[object]:
    """Replications and cells of the claim and of its sabotage, without the seed."""
    made = [claim.study(effort, sabotaged=sabotaged) for sabotaged in (False, True)]
    return [[study.replications, sorted(cell.hash for cell in study.cells)] for study in made]


def _rules(claim: Claim) -> list[object]:
    return [
        repr(claim.rule),
        repr(claim.sabotage.rule),
        claim.statement,
        claim.largest_gap,
        [assumption.column for assumption in claim.assumptions],
        [[setting.section, setting.label, setting.is_departure] for setting in claim.judged],
    ]


def sources_of(claims: Sequence[Claim], effort: Effort) -> list[str]:
    """Digests of all code on which the verdicts of claims and of their gross sabotages depend."""
    digests = {module_digest(*_JUDGES)}
    for claim in claims:
        for sabotaged in (False, True):
            digests.update(source_digest(c.regime, c.method) for c in claim.study(effort, sabotaged=sabotaged).cells)
            digests.add(source_digest(claim.active_rule(sabotaged=sabotaged)))
    return sorted(digests)


def plan_of_family(regime: str, effort: Effort) -> Plan:
    """The whole family of a regime ("": the theorems) at one effort, as hashes."""
    claims = families()[regime]
    option = f" --regime {regime}" if regime else ""
    return Plan(
        name=f"claims-{regime or 'theorems'}-{effort}",
        design=content_hash({claim.identifier: _studies(claim, effort) for claim in claims}),
        rules=content_hash({"size": family_size(regime), **{claim.identifier: _rules(claim) for claim in claims}}),
        sources=content_hash(sources_of(claims, effort)),
        command=f"python -m theory_checks register --effort {effort}{option}",
    )


def outcome(verdicts: Sequence[Verdict]) -> str:
    """What came out, by counts, and the names of what is not as claimed."""
    claims = [v for v in verdicts if not v.sabotage and not v.is_departure]
    sabotages = [v for v in verdicts if v.sabotage]
    counts = Counter(v.status for v in claims)
    rejected = sum(v.status == "violated" for v in sabotages)
    text = [
        f"{counts['supported']} of {len(claims)} supported, {counts['violated']} violated, "
        f"{counts['inconclusive']} open; {rejected} of {len(sabotages)} sabotages rejected"
    ]
    text += [f"{v.claim} {v.setting} {v.status}".replace("  ", " ") for v in claims if v.status != "supported"]
    text += [f"{v.claim}: {v.sabotage} not rejected" for v in sabotages if v.status != "violated"]
    return "; ".join(text)
