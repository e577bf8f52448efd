"""The joint verdict on several modules: coordinates and fits against naive twins, both laws with their sabotages."""

import numpy as np
import pytest
from scipy import stats

from clair_stats.decomposition.modules.decompose_modules import decompose_modules
from clair_stats.detection.joint.levelling import as_factors, kept_ranks, levelled
from clair_stats.detection.joint.module import DenseModule, FactoredModule, module_of
from clair_stats.detection.joint.scatter import leading_directions, shares_of
from clair_stats.detection.joint.search import joint_half, program_sets, rank_by_gap, starting_pairs
from clair_stats.detection.joint.summed_law import accept_outward
from clair_stats.detection.joint.verdict import joint_verdict
from clair_stats.detection.joint.view import view_of
from clair_stats.detection.joint.walk_laws import Critical
from clair_stats.detection.joint.white import lancaster_sums, spread_is_refuted
from clair_stats.detection.panel import make_panel
from clair_stats.estimates import ClientEstimates

LEVEL = 0.05


def clients(seed, *, n_modules=3, n_clients=14, bad=(2, 5, 11), p=24, q=18, rank=2, kept=4, noise=0.1):
    """Modules of adapters: benign clients share a subspace and a common component, the bad ones are drawn at large."""
    generator = np.random.default_rng([73, seed])
    modules = []
    for _ in range(n_modules):
        basis = np.linalg.qr(generator.standard_normal((p, rank)))[0]
        blocks = basis @ generator.standard_normal((n_clients, rank, q)) + 0.1 * generator.standard_normal((p, q))
        for k in bad:
            drawn = generator.standard_normal((p, q))
            blocks[k] = drawn * np.sqrt(rank * q) / np.linalg.norm(drawn)
        blocks += noise * generator.standard_normal(blocks.shape)
        modules.append(blocks if kept is None else cut(blocks, np.full(n_clients, kept)))
    benign = np.ones(n_clients, dtype=bool)
    benign[list(bad)] = False
    return modules, benign


def cut(blocks, ranks):
    left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
    return (left * np.where(np.arange(sizes.shape[1]) < ranks[:, None], sizes, 0.0)[:, None, :]) @ right


def factors(blocks, rank):
    left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
    return tuple((left[k, :, :rank] * sizes[k, :rank], right[k, :rank]) for k in range(len(blocks)))


def verdict(modules, **options):
    records = [m if isinstance(m, ClientEstimates) else ClientEstimates(values=m) for m in modules]
    return joint_verdict(records, **{"rank": None, "level": LEVEL, **options})


def test_factors_give_the_inner_products_and_coordinates_of_their_products():
    blocks = clients(0)[0][0]
    dense, factored = DenseModule(blocks), module_of(ClientEstimates(factors=factors(blocks, 4)), "columns")
    np.testing.assert_allclose(factored.products, dense.products, atol=1e-12)
    # The joint rotations leave the spectrum of Σ X_kX_kᵀ alone.
    spectra = [np.linalg.eigvalsh(m.outer(m.inner(np.eye(m.shape[1])))) for m in (dense, factored)]
    np.testing.assert_allclose(spectra[1], spectra[0], atol=1e-10)


