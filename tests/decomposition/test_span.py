"""The turning span against the solvers that work on the stack, and its pieces against their definitions."""

import warnings

import numpy as np
import pytest

from clair_stats.decomposition.certificate import certify
from clair_stats.decomposition.decompose import decompose
from clair_stats.decomposition.problem import Problem, objective, residual, tall_norms, to_tall
from clair_stats.decomposition.solvers.accelerated import solve_accelerated
from clair_stats.decomposition.solvers.coefficients import settle
from clair_stats.decomposition.solvers.exact_program import solve_exact
from clair_stats.decomposition.solvers.grams import Grams
from clair_stats.decomposition.solvers.identification import looks_noise_free
from clair_stats.decomposition.solvers.mixing import Mixing
from clair_stats.decomposition.solvers.span import dual_spectrum, empty_fit, solve_span, span_point
from tests.decomposition.named_problems import PROBLEMS, instance, penalty


def _problem(blocks, lam, tau=0.0, common=True):
    tall = to_tall(blocks)
    if common:
        tall = tall - tall.mean(axis=0)
    return Problem(tall, np.full(len(blocks), lam), tau, None, common)


def _judge(problem):
    verdicts = []

    def accept(point):
        verdicts.append(certify(problem, point.common, point.low_rank, point.block_sparse, point.dual_candidate.copy()))
        return verdicts[-1].relative_gap

    return verdicts, accept


def _plain(problem, tolerance):
    """Objective by the twin: splitting or proximal gradient on the stack, with full spectra."""
    verdicts, accept = _judge(problem)
    if problem.program == "E":
        solve_exact(
            problem, tolerance=tolerance, max_iterations=5000, accept=accept, identify=False, partial_spectrum=False
        )
    else:
        solve_accelerated(problem, tolerance=tolerance, max_iterations=5000, accept=accept, partial_spectrum=False)
    return verdicts[-1]


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("program", ["E", "N"])
def test_at_the_size_of_the_benchmark_one_certificate_and_the_twins_objective(program, common):
    blocks = instance(40, 20, 60, 3, seed=21, common=common, share=0.2, noise=0.1)
    tau = 0.1 * (np.sqrt(40) + np.sqrt(20 * 60)) if program == "N" else 0.0
    problem = _problem(blocks, penalty(60, 3), tau, common)
    verdicts, accept = _judge(problem)
    point = solve_span(problem, tolerance=1e-7, max_iterations=500, accept=accept)
    assert point is not None
    assert len(verdicts) == 1
    assert verdicts[0].relative_gap <= 1e-7
    assert verdicts[0].objective == pytest.approx(_plain(problem, 1e-8).objective, rel=1e-7)
    assert np.linalg.matrix_rank(point.low_rank.reshape(-1, 40), tol=1e-6) == 3


