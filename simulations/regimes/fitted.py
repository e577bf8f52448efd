"""From a truth and K local fits to an instance: what every regime with a real fit hands on, in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms
from clair_stats.local_fits import LocalFit
from clair_stats.records import FloatArray
from clair_stats.theory import leverage
from simulations.regimes.instance import Instance, effective_contamination
from simulations.regimes.structure import Truth

__all__ = ["autoregressive_rows", "fitted_instance"]


def autoregressive_rows(size: int, width: int, correlation: float, generator: np.random.Generator) -> FloatArray:
    """Gaussian rows (size, width) with covariance correlation^|i−j| and unit variances."""
    rows = generator.standard_normal((size, width))
    for column in range(1, width):
        rows[:, column] = correlation * rows[:, column - 1] + math.sqrt(1.0 - correlation**2) * rows[:, column]
    return rows


def _leverage(truth: Truth) -> float:
    """ν_c of the benign coefficients; NaN where it is not defined (r = 0, or too few benign clients for rank r)."""
    benign = truth.coefficients[truth.collaborative_set]
    if not truth.basis.shape[1]:
        return math.nan
    try:
        return leverage(benign, common_component=True)
    except ValueError:
        return math.nan


def fitted_instance(truth: Truth, fits: Sequence[LocalFit], **extras: Any) -> Instance:  # noqa: ANN401
    """Instance with the fits' estimates, noise scales σ_k and sample sizes n_k.

    Parameters
    ----------
    truth : Truth
    fits : sequence of LocalFit
        One per client, on the scale of ``truth.targets``.
    **extras
        What the regime adds under its own keys.

    Notes
    -----
    ``extras`` of the instance: ``fits``, ``attacked`` (K,) bool, ``not_converged`` (K,) bool, and the population
    quantities ``leverage`` (ν_c, theory.md section 3), ``separation`` (min d_k over contaminated clients, scale of the
    estimates; NaN when there are none) and ``heterogeneity_norm`` (max ‖H_k‖_F over benign clients): Theorem 4 promises
    the set in the limit when separation > 2 × heterogeneity_norm.
    """
    contaminated = ~truth.collaborative_set
    sizes = effective_contamination(truth.targets, basis=truth.basis, common=truth.common)
    own: Mapping[str, Any] = {
        "fits": tuple(fits),
        "attacked": truth.attacked,
        "not_converged": np.array([not fit.converged for fit in fits]),
        "leverage": _leverage(truth),
        "separation": float(sizes[contaminated].min()) if contaminated.any() else math.nan,
        "heterogeneity_norm": float(block_norms(truth.heterogeneity).max()),
    }
    return truth.seen_as(
        ClientEstimates(
            values=np.stack([fit.estimate for fit in fits]),
            noise_scales=np.array([fit.noise_scale for fit in fits]),
            sample_sizes=np.array([fit.effective_sample_size for fit in fits]),
        ),
        {**own, **extras},
    )
