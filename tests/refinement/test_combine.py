"""The combination: a naive twin, equivariances, what it must leave alone, who informs the subspace, CLAIR."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from clair_stats import CLAIR, ClientEstimates, combine, refine
from clair_stats.clair import NoMajorityWarning
from clair_stats.detection.directions import flagged_directions
from clair_stats.linalg import project_off, project_on, sin_theta
from tests.refinement.cases import reach


def _case(seed, *, n_benign=6, n_flagged=3, p=7, q=3, rank=1, n_directions=1, size=1.0):
    """Blocks, and what ``combine`` is told: subspace, set, noise scales, directions (p, s) off the subspace."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((p, rank + n_directions)))[0]
    sigma = rng.uniform(0.5, 1.5, n_benign + n_flagged)
    blocks = rng.standard_normal((p, q)) + 3 * frame[:, :rank] @ rng.standard_normal((sigma.size, rank, q))
    blocks += sigma[:, None, None] * rng.standard_normal(blocks.shape)
    blocks[n_benign:] += size * rng.standard_normal((n_flagged, p, q))
    told = {
        "basis": frame[:, :rank],
        "collaborative_set": np.arange(sigma.size) < n_benign,
        "noise_scales": sigma,
        "directions": frame[:, rank:],
    }
    return blocks, told


def _naive_subspace(blocks, mean, members, basis, noise_scales, directions):
    """Members, and flagged clients that pass the test off the directions and are more than noise inside."""
    n_clients, p, q = blocks.shape
    rank, along = basis.shape[1], directions @ directions.T
    off = np.eye(p) - basis @ basis.T - along
    v = 1 / sum(noise_scales[k] ** -2 for k in members)
    quiet = []
    for k in set(range(n_clients)) - set(members):
        left = np.sum((off @ (blocks[k] - mean)) ** 2) / (noise_scales[k] ** 2 + v)
        if chi2.sf(left, round(np.trace(off)) * q) >= 1 - 0.95 ** (1 / n_clients):
            quiet.append(k)
    if not quiet or rank == 0 or not along.any():
        return basis, []
    moving = sum(basis.T @ (blocks[k] - mean) @ (blocks[k] - mean).T @ directions for k in quiet)
    taken = sum(directions.T @ (blocks[k] - mean) @ (blocks[k] - mean).T @ directions for k in quiet)
    tilt = moving @ np.linalg.pinv(taken)
    about = {k: blocks[k] - mean - along @ (blocks[k] - mean) for k in members}
    for k in quiet:
        inside = (basis.T - tilt @ directions.T) @ (blocks[k] - mean)
        if chi2.sf(np.sum(inside**2) / (noise_scales[k] ** 2 + v), rank * q) < 1e-3:
            about[k] = off @ (blocks[k] - mean) + basis @ inside
    total = sum(noise_scales[k] ** -2 for k in about)
    joint = sum(about[k] / noise_scales[k] ** 2 for k in about) / total
    scatter = np.zeros((p, p))
    for k in about:
        block = about[k] - joint + (along @ (blocks[k] - mean) if k in members else 0)
        scatter += block @ block.T / noise_scales[k] ** 2
    informing = [k for k in about if k not in members]
    return np.linalg.eigh(scatter)[1][:, p - rank :] if informing else basis, informing


