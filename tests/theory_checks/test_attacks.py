"""The attacks of a referee on the checks, each of them caught.

A changed source on resume is in tests/engine/test_provenance.py, a study or family that is not registered as it runs in
the tests of the registration.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from simulations.design import content_hash
from simulations.streams import Streams
from theory_checks.claims.combination import AnyContamination, Dominance
from theory_checks.claims.shrinkage import AgainstCompromise
from theory_checks.instances.heterogeneous import Differing
from theory_checks.instances.noisy import ERROR_SHAPES, NoisyRegime
from theory_checks.judge.grades import Graded, page
from theory_checks.judge.run import judge_rows
from theory_checks.judge.verdict import FAMILY_LEVEL, decide
from theory_checks.methods import noise_ball
from theory_checks.methods.noise_ball import BallMethod
from theory_checks.registry import all_claims, family_size
from theory_checks.rules.decision import AlwaysRule
from theory_checks.rules.means import MeanRule

CLAIMS = all_claims()


def rows(regime, method, n, seed=3):
    """n instances of a regime, evaluated."""
    found = []
    for replication in range(n):
        instance = regime.generate(Streams(seed, content_hash(regime), replication))
        found.append(method.evaluate(instance, np.random.default_rng(replication)))
    return pd.DataFrame(found)


def test_bounds_that_are_too_small_are_found_each_by_its_own_claim(monkeypatch):
    """÷ 5 breaks the bound after the solution; c♯ is loose by ten or more and needs a larger divisor."""
    regime = NoisyRegime(shapes=("rank-one", "dual-row-space"))
    # Every bound is about the same solutions: each instance is solved once.
    solve, solved = noise_ball._solved, {}

    def once(instance, radius):
        key = instance.targets.tobytes()
        if key not in solved:
            solved[key] = solve(instance, radius)
        return solved[key]

    monkeypatch.setattr(noise_ball, "_solved", once)
    for bound, divisor in (("solution", 5.0), ("subspace", 25.0), ("angle", 100.0)):
        found = AlwaysRule().assess(rows(regime, BallMethod(bound=bound, divisor=divisor), 8))
        assert found.p_value == 0.0, bound
        sound = AlwaysRule().assess(rows(regime, BallMethod(bound=bound), 4))
        assert sound.p_value == 1.0, bound
    assert len(solved) == 8


def test_adversarial_errors_spend_the_budget_and_have_norm_one():
    for shape in ERROR_SHAPES:
        regime = NoisyRegime(shapes=(shape,))
        instance = regime.generate(Streams(3, content_hash(regime), 0))
        assert np.linalg.norm(instance.extras["direction"]) == pytest.approx(1.0)
    regime = NoisyRegime(shapes=("against-dual",))
    found = rows(regime, BallMethod(), 3)
    assert found["loss_budget"].max() < 1.01  # of 2ε‖Q‖: nothing of it is given away
    random = rows(NoisyRegime(shapes=("gaussian",)), BallMethod(), 3)
    assert random["loss_budget"].min() > 1.2


def test_a_doubled_james_stein_reach_is_found_where_it_costs():
    """Twice Stein's constant does not break dominance, by its proof; it breaks the compromise."""
    doubled = rows(Differing(heterogeneity=1.0), AgainstCompromise(reach=2.0), 20)
    rule = MeanRule("surplus", low=None, high=0.01, spread=0.1)
    assert rule.assess(doubled).p_value < FAMILY_LEVEL / family_size()
    assert rule.assess(rows(Differing(heterogeneity=1.0), AgainstCompromise(), 20)).p_value > 0.5


@pytest.mark.slow
def test_a_reach_of_six_breaks_dominance_and_a_reach_of_two_does_not():
    excess = MeanRule("excess", low=None, high=0.01, spread=0.03)
    assert excess.assess(rows(AnyContamination(), Dominance(reach=2.0), 60)).estimate < 0.01
    assert excess.assess(rows(AnyContamination(), Dominance(reach=6.0), 60)).estimate > 0.01


