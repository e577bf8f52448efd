"""What a model of several modules has to say for itself."""

from __future__ import annotations

import numpy as np

from clair_stats.detection.joint.alignment import Alignment
from clair_stats.detection.joint.verdict import JointVerdict
from clair_stats.report.printable import of_copies, of_their_size, printable

__all__ = ["summarise_modules"]


def summarise_modules(verdict: JointVerdict, modules: tuple[str, ...], clients: tuple[str, ...], level: float) -> str:
    """Set, level, law, what was evened out before clients were compared, the modules that tell most, who points away.

    Parameters
    ----------
    verdict : JointVerdict
    modules, clients : tuple of str
        Their names.
    level : float
        Family-wise level.

    Returns
    -------
    str
    """
    n_clients = verdict.collaborative_set.size
    flagged = ~verdict.collaborative_set
    if verdict.majority:
        lines = [
            f"{flagged.sum()} of {n_clients} clients flagged at family-wise level {level:g} from "
            f"{len(modules)} modules together"
        ]
    else:
        lines = [f"no collaborative majority among {n_clients} clients: {verdict.reason}; local estimates are kept"]
    low, high = min(verdict.ranks), max(verdict.ranks)
    lines.append(f"shared rank {low}" if low == high else f"shared ranks {low} to {high}")
    if verdict.law == "white errors":
        lines.append("errors are white inside a client: the modules' exact p-values are added up as χ² sums")
    else:
        lines.append(
            "the law is learnt from the benign majority: log scores of every module, standardised and added up client "
            "by client"
        )
    cut = [rank for rank in verdict.cut_to if rank is not None]
    if cut:
        lines.append(
            f"clients kept different ranks in {len(cut)} modules: higher ones were cut to rank {min(cut)}"
            + (f" to {max(cut)}" if max(cut) > min(cut) else "")
            + " before they were compared"
        )
    if verdict.scale == "norms divided out":
        lines.append("the clients' scales differ: every block was divided by its norm before they were compared")
    if verdict.scale == "both":
        lines.append(
            "whether the clients' scales differ is not clear: they were compared with and without dividing every block "
            "by its norm, at half the level each"
        )
    by_score = flagged if verdict.oversized is None else flagged & ~verdict.oversized
    if verdict.majority and by_score.any():
        telling = np.argsort(-verdict.module_scores[:, by_score].mean(axis=1), kind="stable")[:3]
        lines.append(
            "flagged clients stand out most in "
            + ", ".join(
                f"{printable(modules[m])} ({verdict.module_scores[m, by_score].mean():.1f} standard deviations)"
                for m in telling
            )
        )
    lines += [*of_their_size(verdict.oversized, clients), *of_copies(verdict.voters, clients)]
    return "\n".join([*lines, *_pointing_away(verdict.alignment, clients)])


def _pointing_away(alignment: Alignment | None, clients: tuple[str, ...]) -> list[str]:
    if alignment is None or not alignment.against.any():
        return []
    told = ", ".join(f"{printable(clients[k])} ({alignment.values[k]:.2f})" for k in np.flatnonzero(alignment.against))
    return [
        f"named and not flagged, since their updates point away from the others' (alignment below "
        f"{alignment.threshold:.2f}; exchanged labels, or another task): {told}"
    ]
