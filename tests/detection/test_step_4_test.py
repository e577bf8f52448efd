"""The test of a set: fixed points, cycles, exact refits of clients with high leverage, shared directions."""

import numpy as np
import pytest

from clair_stats.detection.panel import make_panel
from clair_stats.detection.shared_fit import SharedFit
from clair_stats.detection.step_4_test import SHARES, Outcome, SetTest
from tests.detection.instances import benign_stack


class _Scripted(SetTest):
    """A tester that follows a script: set → who passes, spike ratio."""

    def __init__(self, script):
        super().__init__(make_panel(np.random.default_rng(0).standard_normal((5, 4, 2))), level=0.05)
        self.script = {bytes(self.mask(k)): v for k, v in script.items()}

    @staticmethod
    def mask(members):
        return np.isin(np.arange(5), members)

    def __call__(self, members, rank):
        passed, ratio = self.script[bytes(members)]
        fit = SharedFit(np.zeros((4, 0)), np.zeros((4, 2)), members, np.zeros(4), np.zeros((4, 4)))
        return Outcome(fit, None, self.mask(passed), lambda: ratio, lambda: True)


def _from(tester, start):
    found = tester.agreed(tester.mask(start), 0)
    return tuple(np.flatnonzero(found.fit.members)), tuple(np.flatnonzero(found.passed))


def test_a_set_that_repeats_itself_ends_the_loop():
    tester = _Scripted({(0, 1, 2): ((0, 1, 2, 3), 0.9), (0, 1, 2, 3): ((0, 1, 2, 3), 0.9)})
    assert _from(tester, (0, 1, 2)) == ((0, 1, 2, 3), (0, 1, 2, 3))


@pytest.mark.parametrize(("small", "large", "left_at"), [(0.95, 1.01, 3), (0.95, 0.97, 5), (1.2, 1.01, 5)])
def test_a_cycle_is_left_at_its_largest_white_set(small, large, left_at):
    tester = _Scripted({(0, 1, 2, 3, 4): ((0, 1, 2), large), (0, 1, 2): ((0, 1, 2, 3, 4), small)})
    members, _ = _from(tester, (0, 1, 2, 3, 4))
    assert len(members) == left_at


def test_the_level_is_split_without_rest():
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_a_direction_bought_by_one_client_is_seen_by_its_exact_refit():
    """Its own direction of the fit has leverage near one: the first-order score says nothing about it."""
    missed = caught = 0
    for seed in range(20):
        rng = np.random.default_rng([1, seed])
        blocks, *_ = benign_stack(rng, n_clients=20, p=12, q=1, rank=1, noise=0.1)
        blocks[0] += 1.5 * np.linalg.qr(rng.standard_normal((12, 1)))[0]
        everyone = np.ones(20, dtype=bool)
        panel = make_panel(blocks)
        caught += not SetTest(panel, level=0.05)(everyone, 2).passed[0]
        blind = SetTest(panel, level=0.05)
        blind._exact_refits = lambda fit, residuals, calibrated: calibrated
        missed += blind(everyone, 2).passed[0]
    assert missed >= 15
    assert caught >= 18


def test_p_values_thresholds_and_the_set_tell_one_story():
    for seed in range(10):
        rng = np.random.default_rng([2, seed])
        blocks, *_ = benign_stack(rng, n_clients=16, p=10, q=2, rank=1, noise=0.2)
        blocks[:4] += rng.standard_normal((4, 10, 2)) * rng.uniform(0.2, 1.5, (4, 1, 1))
        test = SetTest(make_panel(blocks), level=0.05)
        found = test(np.arange(16) >= 4, 1)
        np.testing.assert_array_equal(found.passed, found.calibrated.p_values >= test.alpha)
        np.testing.assert_array_equal(found.passed, found.calibrated.scores <= found.calibrated.thresholds)


def test_without_a_p_value_nobody_is_benign_unless_the_whole_space_is_shared():
    blocks = np.random.default_rng(3).standard_normal((4, 3, 1))
    test = SetTest(make_panel(blocks), level=0.05)
    everyone = np.ones(4, dtype=bool)
    assert not test(everyone, 2).passed.any()  # no degree of freedom is left to learn the noise from
    assert test(everyone, 3).passed.all()
