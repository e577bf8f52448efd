"""
Thirty hospitals, six of them contaminated
==========================================

Each hospital has fitted the same linear model to its own patients and sends its coefficient matrix.  The coefficients
of most hospitals lie near one common matrix plus a shared subspace of two dimensions.  Six hospitals are contaminated:
their coefficients differ in directions that nobody shares.  Nobody knows how many they are, or which.
"""

# %%
# The data
# --------
#
# The truth is kept beside the estimates, so that the result can be compared with it afterwards.

import matplotlib.pyplot as plt
import numpy as np

from clair_stats import CLAIR, ClientEstimates

rng = np.random.default_rng(7)
n_hospitals, n_covariates, n_responses, rank = 30, 20, 10, 2

basis = np.linalg.qr(rng.standard_normal((n_covariates, rank)))[0]
common = rng.standard_normal((n_covariates, n_responses))
truth = common + np.stack([basis @ rng.standard_normal((rank, n_responses)) for _ in range(n_hospitals)])
truth[:6] += 0.7 * rng.standard_normal((6, n_covariates, n_responses))
values = truth + 0.3 * rng.standard_normal(truth.shape)

names = tuple(f"hospital {k}" for k in range(n_hospitals))
estimates = ClientEstimates(values=values, client_names=names)

# %%
# The fit
# -------
#
# Neither the rank nor the noise level nor the number of contaminated hospitals is given.

model = CLAIR().fit(estimates)
print(model.summary())

# %%
# The flagged hospitals are those that were altered:

flagged = [names[k] for k in np.flatnonzero(model.flagged_)]
print("flagged:", ", ".join(flagged))
assert flagged == list(names[:6])

# %%
# The evidence
# ------------
#
# A hospital is flagged when its score exceeds its threshold.  The score is the norm of what its estimate has outside
# the shared subspace, after the common matrix is subtracted.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
model.plot(axes)

# %%
# What the benign hospitals gain
# ------------------------------
#
# The refined estimate of a benign hospital keeps its own part inside the shared subspace and borrows the rest from the
# others.  The distance to the truth is smaller for every benign hospital.

benign = model.collaborative_set_
own_error = np.linalg.norm(values - truth, axis=(1, 2))
refined_error = np.linalg.norm(model.refined_ - truth, axis=(1, 2))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
positions = np.flatnonzero(benign)
axes.bar(positions - 0.2, own_error[benign], width=0.4, label="own estimate")
axes.bar(positions + 0.2, refined_error[benign], width=0.4, label="refined estimate")
axes.set(xlabel="hospital", ylabel="distance to the truth (Frobenius norm)")
axes.legend()

print(f"benign hospitals that gain: {(refined_error < own_error)[benign].sum()} of {benign.sum()}")
print(f"mean error, own {own_error[benign].mean():.2f}, refined {refined_error[benign].mean():.2f}")