def test_products_with_the_scatter_are_those_of_the_scatter():
    generator = np.random.default_rng(1)
    ranks = [1, 3, 5, 2, 4, 1, 3, 3, 2, 6, 1, 2, 4, 3]
    left = [generator.standard_normal((24, s)) for s in ranks]
    right = [generator.standard_normal((s, 10)) for s in ranks]
    factored = FactoredModule(np.hstack(left), np.vstack(right), np.cumsum([0, *ranks]))
    blocks = np.stack([b @ a for b, a in zip(left, right, strict=True)])
    scales, design = generator.uniform(0.5, 2.0, 14), generator.uniform(0.5, 2.0, 14)
    weights, bases = generator.uniform(0.0, 1.0, (3, 14)), generator.standard_normal((3, 24, 2))
    own = np.array([4, 0, 13])
    scaled = blocks * scales[:, None, None]
    for module in (DenseModule(blocks), factored):
        shares = shares_of(weights, design)
        found = module.scattered(scales, design, weights, shares, bases)
        inner = module.own_inner(scales, design, shares, own, bases)
        for s, (w, basis) in enumerate(zip(weights, bases, strict=True)):
            mean = np.tensordot(w * design, scaled, axes=1) / np.sum(w * design**2)
            scatter = sum(w[k] * (d := scaled[k] - design[k] * mean) @ d.T for k in range(14))
            np.testing.assert_allclose(found[s], scatter @ basis, atol=1e-9)
            np.testing.assert_allclose(inner[s], (scaled[own[s]] - design[own[s]] * mean).T @ basis, atol=1e-9)


def test_subspace_iteration_finds_the_leading_eigenvectors():
    generator = np.random.default_rng(2)
    blocks = generator.standard_normal((6, 300, 3)) * np.geomspace(30, 1, 6)[:, None, None]
    module = DenseModule(blocks)
    found = leading_directions(module, np.ones(6), np.zeros(6), np.ones(6), 4)  # 300 rows: by iteration
    exact = np.linalg.eigh(np.einsum("kpq,krq->pr", blocks, blocks))[1][:, ::-1][:, :4]
    assert np.linalg.norm(exact - found @ (found.T @ exact)) < 1e-6


@pytest.mark.parametrize("common", [True, False])
def test_fits_and_leave_one_out_are_those_of_whole_blocks(common):
    blocks = clients(3)[0][0]
    scales = np.random.default_rng(4).uniform(0.5, 2.0, 14)
    design = scales if common else np.zeros(14)
    module = DenseModule(blocks)
    members = np.arange(14) < 9
    view = view_of(module, products=module.products, scales=scales, design=design, members=None, count=24)
    scaled = blocks * scales[:, None, None]

    def naive(chosen, client, rank):
        mean = np.zeros(blocks.shape[1:])
        if common:
            mean = np.einsum("k,kpq->pq", design[chosen], scaled[chosen]) / np.sum(design[chosen] ** 2)
        stack = np.hstack([scaled[k] - design[k] * mean for k in np.flatnonzero(chosen)])
        basis = np.linalg.svd(stack)[0][:, :rank]
        deviation = scaled[client] - design[client] * mean
        inside = np.sum((basis.T @ deviation) ** 2)
        return np.sum(deviation**2) - inside, inside

    for rank in (0, 2):
        off, inside = view.fits(members[None], rank)
        alone_off, alone_inside = view.leave_one_out(members, rank)
        for k in range(14):
            np.testing.assert_allclose((off[0, k], max(inside[0, k], 0)), naive(members, k, rank), atol=1e-9)
            others = members & (np.arange(14) != k)
            np.testing.assert_allclose((alone_off[k], max(alone_inside[k], 0)), naive(others, k, rank), atol=1e-9)


def test_a_few_directions_are_enough():
    """24 leading directions of 150 move no leave-one-out score by more than a hundredth of what scores scatter."""
    blocks = clients(5, p=150, q=40, n_modules=1)[0][0]
    module, members = DenseModule(blocks), np.ones(14, dtype=bool)
    options = {"products": module.products, "scales": np.ones(14), "design": np.ones(14), "members": members}
    few, all_of_them = (view_of(module, **options, count=count) for count in (24, 150))
    exact = np.log(all_of_them.leave_one_out(members, 2)[0])
    assert np.abs(np.log(few.leave_one_out(members, 2)[0]) - exact).max() < 0.01 * exact.std()


