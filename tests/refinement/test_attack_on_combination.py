"""The attack on flagged clients' say: it knows U and M, not the noise, and used to raise the error three to five times.

X_k = M + U(L w_kᵀ) + x(l w_kᵀ) + v(c b_kᵀ) with x, v ⟂ U and b_k ⟂ w_k: far along v, so that the attackers are flagged,
quiet off U and v, loud inside U.  They passed the test for fitting the subspace, and x, which moves with their loud
part inside, was taken for a direction of it.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from clair_stats import CLAIR, combine, refine
from clair_stats.refining import refine_by_verdict

N_BENIGN, N_FLAGGED, P, Q, RANK, SIGMA = 20, 16, 30, 4, 1, 0.1
# Inside U, against a root mean square of 2 for a benign client: |a| √(|C|/|O|) tilts the fit most.
LOUD = 2.2
ALLOWED = 1.02


def _attacked(rng, variant):
    frame = np.linalg.qr(rng.standard_normal((P, P)))[0]
    basis, x, v = frame[:, :RANK], frame[:, RANK], frame[:, RANK + 1]
    common = frame[:, RANK:] @ rng.standard_normal((P - RANK, Q))
    targets = common + basis @ rng.standard_normal((N_BENIGN + N_FLAGGED, RANK, Q))
    if variant == "honest":  # contaminated along v, truthful everywhere else
        targets[N_BENIGN:] += 30 * v[:, None] * rng.standard_normal((N_FLAGGED, 1, Q))
    else:
        w = np.linalg.qr(rng.standard_normal((Q, Q)))[0]
        # Just under the gate that stood there: the χ² test of a client outside the fit, at its family-wise level.
        gate = chi2.isf(-np.expm1(np.log1p(-0.05) / (N_BENIGN + N_FLAGGED)), (P - RANK - 1) * Q)
        quiet = 0.95 * SIGMA * np.sqrt(gate * (1 + 1 / N_BENIGN))
        loud = {"loud": LOUD, "inside the model": 1.0}[variant]
        for k in range(N_FLAGGED):
            sign = rng.choice([-1.0, 1.0])
            inside = sign * loud * np.outer(basis[:, 0], w[:, 0])
            off = sign * quiet * np.outer(x, w[:, 0]) + 30 * np.outer(v, w[:, 1 + k % (Q - 1)])
            targets[N_BENIGN + k] = common + inside + off
    blocks = targets + SIGMA * rng.standard_normal(targets.shape)
    if variant != "honest":  # the attackers send exactly what they mean to
        blocks[N_BENIGN:] = targets[N_BENIGN:]
    return blocks, targets, basis, v[:, None]


@pytest.mark.parametrize("variant", ["loud", "inside the model", "honest"])
@pytest.mark.parametrize(("refinement", "known"), [("shrinkage", True), ("average", False)])
def test_flagged_clients_that_inform_do_not_raise_the_error(variant, known, refinement):
    benign = np.arange(N_BENIGN + N_FLAGGED) < N_BENIGN
    errors = np.zeros((2, 2))
    for seed in range(len(errors)):
        blocks, targets, _, _ = _attacked(np.random.default_rng(seed), variant)
        told = {"noise_scales": np.full(benign.size, SIGMA)} if known else {}
        model = CLAIR(refinement=refinement).fit(blocks, **told)
        assert not model.collaborative_set_[~benign].any()
        informed, _ = refine_by_verdict(replace(model._told, flagged="inform"))  # the same verdict
        for place, estimates in enumerate((model.refined_, informed.estimates)):
            errors[seed, place] = np.sum((estimates - targets)[benign] ** 2)
    assert errors[:, 1].sum() <= ALLOWED * errors[:, 0].sum()


@pytest.mark.parametrize("variant", ["loud", "inside the model", "honest"])
def test_at_the_true_subspace_set_scale_and_direction_it_does_not_either(variant):
    members = np.arange(N_BENIGN + N_FLAGGED) < N_BENIGN
    errors = np.zeros((30, 2))
    for seed in range(len(errors)):
        blocks, targets, basis, direction = _attacked(np.random.default_rng(seed), variant)
        told = {"basis": basis, "collaborative_set": members}
        scales = np.full(members.size, SIGMA)
        without = refine(blocks, **told)
        together = combine(blocks, **told, noise_scales=scales, directions=direction)
        for place, found in enumerate((without, together)):
            errors[seed, place] = np.sum((found.estimates - targets)[members] ** 2)
    assert errors[:, 1].sum() <= ALLOWED * errors[:, 0].sum()


def test_the_same_rule_rejects_a_subspace_that_flagged_clients_helped_to_fit():
    """The refit that was withdrawn: members and attackers, these without their part along v, fit the subspace."""
    members = np.arange(N_BENIGN + N_FLAGGED) < N_BENIGN
    errors = np.zeros((30, 2))
    for seed in range(len(errors)):
        blocks, targets, basis, direction = _attacked(np.random.default_rng(seed), "loud")
        said = blocks - direction @ (direction.T @ blocks)
        centred = said - said[members].mean(axis=0)
        refitted = np.linalg.svd(np.concatenate(list(centred), axis=1))[0][:, :RANK]
        for place, frame in enumerate((basis, refitted)):
            found = refine(blocks, basis=frame, collaborative_set=members)
            errors[seed, place] = np.sum((found.estimates - targets)[members] ** 2)
    assert errors[:, 1].sum() > ALLOWED * errors[:, 0].sum()
