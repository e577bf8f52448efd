"""Errors that are not white inside a client: the law is learnt from the clients."""

import numpy as np
import pytest
from scipy import stats

from clair_stats import CLAIR
from clair_stats.detection.decide import decide
from clair_stats.detection.half_sets import Half, choose_rank, least_median_halves
from clair_stats.detection.levelling import kept_ranks, levelled
from clair_stats.detection.log_scores import accept_outward, combined, learnt_set, leave_one_out, prediction_p_values
from clair_stats.detection.panel import make_panel
from clair_stats.detection.step_3_law import errors_are_white, noise_in_excess, sphericity


def cut(blocks, ranks):
    left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
    kept = np.where(np.arange(sizes.shape[1]) < np.resize(ranks, len(blocks))[:, None], sizes, 0.0)
    return (left * kept[:, None, :]) @ right


def federation(seed, *, n_clients=24, p=30, q=24, rank=2, n_bad=7, noise=0.1, ranks=(4,)):
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.normal(size=(p, rank)))[0]
    common = 0.1 * generator.normal(size=(p, q))
    blocks = common + basis @ generator.normal(size=(n_clients, rank, q))
    bad = np.zeros(n_clients, dtype=bool)
    bad[generator.permutation(n_clients)[:n_bad]] = True
    blocks[bad] = common + generator.normal(size=(n_bad, p, q)) * np.sqrt(rank / p)
    blocks = blocks + noise * generator.normal(size=blocks.shape)
    return cut(blocks, ranks), bad


@pytest.mark.parametrize(
    "ranks", [(4,), (4, 8, 12), *(pytest.param(ranks, marks=pytest.mark.slow) for ranks in ((3,), (8,)))]
)
def test_contaminated_adapters_are_found_without_being_told_anything(ranks):
    exact = 0
    for seed in range(10):
        blocks, bad = federation([11, seed], ranks=ranks)
        model = CLAIR().fit(blocks)
        assert model.consensus_.law == "log scores"
        exact += int(np.array_equal(model.collaborative_set_, ~bad))
    assert exact >= 9  # .97 a run: fewer than 9 of 10 has probability .03, and the seeds are fixed


def test_interpolation_is_no_agreement():
    # 12 clients of 64 × 64 with errors of rank 4: rank 24 spans any seven of them, whoever they are.
    blocks, bad = federation([12, 0], n_clients=12, p=64, q=64, n_bad=3)
    model = CLAIR().fit(blocks)
    assert model.rank_ == 2
    np.testing.assert_array_equal(model.collaborative_set_, ~bad)


def test_white_errors_keep_the_exact_law():
    blocks, bad = federation([13, 0], ranks=(24,))
    model = CLAIR().fit(blocks)
    assert model.consensus_.law == "F of white errors"
    np.testing.assert_array_equal(model.collaborative_set_, ~bad)
    assert "F of white errors" in model.summary()


def test_summary_names_the_law_and_the_common_rank():
    text = CLAIR().fit(federation([14, 0], ranks=(4, 8, 12))[0]).summary()
    assert "log scores (errors are not white inside a client" in text
    assert "cut to rank 4" in text


@pytest.mark.parametrize(("p", "q"), [(20, 10), (10, 30), (40, 40)])
def test_sphericity_is_standard_for_white_errors_and_large_for_cut_ones(p, q):
    white = np.random.default_rng(15).normal(size=(4000, p, q))
    values = sphericity(white, 0)
    # The mean is exact; four Monte Carlo errors.
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(4000)
    assert 0.8 < values.std() < 1.2
    assert sphericity(cut(white[:20], (4,)), 0).min() > 3.0
    assert not errors_are_white(cut(white[:20], (4,)), 0, 0.0)
    assert errors_are_white(white[:20], 0, 0.0)


def test_sphericity_against_its_definition():
    block = np.random.default_rng(16).normal(size=(1, 6, 9))
    sample = block[0] @ block[0].T / 9
    scaled = sample / (np.trace(sample) / 6) - np.eye(6)
    expected = 9 * (np.trace(scaled @ scaled) / 6 - (6 * 16 / 56 - 1)) / 2
    np.testing.assert_allclose(sphericity(block, 0), [expected], rtol=1e-12)


def test_rounding_and_single_columns_say_nothing():
    assert errors_are_white(np.full((5, 4, 3), 1e-14), 1, floor=1e-11)
    assert errors_are_white(np.random.default_rng(17).normal(size=(5, 4, 1)), 1, floor=0.0)


def test_best_half_is_benign_and_beats_every_half_of_a_small_problem():
    from itertools import combinations

    from clair_stats.detection.shared_fit import centred_blocks, fit_shared
    from clair_stats.linalg import block_norms, project_off

    blocks, bad = federation([18, 0], n_clients=8, p=8, q=6, rank=1, n_bad=3, noise=0.05, ranks=(3,))
    panel = make_panel(blocks)
    (found,) = least_median_halves(panel, rank=1)
    assert not (found.members & bad).any()

    def worst(chosen):
        members = np.isin(np.arange(8), chosen)
        fit = fit_shared(panel, members, 1)
        residual = block_norms(project_off(fit.basis, centred_blocks(panel, fit))) ** 2
        return np.sort(residual)[4]

    assert found.worst <= 1.05 * min(worst(chosen) for chosen in combinations(range(8), 5))


