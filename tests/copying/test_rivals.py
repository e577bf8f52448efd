"""Aggregations over rounds of fine-tuning: against the plain rounds, by identity, and what is sent."""

import numpy as np
import pytest

from simulations.copying.federated import run_rounds
from simulations.copying.rival_rounds import SCHEMES, run_scheme
from simulations.copying.rivals import CopyingClairThenFlora, CopyingFlora, CopyingScheme
from tests.copying.conftest import make_world


def largest(first, second):
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def size(updates):
    return max(float(np.abs(block).max()) for block in updates.values())


def test_flora_is_the_average_of_products_in_every_round(small_world):
    found, _ = run_scheme(small_world, "flora", rounds=2)
    plain = run_rounds(small_world, "average", rounds=2)
    # Weights are rounded to single precision before training, so that the order of sums shows in the seventh digit.
    assert largest(found.updates, plain.updates) <= 1e-4 * size(plain.updates)


def test_after_one_round_flora_fedex_and_a_wide_flexlora_hold_the_same_weights(small_world):
    flora = run_scheme(small_world, "flora", rounds=1)[0].updates
    assert largest(run_scheme(small_world, "fedex", rounds=1)[0].updates, flora) <= 1e-12 * size(flora)
    # Cut to rank 2 it is another matrix.
    assert largest(run_scheme(small_world, "flexlora", rounds=1)[0].updates, flora) > 1e-3 * size(flora)


def test_ffa_lora_keeps_a_and_rolora_trains_by_turns(small_world):
    first = run_scheme(small_world, "ffa_lora", rounds=1)[0].updates
    np.testing.assert_allclose(
        run_scheme(small_world, "rolora", rounds=1)[0].updates["head"], first["head"], rtol=0, atol=1e-12
    )
    later = run_scheme(small_world, "ffa_lora", rounds=2)[0].updates
    for name, right in small_world.initial_right.items():
        off = later[name] @ (np.eye(right.shape[1]) - np.linalg.pinv(right) @ right)
        # Rows of the update lie in the row space of the frozen A.
        assert np.abs(off).max() <= 1e-6 * np.abs(later[name]).max()
    turned = run_scheme(small_world, "rolora", rounds=2)[0].updates
    assert largest(turned, later) > 1e-3 * size(later)


def test_own_factors_stay_with_the_client_and_without_aggregation_nothing_is_sent(small_world):
    found, sent = run_scheme(small_world, "fedsa_lora", rounds=1)
    assert all(np.abs(block - block[0]).max() > 0 for block in found.updates.values())
    n_clients, rank = small_world.federation.n_clients, small_world.lora.rank
    widths = sum(right.shape[1] for right in small_world.initial_right.values())
    assert sent == 2 * n_clients * rank * widths  # A up and down
    local, nothing = run_scheme(small_world, "local", rounds=1)
    assert nothing == 0.0
    assert largest(local.updates, small_world.first.dense()) == 0.0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_reports_accuracy_and_bytes(small_world, scheme):
    found = CopyingScheme(scheme=scheme, rounds=1).evaluate(small_world, np.random.default_rng(0))
    assert 0.0 <= found["resisted"] <= 1.0
    assert (found["kilobytes"] > 0.0) == (scheme != "local")
    assert ("exact_set" in found) == (scheme in ("clair", "clair_members"))


def test_without_a_verdict_everybody_goes_on_alone(small_world, monkeypatch):
    from dataclasses import replace

    from simulations.copying import rival_rounds

    real = rival_rounds.first_collaboration(small_world, 4, "columns")
    nobody = replace(real, collaborative_set=np.zeros(12, dtype=bool))
    monkeypatch.setattr(rival_rounds, "first_collaboration", lambda *_: nobody)
    found, sent = run_scheme(small_world, "clair_members", rounds=1)
    assert sent == 0.0
    assert largest(found.updates, small_world.first.dense()) <= 1e-12 * size(found.updates)


def test_names_of_registered_methods_and_refusals(small_world, tiny):
    assert (CopyingFlora().scheme, CopyingClairThenFlora().scheme) == ("flora", "clair_members")
    with pytest.raises(ValueError, match="unknown"):
        run_scheme(small_world, "mean", rounds=1)
    with pytest.raises(ValueError, match="at least 1"):
        run_scheme(small_world, "flora", rounds=0)
    with pytest.raises(ValueError, match="sign flips"):
        run_scheme(make_world(tiny, contamination="sign_flip"), "flora", rounds=1)
