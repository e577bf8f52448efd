"""True errors that are smaller than what passes for recovered, and balls that swallow a client's contamination."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from simulations.design import content_hash
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from theory_checks.instances.noisy import NoisyRegime
from theory_checks.instances.recovery import AdversarialRegime
from theory_checks.judge.family import repetition_seed
from theory_checks.methods import exact_program
from theory_checks.methods.exact_program import RecoveryMethod
from theory_checks.methods.noise_ball import BallMethod

# Repetition and replication of instances that called the claim violated: η is 1.02 to 1.05, the error 5e-5 to 7e-5.
_SMALL_ERRORS = ((17, True, 40), (40, True, 18), (49, False, 10), (74, True, 38))


def _instance(repetition: int, replication: int, *, common: bool, lowest: float, highest: float) -> Instance:
    regime = AdversarialRegime(common_component=common, lowest=lowest, highest=highest)
    return regime.generate(Streams(repetition_seed(repetition), content_hash(regime), replication))


def _row(instance: Instance) -> Mapping[str, float]:
    return RecoveryMethod().evaluate(instance, np.random.default_rng(0))


@pytest.mark.parametrize(("repetition", "common", "replication"), _SMALL_ERRORS)
def test_a_small_true_error_speaks_for_the_certificate(repetition: int, common: bool, replication: int) -> None:
    row = _row(_instance(repetition, replication, common=common, lowest=-1.0, highest=2.0))
    assert row["eta"] > 1.02
    assert row["recovered"] == 1  # as far as its size tells
    assert row["oracle_beaten"] == 1
    assert row["contradiction"] == 0


def test_a_recovered_solution_does_not_beat_the_oracle() -> None:
    rows = [_row(_instance(1, i, common=bool(i % 2), lowest=0.02, highest=0.98)) for i in range(12)]
    assert all(row["certified"] == 1 and row["recovered"] == 1 for row in rows)
    assert not any(row["oracle_beaten"] for row in rows)


def test_a_certificate_that_refutes_what_is_recovered_is_contradicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage: η is said to be 1.03 times as large as it is where recovery is certified nearly to the border."""
    instance = next(
        found
        for found in (_instance(2, i, common=False, lowest=0.02, highest=0.98) for i in range(200))
        if 0.975 < exact_program.certificate_of(found).eta < 0.995
    )
    assert _row(instance)["contradiction"] == 0
    true = exact_program.certificate_of

    class Inflated:
        def __init__(self, found: Instance) -> None:
            self._true = true(found)

        def __getattr__(self, name: str) -> object:
            return 1.03 * self._true.eta if name == "eta" else getattr(self._true, name)

    monkeypatch.setattr(exact_program, "certificate_of", Inflated)
    row = _row(instance)
    assert row["oracle_beaten"] == 0
    assert row["contradiction"] == 1


def test_a_ball_larger_than_the_contamination_is_outside_the_claim_about_the_slope() -> None:
    """Of this instance the error over the radius falls from 11 to 0.5 while the radius grows over the distance."""
    regime = NoisyRegime(common_component=False, shapes=("gaussian", "off-subspace"))
    instance = regime.generate(Streams(repetition_seed(33), content_hash(regime), 9))
    rows = {
        radius: BallMethod(relative_radius=radius).evaluate(instance, np.random.default_rng(0))
        for radius in (1e-4, 1e-3, 1e-2)
    }
    assert rows[1e-4]["below_distances"] == rows[1e-3]["below_distances"] == 1
    assert rows[1e-2]["below_distances"] == 0
    assert rows[1e-2]["amplification"] < 0.1 * rows[1e-4]["amplification"]
