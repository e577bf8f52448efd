"""What it takes to be red: every claim beside its gross and its fine sabotage, with the size of what was rejected.

The size of a sabotage is what its rows show, over the smallest violation that the check detects with probability 0.9 at
this effort.  Grade A: both sabotages are rejected and the fine one is at most three times that size.  B: both are
rejected, the fine one is larger or there is none.  C: one of them is not rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from theory_checks.claim import Claim
from theory_checks.judge.verdict import Verdict
from theory_checks.registry import all_claims

__all__ = ["Grade", "Graded", "Sized", "page"]

Grade: TypeAlias = Literal["A", "B", "C"]

FINE_ENOUGH = (
    3.0  # sizes: the fine sabotages aim at 1.5, and a share of 0.043 in 80 instances has an error of 0.8 sizes
)


@dataclass(frozen=True)
class Sized:
    """A sabotage's verdict and its size in smallest detectable violations."""

    verdict: Verdict
    size: float

    @property
    def rejected(self) -> bool:
        """Whether the check says violated."""
        return self.verdict.status == "violated"


@dataclass(frozen=True)
class Graded:
    """A claim with both of its sabotages."""

    claim: Claim
    verdict: Verdict
    gross: Verdict
    fine: Verdict | None

    def sized(self, sabotage: Verdict) -> Sized:
        """A sabotage against what the claim's own replications detect."""
        rule = self.claim.rule
        n = rule.size(self.claim.replications[self._effort], self.verdict.evidence.n)
        smallest = rule.detectable(n, self.verdict.level / self.verdict.family)
        own = self.claim.finely_sabotaged() if sabotage is self.fine else self.claim
        return Sized(sabotage, own.active_rule(sabotaged=True).violation_of(sabotage.evidence.estimate) / smallest)

    @property
    def _effort(self) -> Literal["quick", "standard", "full"]:
        effort = self.verdict.effort
        assert effort in ("quick", "standard", "full")
        return effort  # type: ignore[return-value]

    @property
    def grade(self) -> Grade:
        """See the module."""
        gross, fine = self.sized(self.gross), self.fine and self.sized(self.fine)
        if not gross.rejected or (fine and not fine.rejected):
            return "C"
        return "A" if fine and fine.size <= FINE_ENOUGH else "B"


def _statistic(verdict: Verdict) -> str:
    item = verdict.evidence
    return f"{item.estimate:.3g} ± {item.standard_error:.2g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sabotage(item: Sized) -> str:
    outcome = "rejected" if item.rejected else f"**not rejected** ({item.verdict.status})"
    return f"{item.verdict.sabotage}: {_statistic(item.verdict)}, {item.size:.1f} ×, {outcome}"


def page(graded: Sequence[Graded], effort: str) -> str:
    """The table of all claims in Markdown, and their statements below it."""
    lines = [
        "# Claims and their sabotages",
        "",
        f"Written by `python -m theory_checks sabotages --effort {effort}`. n: instances that entered the rule. A",
        "sabotage's statistic is the share of instances that violate for a claim that says always, and otherwise what",
        "the rule looks at; × is its size in smallest violations that n instances detect with probability 0.9. Gross",
        "sabotages run with every check; fine ones, meant to be 1.5 × that size, with this command. Grade A: both are",
        f"rejected and the fine one is at most {FINE_ENOUGH:g} × the smallest; B: both are rejected; C: one is not.",
        "",
        "| claim | says | supported when | n | statistic | gross sabotage | fine sabotage | grade |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for item in graded:
        fine = _sabotage(item.sized(item.fine)) if item.fine else "none"
        cells = (
            f"{item.claim.identifier} ({item.verdict.status})",
            item.claim.rule.claimed,
            item.claim.rule.accepted,
            str(item.verdict.evidence.n),
            _statistic(item.verdict),
            _sabotage(item.sized(item.gross)),
            fine,
            item.grade,
        )
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    shown = {item.claim.identifier for item in graded}
    rest = [name for name in all_claims() if name not in shown]
    if rest:
        lines += ["", f"{len(shown)} of {len(shown) + len(rest)} claims; not run for this page: {', '.join(rest)}."]
    lines += ["", "## Statements", ""]
    for item in graded:
        claim = item.claim
        # TeX as it is written: the report and `explain` show it as a formula.
        lines += [f"**{claim.identifier}.** {claim.title}: `{claim.statement}`", ""]
        lines += [f"*Checked:* {claim.statistic}. *Source:* {claim.source}.", ""]
        fine = f" *Fine:* {claim.fine.description}." if claim.fine else ""
        lines += [f"*Gross:* {claim.sabotage.description}.{fine}", ""]
    return "\n".join(lines).rstrip() + "\n"
