"""Few low-rank updates: directions that the others do not have are one part, whatever rounding makes of them."""

import numpy as np

import clair_stats.refinement.others
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.shrink import shrink


def _moved(seed):
    """How far the refined estimates of few updates move beside a rotation of all rows; errors have scale 1."""
    rng = np.random.default_rng(seed)
    n, p, q, rank = (int(rng.integers(*ends)) for ends in ((3, 7), (12, 25), (6, 13), (1, 3)))
    blocks = rng.standard_normal((n, p, rank)) @ rng.standard_normal((n, rank, q)) / np.sqrt(rank)
    if n > 4 and seed % 2:
        blocks[-2:] = blocks[-1]
    turn = np.linalg.qr(rng.standard_normal((p, p)))[0]

    def refined(some):
        everybody = np.ones(n, dtype=bool)
        return shrink(some, everybody, np.ones(n), WhiteEnergy(np.ones(n), (p, q), 0.1)).estimates

    return float(np.abs(turn.T @ refined(turn @ blocks) - refined(blocks)).max())


def test_refined_updates_turn_with_the_data():
    assert max(_moved(seed) for seed in range(60)) < 1e-10


def test_sabotage_without_a_limit_for_eigenvalues_rounding_moves_them(monkeypatch):
    monkeypatch.setattr(clair_stats.refinement.others, "SCATTER_ROUNDING", -1.0)
    assert np.mean([_moved(seed) > 1e-3 for seed in range(60)]) > 0.05
