"""Verdicts on the terminal: the table, and the sentences that say what it does and does not show."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from theory_checks.claim import Claim
from theory_checks.commands.options import console
from theory_checks.judge.verdict import Verdict
from theory_checks.rules.evidence import SUPPORT_LEVEL

__all__ = ["print_claims", "print_verdicts", "support_sentence"]


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """The verdict table on the terminal."""
    for heading, part in (
        ("Claims", [v for v in verdicts if not v.sabotage]),
        ("Sabotages (each must be violated)", [v for v in verdicts if v.sabotage]),
    ):
        if not part:
            continue
        table = Table(title=heading, title_justify="left", expand=False)
        for column in ("claim", "verdict", "evidence", "claimed", "supported when", "adjusted p", "would detect"):
            table.add_column(column, overflow="fold", no_wrap=column == "verdict")
        for verdict in part:
            table.add_row(*_line(verdict))
        console.print(table)


def _line(verdict: Verdict) -> tuple[str, ...]:
    item = verdict.evidence
    where = f"{verdict.section}: {verdict.setting}" if verdict.regime else ""
    name = " / ".join(part for part in (verdict.claim, where, verdict.sabotage) if part)
    counted = {"failed": item.failed, "unsolved": item.unsolved, "skipped": item.skipped, "undefined": item.undefined}
    counts = ", ".join(f"{word} {n}" for word, n in counted.items() if n)
    detail = item.detail + (f" [{counts}]" if counts else "")
    colour = "green" if verdict.as_expected else "red" if verdict.status != "inconclusive" else "yellow"
    return (
        name.replace("[", r"\["),
        f"[{colour}]{verdict.status}[/{colour}]",
        detail.replace("[", r"\["),
        verdict.claimed.replace("[", r"\["),
        verdict.accepted.replace("[", r"\["),
        f"{verdict.adjusted_p_value:.3g}",
        verdict.smallest_violation,
    )


def support_sentence(verdicts: Sequence[Verdict]) -> str:
    """What "supported" may get wrong: per claim, and over the family."""
    supported = [v for v in verdicts if not v.sabotage and v.status == "supported"]
    together = sum(v.supported_together for v in supported)
    level = min((v.level for v in supported), default=SUPPORT_LEVEL)
    return (
        f"each of the {len(supported)} supported claims is so at error probability {level:g} of its own; {together} of "
        f"them also when the probability of any false one in the family is held at {level:g} (Holm)"
    )


def print_claims(claims: Sequence[Claim]) -> None:
    """The claims of one family, one line each."""
    table = Table()
    for column in ("claim", "theorem", "title", "settings", "sabotage"):
        # A name that is folded cannot be copied into the next command.
        table.add_column(column, overflow="fold", no_wrap=column == "claim")
    for claim in claims:
        theorem = str(claim.theorem) if claim.theorem else "–"
        table.add_row(claim.identifier, theorem, claim.title, str(len(claim.judged)), claim.sabotage.name)
    console.print(table)
