"""The solution of the joint program: modules are built when asked for.

The program is that of docs/theory.md, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from numpy.typing import ArrayLike

from clair_stats.decomposition.compression import compress
from clair_stats.decomposition.modules.joint_solver import JointPoint
from clair_stats.decomposition.problem import Problem, from_tall
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition, FactoredDecomposition, FloatArray, Program, Status

__all__ = ["ModulesDecomposition"]


@dataclass(frozen=True, eq=False)
class ModulesDecomposition:
    """Certified solution of the joint program; objective, gap and dual points refer to the scaled modules.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import decompose_modules
    >>> rng = np.random.default_rng(0)
    >>> modules = [rng.standard_normal((p, 1)) @ rng.standard_normal((12, 1, 6)) for p in (10, 8)]
    >>> solution = decompose_modules(modules)
    >>> solution.module_scales.shape
    (2,)
    """

    objective: float
    duality_gap: float  # absolute, at the stored point
    block_norms: FloatArray  # (K,), joint norm of S_k over the scaled modules; 0 for clients that need no correction
    module_scales: FloatArray  # (number of modules,), what each module was divided by
    n_iterations: int
    status: Status
    message: str
    program: Program
    block_penalty: float
    solver: str
    shared: Literal["columns", "rows"]
    _point: JointPoint = field(repr=False)
    _source: Sequence[ClientEstimates | ArrayLike] = field(repr=False)
    _shapes: tuple[tuple[int, int], ...] = field(repr=False)
    _problems: tuple[Problem, ...] = field(repr=False)
    _shifts: tuple[FloatArray, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.module_scales)

    def module(self, number: int) -> FactoredDecomposition:
        """One module on its own scale, built when asked for; ``core`` is in compressed coordinates.

        Its ``dual`` is the joint dual point's part, its ``objective`` and ``duality_gap`` those of the joint program.

        Parameters
        ----------
        number : int
            From 0.

        Returns
        -------
        FactoredDecomposition
        """
        point, scale, problem = self._point.module(number), float(self.module_scales[number]), self._problems[number]
        candidate = point.dual_candidate
        dual = candidate - candidate.mean(axis=0) if problem.common_component else candidate
        rows = self.shared == "rows"

        def border(tall: FloatArray) -> FloatArray:
            return tall if rows else from_tall(tall)

        core = Decomposition(
            common=border(point.common * scale + self._shifts[number]),
            low_rank=border(point.low_rank * scale),
            block_sparse=border(point.block_sparse * scale),
            dual=border(dual * self._point.certificate.multiple),
            objective=self.objective,
            duality_gap=self.duality_gap,
            n_iterations=self.n_iterations,
            status=self.status,
            message=self.message,
            program=self.program,
            block_penalty=self.block_penalty,
            noise_penalty=problem.noise_penalty,
            noise_radius=problem.noise_radius,
            common_component=problem.common_component,
            solver=self.solver,
            shared=self.shared,
        )
        record = as_client_estimates(self._source[number])
        compression = compress(record, shared=self.shared, common_component=problem.common_component)
        left, right = compression.left, compression.right
        if rows:
            left, right = right, left
        return FactoredDecomposition(core, left, right, self._shapes[number])
