"""The convex program that CLAIR reports: the one that proposed the accepted set, or the default one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np

from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.options import noise_penalty_problem
from clair_stats.decomposition.penalties import default_block_penalty
from clair_stats.detection.panel import Panel
from clair_stats.detection.step_2_candidates import proposer_of
from clair_stats.detection.step_5_verdict import Consensus
from clair_stats.records import Decomposition, FloatArray
from clair_stats.units import decomposition_in_unit

__all__ = ["SolvedOnDemand", "convex_solution"]


class SolvedOnDemand:
    """Mixed into :class:`clair_stats.CLAIR`: ``decomposition_``, solved when it is first asked for."""

    block_penalty: float | None
    noise_penalty: float | None
    _solve: Callable[[], Decomposition]

    def _set_program(self, blocks: FloatArray, panel: Panel, consensus: Consensus, unit: float) -> None:
        """Say what ``decomposition_`` solves; chosen penalties are tried at once, since they may be refused."""
        chosen, tau = self.block_penalty, self.noise_penalty
        penalties = {"block_penalty": chosen, "noise_penalty": None if tau is None else tau / unit}
        self.__dict__.pop("decomposition_", None)
        self._solve = partial(_in_unit, unit, blocks, panel, consensus, penalties)
        if chosen is not None or tau is not None:
            self.decomposition_ = self._solve()

    @cached_property
    def decomposition_(self) -> Decomposition:
        """The convex solution that belongs to the verdict, with its certificate."""
        return self._solve()


def _in_unit(
    unit: float, blocks: FloatArray, panel: Panel, consensus: Consensus, penalties: dict[str, float | None]
) -> Decomposition:
    return decomposition_in_unit(convex_solution(blocks, panel, consensus, **penalties), unit)


def convex_solution(
    blocks: FloatArray, panel: Panel, consensus: Consensus, *, block_penalty: float | None, noise_penalty: float | None
) -> Decomposition:
    """A certified solution that belongs to a verdict.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
        The estimates, in the orientation and the coordinates of the fit.
    panel : Panel
        The same on a common noise scale.
    consensus : Consensus
        The verdict.
    block_penalty, noise_penalty : float or None
        λ and τ where the caller chose them.

    Returns
    -------
    Decomposition
        Without chosen penalties, and where the program proposed the accepted set: (E) at that λ, with the client
        weights of that point.  Otherwise (N), τ the larger of the two dual norms that noise reaches, so that noise
        alone moves neither L nor S; (E) without noise (theory.md section 2).
    """
    common = panel.common_component
    proposer = None
    if consensus.source == "program" and block_penalty is None and noise_penalty is None:
        proposer = proposer_of(panel, consensus.collaborative_set, int(consensus.fit.basis.shape[1]))
    if proposer is not None:
        return decompose(
            blocks,
            block_penalty=proposer.block_penalty,
            client_weights=proposer.client_weights,
            common_component=common,
            allow_degenerate=True,
        )
    n_clients, p, q = blocks.shape
    penalty = default_block_penalty(blocks, common_component=common) if block_penalty is None else block_penalty
    tau = noise_penalty
    if tau is None:
        phi = consensus.calibrated.noise
        sigma = phi * float(np.median(panel.entry_scales))
        tau = sigma * max(np.sqrt(p) + np.sqrt(q * n_clients), np.sqrt(p * q) / penalty)
        # Beside one client of absurd size τ is lost in rounding; (E) then says the same.
        lost = noise_penalty_problem(float(tau), float(np.abs(blocks).max())) is not None
        tau = 0.0 if phi <= panel.floor or lost else float(tau)
    return decompose(
        blocks,
        block_penalty=penalty,
        noise_penalty=tau,
        common_component=common,
        allow_degenerate=block_penalty is None,
    )
