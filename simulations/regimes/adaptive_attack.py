"""The adaptive attack: attackers who know everything search for the blocks that hurt one given method most.

At a given share and a given norm ‖D_k‖_F = d the attackers choose their targets M* + c·U*A_kᵀ + D_k, U*ᵀD_k = 0: how
many directions off the subspace they share, how alike their blocks are, how much of a benign client's own part they
keep (c, camouflage), and the directions themselves.  A candidate is judged as an attacker would judge it: on its own
draws of the estimation error, by the mean squared error of the refined estimates that the attacked method hands to the
benign clients.  A candidate that is detected does no harm, so escaping and harming are one objective.  The best
candidate then meets the real draw.

The attack is an optimiser with a finite budget: what it does not find is not thereby impossible, so its breakdown curve
is an upper bound on the method's robustness.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, orthonormal_basis, project_off
from clair_stats.records import FloatArray
from simulations.design import Method
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from simulations.regimes.structure import Truth
from simulations.streams import Streams

__all__ = ["AdaptiveAttackRegime"]


class _Deploy(Protocol):
    def __call__(self, blocks: FloatArray, noise: np.random.Generator) -> Instance: ...


@dataclass(frozen=True, kw_only=True)
class AdaptiveAttackRegime(GaussianRegime):
    """The Gaussian regime under an attack made for ``defender`` (theory.md section 5).

    Parameters
    ----------
    defender : Method
        The method under attack; evaluate the same method on the instance.
    n_candidates, n_refinements : int
        Random candidates of the family, then steps of a (1 + 1) evolution strategy from the best of them.
    n_trials : int
        Draws of the estimation error on which a candidate is judged.

    Notes
    -----
    ``contamination_scale`` is d as a multiple of the reference norm; ``contamination`` is not used.  ``extras`` beside
    those of the Gaussian regime: ``expected_harm``, the judged mean squared error of the best candidate over that of
    the local estimates.
    """

    name: ClassVar[str] = "adaptive attack"

    defender: Method
    n_candidates: int = 10
    n_refinements: int = 6
    n_trials: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_scale <= 0.0 or self.noise_spread != 1.0 or self.sample_size is not None:
            raise ValueError("adaptive attack: needs one positive noise_scale, noise_spread 1 and no sample_size")
        if min(self.n_candidates, self.n_trials) < 1 or self.n_refinements < 0:
            raise ValueError("adaptive attack: n_candidates, n_trials must be at least 1, n_refinements at least 0")

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), the search ("attack"), then the draw that counts ("noise")."""
        attacked = self.draw_truth(streams).attacked
        clean = dataclasses.replace(self, share=0.0).draw_truth(streams)
        truth = dataclasses.replace(clean, attacked=attacked, collaborative_set=~attacked)

        def deploy(blocks: FloatArray, noise: np.random.Generator) -> Instance:
            return self._instance(truth, blocks, noise)

        search = streams.generator("attack")
        if not attacked.any():
            return deploy(np.zeros((0, self.n_rows, self.n_columns)), streams.generator("noise"))
        blocks, harm = self._search(truth, deploy, search)
        instance = deploy(blocks, streams.generator("noise"))
        return dataclasses.replace(instance, extras={**instance.extras, "expected_harm": harm})

    def _instance(self, truth: Truth, blocks: FloatArray, noise: np.random.Generator) -> Instance:
        targets = truth.targets.copy()
        targets[truth.attacked] = truth.common + blocks
        keep = truth.collaborative_set[:, None, None]
        errors = noise.standard_normal(targets.shape)
        scales = np.full(self.n_clients, self.noise_scale)
        return Instance(
            targets=targets,
            basis=truth.basis,
            common=truth.common,
            coefficients=np.where(keep, truth.coefficients, 0.0),
            heterogeneity=np.where(keep, truth.heterogeneity, 0.0),
            collaborative_set=truth.collaborative_set,
            estimates=ClientEstimates(
                values=targets + self.noise_scale * errors, noise_scales=scales if self.noise_known else None
            ),
            extras={"attacked": truth.attacked, "noise_scales": scales},
        )

    def _search(self, truth: Truth, deploy: _Deploy, search: np.random.Generator) -> tuple[FloatArray, float]:
        # All candidates are judged on the same draws: differences are then due to the blocks.
        seeds = [int(seed) for seed in search.integers(0, 2**63, self.n_trials)]

        def harm(blocks: FloatArray) -> float:
            total = 0.0
            for seed in seeds:
                instance = deploy(blocks, np.random.default_rng(seed))
                metrics = self.defender.evaluate(instance, np.random.default_rng(seed + 1))
                total += metrics["refined_mse"] / metrics["local_mse"]
            return total / len(seeds)

        best, most = np.zeros(0), -math.inf
        for _ in range(self.n_candidates):
            candidate = self._candidate(truth, search)
            value = harm(candidate)
            if value > most:
                best, most = candidate, value
        for _ in range(self.n_refinements):
            candidate = self._moved(truth, best, search)
            value = harm(candidate)
            if value > most:
                best, most = candidate, value
        return best, most

    def _candidate(self, truth: Truth, search: np.random.Generator) -> FloatArray:
        """Blocks (m, p, q) of one member of the family."""
        count, p, q = int(truth.attacked.sum()), self.n_rows, self.n_columns
        width = int(search.integers(1, min(self.rank + 2, p - self.rank + 1)))
        directions = orthonormal_basis(project_off(truth.basis, search.standard_normal((p, width))))
        alike = float(search.choice([0.0, 0.5, 0.9, 1.0]))
        shared, own = search.standard_normal((1, width, q)), search.standard_normal((count, width, q))
        off = directions @ (alike * shared + (1.0 - alike) * own)
        camouflage = float(search.choice([0.0, 1.0, 2.0]))
        inside = truth.basis @ (truth.basis.T @ (truth.targets[truth.attacked] - truth.common))
        return np.asarray(camouflage * inside + self._scaled(off))

    def _moved(self, truth: Truth, blocks: FloatArray, search: np.random.Generator) -> FloatArray:
        off = project_off(truth.basis, blocks)
        rank_one = search.standard_normal((self.n_rows, 1)) @ search.standard_normal((1, self.n_columns))
        step = 0.5 * self._norm / float(np.linalg.norm(rank_one)) * rank_one
        moved = project_off(truth.basis, off + step)
        return np.asarray(blocks - off + self._scaled(moved))

    @property
    def _norm(self) -> float:
        return self.contamination_scale * self.reference_norm

    def _scaled(self, off: FloatArray) -> FloatArray:
        norms = block_norms(off)
        return off * (self._norm / np.where(norms > 0.0, norms, 1.0))[:, None, None]
