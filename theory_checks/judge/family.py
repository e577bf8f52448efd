"""The error rate of the family of claims, by running the quick family many times with new seeds.

All claims are true, so a repetition with any claim called *violated* is a false alarm of the family.  The repetitions
are kept in one file, one line each, so that the run can be ended and continued; every line says which version of the
code made it, and versions are not mixed silently.  Workers compute whole repetitions: a worker that computed a part of
each claim would wait for the slowest one 37 times in every repetition.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import joblib
import numpy as np
from statsmodels.stats.proportion import proportion_confint

from simulations.design import content_hash
from simulations.engine.options import RunOptions
from simulations.storage.provenance import version_of
from simulations.storage.store import StoreError
from theory_checks.claim import ROOT_SEED, Claim
from theory_checks.judge.registration import sources_of
from theory_checks.judge.run import run_claims
from theory_checks.judge.verdict import FAMILY_LEVEL
from theory_checks.rules.power import frequency_critical

__all__ = ["FamilyError", "family_error", "repetition_seed"]


def repetition_seed(repetition: int) -> int:
    """Root seed of one repetition, from the project's root seed and the number of the repetition."""
    sequence = np.random.SeedSequence(ROOT_SEED, spawn_key=(repetition,))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class FamilyError:
    """How often the family rejected something although everything is true."""

    repetitions: int
    false_alarms: int
    open_repetitions: int  # some claim inconclusive: costs power, is no error
    per_claim: dict[str, tuple[int, int]]  # claim -> (violated, inconclusive)
    all_supported: int = 0  # repetitions in which every claim is supported
    seconds: float = math.nan  # of a repetition on its worker, at the median
    versions: tuple[int, ...] = ()  # repetitions that each version of code, packages and machine made

    @property
    def allowed(self) -> int:
        """Largest number of false alarms that a family at its level stays below with probability 0.95."""
        return frequency_critical(self.repetitions, FAMILY_LEVEL, 0.05) - 1

    @property
    def acceptable(self) -> bool:
        """Whether the exact test of "rate ≤ family level" does not reject."""
        return self.false_alarms <= self.allowed

    def lines(self) -> list[str]:
        """The result in words."""
        low, high = proportion_confint(self.false_alarms, self.repetitions, method="beta")
        least = proportion_confint(self.all_supported, self.repetitions, alpha=0.10, method="beta")[0]
        upper = proportion_confint(self.false_alarms, self.repetitions, alpha=0.10, method="beta")[1]
        text = [
            f"{self.false_alarms} of {self.repetitions} repetitions call a true claim violated, "
            f"{self.open_repetitions} leave some claim inconclusive, {self.all_supported} support every claim; at "
            f"family level {FAMILY_LEVEL:g} up to {self.allowed} false alarms are expected with probability 0.95",
            f"rate of false alarms: 95 % interval {0.0 if self.false_alarms == 0 else low:.4f} to {high:.4f}, "
            f"one-sided upper bound {upper:.4f}",
            f"all supported: {self.all_supported / self.repetitions:.3f} of the repetitions, one-sided lower bound "
            f"{least if self.all_supported else 0.0:.3f}; {self.seconds:.0f} s a repetition at the median",
        ]
        text += [
            f"  {claim}: {violated} violated, {opened} inconclusive"
            for claim, (violated, opened) in self.per_claim.items()
            if violated or opened
        ]
        if len(self.versions) > 1:
            text.append(f"made by {len(self.versions)} versions: {', '.join(map(str, self.versions))} repetitions each")
        return text


