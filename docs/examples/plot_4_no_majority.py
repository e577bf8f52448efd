"""
When no majority agrees
=======================

CLAIR calls nobody benign when no more than half of the clients agree.  This example shows what such a result looks like
and which pieces of knowledge resolve it.
"""

# %%
# Four clients that agree, five that do not
# -----------------------------------------
#
# Four clients share a subspace.  The five others have nothing in common with them, nor with each other, and they are
# more than half.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from clair_stats import CLAIR, NoMajorityWarning

rng = np.random.default_rng(11)
n_rows, n_columns, rank = 16, 8, 2
basis = np.linalg.qr(rng.standard_normal((n_rows, rank)))[0]
common = rng.standard_normal((n_rows, n_columns))


def benign_clients(number):
    """Clients that share the subspace and the common component."""
    own = np.stack([basis @ rng.standard_normal((rank, n_columns)) for _ in range(number)])
    return common + own + 0.1 * rng.standard_normal((number, n_rows, n_columns))


others = common + 3.0 * rng.standard_normal((5, n_rows, n_columns))
values = np.concatenate([benign_clients(4), others])

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    undecided = CLAIR().fit(values)

print("majority:", undecided.majority_)
for warning in caught:
    if issubclass(warning.category, NoMajorityWarning):
        print(warning.message)
assert not undecided.majority_

# %%
# All entries of ``collaborative_set_`` and of ``flagged_`` are False then: no client is called benign, and none is
# called contaminated.  ``majority_`` says the same for all of them.

print("called benign:", int(undecided.collaborative_set_.sum()), "of", len(values))
print("called contaminated:", int(undecided.flagged_.sum()), "of", len(values))

# %%
# More clients decide
# -------------------
#
# With four further benign clients eight of thirteen agree.

more = CLAIR().fit(np.concatenate([benign_clients(4), values]))
print("majority:", more.majority_, "- flagged:", np.flatnonzero(more.flagged_))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
more.plot(axes)

# %%
# Trusted clients decide
# ----------------------
#
# Suppose that the first four clients are trusted for a reason outside the data.  Each of the others can then be tested
# beside them, one at a time: the trusted clients are the majority of every such fit.

for k in range(4, len(values)):
    beside = CLAIR().fit(np.concatenate([values[:4], values[k : k + 1]]))
    verdict = "benign" if beside.collaborative_set_[4] else "flagged" if beside.flagged_[4] else "undecided"
    print(f"client {k} beside the trusted ones: {verdict}")
