import numpy as np
import pytest

from clair_stats.decomposition.decompose import decompose
from clair_stats.linalg import stack
from clair_stats.theory import instance_certificate
from tests.theory.cases import draw


def certificate_of(seed, common, lam=0.5, kind="random"):
    values, basis, _coefficients, mask, _mean = draw(np.random.default_rng(seed), common=common, kind=kind)
    certificate = instance_certificate(
        values, basis=basis, collaborative_set=mask, block_penalty=lam, common_component=common
    )
    return certificate, values, basis, mask


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_every_equality_of_the_optimality_system_holds(seed, common):
    certificate, _values, basis, mask = certificate_of(seed, common)
    dual = certificate.dual
    polar = certificate.oracle.polar
    assert certificate.equality_residual < 1e-10
    np.testing.assert_allclose(np.einsum("pi,kpq->kiq", basis, dual), polar, atol=1e-10)
    np.testing.assert_allclose(dual[~mask], certificate.block_penalty * certificate.directions, atol=1e-10)
    if common:
        np.testing.assert_allclose(dual.sum(axis=0), 0, atol=1e-10)
    off = dual - np.einsum("pi,kiq->kpq", basis, polar)
    np.testing.assert_allclose(stack(off) @ stack(polar).T, 0, atol=1e-10)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_pairing_with_the_data_equals_the_oracle_objective(seed, common):
    """Strong duality: ⟨Q, X⟩ is the oracle's objective, whether or not Q is feasible."""
    certificate, values, _, _ = certificate_of(seed, common)
    assert np.vdot(certificate.dual, values) == pytest.approx(certificate.oracle.objective, rel=1e-9)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("kind", ["random", "identical"])
def test_eta_is_below_one_exactly_when_the_contaminated_rows_leave_room(common, kind):
    """Lemma 3 of docs/derivations/recovery.md: η < 1 iff ‖λ²HᵀH + J_O/K‖_op < 1."""
    sides = []
    for seed in range(12):
        certificate, _, _, mask = certificate_of(seed, common, lam=0.3 + 0.1 * seed, kind=kind)
        h = certificate.block_penalty * stack(certificate.directions)
        n_contaminated, q = int((~mask).sum()), certificate.directions.shape[2]
        joint = h.T @ h
        if common:
            joint = joint + np.kron(np.ones((n_contaminated, n_contaminated)), np.eye(q)) / mask.size
        sides.append(np.linalg.norm(joint, 2) < 1)
        if certificate.transversality < 1 - 1e-9:
            assert (certificate.eta < 1) == sides[-1]
        else:
            assert not sides[-1]
    assert any(sides)
    assert not all(sides)


@pytest.mark.parametrize("common", [False, True])
def test_the_dual_has_least_norm_off_the_subspace(common):
    """Any other matrix with the same equalities has a larger norm, so η cannot be improved."""
    certificate, _, basis, mask = certificate_of(5, common)
    n_clients, q, width = certificate.row_basis.shape
    rng = np.random.default_rng(0)
    rows = certificate.row_basis.reshape(-1, width)
    allowed = np.concatenate([rows.T, np.eye(n_clients * q)[~np.repeat(mask, q)]])
    change = rng.normal(size=(basis.shape[0], n_clients * q))
    change -= basis @ (basis.T @ change)
    change -= change @ np.linalg.pinv(allowed) @ allowed
    assert np.linalg.norm(change) > 1e-3
    off = stack(certificate.dual) - basis @ (basis.T @ stack(certificate.dual))
    assert abs(np.vdot(off, change)) < 1e-9
    for size in (1e-3, 1e-2, 0.1):
        assert np.linalg.norm(off + size * change, 2) >= certificate.eta - 1e-12


def test_a_single_contaminated_client_is_certified_and_a_majority_is_not():
    values, basis, _coefficients, mask, _ = draw(
        np.random.default_rng(0), common=False, n_clients=12, n_contaminated=1, rank=1, p=5, q=3
    )
    good = instance_certificate(values, basis=basis, collaborative_set=mask, block_penalty=0.8, common_component=False)
    assert good.certified
    values[:8] = values[0]
    mask[:8] = False
    bad = instance_certificate(values, basis=basis, collaborative_set=mask, block_penalty=0.8, common_component=False)
    assert not bad.certified


def test_wrong_input_is_refused_with_a_remedy():
    values, basis, _, mask, _ = draw(np.random.default_rng(1), common=False, rank=1, p=5)
    arguments = {"basis": basis, "collaborative_set": mask, "block_penalty": 0.5, "common_component": False}
    with pytest.raises(ValueError, match="noiseless"):
        instance_certificate(values + 1e-3 * np.random.default_rng(0).normal(size=values.shape), **arguments)
    with pytest.raises(ValueError, match="orthonormal"):
        instance_certificate(values, **{**arguments, "basis": 2 * basis})
    with pytest.raises(ValueError, match="block_penalty"):
        instance_certificate(values, **{**arguments, "block_penalty": 0.0})
    with pytest.raises(ValueError, match="benign by definition"):
        instance_certificate(values, **{**arguments, "collaborative_set": np.arange(mask.size) == mask.size - 1})
    with pytest.raises(ValueError, match="collaborative_set"):
        instance_certificate(values, **{**arguments, "collaborative_set": mask.astype(int)})
    wide = np.linalg.qr(np.concatenate([basis, np.random.default_rng(3).normal(size=(5, 1))], axis=1))[0]
    inside = np.einsum("pi,kiq->kpq", basis, np.random.default_rng(4).normal(size=(mask.size, 1, values.shape[2])))
    with pytest.raises(ValueError, match="do not span"):
        instance_certificate(inside, **{**arguments, "basis": wide, "collaborative_set": np.ones_like(mask)})


@pytest.mark.parametrize("common", [False, True])
def test_refuted_instances_are_not_recovered_and_certified_ones_are(common):
    """A refuted instance has a solution of (E) off span or support; a certified one the oracle objective."""
    rng = np.random.default_rng(5)
    refuted = certified = 0
    for _ in range(12):
        values, basis, _, mask, _ = draw(rng, common=common, kind="identical", n_clients=8)
        certificate = instance_certificate(
            values,
            basis=basis,
            collaborative_set=mask,
            block_penalty=float(rng.uniform(0.4, 0.9)),
            common_component=common,
        )
        assert not (certificate.refuted and certificate.certified)
        optimum = decompose(
            values, block_penalty=certificate.block_penalty, common_component=common, tol=1e-9, allow_degenerate=True
        )
        scale = certificate.oracle.objective
        if certificate.refuted:
            refuted += 1
            low_rank = optimum.low_rank - optimum.low_rank.mean(axis=0) if common else optimum.low_rank
            off = np.abs(low_rank - np.einsum("pi,si,ksq->kpq", basis, basis, low_rank)).max()
            wrong = np.linalg.norm(optimum.block_sparse[mask], axis=(1, 2)).max()
            rank = np.linalg.matrix_rank(np.hstack(list(low_rank)), tol=1e-5)
            assert max(off, wrong) > 1e-5 or rank < basis.shape[1]
        elif certificate.certified:
            certified += 1
            assert optimum.objective == pytest.approx(scale, rel=1e-7)
    assert refuted > 2
    assert certified > 0
