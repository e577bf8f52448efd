"""A federation whose clients add a shared update in every round, and misbehave in the ways that servers meet."""

import numpy as np

from clair_stats.federation import Adapter
from tests.adapters.folders import MODULES, PREFIX, config, truncated

RANK = 4


class Federation:
    """Clients that add a shared rank-2 update and their own noise in every round."""

    def __init__(self, n_clients=16, seed=3, noise=0.2):
        self.rng = np.random.default_rng(seed)
        self.n_clients, self.noise, self.seed = n_clients, noise, seed
        self.spans = {m: np.linalg.qr(self.rng.normal(size=(p, 2)))[0] for m, (p, _) in MODULES.items()}

    def adapter(self, start=None, change=lambda block, module: block, rank=RANK, key=None):
        """One client's reply; with a key the same numbers whoever is asked first."""
        rng = self.rng if key is None else np.random.default_rng([self.seed, *key])
        tensors = {}
        for module, (p, q) in MODULES.items():
            step = self.spans[module] @ rng.normal(size=(2, q)) + self.noise * rng.normal(size=(p, q))
            whole = change(step, module) + (0 if start is None else product(start, module))
            left, right = truncated(whole, rank)
            tensors[f"{PREFIX}{module}.lora_A.weight"] = right.astype(np.float32)
            tensors[f"{PREFIX}{module}.lora_B.weight"] = (left / 2.0).astype(np.float32)
        return Adapter(tensors, config(r=rank, lora_alpha=2 * rank))


def product(adapter, module):
    left, right = (adapter.tensors[f"{PREFIX}{module}.lora_{side}.weight"].astype(np.float64) for side in "BA")
    rank = adapter.config.get("rank_pattern", {}).get(module.replace(".", r"\."), right.shape[0])
    assert rank == right.shape[0]
    alpha = adapter.config.get("alpha_pattern", {}).get(module.replace(".", r"\."), adapter.config["lora_alpha"])
    return alpha / rank * left @ right


def stranger(block, module):
    """An update in directions of its own."""
    rng = np.random.default_rng(sum(map(ord, module)))
    return rng.normal(size=(len(block), 2)) @ rng.normal(size=(2, block.shape[1]))


def weak_stranger(block, module, share=0.15):
    """The same direction in every round, beside the own update: too little for a single round."""
    p, q = block.shape
    rng = np.random.default_rng([11, len(module), p])
    left, right = rng.standard_normal(p), rng.standard_normal(q)
    direction = np.outer(left / np.linalg.norm(left), right / np.linalg.norm(right))
    return block + share * np.linalg.norm(block) * direction


def untrained():
    """What a server sends first: B = 0."""
    tensors = {}
    for module, (p, q) in MODULES.items():
        tensors[f"{PREFIX}{module}.lora_A.weight"] = np.ones((RANK, q), dtype=np.float32)
        tensors[f"{PREFIX}{module}.lora_B.weight"] = np.zeros((p, RANK), dtype=np.float32)
    return Adapter(tensors, config(r=RANK, lora_alpha=2 * RANK))