def test_the_half_is_pure_and_the_rank_is_the_shared_one():
    modules, benign = clients(6, bad=(0, 1, 2, 3, 4))
    views = [
        view_of(m, products=m.products, scales=np.ones(14), design=np.ones(14), members=None, count=24)
        for m in map(DenseModule, modules)
    ]
    halves = [joint_half(views, [rank] * 3, starting_pairs(14)) for rank in range(5)]
    assert not (halves[2].members & ~benign).any()
    assert halves[2].members.sum() == 8
    pure = halves[2].members
    assert rank_by_gap(views[0].fits_at_ranks(pure[None], 6)[:, 0, pure].mean(axis=1), 24) == 2
    assert rank_by_gap(0.9 ** np.arange(8), 24) == 0
    assert rank_by_gap(np.ones(2), 24) == 0


def test_one_decomposition_gives_the_fits_at_every_rank():
    blocks = clients(7)[0][0]
    module = DenseModule(blocks)
    view = view_of(module, products=module.products, scales=np.ones(14), design=np.ones(14), members=None, count=24)
    masks = starting_pairs(14)[-5:]
    together = view.fits_at_ranks(masks, 4)
    for rank in range(5):
        np.testing.assert_allclose(together[rank], view.fits(masks, rank)[0], rtol=1e-9, atol=1e-9)


def alarms(draws, n_clients, n_modules, correlation, *, weights=None):
    """How often anybody is flagged among normal log scores that share a part ``correlation`` between modules."""
    generator = np.random.default_rng([79, n_clients, n_modules])
    found = 0
    for _ in range(draws):
        own = generator.standard_normal((n_modules, n_clients))
        scores = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * generator.standard_normal(n_clients)
        sums = scores.sum(axis=0) if weights is None else weights(scores)
        walk = accept_outward(sums, sums, LEVEL)
        found += walk.torn or not walk.accepted.all()
    return found / draws


@pytest.mark.parametrize(("n_clients", "n_modules", "correlation"), [(6, 4, 0.5), (8, 64, 0.5), (12, 12, 0.0)])
def test_normal_sums_keep_the_level_however_modules_depend(n_clients, n_modules, correlation):
    draws = 500
    rate = alarms(draws, n_clients, n_modules, correlation)
    # Both looks see the same scores here, the case in which the level is used up: three binomial standard errors.
    assert abs(rate - LEVEL) <= 3 * np.sqrt(LEVEL * (1 - LEVEL) / draws)


def test_the_level_itself_as_critical_value_would_raise_too_many_alarms(monkeypatch):
    draws = 500
    monkeypatch.setattr(
        "clair_stats.detection.joint.summed_law.critical_values", lambda n_clients, level: Critical(level, 0.0)
    )
    assert alarms(draws, 8, 1, 0.0) > LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / draws)


def test_weights_estimated_from_the_members_would_break_the_level():
    """Sabotage: standard scores of the members, summed, as if they were weights known beforehand."""

    def estimated(scores):
        lower = np.argsort(scores.sum(axis=0))[: scores.shape[1] // 2 + 1]
        return (1.0 / scores[:, lower].std(axis=1)) @ scores

    draws = 500
    rate = alarms(draws, 8, 12, 0.0, weights=estimated)
    assert rate > LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / draws)


def white_panels(seed, *, noise_known, shared_error=0.0, n_clients=20):
    generator = np.random.default_rng([83, seed])
    spread = np.exp(shared_error * generator.standard_normal(n_clients))[:, None, None]
    panels = []
    for p, q in ((12, 6), (9, 10)):
        basis = np.linalg.qr(generator.standard_normal((p, 1)))[0]
        blocks = 2.0 * basis @ generator.standard_normal((n_clients, 1, q))
        blocks += 0.3 * spread * generator.standard_normal((n_clients, p, q))
        panels.append(make_panel(blocks, noise_scales=np.full(n_clients, 0.3) if noise_known else None))
    return panels


