"""
A claim of your own, with a sabotage that is rejected
=====================================================

A claim states something that can be checked by simulation: a statement, what is computed, the rule that decides, the
number of replications, and a *sabotage*, a change that makes the statement false.  A check that would also pass under
sabotage proves nothing, so a claim without a sabotage is not registered.
"""

# %%
# The statement
# -------------
#
# "The mean of K independent errors has the variance of one error, divided by K."  The method computes for every
# replication whether the observed ratio is off by more than a stated margin.

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np

from simulations.design import crossed, grid
from simulations.regimes.gaussian import GaussianRegime
from simulations.storage.store import load_rows
from theory_checks.claim import Claim, Sabotage
from theory_checks.judge.run import run_claims
from theory_checks.rules.decision import AlwaysRule


@dataclass(frozen=True)
class AveragedErrors:
    """Variance of the mean error over the benign clients, times their number, over the variance of one error."""

    name: ClassVar[str] = "averaged errors"

    shared_error: bool = False  # the sabotage: all clients make the same error

    def evaluate(self, instance, generator) -> Mapping[str, float]:
        """The ratio, and 1 where it is off by more than a quarter."""
        errors = instance.errors
        if self.shared_error:
            errors = np.broadcast_to(errors[:1], errors.shape)
        ratio = float(len(errors) * np.mean(errors.mean(axis=0) ** 2) / np.mean(errors**2))
        return {"ratio": ratio, "violation": float(abs(ratio - 1.0) > 0.25)}


# %%
# The claim
# ---------
#
# The rule *always* is refuted by a single violation.  The numbers of replications per effort are part of the claim.

regimes = grid(GaussianRegime, n_clients=16, n_rows=40, n_columns=20, rank=2, share=0.0, noise_scale=0.3)

claim = Claim(
    identifier="errors-average-out",
    theorem=0,
    title="Independent errors average out",
    statement=r"$K \, \mathrm{Var}(\bar E) = \mathrm{Var}(E_1)$",
    source="elementary",
    assumptions=(),
    statistic="K times the mean square of the mean error, over the mean square of one error",
    rule=AlwaysRule(report=("ratio",)),
    cells=crossed(regimes, [AveragedErrors()]),
    replications={"quick": 100, "standard": 400, "full": 1600},
    sabotage=Sabotage(
        name="one-error-for-all",
        description="all clients make the same error, so that nothing averages out",
        cells=crossed(regimes, [AveragedErrors(shared_error=True)]),
    ),
)

# %%
# The verdicts
# ------------
#
# The claim should be supported and the sabotage rejected.

with tempfile.TemporaryDirectory() as folder:
    verdicts = run_claims([claim], "quick", Path(folder), backend="sequential")
    study = claim.study("quick")
    ratios = load_rows(Path(folder) / f"{study.name}.sqlite", study)["ratio"]

for verdict in verdicts:
    print(f"{verdict.sabotage or verdict.claim}: {verdict.status}")
    print("   ", verdict.evidence.detail)
    print("    detectable with probability 0.9:", verdict.smallest_violation)

assert [verdict.status for verdict in verdicts] == ["supported", "violated"]

# %%
# What the rule saw of the claim: the ratio in every replication, and the margin.

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.hist(ratios, bins=20)
axes.axvspan(0.75, 1.25, color="tab:green", alpha=0.15, label="within the margin")
axes.set(xlabel="K times the mean square of the mean error, over that of one error", ylabel="replications")
axes.legend()

# %%
# A claim in a file of ``theory_checks/claims`` is run, explained and reported like all others:
# ``python -m theory_checks run errors-average-out`` and ``python -m theory_checks explain errors-average-out``.