def _naive(blocks, *, basis, collaborative_set, noise_scales, directions):
    """The docstring of ``combine`` word by word."""
    n_clients, p, q = blocks.shape
    members = [k for k in range(n_clients) if collaborative_set[k]]
    flagged = [k for k in range(n_clients) if not collaborative_set[k]]
    v = 1 / sum(noise_scales[k] ** -2 for k in members)
    mean = sum(blocks[k] * v / noise_scales[k] ** 2 for k in members)
    basis, informing = _naive_subspace(blocks, mean, members, basis, noise_scales, directions)
    inside, outside = basis @ basis.T, directions - basis @ (basis.T @ directions)
    along = outside @ np.linalg.pinv(outside)
    center, own = mean.copy(), {k: blocks[k].copy() for k in flagged}
    s, n = outside.shape[1], len(flagged)
    for part, free, own_free in ((along, q, q), (np.eye(p) - inside - along, q - s, q - s / n)):
        rows = round(np.trace(part))
        d = rows * q
        if d < 3:
            continue
        precision = {k: 1 / max(noise_scales[k] ** 2, np.sum((part @ (blocks[k] - mean)) ** 2) / d) for k in flagged}
        f = sum(precision[k] * (part @ blocks[k]) for k in flagged) / sum(precision.values())
        gap = f - part @ mean
        center = center + min(1, reach(rows * free, n) * v / np.sum(gap**2)) * gap
        for k in flagged:
            away = part @ (mean - blocks[k])
            own[k] += min(1, max(0, rows * own_free - 2) * noise_scales[k] ** 2 / np.sum(away**2)) * away
    estimates = [own[k] if k in own else inside @ blocks[k] + center - inside @ center for k in range(n_clients)]
    return center, estimates, np.isin(np.arange(n_clients), informing)


sizes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "n_benign": st.integers(1, 6),
        "n_flagged": st.integers(1, 7),
        "p": st.integers(4, 8),
        "q": st.integers(1, 4),
        "rank": st.integers(0, 2),
        "n_directions": st.integers(0, 2),
        "size": st.sampled_from([0.0, 0.3, 1.0, 10.0]),
    }
)


@settings(max_examples=60)
@given(drawn=sizes)
def test_the_naive_twin_agrees(drawn):
    blocks, told = _case(**drawn)
    result = combine(blocks, **told)
    center, estimates, informing = _naive(blocks, **told)
    np.testing.assert_array_equal(result.informing, informing)
    np.testing.assert_allclose(result.center, center, atol=1e-11)
    np.testing.assert_allclose(result.estimates, estimates, atol=1e-10)


@settings(max_examples=60)
@given(drawn=sizes)
def test_weights_sum_to_one_and_make_the_centre(drawn):
    blocks, told = _case(**drawn)
    result = combine(blocks, **told)
    np.testing.assert_allclose(result.weights.sum(axis=1), 1.0, rtol=1e-12)
    assert (result.weights >= 0).all()
    along, off = np.tensordot(result.weights, blocks, axes=1)
    outside = project_off(result.basis, result.center)
    np.testing.assert_allclose(project_on(result.directions, outside), project_on(result.directions, along), atol=1e-11)
    np.testing.assert_allclose(
        project_off(result.directions, outside),
        project_off(result.directions, project_off(result.basis, off)),
        atol=1e-11,
    )


@settings(max_examples=60)
@given(drawn=sizes, change=st.sampled_from(["left", "right", "order", "shift", "scale"]))
def test_equivariances(drawn, change):
    blocks, told = _case(**drawn)
    n_clients, p, q = blocks.shape
    rng = np.random.default_rng(drawn["seed"] + 1)
    left, right = np.linalg.qr(rng.standard_normal((p, p)))[0], np.linalg.qr(rng.standard_normal((q, q)))[0]
    order, shift = rng.permutation(n_clients), rng.standard_normal((p, q))
    moved, other = dict(told), blocks
    if change == "left":
        other = left @ blocks
        moved["basis"], moved["directions"] = left @ told["basis"], left @ told["directions"]
    elif change == "right":
        other = blocks @ right
    elif change == "order":
        other = blocks[order]
        moved["collaborative_set"], moved["noise_scales"] = (
            told["collaborative_set"][order],
            told["noise_scales"][order],
        )
    elif change == "shift":
        other = blocks + shift
    else:
        other, moved["noise_scales"] = 1e-170 * blocks, 1e-170 * told["noise_scales"]
    plain, result = combine(blocks, **told), combine(other, **moved)
    expected = {
        "left": left @ plain.estimates,
        "right": plain.estimates @ right,
        "order": plain.estimates[order],
        "shift": plain.estimates + shift,
        "scale": plain.estimates,
    }[change]
    found = result.estimates * 1e170 if change == "scale" else result.estimates
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("why", ["nobody flagged", "no noise"])
def test_without_flagged_clients_or_noise_it_is_refinement(why):
    blocks, told = _case(1)
    if why == "no noise":
        told["noise_scales"] = np.zeros(9)
        weights = np.ones(9)
    else:
        told["collaborative_set"] = np.ones(9, dtype=bool)
        weights = told["noise_scales"] ** -2.0
    refined = refine(blocks, basis=told["basis"], collaborative_set=told["collaborative_set"], weights=weights)
    result = combine(blocks, **told)
    np.testing.assert_allclose(result.estimates, refined.estimates, atol=1e-13)
    np.testing.assert_allclose(result.weights, [refined.weights] * 2, atol=1e-15)


