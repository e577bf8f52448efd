"""The held-out settings are those whose hash was committed, and every one of them can be decided in principle."""

import math

from simulations.studies.heldout_designs import DESIGN_HASH, SETTINGS, STUDY, design_hash


def test_the_design_is_the_committed_one():
    assert design_hash() == DESIGN_HASH


def test_every_setting_leaves_a_majority_that_can_be_told():
    regimes = {cell.regime_hash: cell.regime for cell in STUDY.cells}
    assert len(regimes) == SETTINGS
    for regime in regimes.values():
        bad = round(regime.share * regime.n_clients)
        assert 1 <= bad <= regime.n_clients // 2 - math.ceil(regime.rank / regime.n_columns)
    kinds = {(regime.contamination, regime.contamination_scale) for regime in regimes.values()}
    assert len(kinds) == 12
