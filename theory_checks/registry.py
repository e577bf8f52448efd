"""All claims: every module of theory_checks/claims that defines ``CLAIM`` or ``CLAIMS``; their regimes are families."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from theory_checks import claims
from theory_checks.claim import Claim

__all__ = ["all_claims", "families", "family_size", "find_claims"]


@cache
def families() -> dict[str, tuple[Claim, ...]]:
    """Regime -> its claims; "" has the claims on the theorems, ordered by theorem, then by identifier.

    Raises
    ------
    ValueError
        Two claims of one family have one identifier.
    """
    found: dict[str, dict[str, Claim]] = {"": {}}
    for module_info in sorted(pkgutil.iter_modules(claims.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{claims.__name__}.{module_info.name}")
        for claim in getattr(module, "CLAIMS", None) or (module.CLAIM,):
            family = found.setdefault(claim.regime, {})
            if claim.identifier in family:
                raise ValueError(f"claim {claim.identifier} is registered twice; rename one")
            family[claim.identifier] = claim
    theorems = sorted(found[""].values(), key=lambda claim: (claim.theorem or 9, claim.identifier))
    return {"": tuple(theorems)} | {regime: tuple(own.values()) for regime, own in found.items() if regime}


def all_claims() -> dict[str, Claim]:
    """Identifier -> claim of the claims on the theorems, in the order of :func:`families`."""
    return {claim.identifier: claim for claim in families()[""]}


def family_size(regime: str = "") -> int:
    """Number of claims × settings that are decided together."""
    return sum(len(claim.judged) for claim in families()[regime])


def find_claims(identifiers: Sequence[str], regime: str = "") -> list[Claim]:
    """The asked claims of one family, or all of it.

    Raises
    ------
    ValueError
        For an unknown regime or identifier, with the known ones.
    """
    if regime not in families():
        known = ", ".join(name for name in families() if name)
        raise ValueError(f"regime {regime!r} is unknown; choose among {known}")
    members = {claim.identifier: claim for claim in families()[regime]}
    unknown = [name for name in identifiers if name not in members]
    if unknown:
        raise ValueError(f"claim {unknown[0]!r} is unknown; choose among {', '.join(members)}")
    return [members[name] for name in identifiers] if identifiers else list(members.values())
