"""
A regime and a method of your own
=================================

A simulation study crosses regimes (where the estimates come from) with methods (what is done with them).  Both are
small classes.  The engine draws the random numbers, stores every row, resumes interrupted runs and gives every summary
its Monte Carlo standard error.
"""

# %%
# A regime
# --------
#
# A regime is a frozen dataclass with a ``name`` and a method ``generate``.  Random numbers come from the streams it is
# given and from nowhere else.  This one draws noise with heavy tails: Student's t with few degrees of freedom.

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np

from clair_stats import CLAIR, ClientEstimates
from simulations.design import Study, crossed, grid, levels
from simulations.engine.executor import run_study
from simulations.measures.summaries import Mean
from simulations.measures.summarise import summarise
from simulations.regimes.structure import SharedStructure


@dataclass(frozen=True, kw_only=True)
class HeavyTails(SharedStructure):
    """Clients with a shared subspace and errors from Student's t distribution."""

    name: ClassVar[str] = "heavy tails"

    degrees: int = 5
    noise_scale: float = 0.2

    def generate(self, streams):
        """Truth and contamination are drawn by SharedStructure; this adds the errors."""
        truth = self.draw_truth(streams)
        errors = streams.generator("noise").standard_t(self.degrees, truth.targets.shape)
        errors *= self.noise_scale / np.sqrt(self.degrees / (self.degrees - 2))
        return truth.seen_as(ClientEstimates(values=truth.targets + errors))


# %%
# A method
# --------
#
# A method is a frozen dataclass as well.  ``evaluate`` returns numbers by name.  Only the metrics look at the truth.


def mean_squared_error(instance, estimates):
    """Mean squared error of the benign clients."""
    benign = instance.collaborative_set
    return float(np.mean((estimates - instance.targets)[benign] ** 2))


@dataclass(frozen=True)
class Refined:
    """CLAIR at its defaults."""

    name: ClassVar[str] = "CLAIR"

    def evaluate(self, instance, generator):
        """Error of the refined estimates, and whether the set is exact."""
        model = CLAIR().fit(instance.estimates)
        exact = np.array_equal(model.collaborative_set_, instance.collaborative_set)
        return {"mse": mean_squared_error(instance, model.refined_), "exact_set": float(exact)}


@dataclass(frozen=True)
class Median:
    """The entrywise median of all clients, for everybody."""

    name: ClassVar[str] = "median"

    def evaluate(self, instance, generator):
        """Error of the median."""
        values = instance.estimates.dense()
        return {"mse": mean_squared_error(instance, np.broadcast_to(np.median(values, axis=0), values.shape))}


# %%
# The study
# ---------
#
# Replications and seed are fixed before the run.

study = Study(
    name="heavy-tails",
    title="Recovery under errors with heavy tails",
    cells=crossed(
        grid(
            HeavyTails,
            degrees=levels(3, 5, 30),
            n_clients=20,
            n_rows=12,
            n_columns=6,
            rank=2,
            share=0.2,
            contamination="random",
        ),
        [Refined(), Median()],
    ),
    replications=20,
    root_seed=20260521,
    measures=(Mean("mse"), Mean("exact_set")),
)

with tempfile.TemporaryDirectory() as folder:
    store = Path(folder) / "heavy-tails.sqlite"
    report = run_study(study, store, backend="sequential")
    table = summarise(store, study)

print(f"{report.written} rows written, {report.failed} failed")
columns = ["regime.degrees", "method", "measure", "value", "mcse", "n"]
print(table[columns].to_string(index=False))

# %%
# Error bars are two Monte Carlo standard errors.

errors = table[table["measure"].str.contains("mse")]
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for method, rows in errors.groupby("method"):
    axes.errorbar(rows["regime.degrees"], rows["value"], yerr=2 * rows["mcse"], marker="o", capsize=3, label=method)
axes.set(xlabel="degrees of freedom of the errors", ylabel="mean squared error", xscale="log", yscale="log")
axes.set_xticks([3, 5, 30], labels=["3", "5", "30"])
axes.minorticks_off()
axes.legend()

# %%
# The same study as a file of ``simulations/studies`` runs from the command line with all workers:
# ``python -m simulations run heavy-tails --jobs 8``.
