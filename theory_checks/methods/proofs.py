"""The instance certificate and the duality gap in floating point and in ball arithmetic, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats import decompose
from clair_stats.theory import rigorous_certificate, rigorous_gap
from simulations.regimes.instance import Instance
from theory_checks.instances.certified import certificate_of

__all__ = ["STATES", "ProofMethod"]

STATES = ("open", "proved", "refuted")  # by number in the rows


@dataclass(frozen=True, kw_only=True)
class ProofMethod:
    """Both answers on one instance, as numbers of :data:`STATES`."""

    name: ClassVar[str] = "certificate-proof"
    version: ClassVar[int] = 2

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Metrics of one instance.

        Parameters
        ----------
        instance : Instance
            With ``block_penalty`` and ``common_component`` among its extras.
        generator : numpy.random.Generator
            Not used.

        Returns
        -------
        mapping of str to float
            ``floating`` and ``rigorous`` (numbers of states), ``border``: distance of max(η, κ) from 1, ``width`` of
            the enclosure of η; of the solution of (E) at this penalty ``gap`` (floating point) and ``proved_gap``, both
            over the objective, ``moved`` over the largest block, and ``dual`` (number of a state).
        """
        penalty, common = instance.extras["block_penalty"], instance.extras["common_component"]
        plain = certificate_of(instance)
        proof = rigorous_certificate(
            instance.targets,
            basis=instance.basis,
            collaborative_set=instance.collaborative_set,
            block_penalty=penalty,
            common_component=common,
        )
        state = "proved" if plain.certified else "refuted" if plain.refuted else "open"
        # The agreement study also draws penalties at which one part is 0 whatever the data.
        solution = decompose(instance.targets, block_penalty=penalty, common_component=common, allow_degenerate=True)
        gap = rigorous_gap(instance.targets, solution)
        return {
            "gap": solution.duality_gap / solution.objective,
            "proved_gap": gap.relative_gap,
            "moved": gap.moved / float(np.linalg.norm(instance.targets, axis=(1, 2)).max()),
            "dual": float(STATES.index(gap.dual_feasible)),
            "floating": float(STATES.index(state)),
            "rigorous": float(STATES.index(proof.state)),
            "border": abs(max(plain.eta, plain.kappa) - 1),
            "width": proof.eta[1] - proof.eta[0] if np.isfinite(proof.eta[1]) else np.nan,
        }