@pytest.mark.parametrize("identifier", CLAIMS)
def test_rows_without_a_number_never_support_a_claim(identifier):
    """95 of 100 NaN, the others as good as can be, as the review tried."""
    claim = CLAIMS[identifier]
    study = claim.study("quick")
    cells = [cell for cell in claim.judged[0].cells for _ in range(100)]
    base = pd.DataFrame({"cell": [cell.hash for cell in cells], "status": "ok"})
    base["replication"] = np.tile(np.arange(100), len(claim.judged[0].cells))
    for assumption in claim.assumptions:
        base[assumption.column] = 1.0
    base["relative_gap"] = 0.0
    frame = base.assign(**dict.fromkeys(_statistics(claim.rule), np.nan))
    (verdict,) = judge_rows([claim], lambda asked: frame, "quick", family=family_size(), with_sabotages=False)
    assert verdict.status == "inconclusive"
    assert verdict.evidence.undefined == len(frame)
    assert study.replications == claim.replications["quick"]


def _statistics(rule):
    """Columns of a rule, also of the one that it applies in strata."""
    values = [getattr(rule, field.name) for field in dataclasses.fields(rule)]
    texts = [value for value in values if isinstance(value, str)]
    return texts + [*getattr(rule, "report", ())] + (_statistics(rule.within) if hasattr(rule, "within") else [])


def test_a_part_of_the_family_is_corrected_like_the_whole():
    """p = 0.01 rejects in a family of one, and not in the registered family, whichever of its members are run."""
    doubtful = dataclasses.replace(AlwaysRule().assess(pd.DataFrame({"violation": [0.0] * 80})), p_value=0.01)
    assert decide([doubtful], family=1)[0][0] == "violated"
    assert decide([doubtful], family=family_size())[0][0] == "supported"


# Claims whose sabotage is as fine as it can be; none so far.
WITHOUT_A_FINE_ONE: set[str] = set()


@pytest.mark.parametrize("identifier", sorted(set(CLAIMS) - WITHOUT_A_FINE_ONE))
def test_every_claim_has_a_fine_sabotage_that_runs_as_many_replications(identifier):
    claim = CLAIMS[identifier]
    finer = claim.finely_sabotaged()
    assert claim.fine.name != claim.sabotage.name
    assert finer.sabotage.description == claim.fine.description
    study = finer.study("quick", sabotaged=True)
    assert study.replications == claim.replications["quick"]
    if claim.fine.cells is not None:
        assert study.name == f"{identifier}--{claim.fine.name}"
        taken = {cell.hash for cell in (*claim.cells, *(claim.sabotage.cells or ()))}
        assert not taken & {cell.hash for cell in study.cells}
    with pytest.raises(ValueError, match="no finer sabotage"):
        finer.finely_sabotaged()


def graded(fine_share):
    """A claim that says always with 80 rows, a gross sabotage at 0.5 and a fine one at the given share."""
    claim = CLAIMS["span-recovery"]

    def frame(asked, *, sabotaged=False):
        share = 0.0 if not sabotaged else 0.5 if asked.sabotage.name == claim.sabotage.name else fine_share
        cells = asked.active_cells(sabotaged=sabotaged)
        table = pd.DataFrame({"cell": cells[0].hash, "status": "ok", "replication": range(80), "relative_gap": 0.0})
        table = table.assign(**dict.fromkeys(claim.rule.report, 0.0))
        return table.assign(violation=(np.arange(80) < 80 * share).astype(float))

    family = family_size()
    own, gross = judge_rows([claim], frame, "quick", family=family)
    (fine,) = judge_rows([claim.finely_sabotaged()], frame, "quick", family=family, with_claims=False)
    return Graded(claim, own, gross, fine)


def test_grades_follow_size_and_outcome_of_the_sabotages():
    """80 rows detect violations of probability 1 − 0.1^(1/80) = 0.0284."""
    cases = {0.05: "A", 0.2: "B", 0.0: "C"}
    for share, grade in cases.items():
        assert graded(share).grade == grade
    item = graded(0.05)
    assert item.sized(item.fine).size == pytest.approx(0.05 / (1 - 0.1 ** (1 / 80)))
    text = page([item], "quick")
    assert "| span-recovery (supported) | always | no violation" in text
    assert "0.05 ± 0.024, 1.8 ×, rejected | A |" in text
    assert "**not rejected**" in page([graded(0.0)], "quick")
    assert f"1 of {len(CLAIMS)} claims; not run for this page: " in text
