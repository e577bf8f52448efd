"""A copying federation written as adapter folders and read back gets the verdict that it has in memory."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; the copying tests need the extra 'llm'")

from clair_stats import CLAIR
from clair_stats.adapters import aggregate_adapters, read_adapter
from simulations.copying.export import same_verdict, write_folders
from simulations.copying.lora import LoRAUpdates


def planted(bad=(1, 5, 8), n_clients=16, seed=4):
    """Factors of rank 3 whose columns share two directions, but for three clients."""
    rng = np.random.default_rng(seed)
    left, right = {}, {}
    for name, (p, q) in {"layers.0.value": (20, 16), "layers.1.up": (32, 20), "head": (28, 20)}.items():
        span = np.linalg.qr(rng.standard_normal((p, 2)))[0]
        b = np.concatenate([np.repeat(span[None], n_clients, axis=0), 0.2 * rng.standard_normal((n_clients, p, 1))], 2)
        b[list(bad)] = np.linalg.qr(rng.standard_normal((len(bad), p, 3)))[0]
        left[name], right[name] = b, rng.standard_normal((n_clients, 3, q))
    return LoRAUpdates(left, right, 1.5)


def test_folders_hold_the_products(tmp_path, small_world):
    updates = small_world.first
    dense = updates.dense()
    for k, folder in enumerate(write_folders(updates, tmp_path / "clients")):
        for module, product in read_adapter(folder).products.items():
            np.testing.assert_allclose(np.matmul(*product.factors()), dense[module][k], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bad", [(1, 5, 8), ()])
def test_the_verdict_is_the_same(tmp_path, bad):
    updates = planted(bad)
    write_folders(updates, tmp_path / "clients")
    model = CLAIR().fit(updates.estimates())
    assert set(np.flatnonzero(model.flagged_)) >= set(bad)
    rows = aggregate_adapters([tmp_path / "clients"]).report.rows
    verdicts, p_values = ({row.name: getattr(row, name) for row in rows} for name in ("verdict", "p_value"))
    assert "undecided" not in verdicts.values()
    np.testing.assert_array_equal([verdicts[f"client-{k:02d}"] == "flagged" for k in range(16)], model.flagged_)
    found = [p_values[f"client-{k:02d}"] for k in range(16)]
    np.testing.assert_allclose(found, model.p_values_, rtol=1e-2, atol=1e-6)


def test_trained_clients_too(tmp_path, small_world):
    same, told = same_verdict(small_world.first, tmp_path / "clients")
    assert same, told