@pytest.mark.parametrize("size", [1e9, 1e200])
def test_far_contamination_has_no_weight_and_keeps_its_own(size):
    blocks, told = _case(2)
    flagged = ~told["collaborative_set"]
    blocks[flagged] += size * np.random.default_rng(3).standard_normal(blocks[flagged].shape)
    refined = refine(
        blocks,
        basis=told["basis"],
        collaborative_set=told["collaborative_set"],
        weights=(told["noise_scales"].min() / told["noise_scales"]) ** 2,
    )
    result = combine(blocks, **told)
    np.testing.assert_allclose(result.estimates[~flagged], refined.estimates[~flagged], atol=1e-6)
    np.testing.assert_allclose(result.estimates[flagged], blocks[flagged], atol=1e-6, rtol=1e-15)


def test_one_distant_client_does_not_silence_the_others():
    blocks, told = _case(4, n_flagged=4, size=0.0)
    blocks[-1] += 1e6
    assert combine(blocks, **told).weights[1, 6:9].sum() > 0.1


def test_directions_inside_the_subspace_and_parts_without_room_are_left_alone():
    blocks, told = _case(5, p=5, rank=2, n_directions=0)
    inside = combine(blocks, **told | {"directions": told["basis"]})
    assert inside.directions.shape == (5, 0)
    np.testing.assert_allclose(inside.estimates, combine(blocks, **told).estimates, atol=1e-12)
    everything = combine(blocks, **told | {"basis": np.eye(5)})
    np.testing.assert_allclose(everything.estimates, blocks, atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level": 1.0}, "level: 1.0"),
        ({"level": np.nan}, "level: nan"),
        ({"noise_scales": None}, "noise_scales: missing"),
        ({"noise_scales": np.ones(8)}, "noise_scales: give 9"),
        ({"noise_scales": np.full(9, np.inf)}, "noise_scales: give 9"),
        ({"noise_scales": np.full(9, -1.0)}, "noise_scales: give 9"),
        ({"noise_scales": np.arange(9.0)}, "some are 0"),
        ({"directions": np.eye(4)}, "directions: shape"),
        ({"directions": np.full((7, 1), np.nan)}, "directions: some entries"),
        ({"basis": np.eye(4)}, "p × r"),
        ({"collaborative_set": np.zeros(9, dtype=bool)}, "nobody"),
        ({"collaborative_set": np.ones(9)}, "9 booleans"),
    ],
)
def test_bad_input_names_the_field(fields, message):
    blocks, told = _case(6)
    with pytest.raises(ValueError, match=message):
        combine(blocks, **told | fields)


