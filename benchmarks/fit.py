"""`CLAIR().fit` against the one decomposition that it contains, on the settings of the robustness grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measure import alternate
from clair_stats.clair import CLAIR
from clair_stats.decomposition.decompose import decompose
from clair_stats.estimates import ClientEstimates
from simulations.design import content_hash
from simulations.streams import Streams
from simulations.studies.robustness_grid import KINDS, NOISE, SHARES, grid_regime

__all__ = ["against_decomposition"]

_REPETITIONS = 5
_SEED = 4
_LIMIT = 5


def _one(estimates: ClientEstimates) -> tuple[float, float, float]:
    """Processor seconds of a decomposition and of the fit, and the ratio of neighbouring runs."""
    tau, blocks = CLAIR().fit(estimates).decomposition_.noise_penalty, estimates.dense()
    # Without block_penalty: the default rule is part of what a user calls a decomposition.
    return alternate(
        lambda: decompose(blocks, noise_penalty=tau, common_component=True),
        lambda: CLAIR().fit(estimates),
        _REPETITIONS,
    )


def against_decomposition() -> list[dict[str, Any]]:
    """One row per kind of contamination: median and largest ratio over shares and noise levels."""
    rows = []
    for kind, scale in KINDS:
        found = []
        for share in SHARES:
            for noise in NOISE:
                regime = grid_regime(kind, scale, share, noise, 0.3)
                instance = regime.generate(Streams(_SEED, content_hash(regime), 0))
                found.append(_one(ClientEstimates(values=instance.estimates.dense())))
        alone, fit, ratio = np.array(found).T
        rows.append(
            {
                "contamination": f"{kind.replace('_', ' ')} × {scale:g}",
                "fit, ms (median)": 1e3 * float(np.median(fit)),
                "decomposition, ms (median)": 1e3 * float(np.median(alone)),
                "ratio, median": float(np.median(ratio)),
                "ratio, largest": float(np.max(ratio)),
                f"settings above {_LIMIT} of {len(found)}": int(np.count_nonzero(ratio > _LIMIT)),
            }
        )
    return rows
