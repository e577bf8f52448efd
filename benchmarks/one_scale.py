"""Digits told one scalar σ_k: weights by direction against one weight: ``python -m benchmarks.one_scale`` (a minute).

On the true set.  Printed are difference of held-out accuracy and ratio of squared error to the own fit with standard
errors over splits, and in how many splits white errors were refuted.  The seed was not used in building the rule.
"""

from __future__ import annotations

import numpy as np

from clair_stats.records import FloatArray
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.shrink import shrink
from simulations.design import content_hash
from simulations.regimes.digits import DigitsRegime
from simulations.streams import Streams

_REGIMES = (
    DigitsRegime(rank=0),
    DigitsRegime(rank=3),
    DigitsRegime(rank=8),
    DigitsRegime(rank=8, class_concentration=1.0),
    DigitsRegime(n_clients=8, rank=8, share=0.25),
)
_SPLITS = 20
_SEED = 20_261_128


def compared(regime: DigitsRegime, replication: int) -> FloatArray:
    """Gain of accuracy and relative squared error by direction and by the rule, and whether the rule changed them.

    Parameters
    ----------
    regime : DigitsRegime
    replication : int

    Returns
    -------
    ndarray, shape (5,)
    """
    instance = regime.generate(Streams(_SEED, content_hash(regime), replication))
    blocks, members = instance.estimates.dense(), instance.collaborative_set
    scales = instance.estimates.noise_scales
    if scales is None:
        raise ValueError("the fits of this regime carry noise scales")
    accuracy = instance.extras["scorers"]["accuracy"]
    own, own_accuracy = blocks[members] - instance.targets[members], accuracy(blocks)
    found, refined = [], []
    for size_only in (False, True):
        energy = WhiteEnergy(scales, instance.estimates.block_shape, size_only=size_only)
        estimates = shrink(blocks, members, (scales.min() / scales) ** 2, energy).estimates
        error = np.sum((estimates[members] - instance.targets[members]) ** 2) / np.sum(own**2)
        found += [accuracy(estimates) - own_accuracy, float(error)]
        refined.append(estimates)
    return np.array([*found, float(not np.array_equal(refined[0], refined[1]))])


def main() -> None:
    """Print one line per setting."""
    print("K, patterns, concentration | by direction: accuracy | error | the rule: accuracy | error | changed")
    for regime in _REGIMES:
        found = np.array([compared(regime, replication) for replication in range(_SPLITS)])
        mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / _SPLITS**0.5
        told = [f"{m:+.3f} ({e:.3f})" for m, e in zip(mean[:4], error[:4], strict=True)]
        setting = (regime.n_clients, regime.rank, regime.class_concentration)
        print(*setting, *told, f"{int(found[:, 4].sum())} of {_SPLITS}", sep=" | ", flush=True)


if __name__ == "__main__":
    main()
