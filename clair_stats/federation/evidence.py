"""What is known about each client from all rounds so far; a client that hides in single rounds shows over several.

The scores are those of docs/derivations/joint_verdict.md, section 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clair_stats.detection.joint.summed_law import accept_outward
from clair_stats.files import written_whole

__all__ = ["ClientEvidence"]

# A score beyond this many standard deviations is as good as certain; cutting it lets a benign client recover from one
# round that went wrong.
LARGEST_SCORE = 8.0
# As for one round: fewer clients leave a t law with too few degrees of freedom.
FEWEST_CLIENTS = 6
_FORMAT = 1


@dataclass(frozen=True)
class ClientEvidence:
    """Sums of the rounds' scores, by client; a value, updated by making a new one.

    A round's score is in standard deviations above that round's benign clients.  The mean over rounds is compared
    between clients as one round's scores are, by a law learnt from the majority: a difference that benign clients have
    in every round is part of their spread, and is not taken for evidence.
    """

    rounds: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def after(self, scores: Mapping[str, float]) -> ClientEvidence:
        """With one more round, in which these clients had these scores; scores that are not finite are left out.

        Parameters
        ----------
        scores : mapping of str to float
            Client to its score in standard deviations.

        Returns
        -------
        ClientEvidence
        """
        sums, counts = dict(self.sums), dict(self.counts)
        for name, score in scores.items():
            if np.isfinite(score):
                sums[name] = sums.get(name, 0.0) + float(np.clip(score, -LARGEST_SCORE, LARGEST_SCORE))
                counts[name] = counts.get(name, 0) + 1
        return ClientEvidence(self.rounds + 1, sums, counts)

    def flagged(self, level: float) -> frozenset[str]:
        """Clients whose mean score stands out from the majority's.

        Clients are compared that took part in at least half as many rounds as the most frequent one.  The looks after
        rounds 1, 2, 3, … share the level as 6/(π²t²) (their sum is 1).

        Parameters
        ----------
        level : float
            Probability of any false alarm over all rounds, where benign clients' mean scores are near normal.

        Returns
        -------
        frozenset of str
        """
        most = max(self.counts.values(), default=0)
        names = sorted(name for name, count in self.counts.items() if 2 * count >= most)
        if self.rounds < 2 or len(names) < FEWEST_CLIENTS:
            return frozenset()
        means = np.array([self.sums[name] / self.counts[name] for name in names])
        walk = accept_outward(means, means, level * 6.0 / (np.pi * self.rounds) ** 2)
        return frozenset() if walk.torn else frozenset(n for n, a in zip(names, walk.accepted, strict=True) if not a)

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all.

        Parameters
        ----------
        path : Path
        """
        document = {"format": _FORMAT, "rounds": self.rounds, "sums": dict(self.sums), "counts": dict(self.counts)}
        with written_whole(path) as beside:
            beside.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ClientEvidence:
        """Read what :meth:`save` wrote; no evidence where there is no file.

        Parameters
        ----------
        path : Path

        Returns
        -------
        ClientEvidence

        Raises
        ------
        ValueError
            Not such a file.
        """
        if not path.exists():
            return cls()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                raise ValueError(f"format {document['format']}")
            sums = {str(name): float(value) for name, value in document["sums"].items()}
            counts = {str(name): int(value) for name, value in document["counts"].items()}
            if (
                set(sums) != set(counts)
                or not all(np.isfinite(v) for v in sums.values())
                or min(counts.values(), default=1) < 1
            ):
                raise ValueError("sums and counts do not belong together")
            return cls(int(document["rounds"]), sums, counts)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{path}: no evidence file of this version ({error}); move it away to start anew"
            ) from error
