"""`CLAIR().fit` against one SVD, and against the decomposition that it contains on the settings of the grid."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.instances import contaminated_stack
from benchmarks.measure import alternate
from clair_stats.clair import CLAIR
from clair_stats.decomposition.decompose import decompose
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import stack
from clair_stats.records import Decomposition, FloatArray
from simulations.design import content_hash
from simulations.streams import Streams
from simulations.studies.robustness_grid import KINDS, NOISE, SHARES, grid_regime

__all__ = ["against_decomposition", "against_svd"]

_SHAPES = ((40, 20, 60, 3), (128, 128, 50, 8), (400, 200, 60, 8))

_REPETITIONS = 5
_SEED = 4
_LIMIT = 5


def _one(estimates: ClientEstimates) -> tuple[float, float, float]:
    """Processor seconds of a decomposition and of the fit, and the ratio of neighbouring runs."""
    solution, blocks = CLAIR().fit(estimates).decomposition_, estimates.dense()
    return alternate(
        lambda: decompose(
            blocks,
            block_penalty=solution.block_penalty,
            noise_penalty=solution.noise_penalty,
            client_weights=solution.client_weights,
            allow_degenerate=True,
        ),
        lambda: CLAIR().fit(estimates).decomposition_,
        _REPETITIONS,
    )


def _with_decomposition(model: CLAIR, blocks: FloatArray) -> Decomposition:
    return model.fit(blocks).decomposition_


def against_svd() -> list[dict[str, Any]]:
    """Processor time of the fit over that of one economy SVD of the same stack, with either detection."""
    rows = []
    for p, q, n_clients, rank in _SHAPES:
        blocks = contaminated_stack(p, q, n_clients, rank, common=True, noise=0.1)
        matrix = stack(blocks)
        one = partial(scipy.linalg.svd, matrix, full_matrices=False, lapack_driver="gesdd")
        repetitions = 15 if p < 100 else 2
        for detection in ("consensus", "program"):
            model = CLAIR(detection=detection)
            svd, fit, ratio = alternate(one, partial(model.fit, blocks), repetitions)
            _, _, whole = alternate(one, partial(_with_decomposition, model, blocks), repetitions)
            rows.append(
                {
                    "p, q, K, r": f"{p}, {q}, {n_clients}, {rank}",
                    "detection": detection,
                    "SVD, ms": 1e3 * svd,
                    "fit, ms": 1e3 * fit,
                    "SVDs (median)": ratio,
                    "with decomposition_": whole,
                }
            )
    return rows


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
