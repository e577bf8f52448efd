"""What refinement did, in one line: who was drawn how far, what it is estimated to save, and on what that rests."""

from __future__ import annotations

import numpy as np

from clair_stats.report.fitted import FittedModel

__all__ = ["refinement_line"]


def refinement_line(model: FittedModel) -> str:
    """Method, members, estimated risk relative to own estimates, the law of the errors, flagged clients' part.

    Parameters
    ----------
    model : FittedModel

    Returns
    -------
    str
        One line.
    """
    found = model.refinement_
    refined, n_clients = int(found.members.sum()), found.members.size
    if refined == 0:
        return "refinement: every client keeps its own estimate; no noise scales, and nobody to learn the error from"
    if found.risk is None or found.own_risk is None or found.kept is None:
        return f"refinement: {refined} of {n_clients} clients averaged off the subspace (Theorem 5)"
    own = float(found.own_risk[found.members].sum())
    saved = "" if own == 0.0 else f", estimated risk {float(found.risk[found.members].sum()) / own:.2f} of their own"
    kept = float(np.median(found.kept[found.members]))
    return (
        f"refinement: {refined} of {n_clients} clients drawn towards each other, {found.basis.shape[1]} directions and "
        f"{kept:.0%} of the rest kept (median){saved}; {_rests_on(model)}{_flagged(model)}"
    )


def _rests_on(model: FittedModel) -> str:
    """Where the size of the error comes from, and what follows."""
    if model.refinement_.one_weight:
        return (
            "the size of the error is given, so nobody loses in squared error on average; the clients refute errors of "
            "one variance, so that one weight stands for many directions and differences count twice, other measures "
            "may lose all the same, give row_covariances or halves"
        )
    if model.error_is_known_:
        return "the size of the error is given, so nobody loses on average"
    return (
        "the size of the error is learnt from the clients: true differences larger than the error would be taken for "
        "error, give noise scales or halves to tell them apart"
    )


def _flagged(model: FittedModel) -> str:
    found = model.combination_
    if found is None:
        return ""
    weight = found.weights[1, ~model.collaborative_set_].sum()
    return f"; flagged clients weigh {weight:.0%} in the common component"
