"""Verdicts on the terminal: the sentence that says it all, the table, and what "supported" may get wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from theory_checks.claim import Claim
from theory_checks.commands.options import console
from theory_checks.judge.progress import Judged
from theory_checks.judge.verdict import Verdict
from theory_checks.rules.evidence import SUPPORT_LEVEL

__all__ = ["print_claims", "print_verdicts", "progress_line", "support_sentence", "verdict_sentence"]


def verdict_sentence(verdicts: Sequence[Verdict]) -> str:
    """Everything in one sentence: how many claims hold, how many sabotages were rejected, at which effort."""
    claims = [verdict for verdict in verdicts if not verdict.sabotage]
    sabotages = [verdict for verdict in verdicts if verdict.sabotage]
    parts = []
    if claims:
        counts = Counter(verdict.status for verdict in claims)
        others = [f"{counts[status]} {status}" for status in ("violated", "inconclusive") if counts[status]]
        parts.append(", ".join([f"{counts['supported']} of {len(claims)} claims supported", *others]))
    if sabotages:
        rejected = sum(verdict.status == "violated" for verdict in sabotages)
        parts.append(f"{rejected} of {len(sabotages)} sabotages rejected")
    efforts = ", ".join(sorted({verdict.effort for verdict in verdicts}))
    return f"{'; '.join(parts) or 'nothing was judged'} ({efforts} effort)."


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """The sentence, then one line per claim and setting with its sabotage; numbers are told by ``explain``."""
    console.print(verdict_sentence(verdicts), markup=False, highlight=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", no_wrap=True)
    table.add_column("what it says", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("its sabotage", no_wrap=True)
    sabotages = {(verdict.regime, verdict.claim): verdict for verdict in verdicts if verdict.sabotage}
    for verdict in (verdict for verdict in verdicts if not verdict.sabotage):
        sabotage = sabotages.pop((verdict.regime, verdict.claim), None)  # beside the first setting of its claim
        table.add_row(*_line(verdict, sabotage))
    for sabotage in sabotages.values():
        table.add_row(sabotage.claim, Text(sabotage.title), "", _sabotage(sabotage))
    console.print(table)


def _line(verdict: Verdict, sabotage: Verdict | None) -> tuple[str | Text, ...]:
    where = f" [{verdict.section}: {verdict.setting}]" if verdict.regime else ""
    colour = "green" if verdict.as_expected else "red" if verdict.status == "violated" else "yellow"
    departure = " (assumptions bent)" if verdict.is_departure else ""
    item = verdict.evidence
    counted = {"failed": item.failed, "unsolved": item.unsolved, "skipped": item.skipped, "undefined": item.undefined}
    counts = "".join(f"; {n} replications {word}" for word, n in counted.items() if n)
    said = Text(f"{verdict.title}{where}{counts}")
    return verdict.claim, said, Text(verdict.status + departure, style=colour), _sabotage(sabotage)


def _sabotage(verdict: Verdict | None) -> Text:
    """What became of a sabotage, in words that cannot be taken for a failure of the claim."""
    if verdict is None:
        return Text("")
    if verdict.status == "violated":
        return Text("rejected ✓", style="green")
    return Text("NOT rejected", style="red")


def progress_line(step: Judged) -> str:
    """Such as ``[7/38] exact-recovery-plain: supported, 4 s``."""
    name = step.claim + (f" [{step.setting}]" if step.setting else "")
    told: str = step.status
    if step.sabotage:
        name = f"{name}, sabotage {step.sabotage}"
        told = "rejected ✓" if step.status == "violated" else "NOT rejected"
    return f"[{step.number}/{step.total}] {name}: {told}, {step.seconds:.0f} s"


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
