"""Where the search starts: random subsets of as few clients as determine the subspace and the common component."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from clair_stats.detection.panel import Panel
from clair_stats.records import BoolArray

__all__ = ["random_subsets", "starting_subsets"]

# Starts from the smallest subsets are drawn until, at a contaminated share of 0.45, all of them hold a contaminated
# client with at most this probability; a few larger ones suffer less from noise.
_ALL_SPOILT = 1e-4
_MOST_STARTS = 300
_LARGER_STARTS = (10, 5)
# The search draws its subsets from this fixed stream: the same data give the same answer, and no caller's generator
# is touched.
_SEARCH_SEED = 20_260_521


def starting_subsets(panel: Panel, rank: int) -> BoolArray:
    """Masks (N, K) for a rank; the same ones for every rank that needs subsets of the same size."""
    generator = np.random.default_rng(_SEARCH_SEED)
    n_clients, sizes = panel.shape[0], _subset_sizes(panel, rank)
    masks = random_subsets(n_clients, sizes, generator)
    if not panel.unequal_scales:
        return masks
    # A start needs benign clients that are precise as well.  As many again from the more precise half: from it alone
    # would be an invitation to claim a small σ_k.
    precise = np.flatnonzero(panel.scales <= np.median(panel.scales))
    among = random_subsets(precise.size, {min(size, precise.size): n for size, n in sizes.items()}, generator)
    more = np.zeros((len(among), n_clients), dtype=np.bool_)
    more[:, precise] = among
    return np.concatenate([masks, more])


def _subset_sizes(panel: Panel, rank: int) -> dict[int, int]:
    """How many subsets of which size: from the fewest clients that determine U and M upward.

    At a contaminated share of 0.45 a pair is all benign in 30 % of the draws, a triple in 17 %, five clients in 5 %.
    """
    n_clients, _, q = panel.shape
    least = int(panel.common_component) + max(-(-rank // q), 1)
    enough = math.ceil(math.log(_ALL_SPOILT) / math.log1p(-(0.55**least)))
    sizes = {least: min(enough, _MOST_STARTS), least + 1: _LARGER_STARTS[0], least + 3: _LARGER_STARTS[1]}
    return {min(size, n_clients): count for size, count in sizes.items()}


def random_subsets(n_clients: int, sizes: Mapping[int, int], generator: np.random.Generator) -> BoolArray:
    """Masks (N, K): for every subset size as many as the mapping says, drawn without replacement inside a mask."""
    size = np.repeat(np.fromiter(sizes.keys(), int), np.fromiter(sizes.values(), int))
    order = np.argsort(generator.random((size.size, n_clients)), axis=1)
    return np.asarray(np.argsort(order, axis=1) < size[:, None])