def test_rank_is_the_gap_that_stands_out():
    def halves(*worst):
        return tuple(Half(r, np.ones(3, dtype=bool), w) for r, w in enumerate(worst))

    assert choose_rank(halves(10.0, 6.0, 1.0, 0.9, 0.8), 40).rank == 2
    assert choose_rank(halves(1.0, 0.9, 0.8, 0.7), 40).rank == 0


def test_leave_one_out_against_a_refit_by_hand():
    blocks, _ = federation([19, 0], n_clients=9, p=7, q=5, n_bad=0, ranks=(4,))
    members = np.arange(9) < 7
    off, inside = leave_one_out(make_panel(blocks), members, 2)
    for k in (0, 8):
        rest = blocks[[j for j in range(7) if j != k]]
        centre = rest.mean(axis=0)
        basis = np.linalg.svd(np.concatenate(list(rest - centre), axis=1))[0][:, :2]
        within = basis.T @ (blocks[k] - centre)
        np.testing.assert_allclose(inside[k], np.sum(within**2), rtol=1e-9)
        np.testing.assert_allclose(off[k], np.sum((blocks[k] - centre - basis @ within) ** 2), rtol=1e-9)


def test_prediction_p_values_are_uniform_and_against_the_t_test():
    generator = np.random.default_rng(20)
    scores = generator.normal(size=12)
    members = np.arange(12) < 11
    expected = stats.ttest_ind([scores[11]], scores[:11], alternative="greater").pvalue
    np.testing.assert_allclose(prediction_p_values(scores, members)[11], expected, rtol=1e-9)


def test_two_looks_flag_by_either_route():
    np.testing.assert_allclose(combined(np.array([0.001, 0.04, 0.04]), np.array([0.9, 0.03, 0.5])), [0.005, 0.04, 0.2])


def test_outward_walk_keeps_normal_scores_and_stops_an_outlier():
    generator = np.random.default_rng(21)
    alarms = 0
    for _ in range(400):
        scores = generator.normal(size=20)
        alarms += int(not accept_outward(scores, generator.normal(size=20), 11, 0.05).all())
    assert alarms <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)
    scores = np.append(generator.normal(size=20), 12.0)
    assert not accept_outward(scores, scores, 11, 0.05)[20]


def test_ranks_are_levelled_to_the_lower_quartile_only():
    blocks, _ = federation([22, 0], n_bad=0, ranks=(4, 8, 12))
    panel = make_panel(blocks)
    assert set(kept_ranks(panel)) == {4, 8, 12}
    level, common = levelled(panel)
    assert common == 4
    assert set(kept_ranks(level)) == {4}
    lone, _ = federation([22, 1], n_bad=0, ranks=(1, *([6] * 23)))
    assert levelled(make_panel(lone))[1] is None or levelled(make_panel(lone))[1] == 6


def test_thresholds_agree_with_the_set():
    for seed in range(5):
        panel = make_panel(federation([23, seed])[0])
        found = decide(panel, rank=None, level=0.05)
        calibrated = found.calibrated
        np.testing.assert_array_equal(calibrated.scores > calibrated.thresholds, ~found.collaborative_set)


def test_given_rank_is_kept():
    panel = make_panel(federation([24, 0])[0])
    assert learnt_set(panel, np.ones(24, dtype=bool), 3, 0.05).fit.basis.shape[1] == 3
    assert CLAIR(rank=3).fit(panel.blocks).rank_ == 3


def test_scales_of_clients_are_divided_out_only_where_they_differ():
    blocks, bad = federation([25, 0])
    assert not decide(make_panel(blocks), rank=None, level=0.05).normalised
    factors = np.exp(np.random.default_rng(26).uniform(-1.0, 1.0, len(blocks)))
    scaled = factors[:, None, None] * blocks
    model = CLAIR().fit(scaled)
    assert model.consensus_.normalised
    assert "norms were divided out" in model.summary()
    np.testing.assert_array_equal(model.flagged_, bad)
    # Scores are on the clients' own scales.
    assert np.corrcoef(np.log(model.scores_[~bad]), np.log(factors[~bad]))[0, 1] > 0.9


def test_excess_is_one_for_the_right_scale_and_the_factor_for_a_wrong_one():
    from clair_stats.detection.shared_fit import fit_shared

    rng = np.random.default_rng(27)
    blocks = rng.normal(size=(20, 12, 6))
    for told, expected in ((1.0, 1.0), (0.5, 2.0)):
        panel = make_panel(blocks, noise_scales=np.full(20, told))
        fit = fit_shared(panel, np.ones(20, dtype=bool), 0)
        assert noise_in_excess(panel, fit) == pytest.approx(expected, rel=0.03)
