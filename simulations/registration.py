"""Confirmatory studies: registered before they run, with a seed that nobody could choose, every try on record.

The registry is an append-only file of JSON lines in the repository.  An entry holds the hash of the design, of the
decision rules and of the sources that the rows depend on, the time, and the hash of the line before it, so a line that
is changed or taken out later is found.  The root seed is derived from the entry itself: it is at least 2⁶⁴, and seeds
of development are below, so the two never meet.

A try whose design, rules or sources have changed needs an entry of its own.  Deciding at level α/2ᵏ at try k keeps the
error over all tries below α.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from simulations.design import Study, canonical_json, content_hash
from simulations.storage.sources import source_digest

__all__ = [
    "CONFIRMATORY",
    "REGISTRY",
    "Entry",
    "conclude",
    "design_hash",
    "level_at",
    "read_registry",
    "refuse_unregistered",
    "register",
    "tries",
]

REGISTRY = Path(__file__).resolve().parents[1] / "registry.jsonl"
CONFIRMATORY = 2**64  # root seeds from here on come from the registry
_FIRST = "0" * 64  # stands for the line before the first one


@dataclass(frozen=True)
class Entry:
    """One line of the registry: a try of a study before it runs, or the outcome of an earlier try."""

    study: str
    attempt: int  # 1 for the first try
    design: str
    rules: str
    sources: str
    time: str  # ISO 8601, UTC
    previous: str  # SHA-256 of the line before
    outcome: str = ""  # empty: a registration

    @property
    def line(self) -> str:
        """The entry as it stands in the file."""
        return canonical_json(asdict(self))

    @property
    def root_seed(self) -> int:
        """Root seed of the try."""
        return CONFIRMATORY + int(hashlib.sha256(self.line.encode()).hexdigest()[:16], 16)


def design_hash(study: Study) -> str:
    """Hash of cells and replications; the seed is no part of it, since it comes from the registry."""
    return content_hash({"replications": study.replications, "cells": [cell.hash for cell in study.cells]})


def _sources(study: Study) -> str:
    return content_hash(sorted({source_digest(cell.regime, cell.method) for cell in study.cells}))


def level_at(attempt: int, level: float = 0.05) -> float:
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


def _registrations(study: Study, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.study == study.confirmatory and not entry.outcome]


def register(study: Study, *, rules: str = "", path: Path = REGISTRY) -> Entry:
    """Enter the next try of a study, to be committed before it runs; ``rules`` are the decision rules in words.

    Raises
    ------
    ValueError
        The study does not say that it is confirmatory.
    """
    if not study.confirmatory:
        raise ValueError(f"study {study.name} is exploratory; give it confirmatory={study.name!r} in its file first")
    attempt = len(_registrations(study, read_registry(path))) + 1
    digest = content_hash(rules)
    return _append(Entry(study.confirmatory, attempt, design_hash(study), digest, _sources(study), _now(), ""), path)


def conclude(study: Study, outcome: str, *, path: Path = REGISTRY) -> Entry:
    """Enter what came out of the latest try.

    Raises
    ------
    ValueError
        The study has no try, or no outcome is given.
    """
    known = _registrations(study, read_registry(path))
    if not known or not outcome.strip():
        raise ValueError(f"study {study.name}: register it and run it first, then give its outcome in words")
    return _append(replace(known[-1], time=_now(), outcome=outcome.strip()), path)


def tries(study: Study, *, path: Path = REGISTRY) -> list[Study]:
    """The study with the seed of every try that had this design; from the second on the name says which it is."""
    own = design_hash(study)
    return [
        replace(study, root_seed=entry.root_seed, name=_name(study.confirmatory, entry.attempt))
        for entry in _registrations(study, read_registry(path))
        if entry.design == own
    ]


def _name(name: str, attempt: int) -> str:
    return name if attempt == 1 else f"{name}-try{attempt}"


def refuse_unregistered(study: Study, *, path: Path = REGISTRY) -> list[str]:
    """Lines on all tries of a confirmatory study, oldest first; nothing for other studies.

    Raises
    ------
    ValueError
        It is not registered with this design and these sources; the message says how to register and lists the tries.
    """
    if not study.confirmatory:
        return []
    entries = read_registry(path)
    name = study.confirmatory
    known = [entry for entry in entries if entry.study == name]
    told = [
        f"try {entry.attempt}, {entry.time}: "
        + (entry.outcome or f"registered, decides at level {level_at(entry.attempt):g}")
        for entry in known
    ]
    own = [e for e in known if not e.outcome and e.root_seed == study.root_seed and e.design == design_hash(study)]
    if not own or own[-1].sources != _sources(study):
        why = "its sources have changed since it was registered" if own else "it is not registered with this design"
        listed = "; ".join(told) or "none"
        raise ValueError(
            f"study {name} is confirmatory and {why}: run `python -m simulations register {name} --rules '…'`, commit "
            f"registry.jsonl, then run it (earlier tries: {listed})"
        )
    return told
