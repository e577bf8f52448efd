"""Stacks that are gone through in parts, and work that is left out: the same numbers as with everything at once."""

import numpy as np
import pytest

from clair_stats import CLAIR
from clair_stats.detection import decide as decide_module
from clair_stats.detection.decide import decide
from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import (
    centre_and_scatter,
    centred_blocks,
    fit_shared,
    inside_subspace,
    residuals_along,
    standardised_residuals,
)
from clair_stats.detection.step_3_law import white_off_common_directions
from clair_stats.detection.trimmed_fits import directions_above_noise
from clair_stats.linalg import project_off
from tests.detection.instances import benign_stack, contaminate_some


def _stack(seed, **shape):
    rng = np.random.default_rng(seed)
    blocks, *_ = benign_stack(rng, **shape)
    return contaminate_some(rng, blocks, 8)[0]


def _in_parts(monkeypatch, blocks, clients=4):
    monkeypatch.setattr("clair_stats.detection.panel._PART", clients * blocks[0].size)
    monkeypatch.setattr("clair_stats.detection.panel._KEPT", clients * blocks[0].size)
    monkeypatch.setattr("clair_stats.refinement.others._TOGETHER", clients * blocks[0].size)
    monkeypatch.setattr("clair_stats.refinement.shrink._MOST_KEPT", 0)


@pytest.mark.parametrize("common_component", [True, False])
@pytest.mark.parametrize("scales", [None, np.linspace(0.1, 0.4, 30)])
def test_every_piece_of_a_panel_in_parts(monkeypatch, scales, common_component):
    blocks = _stack(1, p=12)
    options = {"noise_scales": scales, "common_component": common_component}
    members, whole = np.arange(30) % 3 > 0, make_panel(blocks, **options)
    assert len(whole.parts) == 1
    fit = fit_shared(whole, members, 3)
    residuals, directions = standardised_residuals(whole, fit), np.eye(12)[:, :2]
    _in_parts(monkeypatch, blocks)
    parts = make_panel(blocks, **options)
    assert len(parts.parts) == 8
    assert parts.moments is None
    np.testing.assert_allclose(parts.centred_energies, np.sum(whole.tall**2, axis=(1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(parts.canonical_order, whole.canonical_order)
    np.testing.assert_allclose(parts.sign_spectrum[0], whole.sign_spectrum[0], rtol=1e-9)
    ours, theirs = directions_above_noise(parts), directions_above_noise(whole)
    np.testing.assert_allclose(ours.outside, theirs.outside, rtol=1e-8)
    assert white_off_common_directions(parts) == white_off_common_directions(whole)
    for one, other in zip(centre_and_scatter(parts, members), centre_and_scatter(whole, members), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    found = standardised_residuals(parts, fit)
    for field in ("raw", "standardised", "degrees", "leverage"):
        np.testing.assert_allclose(getattr(found, field), getattr(residuals, field), rtol=1e-9, err_msg=field)
    centred = centred_blocks(whole, fit)
    np.testing.assert_allclose(inside_subspace(parts, fit), fit.basis.T @ centred, atol=1e-12)
    expected = directions.T @ project_off(fit.basis, centred)
    np.testing.assert_allclose(residuals_along(parts, fit, directions), expected, atol=1e-12)
    np.testing.assert_allclose(found.raw, np.sum(project_off(fit.basis, centred) ** 2, axis=(1, 2)), rtol=1e-9)


@pytest.mark.parametrize(("flagged", "q"), [("ignore", 8), ("inform", 8), ("ignore", 1)])
def test_a_fit_in_parts_is_the_fit(monkeypatch, flagged, q):
    blocks = _stack(2, q=q)
    whole = CLAIR(flagged=flagged).fit(blocks)
    _in_parts(monkeypatch, blocks)
    parts = CLAIR(flagged=flagged).fit(blocks)
    np.testing.assert_array_equal(parts.collaborative_set_, whole.collaborative_set_)
    assert parts.rank_ == whole.rank_
    np.testing.assert_allclose(parts.p_values_, whole.p_values_, rtol=1e-7)
    np.testing.assert_allclose(parts.refined_, whole.refined_, atol=1e-9)


def test_generic_use_in_batches_of_draws(monkeypatch):
    """Other draws, the same law: a direction of a third of the clients is told from one that all use."""
    monkeypatch.setattr("clair_stats.detection.generic_use._BATCH", 30 * 24 * 4)
    for minority in (False, True):
        generator = np.random.default_rng(35)
        coefficients = generator.normal(size=(30, 3, 4))
        if minority:
            coefficients[10:, 2] = 0.0
        blocks = np.eye(15)[:, :3] @ coefficients + 0.1 * generator.normal(size=(30, 15, 4))
        panel = make_panel(blocks)
        fit = fit_shared(panel, np.ones(30, dtype=bool), 3)
        plausible = decide_module.used_by_all(panel, fit, 0.1 / panel.unit, rank=2, counts=(20,), level=0.01)
        assert plausible is not minority


@pytest.mark.parametrize("p", [4, 12])
def test_proposals_leave_blocks_of_one_column_alone(p):
    """A transposed column is contiguous: without a copy the panel itself was centred."""
    rng = np.random.default_rng(3)
    blocks = 5.0 + 0.1 * rng.standard_normal((20, p, 1))
    blocks[:4] += rng.standard_normal((4, p, 1))
    panel = make_panel(blocks)
    before = panel.blocks.copy()
    assert panel.proposals
    np.testing.assert_array_equal(panel.blocks, before)


def test_candidates_that_do_not_grow_are_left_out_without_another_verdict(monkeypatch):
    panels = [make_panel(_stack(seed, noise=noise)) for seed in range(5, 10) for noise in (0.1, 0.4)]
    found = [decide(panel, rank=None, level=0.05) for panel in panels]
    monkeypatch.setattr(decide_module, "_any_grows", lambda *_: True)
    for panel, one in zip(panels, found, strict=True):
        other = decide(panel, rank=None, level=0.05)
        np.testing.assert_array_equal(one.collaborative_set, other.collaborative_set)
        assert (one.accepted, one.source, one.evidence) == (other.accepted, other.source, other.evidence)


def test_a_remembered_spectrum_is_that_of_the_set():
    """Five sets, of which four are kept, asked for twice in two orders."""
    blocks = _stack(4)
    panel = make_panel(blocks)
    masks = [np.arange(30) % 5 != remainder for remainder in range(5)]
    for members in (*masks, *masks[::-1]):
        fit, fresh = fit_shared(panel, members, 2), fit_shared(make_panel(blocks), members, 2)
        np.testing.assert_array_equal(fit.eigenvalues, fresh.eigenvalues)
        np.testing.assert_array_equal(fit.common, fresh.common)
    assert len(panel.spectra) == 4
