"""Verdicts and the family-wise decision; the verdict file is plain JSON without time stamps.

A claim is *violated* when the hypothesis "the claim holds" is rejected after Holm's correction over the family,
*supported* when it is not and its own acceptance criterion (an exact bound, an equivalence test) is met, *inconclusive*
otherwise.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from statsmodels.stats.multitest import multipletests

from clair_stats.files import written_whole
from theory_checks.rules.evidence import Evidence

__all__ = ["FAMILY_LEVEL", "Status", "Verdict", "decide", "read_verdicts", "write_verdicts"]

Status: TypeAlias = Literal["supported", "violated", "inconclusive"]

FAMILY_LEVEL = 0.05


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

    @property
    def as_expected(self) -> bool:
        """A claim should be supported, a sabotage violated."""
        return self.status == ("violated" if self.sabotage else "supported")


def decide(evidence: Sequence[Evidence], *, level: float = FAMILY_LEVEL) -> list[tuple[Status, float]]:
    """Status and Holm-adjusted p-value of every member of the family.

    Parameters
    ----------
    evidence : sequence of Evidence
        The whole family; fewer members make the correction weaker, so pass all that are read together.
    level : float
        Family-wise probability of calling some true claim violated.
    """
    if not evidence:
        return []
    rejected, adjusted, _, _ = multipletests([e.p_value for e in evidence], alpha=level, method="holm")
    decided: list[tuple[Status, float]] = []
    for item, reject, p_value in zip(evidence, rejected, adjusted, strict=True):
        clean = item.failed == 0 and item.unsolved == 0
        status: Status = "violated" if reject else "supported" if item.within and clean else "inconclusive"
        decided.append((status, float(p_value)))
    return decided


def _plain(value: object) -> object:
    """JSON without NaN: non-finite numbers as text, floats to 12 digits so that the bytes do not hang on rounding."""
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def write_verdicts(path: str | os.PathLike[str], verdicts: Sequence[Verdict]) -> None:
    """Write the verdict file beside its place and rename it, so that a reader never sees half of it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([_plain(asdict(verdict)) for verdict in verdicts], indent=1, ensure_ascii=False, sort_keys=True)
    with written_whole(target) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def read_verdicts(path: str | os.PathLike[str]) -> list[Verdict]:
    """Read what :func:`write_verdicts` wrote.

    Raises
    ------
    ValueError
        A file that is not a verdict file; the message names it.
    """
    target = Path(path)
    try:
        records = json.loads(target.read_text(encoding="utf-8"))
        verdicts = []
        for record in records:
            numbers = {k: float(v) for k, v in record["evidence"]["extra"].items()}
            evidence = {**record["evidence"], "extra": numbers}
            for key in ("estimate", "standard_error", "low", "high", "p_value"):
                evidence[key] = float(evidence[key])
            adjusted = float(record["adjusted_p_value"])
            verdicts.append(Verdict(**{**record, "evidence": Evidence(**evidence), "adjusted_p_value": adjusted}))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{target}: not a verdict file ({error}); run `python -m theory_checks run` again") from error
    return verdicts
