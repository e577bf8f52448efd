"""All claims: every module of theory_checks/claims that defines ``CLAIM`` or ``CLAIMS``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from theory_checks import claims
from theory_checks.claim import Claim

__all__ = ["all_claims", "find_claims"]


@cache
def all_claims() -> dict[str, Claim]:
    """Identifier -> claim, ordered by theorem, then by identifier."""
    found: dict[str, Claim] = {}
    for module_info in sorted(pkgutil.iter_modules(claims.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{claims.__name__}.{module_info.name}")
        members = getattr(module, "CLAIMS", None) or (module.CLAIM,)
        for claim in members:
            if claim.identifier in found:
                raise ValueError(f"claim {claim.identifier} is registered twice; rename one")
            found[claim.identifier] = claim
    return dict(sorted(found.items(), key=lambda item: (item[1].theorem or 9, item[0])))


def find_claims(identifiers: list[str]) -> list[Claim]:
    """The asked claims, or all of them.

    Raises
    ------
    ValueError
        For an unknown identifier, with the known ones.
    """
    known = all_claims()
    unknown = [name for name in identifiers if name not in known]
    if unknown:
        raise ValueError(f"claim {unknown[0]!r} is unknown; choose among {', '.join(known)}")
    return [known[name] for name in identifiers] if identifiers else list(known.values())
