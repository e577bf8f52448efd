"""Page one in words: the verdict, the effort, where CLAIR loses, and which code was run."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.inputs import ClaimInput, Inputs, RegimeInput
from reports.numbers import with_error

__all__ = ["Finding", "Headline", "headline"]

_COMMIT = re.compile(r"commit (\w+)( with local changes)?")
_VERSION = re.compile(r"clair-stats ([\w.+]+)")
_ROOT = Path(__file__).resolve().parent.parent
_MOST_TOLD = 4  # of one regime; its table has the rest


@dataclass(frozen=True)
class Finding:
    """One result in plain words, and the section that has its numbers."""

    where: str
    text: str
    anchor: str


@dataclass(frozen=True)
class Headline:
    """What stands before everything else."""

    verdict: str
    good: bool
    findings: tuple[Finding, ...]
    code: str
    shown: tuple[Finding, ...] = ()  # what studies show in favour of CLAIR


def _claims_sentence(claims: Sequence[ClaimInput]) -> str:
    counts = Counter(item.verdict.status for item in claims)
    sabotages = [item.sabotage.status for item in claims if item.sabotage]
    rejected = sum(status == "violated" for status in sabotages)
    effort = ", ".join(sorted({item.verdict.effort for item in claims}))
    n = len(claims)
    if counts["supported"] == n:
        verdict = "The one claim that was run is supported" if n == 1 else f"All {n} claims that were run are supported"
    else:
        verdict = f"{counts['supported']} of {n} claims supported, {counts['inconclusive']} inconclusive, " + (
            f"{counts['violated']} violated" if counts["violated"] else "none violated"
        )
    checks = f"{rejected} of {len(sabotages)} sabotages rejected" if sabotages else "no sabotage was run"
    unchecked = n - len(sabotages)
    without = f", {unchecked} without a sabotage's verdict" if unchecked and sabotages else ""
    return f"{verdict}; {checks}{without} ({effort} effort)."


def _claim_findings(claims: Iterable[ClaimInput]) -> list[Finding]:
    found = []
    for item in claims:
        verdict, evidence = item.verdict, item.verdict.evidence
        anchor = f"claim-{verdict.claim}"
        if verdict.status != "supported":
            value = with_error(evidence.estimate, evidence.standard_error)
            text = f"{verdict.status}: the statistic is {value} over {evidence.n} replications"
            aside = (("failed", evidence.failed), ("unsolved", evidence.unsolved))
            told = ", ".join(f"{n} {word}" for word, n in aside if n)
            found.append(Finding(verdict.title, f"{text}{f'; {told}' if told else ''}.", anchor))
        if item.sabotage is not None and item.sabotage.status != "violated":
            text = f"its sabotage was not rejected ({item.sabotage.status}): the check has shown no power."
            found.append(Finding(verdict.title, text, anchor))
    return found


def _regime_findings(regimes: Iterable[RegimeInput]) -> list[Finding]:
    """Claims that are violated on real fits, and controls that were not caught, counted per regime."""
    found = []
    for item in regimes:
        asked = [verdict for verdict in item.verdicts if not verdict.sabotage]
        controls = [verdict for verdict in item.verdicts if verdict.sabotage]
        violated = [verdict for verdict in asked if verdict.status == "violated"]
        open_ = sum(verdict.status == "inconclusive" for verdict in asked)
        missed = [verdict for verdict in controls if verdict.status != "violated"]
        if violated or open_:
            names = Counter(verdict.title for verdict in violated)
            told = "; ".join(f"{title} ({n})" for title, n in names.most_common(_MOST_TOLD))
            text = f"{len(violated)} of {len(asked)} claims × settings are violated, {open_} inconclusive"
            found.append(Finding(item.study.title, f"{text}{f': {told}' if told else ''}.", item.anchor))
        if missed:
            text = f"{len(missed)} of {len(controls)} controls were not caught."
            found.append(Finding(item.study.title, text, item.anchor))
    return found


def _date(commit: str) -> str:
    """The day of a commit, where the repository knows it; never the day of the build, which would change the bytes."""
    try:
        words = ["git", "show", "--no-patch", "--format=%cs", commit, "--"]
        done = subprocess.run(words, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f" of {done.stdout.strip()}" if done.returncode == 0 and done.stdout.strip() else ""


def _code(provenance: Sequence[str]) -> str:
    """Version, commit and its day of the code that wrote the rows."""
    commits = dict.fromkeys(f"{m[1]}{_date(m[1])}{m[2] or ''}" for line in provenance if (m := _COMMIT.match(line)))
    versions = dict.fromkeys(m[1] for line in provenance if (m := _VERSION.search(line)))
    if not commits:
        return "The verdicts carry no provenance: no store of theirs is there."
    several = "s" if len(commits) > 1 else ""
    return f"CLAIR-stats {', '.join(versions) or 'of unknown version'}, commit{several} {', '.join(commits)}."


def headline(
    inputs: Inputs, losses: Iterable[Finding], provenance: Sequence[str], shown: Iterable[Finding] = ()
) -> Headline:
    """The first page.

    Parameters
    ----------
    inputs : Inputs
    losses : iterable of Finding
        Of the studies.
    provenance : sequence of str
        Lines on code and machine.
    shown : iterable of Finding
        What the studies show in favour of CLAIR.
    """
    verdict = _claims_sentence(inputs.claims) if inputs.claims else "No claim was checked in these results."
    if inputs.unrun:
        registered = inputs.unrun + len(inputs.claims)
        verdict = f"{verdict} {inputs.unrun} of {registered} claims were not run."
    findings = (*_claim_findings(inputs.claims), *_regime_findings(inputs.regimes), *losses)
    good = (
        bool(inputs.claims)
        and not inputs.unrun
        and all(
            item.verdict.status == "supported" and item.sabotage is not None and item.sabotage.status == "violated"
            for item in inputs.claims
        )
    )
    return Headline(verdict, good, findings, _code(provenance), tuple(shown))
