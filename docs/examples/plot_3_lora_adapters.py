"""
LoRA adapters as factors
========================

A LoRA adapter is a pair of thin matrices.  Here twenty clients have adapters of rank 4 for a weight matrix of
1024 × 768.  They enter as factors, and their products are never formed.
"""

# %%
# The adapters
# ------------
#
# Benign adapters share two directions.  Five contaminated clients use two other directions of their own.  The remaining
# directions of each adapter are small and random, as training noise makes them.

import matplotlib.pyplot as plt
import numpy as np

from clair_stats import CLAIR, ClientEstimates

rng = np.random.default_rng(3)
n_clients, n_rows, n_columns, adapter_rank, shared_rank = 20, 1024, 768, 4, 2

shared = np.linalg.qr(rng.standard_normal((n_rows, shared_rank)))[0]
factors = []
for k in range(n_clients):
    used = shared if k >= 5 else np.linalg.qr(rng.standard_normal((n_rows, shared_rank)))[0]
    noise = 0.05 * np.linalg.qr(rng.standard_normal((n_rows, adapter_rank - shared_rank)))[0]
    left = np.hstack([used, noise])  # B, 1024 × 4
    right = rng.standard_normal((adapter_rank, n_columns))  # A, 4 × 768
    factors.append((left, right))

estimates = ClientEstimates(factors=tuple(factors), client_names=tuple(f"adapter {k}" for k in range(n_clients)))

# %%
# The fit
# -------

model = CLAIR().fit(estimates)
print(model.summary())

# %%
# The refined adapters come back as factors as well:

left, right = model.refined_factors_[10]
print("refined adapter 10:", left.shape, right.shape)

# %%
# How near is the estimated subspace to the true one?  The sine of the largest angle between them is 0 for equal
# subspaces and 1 for orthogonal directions.

cosines = np.linalg.svd(shared.T @ model.basis_, compute_uv=False)
print(f"rank {model.rank_}, sine of the largest angle {np.sqrt(max(0.0, 1 - cosines.min() ** 2)):.4f}")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
model.plot(axes)
