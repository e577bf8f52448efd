"""The verdict does not depend on the order of clients, nor on rotations of rows and columns."""

import warnings

import numpy as np
import pytest

from clair_stats import CLAIR


def instance(rng):
    """Clean or contaminated clients of random sizes, with known or unknown noise."""
    n_clients, p, q = int(rng.integers(6, 21)), int(rng.integers(3, 9)), int(rng.integers(2, 6))
    rank = int(rng.integers(0, min(p, 3)))
    blocks = rng.standard_normal((p, q)) + rng.standard_normal((p, rank)) @ rng.standard_normal((n_clients, rank, q))
    noise = 10.0 ** rng.uniform(-3, 0)
    blocks = blocks + noise * rng.standard_normal(blocks.shape)
    bad = int(rng.integers(0, n_clients // 2))
    blocks[:bad] += noise * 10.0 ** rng.uniform(0, 2) * rng.standard_normal((bad, p, q))
    return blocks, (np.full(n_clients, noise) if rng.random() < 0.5 else None)


def verdict(blocks, scales):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = CLAIR(refinement="average").fit(blocks, noise_scales=scales)
    return fitted.majority_, fitted.collaborative_set_, fitted.rank_


def differing(count, seed):
    """Instances whose verdict changes under a permutation or a rotation."""
    found = []
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(count)):
        rng = np.random.default_rng(child)
        blocks, scales = instance(rng)
        plain = verdict(blocks, scales)
        order = rng.permutation(len(blocks))
        left = np.linalg.qr(rng.standard_normal((blocks.shape[1],) * 2))[0]
        right = np.linalg.qr(rng.standard_normal((blocks.shape[2],) * 2))[0]
        changed = {
            "order": verdict(blocks[order], scales),  # equal noise scales
            "rotation": verdict(left @ blocks @ right, scales),
        }
        for name, (majority, members, rank) in changed.items():
            wanted = plain[1][order] if name == "order" else plain[1]
            if (majority, rank) != (plain[0], plain[2]) or not np.array_equal(members, wanted):
                found.append((number, name))
    return found


def test_two_hundred_verdicts_stand():
    assert differing(200, seed=19) == []


@pytest.mark.slow
def test_ten_thousand_verdicts_stand():
    assert differing(10_000, seed=20) == []
