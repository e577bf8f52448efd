"""The loop: fixed points, cycles, sets that are left."""

import numpy as np
import pytest

from clair_stats.detection.fixed_point import Outcome, Tester, fixed_point
from clair_stats.detection.shared_fit import SharedFit


class _Scripted:
    """A tester that follows a script: set → who passes, spike ratio."""

    half = 3

    def __init__(self, script):
        self.script = {bytes(self.mask(k)): v for k, v in script.items()}
        self.asked = []

    @staticmethod
    def mask(members):
        found = np.zeros(6, dtype=bool)
        found[list(members)] = True
        return found

    def __call__(self, members):
        self.asked.append(tuple(np.flatnonzero(members)))
        passed, ratio = self.script[bytes(members)]
        fit = SharedFit(np.zeros((4, 0)), np.zeros((4, 2)), members, np.zeros(4), np.zeros((4, 4)))
        return Outcome(fit, None, self.mask(passed), ratio)

    to_the_end = False
    gives_up = Tester.gives_up


def _from(tester, start):
    found = fixed_point(tester, tester.mask(start))
    return tuple(np.flatnonzero(found.fit.members)), tuple(np.flatnonzero(found.passed))


def test_a_set_that_repeats_itself_ends_the_loop():
    tester = _Scripted({(0, 1, 2): ((0, 1, 2, 3), 0.9), (0, 1, 2, 3): ((0, 1, 2, 3), 0.9)})
    assert _from(tester, (0, 1, 2)) == ((0, 1, 2, 3), (0, 1, 2, 3))


@pytest.mark.parametrize(("small", "large", "left_at"), [(0.95, 1.01, 3), (0.95, 0.97, 5), (1.2, 1.01, 5)])
def test_a_cycle_is_left_at_its_largest_white_set(small, large, left_at):
    tester = _Scripted({(0, 1, 2, 3, 4): ((0, 1, 2), large), (0, 1, 2): ((0, 1, 2, 3, 4), small)})
    members, _ = _from(tester, (0, 1, 2, 3, 4))
    assert len(members) == left_at


def test_a_set_far_from_white_is_left_unless_a_member_fails():
    far = _Scripted({(0, 1, 2, 3): ((0, 1, 2, 3, 4), 2.5)})
    assert _from(far, (0, 1, 2, 3)) == ((0, 1, 2, 3), (0, 1, 2, 3, 4))
    assert len(far.asked) == 1
    blamed = _Scripted({(0, 1, 2, 3, 4): ((0, 1, 2), 2.5), (0, 1, 2): ((0, 1, 2), 0.9)})
    assert _from(blamed, (0, 1, 2, 3, 4)) == ((0, 1, 2), (0, 1, 2))
    hopeless = _Scripted({(0, 1, 2, 3, 4): ((0, 1, 2), 5.5)})
    assert _from(hopeless, (0, 1, 2, 3, 4)) == ((0, 1, 2, 3, 4), (0, 1, 2))
