"""The message of every way in which a solver can end, with its remedy, in one table."""

from __future__ import annotations

from clair_stats.records import Status

__all__ = ["status_of"]

_OPTIMAL = "{method}: relative duality gap {gap:.1e} ≤ {tol:.1e} in {steps} iterations"
_INACCURATE = (
    "conic: relative duality gap {gap:.1e} > {tol:.1e}; the conic solver stopped at its own criterion. "
    "Use solver='first_order', or ask for a larger tol"
)
_LIMIT = (
    "{method}: relative duality gap {gap:.1e} > {tol:.1e} after {steps} iterations. "
    "Raise max_iterations above {limit}, or ask for a larger tol"
)


def status_of(relative_gap: float, method: str, n_iterations: int, *, tol: float, limit: int) -> tuple[Status, str]:
    """Status and message.

    Parameters
    ----------
    relative_gap : float
        Duality gap at the returned point over the absolute objective, as the certificate has it.
    method : str
        The solver that produced the point.
    n_iterations : int
    tol : float
        Largest relative gap of an optimal point.
    limit : int
        Iterations that were allowed.

    Returns
    -------
    tuple of Status and str
    """
    if relative_gap <= tol:
        status, text = "optimal", _OPTIMAL
    elif method == "conic":
        status, text = "inaccurate", _INACCURATE
    else:
        status, text = "iteration_limit", _LIMIT
    gap = max(relative_gap, 0.0)
    message = text.format(method=method, gap=gap, tol=tol, steps=n_iterations, limit=limit)
    return status, message  # type: ignore[return-value]