@pytest.mark.parametrize("noise_known", [True, False])
def test_sums_of_exact_statistics_are_uniform_on_benign_clients(noise_known):
    everyone = np.ones(20, dtype=bool)
    values = [
        lancaster_sums(white_panels(seed, noise_known=noise_known), (1, 1), everyone, LEVEL).p_values
        for seed in range(40)
    ]
    assert stats.kstest(np.concatenate(values), "uniform").pvalue > 1e-3
    refuted = sum(
        spread_is_refuted(lancaster_sums(white_panels(seed, noise_known=noise_known), (1, 1), everyone, LEVEL), LEVEL)
        for seed in range(40)
    )
    assert refuted <= 2  # at .005 each


def test_errors_that_modules_share_refute_the_exact_law():
    """Sabotage: clients whose error scale is their own in all modules; a sum of independent parts must not decide."""
    everyone = np.ones(20, dtype=bool)
    refuted = sum(
        spread_is_refuted(
            lancaster_sums(white_panels(seed, noise_known=False, shared_error=0.3), (1, 1), everyone, LEVEL), LEVEL
        )
        for seed in range(20)
    )
    assert refuted == 20


def test_with_known_noise_the_sum_is_that_of_the_statistics():
    panels, everyone = white_panels(0, noise_known=True), np.ones(20, dtype=bool)
    found = lancaster_sums(panels, (1, 1), everyone, LEVEL)
    from clair_stats.detection.shared_fit import fit_shared, standardised_residuals

    direct = sum(standardised_residuals(panel, fit_shared(panel, everyone, 1)).standardised for panel in panels)
    np.testing.assert_allclose(found.sums, direct, rtol=1e-8)
    assert found.degrees == 11 * 6 + 8 * 10


def test_ranks_are_levelled_to_the_lower_quartile_for_blocks_and_factors_alike():
    blocks = clients(8, kept=None, n_modules=1)[0][0]
    ranks = np.resize([4, 8, 12], 14)
    mixed = cut(blocks, ranks)
    pairs = tuple((pair[0][:, :r], pair[1][:r]) for pair, r in zip(factors(mixed, 12), ranks, strict=True))
    for record in (ClientEstimates(values=mixed), ClientEstimates(factors=pairs)):
        np.testing.assert_array_equal(kept_ranks(record), ranks)
        even, common, changed = levelled(record)
        assert (common, changed) == (4, True)
        np.testing.assert_allclose(even.dense(), cut(mixed, np.full(14, 4)), atol=1e-10)
    same = ClientEstimates(values=cut(blocks, np.full(14, 4)))
    assert levelled(same)[0] is same


def test_large_blocks_of_low_rank_are_taken_as_factors_and_others_as_they_are():
    blocks = clients(9, p=80, q=70, kept=None, n_modules=1)[0][0]
    low, full = ClientEstimates(values=cut(blocks, np.full(14, 4))), ClientEstimates(values=blocks)
    factored = as_factors(low)
    assert factored.factors is not None
    np.testing.assert_allclose(factored.dense(), low.dense(), atol=1e-10)
    np.testing.assert_array_equal(kept_ranks(factored), 4)
    assert as_factors(full) is full
    one_is_full = np.concatenate([low.dense()[:13], blocks[13:]])
    record = ClientEstimates(values=one_is_full)
    assert as_factors(record) is record


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_several_modules_find_the_bad_clients_under_every_disguise(seed):
    modules, benign = clients(seed + 40)
    generator = np.random.default_rng(seed)
    plain = verdict(modules)
    np.testing.assert_array_equal(plain.collaborative_set, benign)
    assert (plain.law, plain.cut_to) == ("log scores", (None,) * 3)
    assert plain.scale != "norms divided out"
    # The scale of a client is its own affair, and so is the rank it keeps.
    scales = np.exp(0.7 * generator.standard_normal(14))[:, None, None]
    scaled = verdict([scales * m for m in modules])
    np.testing.assert_array_equal(scaled.collaborative_set, benign)
    assert scaled.scale == "norms divided out"
    full = clients(seed + 40, kept=None)[0]
    ranks = np.resize([4, 8, 12], 14)
    mixed = verdict([cut(m, ranks) for m in full])
    np.testing.assert_array_equal(mixed.collaborative_set, benign)
    assert mixed.cut_to == (4, 4, 4)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_program_alone_proposes_halves_that_lead_to_the_set(scaled):
    for seed in range(2):
        modules, benign = clients(seed + 40)
        scales = np.exp(0.7 * np.random.default_rng(seed).standard_normal(14))[:, None, None] if scaled else 1.0
        found = verdict([scales * m for m in modules], program=True)
        np.testing.assert_array_equal(found.collaborative_set, benign)
        if not scaled:
            known = verdict(
                [ClientEstimates(values=m, sample_sizes=np.arange(20, 34)) for m in modules], program=True
            )  # sizes that say nothing: weights of the votes only
            np.testing.assert_array_equal(known.collaborative_set, benign)


