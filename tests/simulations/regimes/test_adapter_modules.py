import numpy as np
import pytest

from simulations.design import content_hash
from simulations.methods.several_modules import ClairModules
from simulations.regimes.adapter_modules import AdapterModulesRegime
from simulations.streams import Streams

SMALL = {"n_clients": 12, "n_rows": 20, "n_columns": 16, "rank": 2, "share": 0.25, "noise_known": False}


def draw(replication=0, **fields):
    regime = AdapterModulesRegime(**{**SMALL, "adapter_ranks": (4,), "n_modules": 3, **fields})
    return regime.generate(Streams(7, content_hash(regime), replication))


def test_modules_share_their_contaminated_clients_and_nothing_else():
    instance = draw(noise_scale=0.0, adapter_ranks=(16,), common_scale=0.0)
    assert list(instance.modules) == ["module 0", "module 1", "module 2"]
    np.testing.assert_array_equal(instance.collaborative_set, np.arange(12) < 9)
    bases = []
    for record in instance.modules.values():
        benign = np.hstack(record.dense()[:9])
        left, sizes, _ = np.linalg.svd(benign)
        assert sizes[1] > 1e-3 > 1e-9 > sizes[2]  # benign clients span two directions, contaminated ones more
        bases.append(left[:, :2])
        assert np.linalg.matrix_rank(np.hstack(record.dense()), tol=1e-6) > 2
    assert np.linalg.norm(bases[0].T @ bases[1], 2) < 0.99


def test_a_clients_scale_is_the_same_in_all_its_modules():
    plain, scaled = draw(), draw(client_scale_spread=0.7)
    factors = np.stack([np.linalg.norm(scaled.modules[name].dense(), axis=(1, 2)) for name in plain.modules])
    assert np.ptp(np.log(factors).mean(axis=0)) > 1.0
    assert np.corrcoef(np.log(factors))[0, 1] > 0.9


def test_the_method_finds_the_set_and_says_when_there_is_none():
    found = ClairModules().evaluate(draw(), np.random.default_rng(0))
    assert (found["exact_set"], found["false_alarm"], found["majority"]) == (1.0, 0.0, 1.0)
    undecided = ClairModules().evaluate(draw(n_clients=5, share=0.2), np.random.default_rng(0))
    assert (undecided["exact_set"], undecided["false_alarm"], undecided["majority"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("field", "value"), [("n_modules", 0), ("client_scale_spread", -1.0)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        draw(**{field: value})
