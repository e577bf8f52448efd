"""What the claims about recovery ask of a solution: how far it leaves the subspace, and whom it corrects."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from clair_stats.decomposition.decompose import decompose
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import Decomposition, FloatArray
from simulations.regimes.instance import Instance

__all__ = ["Recovery", "outcome", "solve"]

# A solution with relative gap δ sits within about δ/(1 − η) of the exact one; 1e-4 leaves room for η near 1.
RECOVERED = 1e-4


def solve(
    values: FloatArray,
    *,
    block_penalty: float,
    common_component: bool,
    noise_radius: float | None = None,
    tol: float = 1e-9,
    max_iterations: int = 20_000,
) -> Decomposition:
    """``decompose`` without its warning: the gap goes into the row, and the claim decides what to do with it.

    Parameters
    ----------
    values : ndarray, shape (K, p, q)
    block_penalty : float
        λ.
    common_component : bool
    noise_radius : float, optional
        ε of program (B); program (E) when not given.
    tol : float
        Relative duality gap at which the solver stops.
    max_iterations : int
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return decompose(
            values,
            block_penalty=block_penalty,
            common_component=common_component,
            noise_radius=noise_radius,
            tol=tol,
            max_iterations=max_iterations,
            allow_degenerate=True,
        )


@dataclass(frozen=True)
class Recovery:
    """How a solution compares with the truth."""

    off_subspace: float  # ‖P_{U⊥}L̂‖_F over the norm of the true low-rank part
    wrong_blocks: float  # ‖Ŝ_C‖_F over the same norm
    missed: int  # contaminated clients whose S_k is 0
    relative_gap: float

    @property
    def error(self) -> float:
        """Larger of the two relative errors."""
        return max(self.off_subspace, self.wrong_blocks)

    @property
    def recovered(self) -> bool:
        """Span and support as the theorem promises, to the accuracy of the solver."""
        return self.error < RECOVERED and self.missed == 0


def outcome(decomposition: Decomposition, instance: Instance) -> Recovery:
    """Compare a solution of (E) with the truth; L̂ is taken without its mean when the common component is free."""
    mask = instance.collaborative_set
    low_rank = decomposition.low_rank
    if decomposition.common_component:
        low_rank = low_rank - low_rank.mean(axis=0)
    own = np.einsum("pi,kqi->kpq", instance.basis, instance.coefficients[mask])
    if decomposition.common_component:
        own = own - own.mean(axis=0)
    size = float(np.linalg.norm(own))
    distances = instance.effective_contamination[~mask]
    corrected = block_norms(project_off(instance.basis, decomposition.block_sparse[~mask]))
    return Recovery(
        off_subspace=float(np.linalg.norm(project_off(instance.basis, low_rank))) / size,
        wrong_blocks=float(np.linalg.norm(decomposition.block_sparse[mask])) / size,
        missed=int(np.count_nonzero(corrected < 0.5 * distances)),
        relative_gap=decomposition.duality_gap / max(abs(decomposition.objective), 1e-300),
    )