def test_halves_of_the_program_are_those_with_the_smallest_joint_norms():
    modules, benign = clients(44)
    module = [DenseModule(m) for m in modules]
    views = [
        view_of(m, products=m.products, scales=np.ones(14), design=np.ones(14), members=None, count=24) for m in module
    ]
    halves = program_sets(views)
    assert (halves.sum(axis=1) == 8).all()
    assert (~halves[:, ~benign].any(axis=1)).any()  # with too large a penalty a half may be anything
    whole = decompose_modules(modules, tol=1e-3)  # the same program on whole blocks
    half = np.zeros(14, dtype=bool)
    half[np.argsort(whole.block_norms)[:8]] = True
    assert (halves == half).all(axis=1).any()


def test_the_verdict_does_not_depend_on_units_order_or_form():
    modules, benign = clients(30)
    first = verdict(modules)
    units = verdict([1e6 * modules[0], 1e-6 * modules[1], modules[2]])
    np.testing.assert_allclose(units.scores, first.scores, rtol=1e-6)
    factored = verdict([ClientEstimates(factors=factors(m, 4)) for m in modules])
    np.testing.assert_allclose(factored.scores, first.scores, rtol=1e-6)
    turned = verdict([m.transpose(0, 2, 1) for m in modules], shared="rows")
    np.testing.assert_allclose(turned.scores, first.scores, rtol=1e-6)
    order = np.random.default_rng(0).permutation(14)
    moved = verdict([m[order] for m in modules])
    np.testing.assert_array_equal(moved.collaborative_set, benign[order])
    np.testing.assert_allclose(moved.scores, first.scores[order], rtol=1e-6)


def test_white_errors_are_tested_exactly_and_others_are_not():
    modules, benign = clients(37, kept=None)
    found = verdict(modules)
    assert found.law == "white errors"
    np.testing.assert_array_equal(found.collaborative_set, benign)
    known = joint_verdict(
        [ClientEstimates(values=m, noise_scales=np.full(14, 0.1)) for m in modules], rank=2, level=LEVEL
    )
    assert known.law == "white errors"
    np.testing.assert_array_equal(known.collaborative_set, benign)
    wrong = joint_verdict(
        [ClientEstimates(values=m, noise_scales=np.full(14, 0.05)) for m in modules], rank=2, level=LEVEL
    )
    assert wrong.law == "log scores"  # half the noise there is: nobody would be left
    np.testing.assert_array_equal(wrong.collaborative_set, benign)


def test_clients_that_agree_exactly_are_benign():
    modules, benign = clients(32, noise=0.0, kept=None)
    found = verdict(modules)
    np.testing.assert_array_equal(found.collaborative_set, benign)
    assert found.ranks == (2, 2, 2)


def test_too_few_clients_and_torn_majorities_give_no_verdict():
    few = verdict([m[:5] for m in clients(33)[0]])
    assert not few.majority
    assert not few.collaborative_set.any()
    assert "5 clients" in few.reason
    # Six of twelve agree: the half needs a seventh client, and it stands out.
    torn = verdict(clients(34, n_clients=12, bad=range(6))[0])
    assert not torn.majority
    assert "no more than half" in torn.reason