def _mimics(seed, *, inside=True, off=0.0, size=5.0):
    """Eight benign clients and eight contaminated along one direction, with or without an own part inside a plane."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((15, 3)))[0]
    coefficients = rng.standard_normal((16, 2, 4))
    if not inside:
        coefficients[8:] = coefficients[:8].mean(axis=0)
    blocks = frame[:, :2] @ coefficients + 0.3 * rng.standard_normal((16, 15, 4))
    blocks[8:] += size * frame[:, 2:] @ rng.standard_normal((8, 1, 4)) + off * rng.standard_normal((8, 15, 4))
    members = np.arange(16) < 8
    centered = blocks[members] - blocks[members].mean(axis=0)
    basis = np.linalg.eigh(np.einsum("kiq,kjq->ij", centered, centered))[1][:, -2:]
    told = {"basis": basis, "collaborative_set": members, "noise_scales": np.full(16, 0.3), "directions": frame[:, 2:]}
    return combine(blocks, **told), basis, frame[:, :2]


def test_who_informs_the_subspace():
    np.testing.assert_array_equal(_mimics(12)[0].informing, np.arange(16) >= 8)
    # Far along a direction that the fitted subspace is not quite orthogonal to: loud inside, but with nothing to say.
    for size in (1.0, 30.0):
        assert not _mimics(12, inside=False, size=size)[0].informing.any()
    result, basis, _ = _mimics(12, off=1.0)
    assert not result.informing.any()
    np.testing.assert_array_equal(result.basis, basis)


def test_informed_subspaces_are_orthonormal_and_closer_to_the_truth():
    gained = []
    for seed in range(40):
        result, before, truth = _mimics(seed)
        np.testing.assert_allclose(result.basis.T @ result.basis, np.eye(2), atol=1e-12)
        np.testing.assert_allclose(result.basis.T @ result.directions, 0.0, atol=1e-12)
        gained.append(sin_theta(before, truth) - sin_theta(result.basis, truth))
    assert np.mean(gained) > 3 * np.std(gained, ddof=1) / np.sqrt(len(gained))


def _federation(seed, *, noise=0.3):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((12, 3)))[0]
    targets = rng.standard_normal((12, 8)) + basis[:, :2] @ rng.standard_normal((16, 2, 8))
    targets[:5] += 4 * basis[:, 2:] @ rng.standard_normal((5, 1, 8))
    return targets + noise * rng.standard_normal(targets.shape), targets


def test_clair_combines_what_it_found():
    blocks, _ = _federation(13)
    model = CLAIR().fit(blocks)
    benign = np.arange(16) >= 5
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    found = flagged_directions(project_off(model.basis_, blocks[~benign] - model.common_), model.rank_)
    told = {"basis": model.basis_, "collaborative_set": benign, "noise_scales": model.noise_scales_}
    again = combine(blocks, **told, directions=found)
    np.testing.assert_allclose(model.combined_, again.estimates, atol=1e-12)
    assert model.combination_.directions.shape == (12, 1)
    assert model.combination_.weights[1, ~benign].sum() > 5 * model.combination_.weights[0, ~benign].sum()
    np.testing.assert_array_equal(model.refined_[~benign], blocks[~benign])


def test_combined_estimates_follow_shared_rows():
    blocks, _ = _federation(14)
    columns, rows = CLAIR().fit(blocks), CLAIR(shared="rows").fit(blocks.transpose(0, 2, 1))
    assert not columns.collaborative_set_.all()
    np.testing.assert_allclose(rows.combined_.transpose(0, 2, 1), columns.combined_, atol=1e-10)


@pytest.mark.parametrize("shared", ["columns", "rows"])
def test_factors_are_combined_as_their_products(shared):
    """The joint spaces of the factors fill p and q, so that coordinates are a rotation."""
    blocks, _ = _federation(15)
    if shared == "rows":
        blocks = np.ascontiguousarray(blocks.transpose(0, 2, 1))
    pairs = []
    for block in blocks:
        left, middle, right = np.linalg.svd(block, full_matrices=False)
        pairs.append((left * middle, right))
    factored, dense = CLAIR(shared=shared).fit(ClientEstimates(factors=tuple(pairs))), CLAIR(shared=shared).fit(blocks)
    assert not dense.collaborative_set_.all()
    np.testing.assert_array_equal(factored.collaborative_set_, dense.collaborative_set_)
    np.testing.assert_allclose(factored.combined_, dense.combined_, atol=1e-9)


def test_exact_estimates_and_missing_majorities_are_not_combined():
    exact = CLAIR().fit(_federation(16, noise=0.0)[0])
    assert not exact.collaborative_set_.all()
    np.testing.assert_array_equal(exact.combined_, exact.refined_)
    noise = np.random.default_rng(17).standard_normal((9, 10, 6))
    with pytest.warns(NoMajorityWarning):
        model = CLAIR(rank=1).fit(
            noise + 5 * np.random.default_rng(18).standard_normal((9, 10, 6)), noise_scales=np.ones(9)
        )
    np.testing.assert_array_equal(model.combined_, model.refined_)
    np.testing.assert_array_equal(model.combination_.weights, 0.0)
