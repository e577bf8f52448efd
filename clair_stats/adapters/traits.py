"""What a flagged adapter looks like: its size, its direction against the benign mean, its company.

Everything is read off inner products ⟨B_jA_j, B_kA_k⟩ = ⟨B_jᵀB_k, A_jA_kᵀ⟩, so no p × q matrix is formed.

The blocks are those of docs/theory.md, section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.records import BoolArray, FloatArray

__all__ = ["inner_products", "traits_of"]

# Descriptive cut-offs, not tests: updates of unrelated clients have cosines near 0, benign ones up to 0.4 where they
# share a task, literal copies 1.
_LARGE, _SMALL = 3.0, 1.0 / 3.0
_AGAINST, _TOGETHER = -0.2, 0.8


def inner_products(modules: Mapping[str, ClientEstimates], names: Sequence[str]) -> FloatArray:
    """⟨ΔW_j, ΔW_k⟩ summed over the given modules, shape (K, K).

    Parameters
    ----------
    modules : mapping of str to ClientEstimates
        By module.
    names : sequence of str
        Modules.

    Returns
    -------
    ndarray, shape (K, K)
        Squared scale of the updates.
    """
    total: FloatArray | None = None
    for name in names:
        record = modules[name]
        assert record.factors is not None
        ends = np.cumsum([0, *(left.shape[1] for left, _ in record.factors)])
        lefts = np.concatenate([left for left, _ in record.factors], axis=1)
        rights = np.concatenate([right for _, right in record.factors], axis=0)
        entries = (lefts.T @ lefts) * (rights @ rights.T)
        sums = np.add.reduceat(np.add.reduceat(entries, ends[:-1], axis=0), ends[:-1], axis=1)
        total = sums if total is None else total + sums
    assert total is not None
    return total


def traits_of(client: int, inner: FloatArray, benign: BoolArray, names: Sequence[str]) -> list[str]:
    """Phrases about one flagged client.

    Parameters
    ----------
    client : int
    inner : array, shape (K, K)
        From :func:`inner_products`.
    benign : bool array, shape (K,)
    names : sequence of K str

    Returns
    -------
    list of str
        Empty where nothing of the kind stands out.
    """
    sizes = np.sqrt(np.maximum(np.diag(inner), 0.0))
    traits = []
    if benign.any() and sizes[client] > 0:
        usual = float(np.median(sizes[benign]))
        ratio = sizes[client] / usual if usual > 0 else np.inf
        if not _SMALL <= ratio <= _LARGE:
            traits.append(f"{ratio:.2g} times the usual size")
        mean_size = float(np.sqrt(max(inner[np.ix_(benign, benign)].mean(), 0.0)))
        if mean_size > 0:
            cosine = float(inner[client, benign].mean()) / (sizes[client] * mean_size)
            if cosine < _AGAINST:
                traits.append(f"points against the benign mean (cosine {cosine:.2f})")
    others = [int(k) for k in np.flatnonzero(~benign) if k != client and sizes[k] > 0]
    if others and sizes[client] > 0:
        cosines = inner[client, others] / (sizes[client] * sizes[others])
        nearest = int(np.argmax(cosines))
        if cosines[nearest] > _TOGETHER:
            traits.append(f"nearly the same as {names[others[nearest]]} (cosine {cosines[nearest]:.2f})")
    return traits
