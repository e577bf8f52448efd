"""Refinement in the coordinates of the members' factors is that of the stack of blocks, which it does not form."""

import numpy as np
import pytest

from clair_stats import CLAIR, ClientEstimates
from clair_stats.products import capped, mean_product, sum_of_products
from clair_stats.refinement.factored import refine_factors

BAD = (1, 4)


def clients(seed=0, *, n_clients=12, p=20, q=17, own=8, noise=0.3, size=1.0):
    """Products of rank ``own`` that share two directions; the rest of each is its own."""
    rng = np.random.default_rng(seed)
    shared, mean = rng.standard_normal((p, 2)), rng.standard_normal((own, q))
    factors = []
    for k in range(n_clients):
        left = noise * rng.standard_normal((p, own))
        left[:, :2] = rng.standard_normal((p, 2)) if k in BAD else shared
        factors.append((size * left, mean + rng.standard_normal((own, q))))
    return factors


def fitted(factors, **options):
    model = CLAIR(**options).fit({"m": ClientEstimates(factors=tuple(factors))})
    assert model.majority_
    return model, model.modules_


def products(cuts):
    return [np.matmul(*cut.pair) for cut in cuts]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one - other) <= 1e-9 * np.linalg.norm(other)


CASES = {
    "rows are fewer than columns of the factors": {},
    "both sides are larger than all factors": {"n_clients": 14, "p": 130, "q": 120},
    "few columns": {"n_clients": 16, "p": 24, "q": 5, "own": 3},
    "one column": {"n_clients": 30, "p": 12, "q": 1, "own": 2},
    "a unit in which squares overflow": {"size": 1e120},
}


@pytest.mark.parametrize("case", CASES)
def test_the_estimates_are_those_of_the_stack(case):
    factors = clients(**CASES[case])
    model, several = fitted(factors)
    pairs = several.new_model("m").refined_factors_
    for most in (None, 3):
        plain = [capped(pair, most) for pair in pairs]
        cuts = several.cut_products("m", most)
        assert_same(products(cuts), [np.matmul(*pair) for pair, _ in plain])
        np.testing.assert_allclose([cut.lost for cut in cuts], [lost for _, lost in plain], atol=1e-9)
    moved = [not np.allclose(np.matmul(*one), np.matmul(*pair)) for one, pair in zip(pairs, factors, strict=True)]
    assert case == "one column" or np.array_equal(moved, model.collaborative_set_)


def test_the_short_way_is_taken_and_not_the_stack(monkeypatch):
    factors = clients()
    _, several = fitted(factors)
    expected = products(several.cut_products("m", 3))
    monkeypatch.setattr(several, "new_model", None)
    assert_same(products(several.cut_products("m", 3)), expected)


def test_single_precision_on_large_sides_costs_its_square(monkeypatch):
    """The naive twin takes all eigenvectors in double precision; products turn a little, nothing else moves."""
    factors = clients(n_clients=20, p=290, q=280, own=15)
    members = np.array([k not in BAD for k in range(len(factors))])
    whole = products(refine_factors(factors, members, 2))
    quick = refine_factors(factors, members, 2, most=6)
    for place in ("leading", "nearest"):
        monkeypatch.setattr(f"clair_stats.refinement.{place}.LARGE", 10**9)
    exact = refine_factors(factors, members, 2, most=6)
    differ = [np.linalg.norm(one - other) for one, other in zip(products(quick), products(exact), strict=True)]
    assert max(differ) > 0.0  # another way was taken
    assert max(differ) <= 1e-3 * np.linalg.norm(whole[0])
    for block, one, other in zip(whole, products(quick), products(exact), strict=True):
        assert np.linalg.norm(block - one) <= (1.0 + 1e-7) * np.linalg.norm(block - other)
    np.testing.assert_allclose([cut.lost for cut in quick], [cut.lost for cut in exact], atol=1e-7)


def test_the_mean_of_the_members_comes_along():
    factors = clients(n_clients=13, p=290, q=280, own=15)
    model, several = fitted(factors)
    expected = np.mean(
        [np.matmul(*pair) for pair, benign in zip(factors, model.collaborative_set_, strict=True) if benign], axis=0
    )
    for most in (None, 4):
        *cuts, mean = several.cut_products("m", most, with_mean=True)
        assert_same(products(cuts), products(several.cut_products("m", most)))
        (left, right), lost = capped(mean_product([factors[k] for k in np.flatnonzero(model.collaborative_set_)]), most)
        assert_same([np.matmul(*mean.pair)], [left @ right if most else expected])
        np.testing.assert_allclose([mean.lost, mean.energy], [lost, np.sum(expected**2)], rtol=1e-9, atol=1e-12)


