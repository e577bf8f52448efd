"""The registry: what confirms is entered before it runs, with a seed that nobody could choose, every try on record.

An append-only file of JSON lines in the repository.  A *plan* is what is registered, a study or a family of claims: its
name and the hashes of its design, of its decision rules and of the sources that rows and decisions depend on.  An entry
holds a plan, the time, and the hash of the line before it, so a line that is changed or taken out later is found.  The
root seed is derived from the entry itself: it is at least 2⁶⁴, and seeds of development are below, so the two never
meet.

A plan that has changed needs an entry of its own.  Try k decides at level α/2ᵏ (:attr:`Entry.level`), which keeps the
error over all tries below α.  Runs from before the registry are entered as *earlier* tries: they count.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from simulations.design import canonical_json
from simulations.streams import CONFIRMATORY

__all__ = [
    "LEVEL",
    "REGISTRY",
    "Entry",
    "Plan",
    "conclude",
    "enter_earlier",
    "level_at",
    "outcome_of",
    "read_registry",
    "register",
    "registered",
    "told",
    "tries_of",
]

REGISTRY = Path(__file__).resolve().parents[1] / "registry.jsonl"
LEVEL = 0.05  # error probability over all tries of one plan
_FIRST = "0" * 64  # stands for the line before the first one
_GIT_SECONDS = 30  # limit of one call of git

Kind: TypeAlias = Literal["try", "earlier", "outcome"]


@dataclass(frozen=True)
class Plan:
    """What is to confirm: a study or a family of claims, by name and hashes.

    Parameters
    ----------
    name : str
        Of all tries.
    design, rules, sources : str
        Hashes: of cells and replications, of the decision rules, and of the code that rows and decisions depend on.
    command : str
        How it is registered, for the message that refuses it.
    """

    name: str
    design: str
    rules: str
    sources: str
    command: str


@dataclass(frozen=True)
class Entry:
    """One line of the registry.

    ``kind`` is "try" (entered before it ran), "earlier" (it ran before the registry and counts as a try), or "outcome"
    (what came out of the latest try, in words).
    """

    name: str
    attempt: int  # 1 for the first try
    kind: Kind
    design: str
    rules: str
    sources: str
    time: str  # ISO 8601, UTC
    previous: str  # SHA-256 of the line before
    outcome: str = ""

    @property
    def line(self) -> str:
        """The entry as it stands in the file."""
        return canonical_json(asdict(self))

    @property
    def root_seed(self) -> int:
        """Root seed of the try, at least 2⁶⁴."""
        return CONFIRMATORY + int(hashlib.sha256(self.line.encode()).hexdigest()[:16], 16)

    @property
    def level(self) -> float:
        """Level at which the try decides."""
        return level_at(self.attempt)

    @property
    def label(self) -> str:
        """Name and number of the try."""
        return f"{self.name}, try {self.attempt}"


def level_at(attempt: int, level: float = LEVEL) -> float:
    """Level at which try ``attempt`` decides, so that all tries together err with probability ``level`` at most."""
    return float(level / 2**attempt)


def read_registry(path: Path = REGISTRY) -> list[Entry]:
    """All entries, in their order.

    Raises
    ------
    ValueError
        A line that is no entry, or that does not follow the one before it: something was changed or taken out.
    """
    entries: list[Entry] = []
    previous = _FIRST
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], start=1):
        try:
            entry = Entry(**json.loads(line))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: no entry of the registry ({error}); restore it") from error
        if entry.previous != previous or entry.line != line:
            raise ValueError(f"{path}, line {number}: does not follow the line before; the registry is append-only")
        previous = hashlib.sha256(line.encode()).hexdigest()
        entries.append(entry)
    return entries


def _append(entry: Entry, path: Path) -> Entry:
    before = read_registry(path)
    last = hashlib.sha256(before[-1].line.encode()).hexdigest() if before else _FIRST
    final = replace(entry, previous=last)
    with path.open("a", encoding="utf-8") as file:
        file.write(final.line + "\n")
    return final


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def tries_of(name: str, entries: Sequence[Entry]) -> list[Entry]:
    """The tries of a plan, earlier ones included, oldest first."""
    return [entry for entry in entries if entry.name == name and entry.kind != "outcome"]


def outcome_of(entry: Entry, entries: Sequence[Entry]) -> str:
    """What came out of a try; empty where that is not on record."""
    found = [e.outcome for e in entries if (e.name, e.attempt) == (entry.name, entry.attempt) and e.outcome]
    return found[-1] if found else ""


def told(name: str, entries: Sequence[Entry]) -> list[str]:
    """One line on every try of a plan, oldest first."""
    lines = []
    for entry in tries_of(name, entries):
        came = outcome_of(entry, entries) or "no outcome yet"
        how = "before the registry" if entry.kind == "earlier" else f"decides at level {entry.level:g}"
        lines.append(f"try {entry.attempt}, {entry.time}, {how}: {came}")
    return lines


def register(plan: Plan, *, path: Path = REGISTRY) -> Entry:
    """Enter the next try of a plan, to be committed before it runs.

    Raises
    ------
    ValueError
        The latest try has the same plan and no outcome: it is still to be run.
    """
    entries = read_registry(path)
    known = tries_of(plan.name, entries)
    if known and _same(known[-1], plan) and not outcome_of(known[-1], entries):
        raise ValueError(f"{known[-1].label} is registered as it is and has no outcome yet; run it")
    attempt = len(known) + 1
    return _append(Entry(plan.name, attempt, "try", plan.design, plan.rules, plan.sources, _now(), ""), path)


def enter_earlier(plan: Plan, outcome: str, *, path: Path = REGISTRY) -> Entry:
    """Enter a run from before the registry with what came out, so that it is listed and counts as a try.

    Raises
    ------
    ValueError
        No outcome is given, or the plan has a registered try already.
    """
    known = tries_of(plan.name, read_registry(path))
    if not outcome.strip() or any(entry.kind == "try" for entry in known):
        raise ValueError(f"{plan.name}: earlier runs are entered before the first try, each with its outcome in words")
    return _append(Entry(plan.name, len(known) + 1, "earlier", "", "", "", _now(), "", outcome.strip()), path)


def conclude(entry: Entry, outcome: str, *, path: Path = REGISTRY) -> Entry:
    """Enter what came out of a try; one outcome belongs to one try.

    Raises
    ------
    ValueError
        No outcome is given, or another one is on record.
    """
    before = outcome_of(entry, read_registry(path))
    if not outcome.strip() or before:
        raise ValueError(f"{entry.label}: give its outcome in words, once" + (f"; on record: {before}" * bool(before)))
    return _append(replace(entry, kind="outcome", time=_now(), outcome=outcome.strip()), path)


def _same(entry: Entry, plan: Plan) -> bool:
    return (entry.design, entry.rules, entry.sources) == (plan.design, plan.rules, plan.sources)


def _is_committed(entry: Entry, path: Path) -> bool:
    """Whether the entry is part of the last commit; True outside a git checkout, where nobody can say."""
    git = ("git", "-C", str(path.parent))
    try:
        inside = subprocess.run(
            [*git, "rev-parse", "--git-dir"], capture_output=True, timeout=_GIT_SECONDS, check=False
        )
        shown = subprocess.run(
            [*git, "show", f"HEAD:./{path.name}"], capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return True
    return inside.returncode != 0 or entry.line in shown.stdout.decode("utf-8", "replace").splitlines()


def registered(plan: Plan, *, path: Path = REGISTRY) -> Entry:
    """The latest try of a plan, where it was registered exactly so and committed.

    Raises
    ------
    ValueError
        It is not registered, has changed since, or its entry is not committed; the message says what to do and lists
        the earlier tries.
    """
    entries = read_registry(path)
    known = tries_of(plan.name, entries)
    last = known[-1] if known and known[-1].kind == "try" else None
    if last is not None and _same(last, plan):
        if _is_committed(last, path):
            return last
        raise ValueError(f"{last.label}: commit {path.name} before it runs, so that the entry cannot be taken back")
    changed = [word for word in ("design", "rules", "sources") if last and getattr(last, word) != getattr(plan, word)]
    why = f"changed since it was registered ({', '.join(changed)})" if changed else "not registered"
    listed = "; ".join(told(plan.name, entries)) or "none"
    raise ValueError(
        f"{plan.name} is confirmatory and {why}: run `{plan.command}`, commit {path.name}, then run it (earlier tries: "
        f"{listed})"
    )
