"""The held-out settings are those whose hash was committed, and every one of them can be decided in principle."""

import math

import pytest

from simulations.confirmation import refuse_unregistered
from simulations.studies.heldout_confirmation import STUDY as CONFIRMATION
from simulations.studies.heldout_designs import DESIGN_HASH, SETTINGS, STUDY, design_hash


def test_the_design_is_the_committed_one():
    assert design_hash() == DESIGN_HASH


@pytest.mark.parametrize("study", [STUDY, CONFIRMATION], ids=lambda study: study.name)
def test_every_setting_leaves_a_majority_that_can_be_told(study):
    regimes = {cell.regime_hash: cell.regime for cell in study.cells}
    assert len(regimes) == SETTINGS
    for regime in regimes.values():
        bad = round(regime.share * regime.n_clients)
        assert 1 <= bad <= regime.n_clients // 2 - math.ceil(regime.rank / regime.n_columns)
    kinds = {(regime.contamination, regime.contamination_scale) for regime in regimes.values()}
    assert len(kinds) == 12


def test_the_confirmation_shares_no_setting_and_does_not_run_at_a_chosen_seed(tmp_path):
    seen = {cell.regime_hash for cell in STUDY.cells}
    assert not seen & {cell.regime_hash for cell in CONFIRMATION.cells}
    with pytest.raises(ValueError, match="heldout_confirmation is confirmatory and not registered"):
        refuse_unregistered(CONFIRMATION, path=tmp_path / "registry.jsonl")
