import math

import numpy as np
import pytest

from clair_stats.linalg import block_norms, project_off
from simulations.regimes.contamination import (
    CONTAMINATIONS,
    Clean,
    contaminate,
    coordinated_label_permutation,
    draw_members,
    n_contaminated,
)

K, P, Q, R = 400, 12, 6, 2
MEMBERS = np.arange(K) < 300


def clean(common_scale=0.5):
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.standard_normal((P, R)))[0]
    common = common_scale * generator.standard_normal((P, Q))
    targets = common + basis @ generator.standard_normal((K, R, Q))
    return Clean(targets=targets, basis=basis, common=common, reference_norm=math.sqrt(R * Q))


def altered(mode, scale=2.0, given=None):
    given = clean() if given is None else given
    return given, contaminate(mode, given, members=MEMBERS, scale=scale, generator=np.random.default_rng(1))


@pytest.mark.parametrize("mode", CONTAMINATIONS)
def test_only_members_change_and_all_of_them_do(mode):
    given, targets = altered(mode)
    assert np.array_equal(targets[~MEMBERS], given.targets[~MEMBERS])
    assert block_norms(targets[MEMBERS] - given.targets[MEMBERS]).min() > 1e-3


@pytest.mark.parametrize(
    ("mode", "own_part"),
    [
        ("random", lambda given, targets: targets - given.common),
        ("coordinated", lambda given, targets: targets - given.common),
        ("identical", lambda given, targets: targets - given.common),
        ("gaussian", lambda given, targets: targets - given.targets),
        ("mimic", lambda given, targets: targets - given.targets),
    ],
)
def test_root_mean_square_norm_is_scale_times_reference(mode, own_part):
    given, targets = altered(mode)
    norms = block_norms(own_part(given, targets)[MEMBERS])
    # The widest law (mimic) has relative variance 2/Q of the squared norm; five standard errors over 300 clients.
    assert np.mean(norms**2) / (4.0 * R * Q) == pytest.approx(1.0, abs=5 * math.sqrt(2 / Q / 300))


@pytest.mark.parametrize(("mode", "rank"), [("coordinated", R), ("identical", 1), ("mimic", 1)])
def test_structured_modes_add_one_subspace_orthogonal_to_the_shared_one(mode, rank):
    given, targets = altered(mode)
    effective = project_off(given.basis, targets - given.common)[MEMBERS]
    values = np.linalg.svd(np.hstack(list(effective)), compute_uv=False)
    assert values[rank - 1] > 1.0
    assert values[rank] < 1e-10
    own = targets - (given.targets if mode == "mimic" else given.common)
    np.testing.assert_allclose(given.basis.T @ own[MEMBERS], 0.0, atol=1e-12)


@pytest.mark.parametrize("mode", ["random", "gaussian"])
def test_unstructured_modes_fill_the_space(mode):
    given, targets = altered(mode)
    effective = project_off(given.basis, targets - given.common)[MEMBERS]
    values = np.linalg.svd(np.hstack(list(effective)), compute_uv=False)
    assert values[P - R - 1] > 0.7 * values[0]


def test_identical_blocks_are_identical():
    _, targets = altered("identical")
    assert np.array_equal(targets[MEMBERS], np.broadcast_to(targets[0], (300, P, Q)))


@pytest.mark.parametrize(("mode", "factor"), [("sign_flip", -2.0), ("scaled", 2.0)])
def test_multiplying_modes_multiply_the_whole_target(mode, factor):
    given, targets = altered(mode)
    np.testing.assert_allclose(targets[MEMBERS], factor * given.targets[MEMBERS])


@pytest.mark.parametrize("mode", CONTAMINATIONS)
def test_rank_zero_still_has_something_to_contaminate(mode):
    given = clean()
    given = Clean(targets=given.targets, basis=np.zeros((P, 0)), common=given.common, reference_norm=1.0)
    _, targets = altered(mode, given=given)
    assert np.isfinite(targets).all()
    assert not np.array_equal(targets, given.targets)


@pytest.mark.parametrize(
    ("n_clients", "share", "expected"), [(60, 0.45, 27), (20, 0.45, 9), (10, 0.15, 2), (8, 0.1, 1)]
)
def test_number_of_contaminated_clients_is_rounded_half_up(n_clients, share, expected):
    assert n_contaminated(n_clients, share) == expected
    assert draw_members(n_clients, share, np.random.default_rng(0)).sum() == expected


def test_members_are_uniform():
    generator = np.random.default_rng(2)
    counts = sum(draw_members(10, 0.3, generator).astype(int) for _ in range(4000))
    assert np.abs(counts / 4000 - 0.3).max() < 5 * math.sqrt(0.21 / 4000)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_label_permutation_fixes_no_class(n_classes):
    generator = np.random.default_rng(3)
    for _ in range(50):
        permutation = coordinated_label_permutation(n_classes, generator)
        assert sorted(permutation) == list(range(n_classes))
        assert (permutation != np.arange(n_classes)).all()


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match=r"unknown mode 'nasty'; use one of random"):
        altered("nasty")
    with pytest.raises(ValueError, match="contamination_scale: -1"):
        altered("random", scale=-1.0)
    given = clean()
    full = Clean(targets=given.targets, basis=np.eye(P), common=given.common, reference_norm=1.0)
    with pytest.raises(ValueError, match="fills all p = 12"):
        altered("identical", given=full)
    with pytest.raises(ValueError, match="1 classes"):
        coordinated_label_permutation(1, np.random.default_rng(0))
