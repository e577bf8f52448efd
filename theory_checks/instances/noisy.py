"""Certified instances with an estimation error of given size and shape, for the claims about stable recovery."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import project_off
from clair_stats.records import FloatArray
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.instances.certified import certificate_of
from theory_checks.instances.recovery import AdversarialRegime

__all__ = ["ERROR_SHAPES", "NoisyRegime"]

ERROR_SHAPES = (
    *("gaussian", "off-subspace", "one-client", "contaminated-only", "rank-one"),
    *("against-dual", "against-dual-benign", "dual-row-space"),
)


def error_direction(shape: str, instance: Instance, generator: np.random.Generator) -> FloatArray:
    """A stack (K, p, q) of Frobenius norm 1.

    The last three are adversarial: the solver moves by ε along the dual point Q of the noiseless certificate, so an
    error along −Q (for all, or for C) spends the whole budget of the proof, 2ε‖Q‖_F; "dual-row-space" puts the error
    off the subspace into the row space of the truth, which the certificate does not penalise.
    """
    n_clients, p, q = instance.targets.shape
    raw = generator.standard_normal((n_clients, p, q))
    mask = instance.collaborative_set
    if shape == "off-subspace":
        raw = project_off(instance.basis, raw)
    elif shape == "one-client":
        keep = np.zeros(n_clients, dtype=bool)
        keep[int(generator.choice(np.flatnonzero(mask)))] = True
        raw = project_off(instance.basis, raw) * keep[:, None, None]
    elif shape == "contaminated-only":
        raw = project_off(instance.basis, raw) * (~mask)[:, None, None]
    elif shape == "rank-one":
        left = project_off(instance.basis, generator.standard_normal((p, 1)))
        rows = instance.coefficients @ generator.standard_normal(instance.rank) + 0.1 * raw[:, 0]
        raw = left[None] * rows[:, None, :]
    elif shape.startswith(("against-dual", "dual-row-space")):
        found = certificate_of(instance)
        if shape == "dual-row-space":
            rows = found.row_basis
            raw = project_off(instance.basis, raw)
            raw = np.einsum("kpq,kqm,jsm->jps", raw, rows, rows) * mask[:, None, None]
        else:
            raw = -found.dual * (mask[:, None, None] if shape.endswith("benign") else 1.0)
    return np.asarray(raw / np.linalg.norm(raw), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class NoisyRegime:
    """An adversarial instance well inside the theorem's window, with an error direction of norm 1 in ``extras``."""

    name: ClassVar[str] = "noisy"

    common_component: bool = False
    lowest: float = 0.2
    highest: float = 0.8
    shapes: tuple[str, ...] = ERROR_SHAPES

    def generate(self, streams: Streams) -> Instance:
        """Truth from the stream "truth", error direction from "noise"."""
        instance = AdversarialRegime(
            common_component=self.common_component, lowest=self.lowest, highest=self.highest, largest_clients=12
        ).generate(streams)
        generator = streams.generator("noise")
        shape = self.shapes[int(generator.integers(len(self.shapes)))]
        direction = error_direction(shape, instance, generator)
        return dataclasses.replace(instance, extras={**instance.extras, "direction": direction, "shape": shape})