def family_error(
    claims: Sequence[Claim],
    repetitions: int,
    folder: Path,
    *,
    only_chance: bool = False,
    **options: Unpack[RunOptions],
) -> FamilyError:
    """Repeat the quick family under the null.

    Parameters
    ----------
    claims : sequence of Claim
    repetitions : int
        Whole families, each with a root seed of its own.
    folder : Path
        Of the results of the repetitions, which are kept and continued.
    only_chance : bool
        Run only the claims that chance can reject although they are true.  A claim of the kind "always" is rejected by
        a counterexample alone, never by chance, so leaving it out changes no false alarm; Holm's correction keeps the
        size of the whole family, such a claim enters with p-value 1.

    **options
        For :func:`simulations.engine.executor.run_study`.

    Raises
    ------
    StoreError
        Repetitions of another version are there, others are missing, and mixing was not accepted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [claim for claim in claims if claim.rule.by_chance or not only_chance]
    record = folder / ("chance.jsonl" if only_chance else "family.jsonl")
    done = _read(record, [claim.identifier for claim in chosen])
    version = version_of(content_hash(sources_of(chosen, "quick")))
    wanted = [done[repetition] for repetition in range(repetitions) if repetition in done]
    foreign = sum(line["version"] != version for line in wanted)
    if foreign and len(wanted) < repetitions and not options.get("accept_mixed", False):
        raise StoreError(
            f"{record}: {foreign} repetitions were made by other sources, packages or another machine than those that "
            f"would make the {repetitions - len(wanted)} missing ones; compute all of them in another folder "
            "(--stores), or add --accept-mixed: the result then says how many each version made"
        )
    missing = [repetition for repetition in range(repetitions) if repetition not in done]
    for line in _computed(chosen, missing, folder, len(claims), options):
        line["version"] = version
        _append(record, line)
        done[line["repetition"]] = line
    lines = [done[repetition] for repetition in range(repetitions)]
    kept = [line["states"] for line in lines]
    return FamilyError(
        repetitions=repetitions,
        false_alarms=sum("violated" in states.values() for states in kept),
        open_repetitions=sum("inconclusive" in states.values() for states in kept),
        per_claim={
            claim.identifier: (
                sum(states[claim.identifier] == "violated" for states in kept),
                sum(states[claim.identifier] == "inconclusive" for states in kept),
            )
            for claim in chosen
        },
        all_supported=sum(set(states.values()) == {"supported"} for states in kept),
        seconds=float(np.median([line["seconds"] for line in lines])),
        versions=tuple(Counter(line["version"] for line in lines).values()),
    )


def _computed(
    claims: Sequence[Claim], repetitions: Sequence[int], folder: Path, family: int, options: RunOptions
) -> Iterator[dict[str, Any]]:
    """The repetitions as they are finished, each computed by one worker; in this process when there is one only."""
    n_jobs = options.get("n_jobs", 2)
    if min(n_jobs, len(repetitions)) <= 1 or options.get("backend", "loky") != "loky":
        yield from (_repeat(claims, repetition, folder, family, options) for repetition in repetitions)
        return
    alone: RunOptions = {**options, "n_jobs": 1, "backend": "sequential"}
    with joblib.parallel_config(backend="loky", n_jobs=n_jobs, inner_max_num_threads=1):
        yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(
            joblib.delayed(_repeat)(claims, repetition, folder, family, alone) for repetition in repetitions
        )


def _repeat(claims: Sequence[Claim], repetition: int, folder: Path, family: int, options: RunOptions) -> dict[str, Any]:
    """One line of the record; the stores of the repetition are removed afterwards."""
    started = time.monotonic()
    scratch = folder / f"repetition-{repetition}"
    seed = repetition_seed(repetition)
    # Claims left out count as p = 1 in a family that keeps its size.
    verdicts = run_claims(claims, "quick", scratch, with_sabotages=False, root_seed=seed, family=family, **options)
    shutil.rmtree(scratch)
    states = {verdict.claim: verdict.status for verdict in verdicts}
    return {"repetition": repetition, "seconds": round(time.monotonic() - started, 1), "states": states}


def _append(record: Path, line: dict[str, Any]) -> None:
    """Add a line; one that a kill cut off before it stays alone on its own."""
    text = record.read_text(encoding="utf-8") if record.is_file() else ""
    torn = bool(text) and not text.endswith("\n")
    with record.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + json.dumps(line, sort_keys=True) + "\n")


def _read(record: Path, identifiers: list[str]) -> dict[int, dict[str, Any]]:
    """Repetitions already there for exactly these claims; a line cut off by a kill is dropped."""
    done: dict[int, dict[str, Any]] = {}
    if not record.is_file():
        return done
    for line in record.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if sorted(entry["states"]) == sorted(identifiers):
            done[int(entry["repetition"])] = {"seconds": math.nan, "version": "unknown", **entry}
    return done
