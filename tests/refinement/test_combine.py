"""The combination: a naive twin, equivariances, what it must leave alone, who informs the subspace, CLAIR."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair_stats import CLAIR, ClientEstimates, combine, refine
from clair_stats.clair import NoMajorityWarning
from clair_stats.detection.directions import flagged_directions
from clair_stats.linalg import project_off, project_on
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


def _naive(blocks, *, basis, collaborative_set, noise_scales, directions):
    """The docstring of ``combine`` word by word."""
    n_clients, p, q = blocks.shape
    members = [k for k in range(n_clients) if collaborative_set[k]]
    flagged = [k for k in range(n_clients) if not collaborative_set[k]]
    v = 1 / sum(noise_scales[k] ** -2 for k in members)
    mean = sum(blocks[k] * v / noise_scales[k] ** 2 for k in members)
    inside, outside = basis @ basis.T, directions - basis @ (basis.T @ directions)
    along = outside @ np.linalg.pinv(outside)
    centre, own = mean.copy(), {k: blocks[k].copy() for k in flagged}
    s, n = outside.shape[1], len(flagged)
    for part, free, own_free in ((along, q, q), (np.eye(p) - inside - along, q - s, q - s / n)):
        rows = round(np.trace(part))
        d = rows * q
        if d < 3:
            continue
        precision = {k: 1 / max(noise_scales[k] ** 2, np.sum((part @ (blocks[k] - mean)) ** 2) / d) for k in flagged}
        f = sum(precision[k] * (part @ blocks[k]) for k in flagged) / sum(precision.values())
        gap = f - part @ mean
        centre = centre + min(1, reach(rows * free, n) * v / np.sum(gap**2)) * gap
        for k in flagged:
            away = part @ (mean - blocks[k])
            own[k] += min(1, max(0, rows * own_free - 2) * noise_scales[k] ** 2 / np.sum(away**2)) * away
    estimates = [own[k] if k in own else inside @ blocks[k] + centre - inside @ centre for k in range(n_clients)]
    return centre, estimates


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
    centre, estimates = _naive(blocks, **told)
    np.testing.assert_allclose(result.centre, centre, atol=1e-11)
    np.testing.assert_allclose(result.estimates, estimates, atol=1e-10)


@settings(max_examples=60)
@given(drawn=sizes)
def test_weights_sum_to_one_and_make_the_centre(drawn):
    blocks, told = _case(**drawn)
    result = combine(blocks, **told)
    np.testing.assert_allclose(result.weights.sum(axis=1), 1.0, rtol=1e-12)
    assert (result.weights >= 0).all()
    along, off = np.tensordot(result.weights, blocks, axes=1)
    outside = project_off(result.basis, result.centre)
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


def _federation(seed, *, noise=0.3):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((12, 3)))[0]
    targets = rng.standard_normal((12, 8)) + basis[:, :2] @ rng.standard_normal((16, 2, 8))
    targets[:5] += 4 * basis[:, 2:] @ rng.standard_normal((5, 1, 8))
    return targets + noise * rng.standard_normal(targets.shape), targets


def _informed(**settings):
    return CLAIR(flagged="inform", refinement="average", **settings)


def test_clair_combines_what_it_found():
    blocks, _ = _federation(13)
    model = _informed().fit(blocks)
    benign = np.arange(16) >= 5
    np.testing.assert_array_equal(model.collaborative_set_, benign)
    mean = blocks[benign].mean(axis=0)
    found = flagged_directions(project_off(model.basis_, blocks[~benign] - mean), model.rank_)
    told = {"basis": model.basis_, "collaborative_set": benign, "noise_scales": model.noise_scales_}
    again = combine(blocks, **told, directions=found)
    np.testing.assert_allclose(model.refined_, again.estimates, atol=1e-12)
    assert model.combination_.directions.shape == (12, 1)
    assert model.combination_.weights[1, ~benign].sum() > 5 * model.combination_.weights[0, ~benign].sum()
    ignoring = CLAIR().fit(blocks)
    assert ignoring.combination_ is None
    np.testing.assert_array_equal(ignoring.refined_[~benign], blocks[~benign])


def test_under_shrinkage_members_are_drawn_towards_what_the_others_and_the_flagged_say():
    blocks, targets = _federation(13, noise=1.0)
    told = {"noise_scales": np.full(16, 1.0)}
    ignored, informed = CLAIR().fit(blocks, **told), CLAIR(flagged="inform").fit(blocks, **told)
    benign = np.arange(16) >= 5
    np.testing.assert_array_equal(informed.collaborative_set_, benign)
    # Another X_k moves nobody's target but the others': the target of k is the same with any estimate of its own.
    k, others = 9, np.arange(16) != 9
    centre = combine(
        blocks[others],
        basis=informed.basis_,
        collaborative_set=benign[others],
        noise_scales=np.ones(15),
        directions=informed.combination_.directions,
    ).centre
    off = project_off(informed.refinement_.basis, np.eye(12))
    own, drawn = off @ (blocks[k] - centre), off @ (informed.refined_[k] - centre)
    assert np.linalg.norm(drawn) < 0.6 * np.linalg.norm(own)
    errors = [np.sum((model.refined_ - targets)[benign] ** 2) for model in (informed, ignored)]
    assert errors[0] < errors[1] < np.sum((blocks - targets)[benign] ** 2)
    assert np.sum((informed.refined_ - targets)[~benign] ** 2) < np.sum((blocks - targets)[~benign] ** 2)


def test_combined_estimates_follow_shared_rows():
    blocks, _ = _federation(14)
    for method in ("average", "shrinkage"):
        columns = CLAIR(flagged="inform", refinement=method).fit(blocks)
        rows = CLAIR(flagged="inform", refinement=method, shared="rows").fit(blocks.transpose(0, 2, 1))
        assert not columns.collaborative_set_.all()
        np.testing.assert_allclose(rows.refined_.transpose(0, 2, 1), columns.refined_, atol=1e-10)


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
    factored = CLAIR(flagged="inform", shared=shared).fit(ClientEstimates(factors=tuple(pairs)))
    dense = CLAIR(flagged="inform", shared=shared).fit(blocks)
    assert not dense.collaborative_set_.all()
    np.testing.assert_array_equal(factored.collaborative_set_, dense.collaborative_set_)
    np.testing.assert_allclose(factored.refined_, dense.refined_, atol=1e-9)


def test_exact_estimates_and_missing_majorities_are_not_combined():
    blocks, _ = _federation(16, noise=0.0)
    exact = CLAIR(flagged="inform").fit(blocks)
    assert not exact.collaborative_set_.all()
    assert exact.combination_ is None
    np.testing.assert_array_equal(exact.refined_, blocks)
    rng = np.random.default_rng(17)
    with pytest.warns(NoMajorityWarning):
        model = _informed(rank=1).fit(
            rng.standard_normal((9, 10, 6)) * np.geomspace(1.0, 50.0, 9)[:, None, None],
            noise_scales=np.ones(9),
        )
    assert model.combination_ is None