def _random_problem(seed):
    rng = np.random.default_rng((31, seed))
    p, q, n_clients = int(rng.integers(6, 24)), int(rng.integers(2, 12)), int(rng.integers(8, 30))
    rank, kind = int(rng.integers(1, max(2, p // 6))), ("scattered", "rank_one", "identical", "flip")[seed % 4]
    noise, common = float(rng.choice([0.1, 0.3])), bool(rng.integers(2))
    blocks = instance(p, q, n_clients, rank, seed=seed, common=common, share=0.25, noise=noise, kind=kind)
    lam = float(rng.uniform(0.7, 1.2)) * penalty(n_clients, rank)
    tau = noise * (np.sqrt(p) + np.sqrt(q * n_clients)) if seed % 2 else 0.0
    return _problem(blocks, float(np.clip(lam, 1.05 / np.sqrt(n_clients), 0.9 * np.sqrt(min(p, q)))), tau, common)


def test_random_instances_agree_with_the_twin_and_few_are_left_to_it():
    """30 instances; what is not certified must say so (None), and is at most one in six."""
    left = 0
    for seed in range(30):
        problem = _random_problem(seed)
        verdicts, accept = _judge(problem)
        point = solve_span(problem, tolerance=1e-7, max_iterations=500, accept=accept)
        if point is None:
            left += 1
            continue
        assert verdicts[-1].relative_gap <= 1e-7
        assert verdicts[-1].objective == pytest.approx(_plain(problem, 1e-7).objective, rel=2e-7)
    assert left <= 5


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if "noise_radius" not in p.options], ids=lambda p: p.name)
def test_named_problems_are_certified_or_refused(problem):
    """On tiny blocks the span fills half of the rows early: then None, never a point without a certificate."""
    options = problem.options
    blocks = np.swapaxes(problem.blocks, 1, 2) if options.get("shared") == "rows" else problem.blocks
    common = options.get("common_component", True)
    tall = to_tall(blocks)
    tall = tall - tall.mean(axis=0) if common else tall
    lam = options.get("block_penalty", 0.9)
    penalties = lam * options.get("client_weights", np.ones(len(blocks)))
    stated = Problem(tall, penalties, options.get("noise_penalty", 0.0), None, common)
    verdicts, accept = _judge(stated)
    point = solve_span(stated, tolerance=1e-7, max_iterations=500, accept=accept)
    if point is None:
        assert not verdicts or verdicts[-1].relative_gap > 1e-7
    else:
        assert verdicts[-1].objective == pytest.approx(_plain(stated, 1e-8).objective, rel=1e-7)


def test_front_door_goes_on_with_splitting_where_the_span_gives_up():
    blocks = instance(11, 13, 51, 2, seed=69, noise=0.3, kind="rank_one")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decompose(blocks, block_penalty=2.2)
    assert found.status == "optimal"
    assert found.solver == "splitting"


@pytest.mark.parametrize("common", [False, True])
def test_small_problem_in_the_whole_space_is_the_program(common):
    """With U = I nothing is restricted, so the fixed point has the objective of the program itself, here of (N)."""
    rng = np.random.default_rng(5)
    blocks = rng.standard_normal((12, 2, 5)) @ np.diag([2.0, 1.5, 1.0, 1.0, 0.5])
    problem = _problem(blocks, 0.48, 1.5, common)
    grams = Grams(problem)
    start = empty_fit(grams, tolerance=1e-3)
    fit = settle(grams, np.eye(2), 3.0 * np.eye(2), start.norms, tolerance=1e-12)
    point = span_point(grams, fit)
    left_over = residual(problem, point.common, point.low_rank, point.block_sparse)
    value = objective(problem, point.low_rank, point.block_sparse, float(np.linalg.norm(left_over)))
    assert fit.leaving.sum() == 0
    assert value == pytest.approx(_plain(problem, 1e-9).objective, rel=1e-8)


@pytest.mark.parametrize("n_clients", [7, 40])
def test_distances_from_products_are_distances(n_clients):
    """With more clients than numbers in a block the second way is taken: no K × K matrix."""
    rng = np.random.default_rng(n_clients)
    problem = _problem(rng.standard_normal((n_clients, 6, 4)), 0.5)
    basis = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    weights = rng.uniform(0.1, 1.0, n_clients)
    grams = Grams(problem)
    assert (grams.gram is None) == (n_clients == 40)
    coordinates = (basis.T @ grams.rows.T).reshape(2, n_clients, 4)
    found = grams.off_span(coordinates).distances(weights)
    off = problem.tall - (problem.tall @ basis) @ basis.T
    expected = tall_norms(off - np.average(off, axis=0, weights=weights)) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(grams.centre(weights), np.average(problem.tall, axis=0, weights=weights), atol=1e-14)


@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("scatters", [False, True])
def test_spectrum_of_the_dual_point_is_its_own(scatters, common):
    """From the stack, and from the scatters of the clients where these are kept."""
    blocks = instance(12, 5, 15, 2, seed=3, noise=0.2)
    problem = _problem(blocks, penalty(15, 2), common=common)
    grams = Grams(problem)
    if scatters:
        assert grams.scatters.shape == (15, 144)
        assert "scatters" in vars(grams.at(problem.penalties))
    start = empty_fit(grams, tolerance=1e-10)
    basis = dual_spectrum(grams, start).vectors[:, -2:] + 0.05 * np.random.default_rng(0).standard_normal((12, 2))
    basis = np.linalg.qr(basis)[0]
    fit = settle(grams, basis, np.eye(2), start.norms, tolerance=1e-10)
    spectrum = dual_spectrum(grams, fit)
    dual = span_point(grams, fit).dual_candidate.reshape(-1, 12)
    off = dual - (dual @ basis) @ basis.T
    np.testing.assert_allclose(spectrum.values, np.linalg.eigvalsh(off.T @ off), atol=1e-9)


def test_hessian_of_the_span_with_equal_weights():
    """The second derivative of section 8 of the derivation, by finite differences along a geodesic."""
    rng = np.random.default_rng(2)
    x, tau, a = rng.standard_normal((5, 40)) * np.array([[3.0], [2.5], [1.0], [0.8], [0.5]]), 2.0, 0.7
    left, values, _ = np.linalg.svd(x)
    sizes = values[:2] - tau / a  # then ‖z_j‖ = w_j
    shrinkage = a * sizes / (a * sizes + tau)
    span = left[:, :2]

    def value(basis):
        return -0.5 * a * float(shrinkage @ ((basis.T @ x) ** 2).sum(axis=1))

    for column, row in ((0, 2), (1, 3), (1, 4)):
        turned, step = span.copy(), 1e-4

        def at(angle, turned=turned, column=column, row=row):
            turned[:, column] = np.cos(angle) * span[:, column] + np.sin(angle) * left[:, row]
            return value(turned)

        second = (at(step) - 2.0 * at(0.0) + at(-step)) / step**2
        curvature = a * sizes[column] ** 2 + tau * sizes[column]
        beta = (a * values[row]) ** 2
        expected = curvature - beta * sizes[column] / (a * sizes[column] + tau)
        assert second == pytest.approx(expected, rel=1e-5)


def test_one_newton_step_reaches_the_size_with_equal_weights():
    """W / ‖z‖ is linear in w, so one step over the shrinkage is exact from anywhere."""
    a, tau, s = 0.8, 1.1, 6.0  # ‖z(w)‖ = c(w)s, c = aw/(aw + τ)
    for w in (0.05, 1.0, 30.0):
        c = a * w / (a * w + tau)
        assert w + (c * s - w) / c == pytest.approx(s - tau / a, rel=1e-12)


def test_directions_leave_exactly_when_their_limit_is_below_one():
    rng = np.random.default_rng(8)
    for strength in (0.8, 1.2):
        x = np.zeros((20, 1, 4))
        x[:, 0, 0] = rng.standard_normal(20)
        x *= strength / np.linalg.norm(x)  # (N) with τ = 1: the limit is the singular value
        problem = Problem(x + 0.0, np.full(20, 10.0), 1.0, None, False)
        grams = Grams(problem)
        fit = settle(grams, np.eye(4)[:, :1], 0.01 * np.eye(1), grams.norms + 0.1, tolerance=1e-8)
        assert bool(fit.leaving[0]) == (strength < 1.0)


def test_mixing_needs_fewer_rounds_than_the_plain_map_and_never_jumps():
    matrix = np.diag([0.9, 0.7, -0.5])
    target = np.array([1.0, -2.0, 0.5])

    def rounds(mixing):
        point = np.zeros(3)
        for count in range(1, 500):
            image = target + matrix @ (point - target)
            if np.abs(image - point).max() < 1e-10:
                return count
            point = image if mixing is None else mixing.next(point, image)
        return 500

    assert rounds(Mixing(np.inf)) < 0.3 * rounds(None)
    short = Mixing(1e-3)
    first, second = np.zeros(3), np.full(3, 1.0)
    assert short.next(first, second) is second
    assert short.next(second, second + 0.99) is not None
    np.testing.assert_array_equal(short.next(second, second + 0.98), second + 0.98)  # the guess was 50 away


def test_pairs_of_clients_tell_noise_from_none():
    for common in (False, True):
        exact = instance(14, 8, 20, 2, seed=1, common=common)
        assert looks_noise_free(_problem(exact, 0.5, common=common))
        assert not looks_noise_free(
            _problem(exact + 1e-4 * np.random.default_rng(0).standard_normal(exact.shape), 0.5, common=common)
        )
    assert not looks_noise_free(_problem(instance(14, 1, 20, 2, seed=1), 0.5))  # single columns: no rank to lose
