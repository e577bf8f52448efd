"""Proofs in ball arithmetic: they agree with floating point, hold what they should, and refuse what is not proved."""

import builtins
import dataclasses

import numpy as np
import pytest
from scipy.linalg import sqrtm

import clair_stats.theory.rigorous as rigorous
from clair_stats.theory import instance_certificate, rigorous_certificate
from simulations.design import content_hash
from simulations.streams import Streams
from theory_checks.instances.recovery import AdversarialRegime

pytest.importorskip("flint")

from clair_stats.theory.balls import (
    centres,
    cholesky,
    exact,
    frobenius,
    identity,
    inverse_root,
    operator_norm,
    precision,
)

LEVEL = 128


def instances(common, count, seed=3):
    regime = AdversarialRegime(common_component=common, lowest=-1.0, highest=2.0)
    for replication in range(count):
        found = regime.generate(Streams(seed, content_hash(regime), replication))
        yield (
            found.targets,
            {
                "basis": found.basis,
                "collaborative_set": found.collaborative_set,
                "block_penalty": found.extras["block_penalty"],
                "common_component": common,
            },
        )


@pytest.mark.parametrize("common", [False, True])
def test_proofs_agree_with_floating_point_and_enclose_its_numbers(common):
    states = set()
    for values, told in instances(common, 30):
        plain, proof = instance_certificate(values, **told), rigorous_certificate(values, **told)
        states.add(proof.state)
        expected = "proved" if plain.certified else "refuted" if plain.refuted else "open"
        assert proof.state == expected
        # Where contamination is a thousandth of the part inside, floating point itself is off by about 1e-8.
        assert proof.eta[0] - 1e-7 <= plain.eta <= proof.eta[1] + 1e-7
        assert proof.kappa[0] - 1e-7 <= plain.kappa <= proof.kappa[1] + 1e-7
        assert proof.eta[1] - proof.eta[0] < 0.02
        assert proof.distance < 1e-12 * np.abs(values).max() * values.size
    assert {"proved", "refuted"} <= states


def test_more_bits_enclose_the_same_numbers():
    values, told = next(instances(True, 1, seed=4))
    coarse = rigorous_certificate(values, **told, bits=80)
    fine = rigorous_certificate(values, **told, bits=400)
    for low, high in ((coarse.kappa, fine.kappa), (coarse.eta, fine.eta)):
        assert low[0] <= high[1]
        assert high[0] <= low[1]
    assert coarse.state == fine.state


@pytest.mark.parametrize("beyond", [1e-9, -1e-9])
def test_a_dual_point_a_billionth_outside_its_bound_is_refused(beyond):
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((5, 30))
    matrix *= (1 + beyond) / np.linalg.norm(matrix, 2)
    with precision(LEVEL):
        low, high = operator_norm(exact(matrix))
        inside = cholesky(identity(5) - exact(matrix) * exact(matrix).transpose()) is not None
        assert inside == (beyond < 0)
        assert bool(high < 1) == (beyond < 0)
        assert bool(low > 1) == (beyond > 0)


def test_a_penalty_at_which_kappa_is_one_is_not_proved_on_the_wrong_side():
    """The answers on both sides of the tie are opposite, and next to it they follow the enclosure alone."""
    for values, told in instances(False, 12, seed=8):
        if not instance_certificate(values, **told).certified:
            continue
        penalty = told["block_penalty"]

        def kappa(factor, values=values, told=told, penalty=penalty):
            return instance_certificate(values, **{**told, "block_penalty": factor * penalty}).kappa

        low = next((factor for factor in np.geomspace(0.9, 0.05, 30) if kappa(factor) > 1), None)
        if low is None:
            continue
        high = 1.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if kappa(middle) > 1 else (low, middle)
        for shift in (-1e-9, -1e-15, 0.0, 1e-15, 1e-9):
            proof = rigorous_certificate(values, **{**told, "block_penalty": high * (1 + shift) * penalty})
            assert (proof.state == "proved") == (proof.kappa[1] < 1 and proof.eta[1] < 1)
            assert proof.kappa[1] < 1 or proof.state != "proved"
        outside = rigorous_certificate(values, **{**told, "block_penalty": high * (1 - 1e-9) * penalty})
        assert outside.state != "proved"
        return
    raise AssertionError("no instance with a tie in κ")


def test_an_oracle_that_is_not_solved_leaves_the_answer_open(monkeypatch):
    """The proof does not trust the solver: a point that is off by 1e-3 encloses nothing useful."""
    values, told = next(pair for pair in instances(False, 20) if instance_certificate(*pair[:1], **pair[1]).certified)
    honest = rigorous.instance_certificate

    def careless(*arguments, **options):
        found = honest(*arguments, **options)
        moved = found.oracle.coefficients + 0.3
        return dataclasses.replace(found, oracle=dataclasses.replace(found.oracle, coefficients=moved))

    assert rigorous_certificate(values, **told).state == "proved"
    monkeypatch.setattr(rigorous, "instance_certificate", careless)
    proof = rigorous_certificate(values, **told)
    assert proof.state == "open"
    assert proof.reason


def test_the_inverse_root_is_enclosed_and_an_indefinite_matrix_has_none():
    rng = np.random.default_rng(1)
    for size, spread in ((1, 1.0), (3, 1e3), (6, 1e6)):
        basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
        gram = (basis * np.geomspace(1.0, spread, size)) @ basis.T
        gram = 0.5 * (gram + gram.T)
        with precision(LEVEL):
            root = inverse_root(exact(gram))
            assert root is not None
            assert (root * exact(gram) * root).contains(identity(size)) or bool(
                frobenius(root * exact(gram) * root - identity(size)) < 1e-6
            )
            assert np.allclose(centres(root), np.linalg.inv(sqrtm(gram).real), rtol=1e-6)
    with precision(LEVEL):
        assert inverse_root(exact(np.diag([1.0, -1.0]))) is None
        assert inverse_root(exact(np.zeros((2, 2)))) is None


def test_a_norm_that_may_be_zero_is_bounded_on_both_sides():
    with precision(LEVEL):
        from flint import arb, arb_mat

        vague = frobenius(arb_mat(1, 2, [arb(0, 0.5), arb(0, 0.5)]))
        assert vague.contains(0)
        assert vague.contains(0.7)
        assert not vague > 0


def test_cholesky_refuses_a_matrix_that_is_not_proved_definite():
    with precision(LEVEL):
        assert cholesky(exact(np.array([[1.0, 1.0], [1.0, 1.0 - 1e-12]]))) is None
        assert cholesky(exact(np.array([[1.0, 1.0], [1.0, 1.0]]))) is None
        factor = cholesky(exact(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-12]])))
        assert factor is not None
        assert (factor * factor.transpose()).contains(exact(np.array([[1.0, 1.0], [1.0, 1.0 + 1e-12]])))


def test_without_the_library_the_message_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name == "flint":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    values, told = next(instances(True, 1))
    with pytest.raises(ImportError, match=r"clair-stats\[proofs\]"):
        rigorous_certificate(values, **told)