def test_the_mean_of_a_stack_comes_along():
    factors = clients()
    model, several = fitted(factors, refinement="average")
    *_, mean = several.cut_products("m", None, with_mean=True)
    expected = np.mean(
        [np.matmul(*pair) for pair, benign in zip(factors, model.collaborative_set_, strict=True) if benign], axis=0
    )
    assert_same([np.matmul(*mean.pair)], [expected])


@pytest.mark.parametrize("ratio", [1e3, 1e7])
def test_differences_far_below_the_mean_keep_their_digits(ratio):
    """Scatters are differences of products of factors; where those nearly cancel, blocks less the mean are taken."""
    rng = np.random.default_rng(5)
    common = ratio * np.outer(rng.standard_normal(20), rng.standard_normal(17))
    factors = clients()
    left, values, right = np.linalg.svd(common)
    own = (left[:, :1] * values[0], right[:1])
    joined = [(np.hstack([own[0], one]), np.vstack([own[1], other])) for one, other in factors]
    members = np.array([k not in BAD for k in range(len(factors))])
    # A common component is no error and no difference: it comes back as it was, with what the others say of the rest.
    expected, found = (products(refine_factors(some, members, 2)) for some in (factors, joined))
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one - common - other) <= 1e-13 * ratio * 1e3 * np.linalg.norm(other)


@pytest.mark.parametrize("options", [{"refinement": "average"}, {"shared": "rows"}, {"flagged": "inform"}])
def test_other_refinements_take_the_stack(options):
    factors = clients()
    if options.get("shared") == "rows":
        factors = [(right.T, left.T) for left, right in factors]
    _, several = fitted(factors, **options)
    plain = several.new_model("m").refined_factors_
    assert_same(products(several.cut_products("m", None)), [np.matmul(*pair) for pair in plain])


def test_a_client_of_absurd_size_outside_the_set_changes_nobody():
    factors = clients()
    members = np.array([k not in BAD for k in range(len(factors))])
    expected = products(refine_factors(factors, members, 2, most=3))
    factors[1] = (1e60 * factors[1][0], 1e60 * factors[1][1])
    found = products(refine_factors(factors, members, 2, most=3))
    assert_same([found[k] for k in np.flatnonzero(members)], [expected[k] for k in np.flatnonzero(members)])
    members[1] = True
    assert refine_factors(factors, members, 2, most=3) is None
    assert refine_factors(factors, np.arange(len(factors)) == 2, 2) is None


@pytest.mark.parametrize("way", ["factors", "stack"])
def test_what_each_started_from_is_added_before_the_cut(way):
    factors = clients()
    _, several = fitted(factors, refinement="shrinkage" if way == "factors" else "average")
    offsets = [np.where(np.arange(8) < 6, 0.0, -1.0)] * len(factors)
    plain = several.new_model("m").refined_factors_
    own = [(left * by, right) for (left, right), by in zip(factors, offsets, strict=True)]
    whole = [capped(sum_of_products(*both), 3)[0] for both in zip(plain, own, strict=True)]
    assert_same(products(several.cut_products("m", 3, offsets)), [np.matmul(*pair) for pair in whole])


def test_clients_that_agree_exactly_stay_as_they_are():
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((20, 2))
    factors = [(shared, rng.standard_normal((2, 9))) for _ in range(10)]
    found = refine_factors(factors, np.ones(10, dtype=bool), 2)
    assert_same(products(found), [left @ right for left, right in factors])


def test_factors_in_single_precision_are_those_in_double_and_the_mean_is_not_touched():
    factors = clients(n_clients=20, p=290, q=280, own=15)
    members = np.array([k not in BAD for k in range(len(factors))])
    *whole, mean = refine_factors(factors, members, 2, most=6, with_mean=True)
    *single, same = refine_factors(factors, members, 2, most=6, with_mean=True, single=True)
    assert all(cut.pair[0].dtype == np.float32 for cut, member in zip(single, members, strict=True) if member)
    for one, other in zip(products(single), products(whole), strict=True):
        assert np.linalg.norm(one - other) <= 1e-5 * np.linalg.norm(other)
    assert_same(products([same]), products([mean]))
    assert [cut.lost for cut in single] == [cut.lost for cut in whole]
